"""GET /v1/site, and items that a site takes off sale by itself."""

from typing import Any

from bitcache_server.models.session import write_transaction
from bitcache_server.services.api_keys import SCOPES, KeyOrder, add_key
from bitcache_server.services.merchants import rotate_site_secret
from bitcache_server.tokens.grants import GrantSigner
from tests.support.api import assert_refused, call
from tests.support.dashboard import sign_in
from tests.support.shops import assert_nothing_lost
from tests.support.world import ORIGIN, World


def own_site(world: World, secret: str) -> dict[str, Any]:
    answer = call(world, "GET", "/v1/site", secret)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return dict(answer.get_json())


def price(world: World, **fields: Any) -> dict[str, Any]:
    body = {"title": "A", "price": 5_000, "currency": "SAT", "external_id": "a"}
    answer = call(
        world, "POST", "/v1/items", world.secret, json={"content_html": "<p>x", **body, **fields}
    )
    assert answer.status_code == 201, answer.text
    return dict(answer.get_json())


def test_a_site_reads_who_it_is_and_what_signs_its_grants(world: World) -> None:
    found = own_site(world, world.secret)
    keys = found.pop("grant_keys")
    assert found == {
        "id": world.site_id,
        "name": "Ada's blog",
        "merchant_id": world.merchant_id,
        "origins": [ORIGIN],
    }
    purchase = world.buy()
    world.pay(purchase)
    world.mine(6)
    signer, now = GrantSigner(tuple(keys)), world.deps.clock()
    signer.check(world.grant(purchase), site=world.site_id, item=world.article_id, now=now)


def test_the_old_secret_reads_the_new_key_while_it_works(world: World) -> None:
    [before] = own_site(world, world.secret)["grant_keys"]
    with write_transaction(world.session):
        rotate_site_secret(world.deps, world.session, world.site_id, 60)
    # Other processes notice a new key within this time.
    world.clock.pass_time(31)
    newest, older = own_site(world, world.secret)["grant_keys"]
    assert older == before != newest
    world.clock.pass_time(60)
    assert_refused(world, call(world, "GET", "/v1/site", world.secret), 401, "bad_secret")


def test_no_key_of_the_api_reads_what_signs_grants(world: World) -> None:
    person = sign_in(world)
    order = KeyOrder(world.site_id, "everything", SCOPES, None)
    with write_transaction(world.session):
        secret = add_key(
            world.deps, world.session, world.merchant_id, person.account_id, order
        ).secret
    assert call(world, "GET", "/v1/items", secret).status_code == 200
    assert_refused(world, call(world, "GET", "/v1/site", secret), 403, "scope_missing")
    assert_refused(world, call(world, "GET", "/v1/site"), 401, "missing_secret")
    assert_refused(world, call(world, "GET", "/v1/site", "bcsk_wrong"), 401, "bad_secret")


def test_a_site_takes_an_item_off_sale_and_puts_it_back(world: World) -> None:
    item = price(world)
    assert not item["archived"]
    purchase = world.buy(item["id"])
    world.pay(purchase)
    world.mine(6)
    grant = world.grant(purchase)
    assert price(world, archived=True)["archived"]
    refused = world.post("/v1/invoices", {"item": item["id"], "challenge": "A" * 43})
    assert_refused(world, refused, 410, "item_archived")
    # A change that says nothing of it leaves it there, and who has bought it reads on.
    assert price(world, title="B")["archived"]
    assert world.get(f"/v1/content/{item['id']}", grant).status_code == 200
    assert not price(world, archived=False)["archived"]
    assert (
        world.post("/v1/invoices", {"item": item["id"], "challenge": "A" * 43}).status_code == 201
    )
    assert_nothing_lost(world)
