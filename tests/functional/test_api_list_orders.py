"""GET /v1/orders."""

from tests.support.api import assert_problem, call
from tests.support.orders import begin, make_order, other_shop, sat_order
from tests.support.world import World


def listed(world: World, query: str = "") -> list[str]:
    answer = call(world, "GET", f"/v1/orders{query}", world.secret)
    assert answer.status_code == 200, answer.text
    return [order["reference"] for order in answer.get_json()["orders"]]


def test_the_list_goes_on_with_a_cursor(world: World) -> None:
    for number in range(5):
        sat_order(world, reference=f"R{number}")
        world.clock.pass_time(1)
    page = call(world, "GET", "/v1/orders?limit=3", world.secret).get_json()
    assert [order["reference"] for order in page["orders"]] == ["R4", "R3", "R2"]
    assert listed(world, f"?limit=3&cursor={page['next_cursor']}") == ["R1", "R0"]


def test_the_list_of_a_state(sqlite_world: World) -> None:
    paid = sat_order(sqlite_world, reference="paid")
    make_order(sqlite_world, reference="open")
    sqlite_world.pay(begin(sqlite_world, paid))
    sqlite_world.mine()
    assert listed(sqlite_world, "?state=paid") == ["paid"]
    assert listed(sqlite_world, "?state=open") == ["open"]
    assert listed(sqlite_world, "?state=refunded") == []
    wrong = call(sqlite_world, "GET", "/v1/orders?state=odd", sqlite_world.secret)
    assert_problem(wrong, 422, "invalid_request")


def test_others_orders_are_not_in_it(sqlite_world: World) -> None:
    sat_order(sqlite_world)
    secret = other_shop(sqlite_world)
    assert call(sqlite_world, "GET", "/v1/orders", secret).get_json()["orders"] == []
