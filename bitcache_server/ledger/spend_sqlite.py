"""The spend on SQLite: what ``bitcache_spend`` does, in the same order, in Python.

SQLite has one writer at a time, so inside a write transaction nothing needs a lock.
"""

import json
from typing import Any

from sqlalchemy import insert, select, update

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Entry, new_group_id, post
from bitcache_server.ledger.order import Spend
from bitcache_server.models.ledger import Grant, IdempotencyKey, Wallet
from bitcache_server.models.session import AnySession
from bitcache_server.models.wallets import Allowance

Answer = tuple[str, dict[str, Any]]


def spend_sqlite(session: AnySession, order: Spend) -> Answer:
    """Return the outcome and the living grant; a refusal has changed nothing."""
    wallet = session.execute(
        select(Wallet.balance_msat, Wallet.gift_msat).where(
            Wallet.id == order.wallet_id, Wallet.closed_at.is_(None)
        )
    ).one_or_none()
    if wallet is None:
        return "unknown_wallet", {}
    allowance = _allowance(session, order)
    refusal = _refused_allowance(order, allowance)
    if refusal:
        return refusal, {}
    key = _stored_key(session, order)
    if key is not None and key.request_hash != order.request_hash():
        return "conflict", {}
    grant = _newest_grant(session, order)
    if grant is not None and _lives(grant, order.now):
        same = key is not None and json.loads(key.result)["group_id"] == grant.group_id
        values = _values(grant, wallet.balance_msat, wallet.gift_msat)
        return "replayed" if same else "owned", values
    if key is not None:
        return "ended", {}
    refusal = _over_limit(order, allowance)
    if refusal:
        return refusal, {}
    if wallet.balance_msat + wallet.gift_msat < order.price_msat:
        return "insufficient", {}
    return _book(session, order, allowance, wallet.gift_msat, grant.revision if grant else 0)


def _allowance(session: AnySession, order: Spend) -> Allowance | None:
    if order.allowance_id is None:
        return None
    query = select(Allowance).where(
        Allowance.wallet_id == order.wallet_id,
        Allowance.id == order.allowance_id,
        Allowance.site_id == order.site_id,
    )
    return session.scalar(query.execution_options(populate_existing=True))


def _refused_allowance(order: Spend, allowance: Allowance | None) -> str:
    if order.allowance_id is None:
        return ""
    if allowance is None:
        return "allowance_unknown"
    if allowance.revoked_at is not None:
        return "allowance_revoked"
    return "allowance_expired" if allowance.expires_at <= order.now else ""


def _stored_key(session: AnySession, order: Spend) -> Any:
    """Return the hash of the request that used the key and its result, or None."""
    if order.idempotency_key is None:
        return None
    query = select(IdempotencyKey.request_hash, IdempotencyKey.result).where(
        IdempotencyKey.owner_id == order.wallet_id, IdempotencyKey.key == order.idempotency_key
    )
    return session.execute(query).one_or_none()


def _newest_grant(session: AnySession, order: Spend) -> Grant | None:
    query = select(Grant).where(Grant.owner_id == order.wallet_id, Grant.item_id == order.item_id)
    newest = query.order_by(Grant.revision.desc()).limit(1)
    return session.scalar(newest.execution_options(populate_existing=True))


def _lives(grant: Grant, now: int) -> bool:
    return grant.revoked_at is None and (grant.expires_at is None or grant.expires_at > now)


def _over_limit(order: Spend, allowance: Allowance | None) -> str:
    if order.max_msat is not None and order.price_msat > order.max_msat:
        return "price_changed"
    if allowance is None:
        return ""
    if order.auto and order.price_msat > allowance.auto_msat:
        return "allowance_auto"
    if order.price_msat > allowance.per_item_msat:
        return "allowance_per_item"
    spent_msat = _spent_today(order, allowance)
    return "allowance_per_day" if spent_msat + order.price_msat > allowance.per_day_msat else ""


def _spent_today(order: Spend, allowance: Allowance) -> int:
    # A clock that went back never opens a day anew.
    return allowance.spent_msat if allowance.day >= order.now // SECONDS_PER_DAY else 0


def _book(
    session: AnySession, order: Spend, allowance: Allowance | None, gift_msat: int, revision: int
) -> Answer:
    entries = _entries(order, min(gift_msat, order.price_msat))
    group_id = new_group_id()
    post(session, entries, owner_id=order.wallet_id, now=order.now, group_id=group_id)
    if allowance is not None:
        _count(session, order, allowance)
    grant = Grant(
        owner_id=order.wallet_id,
        item_id=order.item_id,
        revision=revision + 1,
        site_id=order.site_id,
        price_msat=order.price_msat,
        group_id=group_id,
        issued_at=order.now,
        expires_at=order.expires_at,
    )
    session.add(grant)
    session.flush()
    left = session.execute(
        select(Wallet.balance_msat, Wallet.gift_msat).where(Wallet.id == order.wallet_id)
    ).one()
    values = _values(grant, left.balance_msat, left.gift_msat)
    _remember(session, order, values)
    return "booked", values


def _entries(order: Spend, from_gift_msat: int) -> list[Entry]:
    """Return the transfers: starter credit pays the first parts, the reader's money the rest."""
    gift, wallet = chart.gift(order.wallet_id), chart.wallet(order.wallet_id)
    entries = []
    for part in order.parts:
        given_msat = min(from_gift_msat, part.amount_msat)
        from_gift_msat -= given_msat
        for source, amount_msat in ((gift, given_msat), (wallet, part.amount_msat - given_msat)):
            if amount_msat:
                entries.append(Entry(part.kind, source, part.account, amount_msat))
    return entries


def _count(session: AnySession, order: Spend, allowance: Allowance) -> None:
    today = order.now // SECONDS_PER_DAY
    spent_msat = _spent_today(order, allowance) + order.price_msat
    session.execute(
        update(Allowance)
        .where(Allowance.wallet_id == order.wallet_id, Allowance.id == order.allowance_id)
        .values(day=max(allowance.day, today), spent_msat=spent_msat)
    )


def _remember(session: AnySession, order: Spend, values: dict[str, Any]) -> None:
    if order.idempotency_key is None:
        return
    session.execute(
        insert(IdempotencyKey).values(
            owner_id=order.wallet_id,
            key=order.idempotency_key,
            request_hash=order.request_hash(),
            result=json.dumps(values),
            created_at=order.now,
        )
    )


def _values(grant: Grant, balance_msat: int, gift_msat: int) -> dict[str, Any]:
    return {
        "group_id": grant.group_id,
        "revision": grant.revision,
        "issued_at": grant.issued_at,
        "expires_at": grant.expires_at,
        "price_msat": grant.price_msat,
        "balance_msat": balance_msat,
        "gift_msat": gift_msat,
    }
