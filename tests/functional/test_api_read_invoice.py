"""GET /v1/invoices/{invoice_id}"""

from tests.support.api import assert_refused, call
from tests.support.world import World


def test_states_as_the_payments_come_in(world: World) -> None:
    purchase = world.buy()
    assert world.read(purchase)["state"] == "open"
    world.pay(purchase, 2_000_000)
    view = world.read(purchase)
    assert (view["state"], view["marks"]) == ("open", ["underpaid"])
    assert (view["received_msat"], view["missing_msat"]) == (2_000_000, 3_000_000)
    assert view["requests"][0]["amount_sat"] == 3_000
    world.pay(purchase, 3_500_000)
    view = world.read(purchase)
    assert (view["state"], view["marks"]) == ("paid", ["overpaid"])
    assert (view["missing_msat"], view["credit_msat"]) == (0, 500_000)
    assert [payment["state"] for payment in view["payments"]] == ["seen", "seen"]
    world.mine(2)
    payments = world.read(purchase)["payments"]
    assert [(p["state"], p["confirmations"]) for p in payments] == [("confirmed", 2)] * 2
    world.assert_books_balance()


def test_a_payment_that_needs_a_block_says_why(world: World) -> None:
    purchase = world.buy()
    world.pay(purchase, reason="replaceable")
    view = world.read(purchase)
    assert (view["state"], view["payments"][0]["note"]) == ("seen", "replaceable")
    world.mine()
    assert world.read(purchase)["state"] == "paid"


def test_the_clock_of_the_server_is_in_it(sqlite_world: World) -> None:
    purchase = sqlite_world.buy()
    sqlite_world.clock.pass_time(100)
    view = sqlite_world.read(purchase)
    assert view["now"] - view["created_at"] == 100


def test_it_opens_nothing(world: World) -> None:
    """The id, the address and the reference of a payment are public (they travel in URLs)."""
    purchase = world.buy()
    reference = world.pay(purchase)
    view = world.read(purchase)
    address = view["requests"][0]["address"]
    assert purchase.verifier not in call(world, "GET", f"/v1/invoices/{purchase.id}").text
    assert not {"challenge", "grant", "verifier"} & set(view)
    for public in (
        purchase.id,
        address,
        reference,
        world.article_id,
        world.stored(purchase).challenge,
    ):
        answer = call(world, "GET", f"/v1/content/{world.article_id}", public)
        assert_refused(world, answer, 403, "grant_invalid")
        answer = call(world, "POST", f"/v1/invoices/{purchase.id}/claim", json={"verifier": public})
        assert_refused(world, answer, 403, "verifier_mismatch")


def test_an_invoice_that_is_not_there(world: World) -> None:
    for invoice_id in ("in_unknown", world.article_id):
        answer = call(world, "GET", f"/v1/invoices/{invoice_id}")
        assert_refused(world, answer, 404, "unknown_invoice")
