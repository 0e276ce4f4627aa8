"""GET /v1/payouts"""

from typing import Any

from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchant_payouts import set_payout_terms
from bitcache_server.services.merchants import add_merchant, add_site
from bitcache_server.services.payout_approvals import cancel_payout
from tests.support.api import assert_refused, call
from tests.support.payouts import batches, earn, send, set_terms
from tests.support.world import World


def page(world: World, cursor: str | None = None, secret: str | None = None) -> dict[str, Any]:
    query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
    token = secret or world.secret
    answer = call(world, "GET", "/v1/payouts", token, query_string=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def ask(world: World, secret: str | None = None) -> str:
    answer = call(world, "POST", "/v1/payouts", secret or world.secret, json={})
    return str(answer.get_json()["id"])


def test_newest_first_until_the_end(world: World) -> None:
    set_terms(world)
    asked = []
    for _ in range(3):
        earn(world, 30_000_000)
        asked.append(ask(world))
        world.clock.pass_time(1)
    first = page(world)
    assert [payout["id"] for payout in first["payouts"]] == asked[:0:-1]
    second = page(world, first["next_cursor"])
    assert [payout["id"] for payout in second["payouts"]] == asked[:1]
    assert second["next_cursor"] is None


def test_what_became_of_them(sqlite_world: World) -> None:
    world = sqlite_world
    set_terms(world)
    earn(world, 30_000_000)
    taken_back = ask(world)
    with write_transaction(world.session):
        cancel_payout(world.deps, world.session, taken_back, "Wrong address.")
    world.clock.pass_time(1)
    ask(world)
    world.rail.fund(100_000_000)
    send(world)
    world.rail.confirm()
    send(world)
    settled, cancelled = page(world)["payouts"]
    [batch] = batches(world)
    assert (settled["state"], settled["transaction"]) == ("settled", batch.reference)
    assert settled["settled_at"] == world.clock.now
    assert (cancelled["state"], cancelled["note"]) == ("cancelled", "Wrong address.")


def test_a_merchant_sees_their_own(sqlite_world: World) -> None:
    world = sqlite_world
    set_terms(world)
    earn(world, 30_000_000)
    asked = ask(world)
    with write_transaction(world.session):
        other = add_merchant(world.deps, world.session, "Bob", None).id
        new = add_site(world.deps, world.session, other, "B", ["https://b.example"])
        second = add_site(world.deps, world.session, world.merchant_id, "A2", ["https://a.example"])
        secrets = (new.secret, second.secret)
    set_payout_terms(world.deps, world.session, other, address="fake:bob")
    earn(world, 30_000_000, other)
    theirs = ask(world, secrets[0])
    assert [payout["id"] for payout in page(world, secret=secrets[0])["payouts"]] == [theirs]
    assert [payout["id"] for payout in page(world, secret=secrets[1])["payouts"]] == [asked]


def test_what_is_refused(sqlite_world: World) -> None:
    assert_refused(sqlite_world, call(sqlite_world, "GET", "/v1/payouts"), 401, "missing_secret")
    wrong = {"cursor": "nonsense"}
    answer = call(sqlite_world, "GET", "/v1/payouts", sqlite_world.secret, query_string=wrong)
    assert_refused(sqlite_world, answer, 422, "invalid_request")
