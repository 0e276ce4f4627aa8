"""POST /v1/orders."""

import pytest

from tests.support.api import assert_problem, call
from tests.support.orders import LINES, make_order, order_body, send_order
from tests.support.world import ORIGIN, World


def test_an_order_and_its_taxes(world: World) -> None:
    order = make_order(
        world, reference=" A-1 ", customer_ref="c 7", metadata={"basket": "12", "empty": ""}
    )
    assert (order["reference"], order["customer_ref"], order["state"]) == ("A-1", "c 7", "open")
    assert order["metadata"] == {"basket": "12", "empty": ""}
    assert order["taxes"] == [{"tax_ppm": 190_000, "gross_minor": 1_000, "tax_minor": 160}]
    assert [line["sum_minor"] for line in order["lines"]] == [1_000, 250]
    assert order["return_url"] == f"{ORIGIN}/thanks?basket=7"
    assert order["checkout_url"] == f"https://pay.example/pay/orders/{order['id']}"
    assert order["expires_at"] == world.clock() + world.deps.settings.order_lifetime_s


def test_the_same_reference_is_the_same_order(world: World) -> None:
    body = order_body(reference="A-1")
    first = call(world, "POST", "/v1/orders", world.secret, json=body)
    again = call(world, "POST", "/v1/orders", world.secret, json=body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.get_json() == again.get_json()
    lines = [*LINES, {"title": "More", "unit_minor": 1}]
    other = {**body, "lines": lines, "total_minor": 1_251}
    refused = call(world, "POST", "/v1/orders", world.secret, json=other)
    assert_problem(refused, 409, "idempotency_conflict")


def test_the_same_key_is_the_same_order(sqlite_world: World) -> None:
    headers, body = {"Idempotency-Key": "k"}, order_body()
    one, two = (
        call(sqlite_world, "POST", "/v1/orders", sqlite_world.secret, json=body, headers=headers)
        for _ in range(2)
    )
    assert one.get_json() == two.get_json()
    other = order_body(reference="another")
    refused = call(
        sqlite_world, "POST", "/v1/orders", sqlite_world.secret, json=other, headers=headers
    )
    assert_problem(refused, 409, "idempotency_conflict")


@pytest.mark.parametrize(
    ("currency", "unit_minor", "exponent", "msat"),
    [("JPY", 150, 0, None), ("KWD", 1_234, 3, None), ("SAT", 2_100, 0, 2_100_000),
     ("USD", 5, 2, 5_000_000)],
)  # fmt: skip
def test_minor_units(
    sqlite_world: World, currency: str, unit_minor: int, exponent: int, msat: int | None
) -> None:
    lines = [{"title": "x", "unit_minor": unit_minor}]
    order = make_order(sqlite_world, currency=currency, lines=lines, total_minor=unit_minor)
    assert (order["exponent"], order["total_minor"]) == (exponent, unit_minor)
    if msat is not None:
        assert sqlite_world.buy(order["item"]).invoice["amount_msat"] == msat


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"total_minor": 1_249}, "invalid_request"),
        ({"lines": []}, "invalid_request"),
        ({"lines": [{"title": "x", "unit_minor": 0}], "total_minor": 0}, "invalid_price"),
        ({"lines": [{"title": "x", "unit_minor": -5}], "total_minor": -5}, "invalid_price"),
        ({"lines": [{"title": "", "unit_minor": 5}], "total_minor": 5}, "invalid_request"),
        ({"lines": [{"title": "x", "unit_minor": 5, "quantity": 0}], "total_minor": 0},
         "invalid_request"),
        ({"lines": [{"title": "x", "unit_minor": 1.5}], "total_minor": 1}, "invalid_request"),
        ({"lines": [{"title": "x", "unit_minor": 10**12, "quantity": 10**6}] * 100,
          "total_minor": 10**20}, "invalid_price"),
        # JavaScript would read the sums of the lines with other last digits.
        ({"lines": [{"title": "x", "unit_minor": 10**12, "quantity": 10**6},
                    {"title": "y", "unit_minor": 1 - 10**12, "quantity": 10**6}],
          "total_minor": 10**6}, "invalid_price"),
        ({"currency": "XYZ"}, "unknown_currency"),
        ({"reference": ""}, "invalid_request"),
        ({"reference": "x" * 101}, "invalid_request"),
        ({"reference": "a\nb"}, "invalid_request"),
        ({"metadata": {str(n): "x" for n in range(21)}}, "invalid_request"),
        ({"metadata": {"a": "x" * 501}}, "invalid_request"),
        ({"metadata": {"a": 1}}, "invalid_request"),
        ({"expires_in_s": 59}, "invalid_request"),
        ({"unknown": 1}, "invalid_request"),
        ({"return_url": "https://evil.example/"}, "return_url_refused"),
    ],
)  # fmt: skip
def test_what_is_no_order(sqlite_world: World, changed: dict[str, object], code: str) -> None:
    assert_problem(send_order(sqlite_world, **changed), 422, code)


def test_it_needs_the_sites_secret(sqlite_world: World) -> None:
    assert_problem(call(sqlite_world, "POST", "/v1/orders", json=order_body()), 401,
                   "missing_secret")  # fmt: skip


def test_a_discount_is_a_line(sqlite_world: World) -> None:
    lines = [{"title": "Tea", "unit_minor": 500}, {"title": "Voucher", "unit_minor": -499}]
    assert make_order(sqlite_world, lines=lines, total_minor=1)["total_minor"] == 1
