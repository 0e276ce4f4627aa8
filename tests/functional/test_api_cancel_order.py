"""POST /v1/orders/{order_id}/cancel."""

from tests.support.api import assert_problem, call
from tests.support.orders import cancel, other_shop, read_order, sat_order
from tests.support.world import World


def test_cancelling_with_a_key(sqlite_world: World) -> None:
    order = sat_order(sqlite_world)
    path, headers = f"/v1/orders/{order['id']}/cancel", {"Idempotency-Key": "k"}
    for _ in range(2):
        answer = call(sqlite_world, "POST", path, sqlite_world.secret, headers=headers)
        assert (answer.status_code, answer.get_json()["state"]) == (200, "cancelled")
    other = f"/v1/orders/{sat_order(sqlite_world)['id']}/cancel"
    again = call(sqlite_world, "POST", other, sqlite_world.secret, headers=headers)
    assert_problem(again, 409, "idempotency_conflict")


def test_others_orders_are_unknown(sqlite_world: World) -> None:
    order, secret = sat_order(sqlite_world), other_shop(sqlite_world)
    answer = call(sqlite_world, "POST", f"/v1/orders/{order['id']}/cancel", secret)
    assert_problem(answer, 404, "unknown_order")
    assert read_order(sqlite_world, str(order["id"]))["state"] == "open"
    assert cancel(sqlite_world, "or_nothing").status_code == 404
