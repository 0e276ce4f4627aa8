"""An order is paid once, and no money that was sent for it is ever lost."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from bitcache_server.domain.errors import OrderClosed, RefundNotOffered
from bitcache_server.models.session import write_transaction
from bitcache_server.models.webhooks import WebhookEvent
from bitcache_server.services.items import list_items
from bitcache_server.services.orders import expire_orders
from bitcache_server.services.refund import undo_purchase
from bitcache_server.services.webhook_endpoints import By, add_endpoint
from tests.support.api import assert_problem, at_once, call
from tests.support.clicks import open_clicker
from tests.support.orders import (
    ORDER_MSAT,
    ask,
    assert_sold_once,
    begin,
    cancel,
    make_order,
    read_order,
    sat_order,
)
from tests.support.purchases import buy_from_balance, earned, fill_wallet, purses
from tests.support.world import Purchase, World

PRICE_MSAT = 5_000_000


@pytest.fixture
def shop(world: World) -> Iterator[World]:
    """Return a world in which every test must leave each order sold once or not at all."""
    yield world
    assert_sold_once(world)


def claim_to_wallet(shop: World, purchase: Purchase, wallet_id: str) -> None:
    from bitcache_server.services.claim_balance import claim_to_balance

    with write_transaction(shop.session):
        claim_to_balance(shop.deps, shop.session, wallet_id, purchase.id, purchase.verifier)


def test_an_order_is_paid_by_an_invoice(shop: World) -> None:
    order = make_order(shop)
    assert (order["state"], order["total_minor"], order["exponent"]) == ("open", 1_250, 2)
    purchase = begin(shop, order)
    assert purchase.invoice["amount_msat"] == ORDER_MSAT
    shop.pay(purchase)
    shop.mine(6)
    paid = read_order(shop, order["id"])
    assert paid["state"] == "paid"
    assert (paid["holder"], paid["amount_msat"]) == (purchase.id, ORDER_MSAT)
    assert [invoice["state"] for invoice in paid["invoices"]] == ["paid"]
    assert earned(shop)[0] > 0


def test_a_paid_order_takes_no_more_invoices(shop: World) -> None:
    order = sat_order(shop)
    shop.pay(begin(shop, order))
    shop.mine()
    assert_problem(ask(shop, order), 409, "order_closed")


def test_of_two_invoices_that_are_paid_the_second_becomes_credit(shop: World) -> None:
    order = sat_order(shop)
    first, second = begin(shop, order), begin(shop, order)
    shop.pay(first)
    shop.pay(second)
    shop.mine()
    assert read_order(shop, order["id"])["holder"] == first.id
    late = shop.read(second)
    assert (late["state"], late["credit_msat"]) == ("paid", PRICE_MSAT)
    assert_problem(shop.claim(second), 409, "invoice_not_paid")
    redeemed = shop.post(f"/v1/invoices/{second.id}/redeem", {"verifier": second.verifier})
    assert_problem(redeemed, 409, "order_closed")
    wallet_id = fill_wallet(shop, 0)
    claim_to_wallet(shop, second, wallet_id)
    assert purses(shop) == (PRICE_MSAT, 0)


def test_too_little_then_the_rest(shop: World) -> None:
    order = sat_order(shop)
    purchase = begin(shop, order)
    shop.pay(purchase, 2_000_000)
    shop.mine()
    assert shop.read(purchase)["missing_msat"] == 3_000_000
    assert read_order(shop, order["id"])["state"] == "open"
    shop.pay(purchase, 3_000_000)
    shop.mine()
    assert read_order(shop, order["id"])["state"] == "paid"


def test_too_much_leaves_credit(shop: World) -> None:
    order = sat_order(shop)
    purchase = begin(shop, order)
    shop.pay(purchase, PRICE_MSAT + 700_000)
    shop.mine(6)
    assert read_order(shop, order["id"])["amount_msat"] == PRICE_MSAT
    assert shop.read(purchase)["credit_msat"] == 700_000


def test_late_money_buys_the_order_where_it_is_still_open(shop: World) -> None:
    order = sat_order(shop, expires_in_s=86_400)
    purchase = begin(shop, order)
    shop.expire(7_200)
    shop.pay(purchase)
    shop.mine()
    assert read_order(shop, order["id"])["state"] == "open"
    answer = shop.post(f"/v1/invoices/{purchase.id}/redeem", {"verifier": purchase.verifier})
    assert answer.status_code == 200, answer.text
    assert read_order(shop, order["id"])["holder"] == purchase.id


def test_late_money_for_an_order_that_is_over_stays_the_payers(shop: World) -> None:
    order = sat_order(shop, expires_in_s=60)
    purchase = begin(shop, order)
    assert purchase.invoice["expires_at"] == order["expires_at"]
    shop.expire(7_200)
    assert expire_orders(shop.deps, shop.session) == 1
    assert expire_orders(shop.deps, shop.session) == 0
    assert_problem(ask(shop, order), 409, "order_closed")
    shop.pay(purchase)
    shop.mine()
    assert read_order(shop, order["id"])["state"] == "expired"
    assert shop.read(purchase)["credit_msat"] == PRICE_MSAT
    redeemed = shop.post(f"/v1/invoices/{purchase.id}/redeem", {"verifier": purchase.verifier})
    assert_problem(redeemed, 409, "order_closed")


def test_an_order_waits_for_money_that_was_seen_in_time(shop: World) -> None:
    order = sat_order(shop, total_sat=100_000, expires_in_s=60)
    purchase = begin(shop, order)
    shop.pay(purchase, reason="replaceable")
    assert shop.read(purchase)["state"] == "seen"
    shop.expire(7_200)
    assert expire_orders(shop.deps, shop.session) == 0
    shop.mine(6)
    assert read_order(shop, order["id"])["state"] == "paid"


def test_money_in_time_that_is_seen_after_the_end_pays_the_order(shop: World) -> None:
    """The jobs were down: the order was given up, and the chain says that it was paid."""
    order = sat_order(shop, expires_in_s=3_600)
    purchase = begin(shop, order)
    target = shop.target_of(purchase)
    shop.rail.pay(target, PRICE_MSAT)
    shop.rail.confirm(1)
    before = shop.clock.now
    shop.expire(20_000)
    assert expire_orders(shop.deps, shop.session) == 1
    shop.clock.now = before
    shop.watch()
    assert read_order(shop, order["id"])["state"] == "paid"


def test_a_cancelled_order_takes_no_money(shop: World) -> None:
    order = sat_order(shop)
    on_its_way = begin(shop, order)
    assert cancel(shop, order["id"]).get_json()["state"] == "cancelled"
    assert cancel(shop, order["id"]).status_code == 200
    assert_problem(ask(shop, order), 409, "order_closed")
    shop.pay(on_its_way)
    shop.mine()
    assert read_order(shop, order["id"])["state"] == "cancelled"
    assert shop.read(on_its_way)["credit_msat"] == PRICE_MSAT
    wallet_id = fill_wallet(shop, 0)
    claim_to_wallet(shop, on_its_way, wallet_id)
    assert purses(shop) == (PRICE_MSAT, 0)


def test_what_is_paid_is_not_cancelled_but_given_back(shop: World) -> None:
    order = sat_order(shop)
    purchase = begin(shop, order)
    shop.pay(purchase)
    shop.mine()
    assert_problem(cancel(shop, order["id"]), 409, "order_closed")
    paid = read_order(shop, order["id"])
    body = {"holder": paid["holder"], "item": paid["item"]}
    assert call(shop, "POST", "/v1/refunds", shop.secret, json=body).status_code == 201
    back = read_order(shop, order["id"])
    assert (back["state"], back["holder"]) == ("refunded", purchase.id)
    assert shop.read(purchase)["credit_msat"] == PRICE_MSAT
    redeemed = shop.post(f"/v1/invoices/{purchase.id}/redeem", {"verifier": purchase.verifier})
    assert_problem(redeemed, 409, "order_closed")
    assert_problem(ask(shop, order), 409, "order_closed")


def test_a_payment_that_vanishes_opens_the_order_again(shop: World) -> None:
    order = sat_order(shop)
    purchase = begin(shop, order)
    reference = shop.pay(purchase)
    assert read_order(shop, order["id"])["state"] == "paid"
    shop.rail.double_spend(reference)
    shop.check_unconfirmed()
    again = read_order(shop, order["id"])
    assert (again["state"], again["holder"], again["paid_at"]) == ("open", None, None)
    other = begin(shop, order)
    shop.pay(other)
    shop.mine()
    assert read_order(shop, order["id"])["holder"] == other.id


def told(shop: World) -> list[tuple[str, str]]:
    """Return type and state of what the shop was told, oldest first."""
    shop.session.rollback()
    query = select(WebhookEvent.type, WebhookEvent.data).order_by(WebhookEvent.number)
    return [(name, json.loads(data)["state"]) for name, data in shop.session.execute(query)]


def test_whoever_listens_hears_that_an_order_is_open_again_or_given_back(shop: World) -> None:
    with write_transaction(shop.session):
        wanted = ["order.paid", "order.reopened", "order.refunded"]
        url = "https://shop.example/"
        add_endpoint(shop.deps, shop.session, By(shop.merchant_id), url, "", wanted)
    order = sat_order(shop)
    reference = shop.pay(begin(shop, order))
    shop.rail.double_spend(reference)
    shop.check_unconfirmed()
    so_far = [("order.paid", "paid"), ("order.reopened", "open")]
    assert told(shop) == so_far
    shop.pay(begin(shop, order))
    shop.mine()
    paid = read_order(shop, order["id"])
    body = {"holder": paid["holder"], "item": paid["item"]}
    for _ in range(2):
        call(shop, "POST", "/v1/refunds", shop.secret, json=body)
    assert told(shop) == [*so_far, ("order.paid", "paid"), ("order.refunded", "refunded")]


def test_a_balance_pays_an_order_once(shop: World) -> None:
    order = sat_order(shop)
    reader, other = open_clicker(shop), open_clicker(shop)
    first = reader.unlock(order["item"])
    assert (first["outcome"], first["charged_msat"], first["undo_until"]) == (
        "booked", PRICE_MSAT, None,
    )  # fmt: skip
    assert reader.unlock(order["item"])["outcome"] == "owned"
    assert_problem(other.click(order["item"]), 409, "order_closed")
    assert (reader.money(), other.money()) == ((15_000_000, 0), (20_000_000, 0))
    paid = read_order(shop, order["id"])
    assert (paid["state"], paid["amount_msat"]) == ("paid", PRICE_MSAT)
    assert paid["holder"].startswith("ho_")
    body = {"holder": paid["holder"], "item": paid["item"]}
    assert call(shop, "POST", "/v1/refunds", shop.secret, json=body).status_code == 201
    assert reader.money() == (20_000_000, 0)
    assert read_order(shop, order["id"])["state"] == "refunded"


def test_a_balance_that_is_too_small_pays_nothing(shop: World) -> None:
    order = sat_order(shop)
    reader = open_clicker(shop, balance_msat=PRICE_MSAT - 1)
    assert_problem(reader.click(order["item"]), 409, "insufficient_balance")
    assert reader.money() == (PRICE_MSAT - 1, 0)
    assert read_order(shop, order["id"])["state"] == "open"


def test_readers_do_not_undo_an_order(shop: World) -> None:
    order = sat_order(shop)
    wallet_id = fill_wallet(shop)
    buy_from_balance(shop, order["item"], wallet_id)
    with pytest.raises(RefundNotOffered), write_transaction(shop.session):
        undo_purchase(shop.deps, shop.session, wallet_id, order["item"])


def test_an_invoice_and_a_balance_do_not_both_pay(shop: World) -> None:
    order = sat_order(shop)
    purchase = begin(shop, order)
    wallet_id = fill_wallet(shop)
    buy_from_balance(shop, order["item"], wallet_id)
    shop.pay(purchase)
    shop.mine()
    assert shop.read(purchase)["credit_msat"] == PRICE_MSAT
    fresh = sat_order(shop)
    shop.pay(begin(shop, fresh))
    shop.mine()
    with pytest.raises(OrderClosed):
        buy_from_balance(shop, fresh["item"], wallet_id)


def test_ten_wallets_at_once_pay_one_order_once(shop: World) -> None:
    order = sat_order(shop)
    readers = [open_clicker(shop) for _ in range(10)]
    shop.session.rollback()
    answers = at_once(10, lambda number: readers[number].click(order["item"]).status_code)
    assert sorted(answers)[0] == 200
    assert set(sorted(answers)[1:]) <= {409, 503}
    assert [reader.money()[0] for reader in readers].count(15_000_000) == 1


def test_what_an_order_is_sold_as_is_no_item(shop: World) -> None:
    order = sat_order(shop)
    assert_problem(shop.get(f"/v1/items/{order['item']}"), 404, "unknown_item")
    assert_problem(shop.get(f"/v1/content/{order['item']}"), 404, "unknown_item")
    assert shop.client.get(f"/pay/{order['item']}").status_code == 404
    items: list[Any] = list(list_items(shop.session, None, None, 50).rows)
    assert order["item"] not in [item.id for item in items]
