"""GET /v1/items/{item_id}"""

from tests.support.api import assert_refused, call
from tests.support.world import LOCKED, World


def test_everyone_may_see_the_public_part(world: World) -> None:
    answer = call(world, "GET", f"/v1/items/{world.article_id}")
    item = answer.get_json()
    assert (item["title"], item["teaser"], item["kind"]) == ("On engines", "Engines!", "article")
    assert item["checkout_url"] == f"https://pay.example/pay/{world.article_id}"
    assert answer.headers["Cache-Control"] == "no-store"
    song = call(world, "GET", f"/v1/items/{world.file_id}").get_json()
    assert song["file"] == {"name": "song.ogg", "size_bytes": 102_400, "content_type": "audio/ogg"}
    assert song["price"] == {"amount_msat": 7_000_000, "fiat": None, "rate": None}


def test_the_locked_part_is_not_in_it(sqlite_world: World) -> None:
    for token in (None, sqlite_world.secret):
        text = call(sqlite_world, "GET", f"/v1/items/{sqlite_world.article_id}", token).text
        assert LOCKED not in text
        assert "locked part" not in text
    assert "song.ogg" in call(sqlite_world, "GET", f"/v1/items/{sqlite_world.file_id}").text


def test_the_rate_is_shown_with_its_age(sqlite_world: World) -> None:
    path = f"/v1/items/{sqlite_world.article_id}"
    sqlite_world.clock.pass_time(100)
    assert call(sqlite_world, "GET", path).get_json()["price"]["rate"]["age_s"] == 100
    sqlite_world.clock.pass_time(sqlite_world.deps.settings.rate_max_age_s)
    item = call(sqlite_world, "GET", path).get_json()
    assert (item["price"]["amount_msat"], item["price"]["rate"]) == (None, None)
    assert item["rails"] == []


def test_an_item_that_is_not_there(world: World) -> None:
    for item_id in ("it_unknown", world.site_id, world.merchant_id, world.article_id.upper()):
        answer = call(world, "GET", f"/v1/items/{item_id}")
        assert_refused(world, answer, 404, "unknown_item")
