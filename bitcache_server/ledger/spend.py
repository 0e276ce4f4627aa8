"""One click: a wallet pays for an item. The hot path of the whole server.

It locks one wallet row, the allowance that is used, and nothing else. On PostgreSQL
all of it is one call of ``bitcache_spend``, which a migration creates, and one round
trip; SQLite has a twin in one short transaction (``spend_sqlite.py``).
``tests/integration/test_ledger_spend.py`` runs over both.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from bitcache_server.domain.errors import (
    AllowanceExceeded,
    AllowanceExpired,
    AllowanceRevoked,
    BitcacheError,
    IdempotencyConflict,
    InsufficientBalance,
    PriceChanged,
    PurchaseEnded,
    StorageBusy,
    UnknownAllowance,
    UnknownWallet,
)
from bitcache_server.ledger.journal import new_group_id
from bitcache_server.ledger.order import Spend
from bitcache_server.ledger.spend_sqlite import spend_sqlite
from bitcache_server.models.session import (
    AnySession,
    own_statement,
    require_write_transaction,
    write_transaction,
)

_CALL = (
    "SELECT outcome, result FROM bitcache_spend(%s::text, %s::text, %s::text, %s::text, %s::text,"
    " %s::text, %s::text[], %s::bigint[], %s::bigint, %s::bigint, %s::text, %s::boolean,"
    " %s::bigint, true)"
)
#: Many orders in one statement. ``false``: it waits for no row, so that nobody in it waits
#: for somebody else's wallet, and two such statements never wait for each other.
_CALL_TOGETHER = (
    "SELECT o.n, s.outcome, s.result FROM json_to_recordset(%s::json) AS o (n integer,"
    " wallet text, key text, hash text, grp text, site text, item text, accounts text[],"
    " amounts bigint[], most bigint, ends bigint, allowance text, auto boolean, now bigint),"
    " LATERAL bitcache_spend(o.wallet, o.key, o.hash, o.grp, o.site, o.item, o.accounts,"
    " o.amounts, o.most, o.ends, o.allowance, o.auto, o.now, false) AS s"
)
_FIELDS = (
    "wallet", "key", "hash", "grp", "site", "item", "accounts", "amounts", "most", "ends",
    "allowance", "auto", "now",
)  # fmt: skip


class Outcome(StrEnum):
    """What a spend did."""

    BOOKED = "booked"
    """The wallet paid now."""
    REPLAYED = "replayed"
    """This key had bought it before; the grant is alive and nothing was paid now."""
    OWNED = "owned"
    """The wallet holds a living grant of another purchase; nothing was paid now."""


_REFUSALS: dict[str, tuple[type[BitcacheError], str]] = {
    "busy": (StorageBusy, "The wallet is in use at this moment; nothing was changed; try again."),
    "unknown_wallet": (UnknownWallet, ""),
    "conflict": (IdempotencyConflict, ""),
    "insufficient": (InsufficientBalance, ""),
    "ended": (PurchaseEnded, ""),
    "price_changed": (PriceChanged, ""),
    "allowance_unknown": (UnknownAllowance, ""),
    "allowance_revoked": (AllowanceRevoked, ""),
    "allowance_expired": (AllowanceExpired, ""),
    "allowance_auto": (AllowanceExceeded, "The price is above what you pay without a click."),
    "allowance_per_item": (AllowanceExceeded, "The price is above what you allow for one item."),
    "allowance_per_day": (
        AllowanceExceeded,
        "The price is above what is left of your day's limit.",
    ),
}


@dataclass(frozen=True)
class SpendResult:
    """The living grant that the wallet holds after a spend."""

    outcome: Outcome
    group_id: str
    """The ledger group that paid for it."""
    revision: int
    issued_at: int
    expires_at: int | None
    price_msat: int
    """What was paid for it, now or then."""
    balance_msat: int
    """The reader's own money that is left."""
    gift_msat: int
    """The starter credit that is left."""

    @property
    def charged_msat(self) -> int:
        """Return what this very request cost, however often it is repeated."""
        return 0 if self.outcome is Outcome.OWNED else self.price_msat


def spend(session: AnySession, order: Spend) -> SpendResult:
    """Debit the wallet, credit the parts, and add the grant, or do nothing.

    Never sells the same item twice while a grant lives. Starter credit goes first. Is a
    transaction of its own; an earlier one that only read is ended. Raises
    InsufficientBalance, PriceChanged, UnknownWallet, UnknownAllowance, AllowanceRevoked,
    AllowanceExpired or AllowanceExceeded, after which the key is free; PurchaseEnded
    when the key's purchase is over or was given back; IdempotencyConflict; and
    StorageBusy or StorageUnavailable, after which the caller repeats the call.
    """
    if session.get_bind().dialect.name == "postgresql":
        with own_statement(session) as connection:
            row = connection.exec_driver_sql(_CALL, _values(order)).one()
        return _read(row[0], row[1])
    with write_transaction(session):
        outcome, result = spend_sqlite(session, order)
        if outcome not in _REFUSALS:
            return SpendResult(outcome=Outcome(outcome), **result)
    return _read(outcome, None)


def spend_within(session: AnySession, order: Spend) -> SpendResult:
    """Do as ``spend`` inside the caller's write transaction, which a refusal leaves as it was.

    For what must be booked together with something else. It waits for the wallet's row.
    """
    require_write_transaction(session)
    session.flush()
    if session.get_bind().dialect.name == "postgresql":
        row = session.connection().exec_driver_sql(_CALL, _values(order)).one()
        return _read(row[0], row[1])
    outcome, result = spend_sqlite(session, order)
    if outcome in _REFUSALS:
        return _read(outcome, None)
    return SpendResult(outcome=Outcome(outcome), **result)


def spend_together(
    connection: Connection, orders: Sequence[Spend]
) -> list[SpendResult | BitcacheError]:
    """Do many spends in one round trip and one commit, each as if it were alone (PostgreSQL).

    Returns what ``spend`` would have returned or raised for each, StorageBusy where it
    would have waited. ``connection`` commits each statement by itself. When it raises,
    nothing was done, or, after a broken connection, perhaps everything: repeating is safe.
    """
    rows = [
        dict(zip(("n", *_FIELDS), (n, *_values(order)), strict=True))
        for n, order in enumerate(orders)
    ]
    found = connection.exec_driver_sql(_CALL_TOGETHER, (json.dumps(rows),)).all()
    answers = {n: _result_or_refusal(outcome, result) for n, outcome, result in found}
    return [answers[n] for n in range(len(orders))]


def _values(order: Spend) -> tuple[Any, ...]:
    """Return the arguments of ``bitcache_spend`` up to the time."""
    return (
        order.wallet_id,
        order.idempotency_key,
        order.request_hash() if order.idempotency_key is not None else None,
        new_group_id(),
        order.site_id,
        order.item_id,
        [part.account for part in order.parts],
        [part.amount_msat for part in order.parts],
        order.max_msat,
        order.expires_at,
        order.allowance_id,
        order.auto,
        order.now,
    )


def _read(outcome: str, result: str | None) -> SpendResult:
    answer = _result_or_refusal(outcome, result)
    if isinstance(answer, BitcacheError):
        raise answer
    return answer


def _result_or_refusal(outcome: str, result: str | None) -> SpendResult | BitcacheError:
    if outcome in _REFUSALS:
        error, words = _REFUSALS[outcome]
        return error(words)
    return SpendResult(outcome=Outcome(outcome), **json.loads(result or "{}"))
