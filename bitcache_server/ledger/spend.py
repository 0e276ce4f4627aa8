"""One click: a wallet pays for an item. The hot path of the whole server.

It locks one wallet row and nothing else. On PostgreSQL all of it is one call of
``bitcache_spend``, which a migration creates, and one round trip; SQLite has a twin
in one short transaction. ``tests/integration/test_ledger_spend.py`` runs over both.
"""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select

from bitcache_server.domain.errors import (
    BitcacheError,
    CreditRestricted,
    IdempotencyConflict,
    InsufficientBalance,
    UnknownWallet,
)
from bitcache_server.ledger import chart
from bitcache_server.ledger.idempotency import check_key, remember, request_hash
from bitcache_server.ledger.journal import MAX_AMOUNT_MSAT, new_group_id, post
from bitcache_server.ledger.recipes import split
from bitcache_server.models.ledger import Grant, Wallet
from bitcache_server.models.session import AnySession, own_statement, write_transaction

_CALL = (
    "SELECT outcome, result FROM bitcache_spend(%s::text, %s::text, %s::text, %s::text, %s::text,"
    " %s::text, %s::text, %s::bigint, %s::bigint, %s::bigint, %s::bigint)"
)
_REFUSALS: dict[str, type[BitcacheError]] = {
    "unknown_wallet": UnknownWallet,
    "conflict": IdempotencyConflict,
    "restricted": CreditRestricted,
    "insufficient": InsufficientBalance,
}


@dataclass(frozen=True)
class Spend:
    """What is bought, by whom, for how much."""

    wallet_id: str
    idempotency_key: str
    merchant_id: str
    site_id: str
    item_id: str
    amount_msat: int
    commission_msat: int
    """The operator's part of the amount."""
    expires_at: int | None
    """When the grant ends; None for never."""
    now: int

    def __post_init__(self) -> None:
        chart.wallet(self.wallet_id)
        chart.merchant(self.merchant_id)
        check_key(self.idempotency_key)
        if not 0 < self.amount_msat <= MAX_AMOUNT_MSAT:
            raise ValueError(f"{self.amount_msat} msat cannot be spent.")
        if not 0 <= self.commission_msat <= self.amount_msat:
            raise ValueError("A commission lies between zero and the price.")

    def request_hash(self) -> str:
        """Return the hash of what the reader asked for.

        Commission, expiry and time are ours: a repetition after the operator changed
        them is still the same request.
        """
        return request_hash("spend", self.merchant_id, self.site_id, self.item_id, self.amount_msat)


@dataclass(frozen=True)
class SpendResult:
    """What a spend did, now or when the key was used first."""

    group_id: str
    transfer_ids: tuple[int, ...]
    revision: int
    """Of the grant that the wallet holds now."""
    expires_at: int | None
    balance_msat: int
    """The wallet's balance right after the spend."""
    replayed: bool


def spend(session: AnySession, order: Spend) -> SpendResult:
    """Debit the wallet, credit merchant and commission, and add the grant, or do nothing.

    Is a transaction of its own; an earlier one that only read is ended. Raises
    InsufficientBalance, CreditRestricted or UnknownWallet, after which the key is
    free; IdempotencyConflict; and StorageBusy or StorageUnavailable, after which the
    caller repeats the call with the same key.
    """
    if session.get_bind().dialect.name == "postgresql":
        return _spend_postgresql(session, order)
    with write_transaction(session):
        found = remember(
            session,
            order.wallet_id,
            order.idempotency_key,
            order.request_hash(),
            lambda: _spend_sqlite(session, order),
            order.now,
        )
    return _result(found.result, found.replayed)


def _result(stored: dict[str, Any], replayed: bool) -> SpendResult:
    return SpendResult(
        group_id=stored["group_id"],
        transfer_ids=tuple(stored["transfer_ids"]),
        revision=stored["revision"],
        expires_at=stored["expires_at"],
        balance_msat=stored["balance_msat"],
        replayed=replayed,
    )


def _spend_postgresql(session: AnySession, order: Spend) -> SpendResult:
    values = (
        order.wallet_id,
        order.idempotency_key,
        order.request_hash(),
        new_group_id(),
        order.merchant_id,
        order.site_id,
        order.item_id,
        order.amount_msat,
        order.commission_msat,
        order.expires_at,
        order.now,
    )
    with own_statement(session) as connection:
        outcome, result = connection.exec_driver_sql(_CALL, values).one()
    if outcome in _REFUSALS:
        raise _REFUSALS[outcome]
    return _result(json.loads(result), replayed=outcome == "replayed")


def _spend_sqlite(session: AnySession, order: Spend) -> dict[str, Any]:
    only_merchant = session.execute(
        select(Wallet.only_merchant_id).where(Wallet.id == order.wallet_id)
    ).first()
    if only_merchant is None:
        raise UnknownWallet
    if only_merchant[0] not in (None, order.merchant_id):
        raise CreditRestricted
    payer = chart.wallet(order.wallet_id)
    parts = split(payer, order.merchant_id, order.amount_msat, order.commission_msat)
    posting = post(session, parts, owner_id=order.wallet_id, now=order.now)
    revision = _add_grant(session, order, posting.group_id)
    balance = select(Wallet.balance_msat).where(Wallet.id == order.wallet_id)
    return {
        "group_id": posting.group_id,
        "transfer_ids": posting.transfer_ids,
        "revision": revision,
        "expires_at": order.expires_at,
        "balance_msat": session.execute(balance).scalar_one(),
    }


def _add_grant(session: AnySession, order: Spend, group_id: str) -> int:
    newest = select(func.coalesce(func.max(Grant.revision), 0)).where(
        Grant.owner_id == order.wallet_id, Grant.item_id == order.item_id
    )
    revision = int(session.execute(newest).scalar_one()) + 1
    session.execute(
        insert(Grant).values(
            owner_id=order.wallet_id,
            item_id=order.item_id,
            revision=revision,
            site_id=order.site_id,
            price_msat=order.amount_msat,
            group_id=group_id,
            issued_at=order.now,
            expires_at=order.expires_at,
        )
    )
    return revision
