"""Readers with money, merchants with a balance, and the proof that payouts keep what they hold."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import func, select

from bitcache_server.domain.payout_state import OPEN_STATES
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.models.ledger import Transfer
from bitcache_server.models.payouts import Payout, PayoutBatch
from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchant_payouts import set_payout_terms
from bitcache_server.services.payout_batches import run_payouts
from bitcache_server.services.withdraw import quote_withdrawal, request_withdrawal
from tests.support.api import at_once
from tests.support.shops import assert_nothing_lost
from tests.support.world import World

ADDRESS = "fake:ada"
R = TypeVar("R")


def withdraw(
    world: World,
    amount_sat: int | None = 20_000,
    *,
    wallet_id: str = "wa_1",
    key: str = "key-1",
    address: str = ADDRESS,
) -> str:
    """Ask for the fee, agree to it, and return the id of the payout."""
    quote = quote_withdrawal(world.deps, world.session, wallet_id, address, amount_sat)
    return agree(
        world, quote.fee_msat, quote.amount_sat, wallet_id=wallet_id, key=key, address=address
    )


def agree(
    world: World,
    fee_msat: int,
    amount_sat: int = 20_000,
    *,
    wallet_id: str = "wa_1",
    key: str = "key-1",
    address: str = ADDRESS,
) -> str:
    """Ask for a withdrawal with a fee that was shown, and return the id of the payout."""
    payout_id = request_withdrawal(
        world.deps,
        world.session,
        wallet_id,
        address=address,
        amount_sat=amount_sat,
        fee_msat=fee_msat,
        idempotency_key=key,
    ).id
    world.session.rollback()
    return payout_id


def together(world: World, count: int, work: Callable[[int], R]) -> list[R]:
    """Run ``work`` with 0, 1, … at once, each as a request of its own."""

    def alone(number: int) -> R:
        with world.app.app_context():
            return work(number)

    world.session.rollback()
    return at_once(count, alone)


def earn(world: World, amount_msat: int, merchant_id: str = "") -> str:
    """Put money into a merchant's account, as if brought along; return the merchant's id."""
    merchant_id = merchant_id or world.merchant_id
    entry = Entry(Kind.DEPOSIT, chart.OPENING, chart.merchant(merchant_id), amount_msat)
    with write_transaction(world.session):
        post(world.session, [entry], owner_id=merchant_id, now=world.clock())
    return merchant_id


def set_terms(world: World, address: str | None = ADDRESS, **terms: int) -> None:
    """Store where and how the world's merchant is paid."""
    set_payout_terms(
        world.deps,
        world.session,
        world.merchant_id,
        address=address,
        threshold_sat=terms.get("threshold_sat"),
        every_s=terms.get("every_s"),
    )


def send(world: World, *, at_once: bool = True) -> int:
    """Run the job that pays out; return how many payouts were signed."""
    return run_payouts(world.deps, world.session, world.rail, at_once=at_once)


def payout_of(world: World, payout_id: str) -> Payout:
    """Return a payout as it is stored now, apart from the session."""
    world.session.rollback()
    found = world.session.get_one(Payout, payout_id)
    world.session.expunge(found)
    world.session.rollback()
    return found


def states(world: World, *payout_ids: str) -> list[str]:
    """Return the states of payouts."""
    return [payout_of(world, payout_id).state for payout_id in payout_ids]


def batches(world: World) -> list[PayoutBatch]:
    """Return all transactions, oldest first, apart from the session."""
    world.session.rollback()
    query = select(PayoutBatch).order_by(PayoutBatch.created_at, PayoutBatch.id)
    found = list(world.session.scalars(query))
    world.session.expunge_all()
    world.session.rollback()
    return found


def assert_payouts_sound(world: World) -> None:
    """Audit, and compare what the payouts' accounts hold with what is open."""
    assert_nothing_lost(world)
    session = world.session
    total = func.coalesce(func.sum(Transfer.amount_msat), 0)
    received = session.scalar(select(total).where(Transfer.to_account.like("payout:%"))) or 0
    sent = session.scalar(select(total).where(Transfer.from_account.like("payout:%"))) or 0
    open_msat = session.scalar(
        select(func.coalesce(func.sum(Payout.amount_msat + Payout.fee_msat), 0)).where(
            Payout.state.in_(OPEN_STATES)
        )
    )
    session.rollback()
    assert received - sent == open_msat
