"""Wallets, orders and worker processes for tests of the ledger."""

import os
import signal
from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InsufficientBalance, StorageBusy
from bitcache_server.ledger import chart, recipes
from bitcache_server.ledger.audit import audit
from bitcache_server.ledger.balances import balance
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.ledger.spend import Spend, spend
from bitcache_server.models.ledger import Grant, IdempotencyKey, Transfer, Wallet
from bitcache_server.models.session import write_transaction
from tests.support.databases import open_engine

NOW = 1_700_000_000
PRICE_MSAT = 5_000
COMMISSION_MSAT = 50


def open_wallet(
    session: Session,
    wallet_id: str = "wa_1",
    balance_msat: int = 0,
    only_merchant_id: str | None = None,
) -> str:
    """Create a wallet in a transaction of its own, filled from the opening account."""
    with write_transaction(session):
        session.add(
            Wallet(
                id=wallet_id,
                balance_msat=0,
                only_merchant_id=only_merchant_id,
                created_at=NOW,
            )
        )
        session.flush()
        if balance_msat:
            opening = Entry(Kind.GIFT, chart.OPENING, chart.wallet(wallet_id), balance_msat)
            post(session, [opening], owner_id=wallet_id, now=NOW)
    return wallet_id


def order(
    key: str = "key-1",
    *,
    wallet_id: str = "wa_1",
    merchant_id: str = "me_1",
    item_id: str = "it_1",
    amount_msat: int = PRICE_MSAT,
    commission_msat: int = COMMISSION_MSAT,
    expires_at: int | None = None,
    now: int = NOW,
) -> Spend:
    """Return a spend with the details that a test does not care about filled in."""
    return Spend(
        wallet_id=wallet_id,
        idempotency_key=key,
        merchant_id=merchant_id,
        site_id="st_1",
        item_id=item_id,
        amount_msat=amount_msat,
        commission_msat=commission_msat,
        expires_at=expires_at,
        now=now,
    )


@dataclass(frozen=True)
class Counts:
    """How many rows the tables of the ledger hold."""

    transfers: int
    grants: int
    keys: int


def count_rows(session: Session) -> Counts:
    """Count, in a transaction that is over afterwards."""
    numbers = [
        session.execute(select(func.count()).select_from(model)).scalar_one()
        for model in (Transfer, Grant, IdempotencyKey)
    ]
    session.rollback()
    return Counts(*numbers)


def balances_of(session: Session, *accounts: str) -> tuple[int, ...]:
    """Return what each account holds, in a transaction that is over afterwards."""
    held = tuple(balance(session, account) for account in accounts)
    session.rollback()
    return held


def assert_clean(session: Session) -> None:
    """Fail with the findings when the books do not balance."""
    assert audit(session).findings == []


def attempt_spends(url: str, worker: int, attempts: int) -> int:
    """Spend from ``wa_1`` again and again in this process; return how often it succeeded."""
    engine = open_engine(url)
    successes = 0
    with Session(engine) as session:
        for number in range(attempts):
            try:
                _retry_when_busy(session, order(f"worker-{worker}-{number}"))
            except InsufficientBalance:
                continue
            successes += 1
    engine.dispose()
    return successes


def _retry_when_busy(session: Session, wanted: Spend) -> bool:
    for _ in range(20):
        try:
            return spend(session, wanted).replayed
        except StorageBusy:
            continue
    raise AssertionError("The database stayed busy.")


def spend_same_key(url: str, repetitions: int) -> list[bool]:
    """Repeat one spend with one key; return for each whether it was a replay."""
    engine = open_engine(url)
    with Session(engine) as session:
        replayed = [_retry_when_busy(session, order("the-key")) for _ in range(repetitions)]
    engine.dispose()
    return replayed


def die_in_the_middle(url: str) -> None:
    """Book half of a sale and let the operating system kill this process."""
    engine = open_engine(url)
    with Session(engine) as session, write_transaction(session):
        recipes.give_starter_credit(session, "wa_1", 7_000, NOW)
        assert session.execute(text("SELECT count(*) FROM transfers")).scalar_one() == 2
        os.kill(os.getpid(), signal.SIGKILL)
