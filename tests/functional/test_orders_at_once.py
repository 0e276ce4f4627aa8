"""Several payments for one order at the same moment, on connections of their own."""

import contextlib
import threading

import pytest
from sqlalchemy import update

from bitcache_server.domain.errors import OrderClosed, StorageBusy
from bitcache_server.extensions import db
from bitcache_server.models.sales import Payment
from bitcache_server.models.session import write_transaction
from bitcache_server.services.items import any_item
from bitcache_server.services.orders import cancel_order, order_of_item
from bitcache_server.services.settle_invoice import settle_invoice
from bitcache_server.services.unlock_item import UnlockOrder, unlock_item
from tests.support.api import at_once, call
from tests.support.orders import assert_sold_once, begin, order_body, read_order, sat_order
from tests.support.purchases import fill_wallet
from tests.support.world import Purchase, World

PAYERS = 4


def seen(world: World, order: dict[str, object]) -> Purchase:
    """Return an invoice whose payment was seen and does not count yet."""
    purchase = begin(world, order)
    world.pay(purchase, reason="replaceable")
    assert world.read(purchase)["state"] == "seen"
    return purchase


def make_final(world: World) -> None:
    """Let all payments count as soon as somebody looks at their invoices."""
    with write_transaction(world.session):
        world.session.execute(update(Payment).values(final=True))


def settle(world: World, purchase: Purchase, ready: threading.Barrier) -> None:
    """Settle an invoice when all others are ready, as a process of its own would."""
    with world.app.app_context():
        ready.wait(30)
        while True:
            with contextlib.suppress(StorageBusy), write_transaction(db.session()):
                settle_invoice(world.deps, db.session(), purchase.id)
                return


@pytest.mark.parametrize("_", range(3))
def test_of_invoices_that_are_paid_at_once_one_sells(world: World, _: int) -> None:
    order = sat_order(world)
    purchases = [seen(world, order) for _ in range(PAYERS)]
    make_final(world)
    ready = threading.Barrier(PAYERS)
    at_once(PAYERS, lambda number: settle(world, purchases[number], ready))
    world.session.rollback()
    states = [world.read(purchase)["credit_msat"] for purchase in purchases]
    assert sorted(states) == [0, *[5_000_000] * (PAYERS - 1)]
    assert read_order(world, str(order["id"]))["state"] == "paid"
    with write_transaction(world.session):
        world.session.execute(update(Payment).values(final=False))
    world.mine(6)
    assert_sold_once(world)


def test_an_invoice_a_balance_and_the_shop_at_once(world: World) -> None:
    """One of them wins: the order is paid by one payer, or cancelled."""
    order = sat_order(world)
    purchase, wallet_id = seen(world, order), fill_wallet(world)
    make_final(world)
    ready = threading.Barrier(3)

    def from_balance() -> None:
        with world.app.app_context():
            ready.wait(30)
            wanted = UnlockOrder(wallet_id, str(order["item"]), "once")
            while True:
                with contextlib.suppress(StorageBusy):
                    with contextlib.suppress(OrderClosed):
                        unlock_item(world.deps, db.session(), wanted)
                    return

    def give_up() -> None:
        with world.app.app_context():
            ready.wait(30)
            while True:
                with contextlib.suppress(StorageBusy):
                    with contextlib.suppress(OrderClosed), write_transaction(db.session()):
                        known = order_of_item(db.session(), str(order["item"]))
                        cancel_order(world.deps, db.session(), known)
                    return

    def settles() -> None:
        settle(world, purchase, ready)

    deeds = [from_balance, give_up, settles]
    at_once(3, lambda number: deeds[number]())
    assert read_order(world, str(order["id"]))["state"] in ("paid", "cancelled")
    with write_transaction(world.session):
        world.session.execute(update(Payment).values(final=False))
    world.mine(6)
    assert_sold_once(world)


def test_the_same_order_sent_at_once_is_one(world: World) -> None:
    body = order_body(reference="same")
    ready = threading.Barrier(PAYERS)

    def send(_: int) -> str:
        ready.wait(30)
        while True:
            answer = call(world, "POST", "/v1/orders", world.secret, json=body)
            if answer.status_code != 503:
                return str(answer.get_json()["id"])

    world.session.rollback()
    ids = at_once(PAYERS, send)
    assert len(set(ids)) == 1
    assert any_item(world.session, read_order(world, ids[0])["item"]).kind == "order"
