"""POST /v1/files/{item_id}/link; what the link does is in test_http_downloads.py."""

from urllib.parse import unquote

from tests.support.api import assert_refused, call
from tests.support.world import PUBLIC_URL, World


def test_a_link_that_ends_soon(world: World) -> None:
    purchase = world.buy(world.file_id)
    world.pay(purchase)
    grant = world.grant(purchase)
    answer = call(world, "POST", f"/v1/files/{world.file_id}/link", grant)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    link = answer.get_json()
    assert link["expires_at"] == world.clock() + world.deps.settings.download_link_lifetime_s
    assert link["url"].startswith(f"{PUBLIC_URL}/files/{world.file_id}/")
    assert unquote(link["url"]).endswith("/song.ogg")
    # The link travels; the grant and what bought it do not.
    assert grant not in link["url"]
    assert purchase.verifier not in link["url"]
    path = link["url"].removeprefix(PUBLIC_URL)
    assert call(world, "GET", path).status_code == 200


def test_who_gets_none(world: World) -> None:
    purchase = world.buy()
    world.pay(purchase)
    claimed = world.claim(purchase).get_json()
    path = f"/v1/files/{world.file_id}/link"
    assert_refused(world, call(world, "POST", path), 401, "grant_missing")
    for token in (
        claimed["grant"],
        claimed["receipt"],
        purchase.id,
        purchase.verifier,
        world.secret,
    ):
        assert_refused(world, call(world, "POST", path, token), 403, "grant_invalid")
    answer = call(world, "POST", f"/v1/files/{world.article_id}/link", claimed["grant"])
    assert_refused(world, answer, 409, "wrong_kind")
    answer = call(world, "POST", "/v1/files/it_unknown/link", claimed["grant"])
    assert_refused(world, answer, 404, "unknown_item")


def test_it_ends_with_the_purchase(world: World) -> None:
    own = world.deps.settings.files_dir / world.site_id
    own.mkdir()
    (own / "song.ogg").write_bytes(b"OggS")
    body = {
        "title": "A",
        "price": 7_000,
        "currency": "SAT",
        "file_path": "song.ogg",
        "access_hours": 1,
    }
    item_id = call(world, "POST", "/v1/items", world.secret, json=body).get_json()["id"]
    world.session.rollback()
    purchase = world.buy(item_id)
    reference = world.pay(purchase)
    grant = world.grant(purchase)
    path = f"/v1/files/{item_id}/link"
    world.rail.double_spend(reference)
    world.check_unconfirmed()
    assert_refused(world, call(world, "POST", path, grant), 403, "grant_revoked")
    world.pay(purchase)
    again = world.grant(purchase)
    assert call(world, "POST", path, again).status_code == 200
    world.clock.pass_time(3_600)
    assert_refused(world, call(world, "POST", path, again), 403, "grant_expired")
