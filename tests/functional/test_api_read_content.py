"""GET /v1/content/{item_id}"""

from bitcache_server.models.session import write_transaction
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.merchants import add_site
from tests.support.api import assert_refused, call
from tests.support.world import LOCKED, World


def test_the_article_as_it_was_written(world: World) -> None:
    html = f"{LOCKED}<script>alert('☃')</script>\n\t&amp; \u2028 \"q\""
    body = {"title": "A", "price": 2_000, "currency": "SAT", "content_html": html}
    item_id = call(world, "POST", "/v1/items", world.secret, json=body).get_json()["id"]
    world.session.rollback()
    purchase = world.buy(item_id)
    world.pay(purchase)
    answer = call(world, "GET", f"/v1/content/{item_id}", world.grant(purchase))
    assert answer.get_json() == {"item": item_id, "title": "A", "html": html}
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.mimetype == "application/json"


def test_a_grant_opens_its_own_item_and_no_other(world: World) -> None:
    with write_transaction(world.session):
        other = add_site(world.deps, world.session, world.merchant_id, "B", ["https://b.example"])
        new = NewItem(title="B", price=5_000, currency="SAT", content_html="of B")
        foreign_id = add_item(world.deps, world.session, other.site, new).id
    cheap = {"title": "Cheap", "price": 1_000, "currency": "SAT", "content_html": "cheap"}
    cheap_id = call(world, "POST", "/v1/items", world.secret, json=cheap).get_json()["id"]
    world.session.rollback()
    grants = {}
    for item_id in (cheap_id, world.article_id):
        purchase = world.buy(item_id)
        world.pay(purchase)
        grants[item_id] = world.grant(purchase)
    for item_id, text in ((cheap_id, "cheap"), (world.article_id, LOCKED)):
        answer = call(world, "GET", f"/v1/content/{item_id}", grants[item_id])
        assert answer.get_json()["html"] == text
    for item_id, grant in (
        (world.article_id, grants[cheap_id]), (cheap_id, grants[world.article_id]),
        (foreign_id, grants[world.article_id]),
    ):  # fmt: skip
        answer = call(world, "GET", f"/v1/content/{item_id}", grant)
        assert_refused(world, answer, 403, "grant_invalid")


def test_other_tokens_open_nothing(world: World) -> None:
    purchase, song = world.buy(), world.buy(world.file_id)
    world.pay(purchase)
    world.pay(song)
    receipt = world.claim(purchase).get_json()["receipt"]
    link = call(world, "POST", f"/v1/files/{world.file_id}/link", world.grant(song)).get_json()
    download = link["url"].split("/")[-2]
    for token in (receipt, download, world.secret, purchase.id, purchase.verifier):
        for item_id in (world.article_id, world.file_id):
            answer = call(world, "GET", f"/v1/content/{item_id}", token)
            assert_refused(world, answer, 403, "grant_invalid")
    path = f"/v1/content/{world.article_id}"
    assert_refused(world, call(world, "GET", path), 401, "grant_missing")
    for query in (f"?grant={world.grant(purchase)}", f"?verifier={purchase.verifier}"):
        assert_refused(world, call(world, "GET", path + query), 401, "grant_missing")


def test_a_file_is_no_article(sqlite_world: World) -> None:
    song = sqlite_world.buy(sqlite_world.file_id)
    sqlite_world.pay(song)
    grant = sqlite_world.grant(song)
    answer = call(sqlite_world, "GET", f"/v1/content/{sqlite_world.file_id}", grant)
    assert_refused(sqlite_world, answer, 409, "wrong_kind")
    answer = call(sqlite_world, "GET", "/v1/content/it_unknown", grant)
    assert_refused(sqlite_world, answer, 404, "unknown_item")
