"""GET /v1/orders/{order_id}."""

import pytest

from tests.support.api import assert_problem, call
from tests.support.orders import begin, other_shop, read_order, sat_order
from tests.support.world import World


@pytest.mark.parametrize("order_id", ["or_nothing", "x" * 300, "%00", "..%2f"])
def test_an_order_that_is_not(sqlite_world: World, order_id: str) -> None:
    answer = call(sqlite_world, "GET", f"/v1/orders/{order_id}", sqlite_world.secret)
    assert answer.status_code in (404, 422)


def test_an_order_with_its_invoices(world: World) -> None:
    order = sat_order(world)
    purchases = [begin(world, order), begin(world, order)]
    world.pay(purchases[0], 1_000_000)
    world.mine()
    found = read_order(world, str(order["id"]))["invoices"]
    received = {invoice["id"]: invoice["received_msat"] for invoice in found}
    assert received == {purchases[0].id: 1_000_000, purchases[1].id: 0}


def test_others_orders_are_unknown(sqlite_world: World) -> None:
    order, secret = sat_order(sqlite_world), other_shop(sqlite_world)
    answer = call(sqlite_world, "GET", f"/v1/orders/{order['id']}", secret)
    assert_problem(answer, 404, "unknown_order")
