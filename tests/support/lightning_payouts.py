"""Readers who withdraw over Lightning, and a node of which a test knows what it was told."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.rails.lightning.backend import PayOrder, Sent
from bitcache_server.rails.lightning.lnurl_client import LnurlClient
from bitcache_server.services.payout_batches import run_payouts
from bitcache_server.services.withdraw import quote_withdrawal, request_withdrawal
from tests.support.books import open_wallet
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.lnurl_provider import Provider
from tests.support.payouts import assert_payouts_sound, batches
from tests.support.shops import held

BALANCE_MSAT = 2_000_000_700
AMOUNT_MSAT = 20_000_000
RESERVE_MSAT = 200_000


@contextmanager
def payout_shop(
    folder: Path,
    database_url: str,
    *,
    balance_msat: int = BALANCE_MSAT,
    gift_msat: int = 0,
    **settings: Any,
) -> Iterator[LightningWorld]:
    """Give a shop with a reader who has money; its payouts must end sound."""
    with opened_lightning_world(folder, database_url, **settings) as world:
        open_wallet(world.session, balance_msat=balance_msat, gift_msat=gift_msat)
        yield world
        assert_payouts_sound(world)


@contextmanager
def address_shop(
    folder: Path, database_url: str, jane: Provider, timeout_s: float, balance_msat: int
) -> Iterator[LightningWorld]:
    """Give a payout shop that pays to Lightning addresses on loopback, such as ``jane``'s."""
    client = LnurlClient(timeout_s, allow_local=True)
    limits: dict[str, Any] = {"lightning_open_payouts_per_wallet": 10, "balance_msat": balance_msat}
    with payout_shop(folder, database_url, lnurl=client, **limits) as world:
        jane.node.clock = world.clock
        yield world


def withdraw_to(
    world: LightningWorld,
    destination: str,
    amount_sat: int | None = None,
    *,
    wallet_id: str = "wa_1",
    key: str = "key-1",
) -> str:
    """Ask for the reserve, agree to it, and return the id of the payout."""
    quote = quote_withdrawal(world.deps, world.session, wallet_id, destination, amount_sat)
    payout_id = request_withdrawal(
        world.deps,
        world.session,
        wallet_id,
        address=quote.address,
        amount_sat=None if quote.is_fixed else quote.amount_sat,
        fee_msat=quote.fee_msat,
        idempotency_key=key,
    ).id
    world.session.rollback()
    return payout_id


def asked(shop: LightningWorld, outcome: Outcome, detail: str = "", key: str = "key-1") -> str:
    """Ask for a withdrawal to an invoice, and say what becomes of its payment."""
    shop.lightning.plan_payment(outcome, detail=detail)
    return withdraw_to(shop, shop.lightning.foreign_invoice(AMOUNT_MSAT), key=key)


def last_hash(shop: LightningWorld) -> str:
    """Return the payment hash of the newest payment."""
    return batches(shop)[-1].reference


def own_msat(shop: LightningWorld) -> int:
    """Return what is in the reader's balance."""
    return held(shop, chart.wallet("wa_1"))


def pay_out(world: LightningWorld) -> int:
    """Run the job that pays out over Lightning; return how many were sent."""
    world.session.rollback()
    return run_payouts(world.deps, world.session, world.lightning_rail)


@contextmanager
def recorded_payments(
    world: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[PayOrder]]:
    """Give the list of what the node is told to pay, as it grows."""
    orders: list[PayOrder] = []
    pay = world.lightning.pay

    def recorded(order: PayOrder) -> Sent:
        orders.append(order)
        return pay(order)

    with monkeypatch.context() as patch:
        patch.setattr(world.lightning, "pay", recorded)
        yield orders
