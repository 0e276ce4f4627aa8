"""Wallets, orders and worker processes for tests of the ledger."""

import os
import signal
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InsufficientBalance, StorageBusy
from bitcache_server.ledger import chart, recipes
from bitcache_server.ledger.audit import audit
from bitcache_server.ledger.balances import balance
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.ledger.order import Spend
from bitcache_server.ledger.parts import Part
from bitcache_server.ledger.spend import spend
from bitcache_server.models.ledger import Grant, IdempotencyKey, Transfer, Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import Allowance
from tests.support.databases import open_engine

NOW = 1_700_000_000
PRICE_MSAT = 5_000
COMMISSION_MSAT = 50


def open_wallet(
    session: Session, wallet_id: str = "wa_1", balance_msat: int = 0, gift_msat: int = 0
) -> str:
    """Create a wallet in a transaction of its own, filled from the opening account."""
    with write_transaction(session):
        session.add(Wallet(id=wallet_id, balance_msat=0, gift_msat=0, created_at=NOW))
        session.flush()
        if balance_msat:
            opening = Entry(Kind.TOP_UP, chart.OPENING, chart.wallet(wallet_id), balance_msat)
            post(session, [opening], owner_id=wallet_id, now=NOW)
        if gift_msat:
            recipes.give_starter_credit(session, wallet_id, gift_msat, NOW)
    return wallet_id


def open_allowance(session: Session, allowance_id: str = "al_1", **changed: Any) -> str:
    """Let a site take 10,000 msat for an item and 20,000 a day; with other values as named."""
    values: dict[str, Any] = {
        "wallet_id": "wa_1",
        "site_id": "st_1",
        "origin": "https://blog.example",
        "per_item_msat": 10_000,
        "per_day_msat": 20_000,
        "auto_msat": 0,
        "day": 0,
        "spent_msat": 0,
        "created_at": NOW,
        "expires_at": NOW + 30 * 86_400,
        **changed,
    }
    with write_transaction(session):
        session.add(Allowance(id=allowance_id, **values))
    return allowance_id


def parts_of(
    amount_msat: int, commission_msat: int = 0, merchant_id: str = "me_1"
) -> tuple[Part, ...]:
    """Return the parts of a price with one merchant; parts of zero are left out."""
    parts = (
        Part(chart.merchant(merchant_id), amount_msat - commission_msat),
        Part(chart.COMMISSION, commission_msat),
    )
    return tuple(part for part in parts if part.amount_msat)


def order(key: str | None = "key-1", **changed: Any) -> Spend:
    """Return a spend with the details that a test does not care about filled in.

    ``amount_msat``, ``commission_msat`` and ``merchant_id`` make the parts when these are
    not given themselves.
    """
    amount_msat = changed.pop("amount_msat", PRICE_MSAT)
    commission_msat = changed.pop("commission_msat", COMMISSION_MSAT)
    merchant_id = changed.pop("merchant_id", "me_1")
    values: dict[str, Any] = {
        "wallet_id": "wa_1",
        "site_id": "st_1",
        "item_id": "it_1",
        "expires_at": None,
        "now": NOW,
        **changed,
    }
    if "parts" not in values:
        values["parts"] = parts_of(amount_msat, commission_msat, merchant_id)
    return Spend(idempotency_key=key, **values)


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
    """Buy one item after the other from ``wa_1`` in this process; return how many it got."""
    engine = open_engine(url)
    successes = 0
    with Session(engine) as session:
        for number in range(attempts):
            name = f"worker-{worker}-{number}"
            try:
                _retry_when_busy(session, order(name, item_id=f"it_{name}"))
            except InsufficientBalance:
                continue
            successes += 1
    engine.dispose()
    return successes


def _retry_when_busy(session: Session, wanted: Spend) -> str:
    for _ in range(20):
        try:
            return spend(session, wanted).outcome.value
        except StorageBusy:
            continue
    raise AssertionError("The database stayed busy.")


def repeat_spend(url: str, key: str | None, repetitions: int) -> list[str]:
    """Repeat one spend, with one key or none; return what each did."""
    engine = open_engine(url)
    with Session(engine) as session:
        outcomes = [_retry_when_busy(session, order(key)) for _ in range(repetitions)]
    engine.dispose()
    return outcomes


def die_in_the_middle(url: str) -> None:
    """Book half of a sale and let the operating system kill this process."""
    engine = open_engine(url)
    with Session(engine) as session, write_transaction(session):
        recipes.give_starter_credit(session, "wa_1", 7_000, NOW)
        assert session.execute(text("SELECT count(*) FROM transfers")).scalar_one() == 2
        os.kill(os.getpid(), signal.SIGKILL)
