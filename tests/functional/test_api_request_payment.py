"""POST /v1/invoices/{invoice_id}/requests"""

from werkzeug.test import TestResponse

from tests.support.api import assert_refused, at_once, call
from tests.support.world import Purchase, World


def ask(world: World, purchase: Purchase, rail: str = "fake") -> TestResponse:
    return call(world, "POST", f"/v1/invoices/{purchase.id}/requests", json={"rail": rail})


def test_an_address_is_given_out_late_and_once(world: World) -> None:
    purchase = world.buy(rail=None)
    assert purchase.invoice["requests"] == []
    answers = [ask(world, purchase).get_json() for _ in range(2)]
    [request] = answers[0]["requests"]
    assert answers[1]["requests"] == [request]
    assert request["amount_sat"] == 5_000
    assert (request["rail"], request["confirmations_required"]) == ("fake", 0)
    other = ask(world, world.buy(rail=None)).get_json()["requests"][0]
    assert other["address"] != request["address"]
    world.pay(purchase, 5_000_000)
    assert world.read(purchase)["state"] == "paid"


def test_at_the_same_time(world: World) -> None:
    purchase = world.buy(rail=None)
    answers = at_once(6, lambda _: ask(world, purchase))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({answer.get_json()["requests"][0]["address"] for answer in answers}) == 1
    purchases = [world.buy(rail=None) for _ in range(5)]
    others = at_once(5, lambda n: ask(world, purchases[n]).get_json()["requests"][0]["address"])
    assert len(set(others)) == 5


def test_rails_that_are_not_there(sqlite_world: World) -> None:
    purchase = sqlite_world.buy(rail=None)
    for rail in ("onchain", "lightning", "", "☃", "x" * 1_000):
        answer = ask(sqlite_world, purchase, rail)
        assert_refused(sqlite_world, answer, 422, "unknown_rail")


def test_nobody_is_invited_to_pay_late(world: World) -> None:
    late, paid = world.buy(rail=None), world.buy()
    world.pay(paid)
    # The address that was given out stays readable.
    assert ask(world, paid).status_code == 200
    world.clock.pass_time(world.deps.settings.invoice_lifetime_s + 1)
    assert_refused(world, ask(world, late), 409, "invoice_closed")
    world.expire(1)
    assert_refused(world, ask(world, late), 409, "invoice_closed")


def test_an_invoice_that_is_not_there(sqlite_world: World) -> None:
    answer = call(sqlite_world, "POST", "/v1/invoices/in_x/requests", json={"rail": "fake"})
    assert_refused(sqlite_world, answer, 404, "unknown_invoice")


def test_a_network_that_is_out_of_reach(sqlite_world: World) -> None:
    purchase = sqlite_world.buy(rail=None)
    sqlite_world.clock.pass_time(sqlite_world.deps.settings.rail_stale_after_s + 1)
    answer = ask(sqlite_world, purchase)
    assert_refused(sqlite_world, answer, 503, "rail_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
