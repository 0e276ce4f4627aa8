"""Processes that take money from one merchant at the same moment."""

from collections.abc import Callable
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from typing import Literal

import pytest
from flask import current_app
from sqlalchemy import func, select

from bitcache_server.domain.errors import (
    AlreadyRefunded,
    BitcacheError,
    MerchantBalanceTooLow,
    StorageBusy,
)
from bitcache_server.extensions import db
from bitcache_server.ledger import chart
from bitcache_server.models.payouts import Payout, Refund
from bitcache_server.models.session import write_transaction
from bitcache_server.services.deps import deps_of
from bitcache_server.services.merchant_lock import lock_merchant
from bitcache_server.services.merchant_payouts import request_merchant_payout, set_payout_terms
from bitcache_server.services.merchants import get_site
from bitcache_server.services.payouts import (
    PayoutRequest,
    find_destination,
    open_payout,
    whole_sats,
)
from bitcache_server.services.refund import refund_by_merchant, undo_purchase
from bitcache_server.tokens.holders import holder_name
from tests.support.purchases import (
    FILE_COMMISSION_MSAT,
    FILE_MSAT,
    WALLET,
    buy_from_balance,
    earned,
    fill_wallet,
    purses,
    revisions_alive,
)
from tests.support.shops import assert_nothing_lost
from tests.support.workers import CONTEXT, PATIENCE_S, Server, finish, server_of, spawn
from tests.support.world import World

Deed = Literal["refund", "undo", "payout"]

DONE, REFUSED, UNEXPECTED = 10, 20, 30


def do_at_once(server: Server, barrier: Barrier, deed: Deed, site_id: str, item_id: str) -> None:
    """Do one of the deeds when the others are ready; the exit code says what came of it."""
    app = server.app()
    with app.app_context():
        deps, session = deps_of(current_app), db.session()
        site = get_site(session, site_id)
        merchant_id = site.merchant_id
        session.rollback()

        def work() -> None:
            if deed == "payout":
                # Its clock is ahead, or it would leave out what can still be undone.
                later = server.now + deps.settings.undo_window_s + 1
                request_merchant_payout(replace(deps, clock=lambda: later), session, merchant_id)
                return
            with write_transaction(session):
                if deed == "undo":
                    undo_purchase(deps, session, WALLET, item_id)
                else:
                    seller = get_site(session, site_id)
                    secret_key = deps.settings.secret_key.get_secret_value()
                    holder = holder_name(secret_key, merchant_id, WALLET)
                    refund_by_merchant(deps, session, seller, holder, item_id)

        barrier.wait(PATIENCE_S)
        raise SystemExit(_outcome(work))


def _outcome(work: Callable[[], None]) -> int:
    for _ in range(20):
        try:
            work()
        except StorageBusy:
            continue
        except (AlreadyRefunded, MerchantBalanceTooLow):
            return REFUSED
        except BitcacheError:
            return UNEXPECTED
        return DONE
    return UNEXPECTED


def run_at_once(world: World, deeds: list[Deed]) -> list[int]:
    """Run the deeds in processes of their own and return their outcomes."""
    world.session.rollback()
    barrier = CONTEXT.Barrier(len(deeds))
    server = server_of(world)
    processes = [
        spawn(do_at_once, server, barrier, deed, world.site_id, world.file_id) for deed in deeds
    ]
    return [finish(process) for process in processes]


@pytest.fixture
def shop(world: World) -> World:
    """Return a world whose merchant has sold one file from a balance."""
    fill_wallet(world)
    set_payout_terms(world.deps, world.session, world.merchant_id, address="fake:ada")
    buy_from_balance(world)
    return world


def count(world: World, model: type[Payout] | type[Refund]) -> int:
    world.session.rollback()
    number = world.session.scalar(select(func.count()).select_from(model)) or 0
    world.session.rollback()
    return number


def test_two_refunds_at_once_are_one(shop: World) -> None:
    assert sorted(run_at_once(shop, ["refund", "refund"])) == [DONE, REFUSED]
    assert count(shop, Refund) == 1
    assert (purses(shop), earned(shop)) == ((20_000_000, 0), (0,))
    assert_nothing_lost(shop)


def test_an_undo_and_a_refund_at_once_are_one(shop: World) -> None:
    assert sorted(run_at_once(shop, ["undo", "refund"])) == [DONE, REFUSED]
    assert count(shop, Refund) == 1
    assert (purses(shop), earned(shop)) == ((20_000_000, 0), (0,))
    assert_nothing_lost(shop)


def test_a_refund_and_a_payout_never_spend_the_same_money(shop: World) -> None:
    assert sorted(run_at_once(shop, ["refund", "payout"])) == [DONE, REFUSED]
    refunds, payouts = count(shop, Refund), count(shop, Payout)
    assert refunds + payouts == 1
    [left_msat] = earned(shop)
    assert 0 <= left_msat < 1_000
    if refunds:
        assert purses(shop) == (20_000_000, 0)
        assert revisions_alive(shop, shop.file_id) == []
    else:
        payout = shop.session.scalars(select(Payout)).one()
        paid_msat = payout.amount_msat + payout.fee_msat
        assert paid_msat + left_msat == FILE_MSAT - FILE_COMMISSION_MSAT
        assert revisions_alive(shop, shop.file_id) == [1]
    assert_nothing_lost(shop)


def test_a_refund_waits_for_a_payout_that_is_being_reserved(shop: World) -> None:
    """Without the merchant's lock it would see the money as long as nothing is committed."""
    destination = find_destination(shop.deps, "fake:ada", None)
    amount_msat = whole_sats(FILE_MSAT - FILE_COMMISSION_MSAT - destination.fee_msat)
    wanted = PayoutRequest(chart.merchant(shop.merchant_id), destination, amount_msat, "key-1")
    barrier = CONTEXT.Barrier(2)
    with write_transaction(shop.session):
        lock_merchant(shop.session, shop.merchant_id)
        open_payout(shop.deps, shop.session, wanted)
        process = spawn(do_at_once, server_of(shop), barrier, "refund", shop.site_id, shop.file_id)
        barrier.wait(PATIENCE_S)
        process.join(1.0)
        assert process.is_alive()
    assert finish(process) == REFUSED
    assert (count(shop, Refund), count(shop, Payout)) == (0, 1)
    assert revisions_alive(shop, shop.file_id) == [1]
    assert_nothing_lost(shop)
