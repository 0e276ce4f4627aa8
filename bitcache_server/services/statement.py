"""What happened in a merchant's account, line by line, newest first. All of it only reads.

A line is what one event changed there, though starter credit and a reader's own money
are two entries. Readers have a name that is the same in all lines of one merchant, and
is another one for every other merchant.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, func, or_, select, tuple_
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.catalog import Item, Site
from bitcache_server.models.ledger import Grant, Transfer
from bitcache_server.models.payouts import Refund
from bitcache_server.models.sales import Invoice
from bitcache_server.services.deps import Deps
from bitcache_server.tokens.holders import holder_name

PAGE_LINES = 100
#: One event changes an account twice at most: by starter credit and by own money.
_ROWS_PER_LINE = 2
_READERS = (chart.AccountKind.WALLET, chart.AccountKind.GIFT)

_WORDS = {
    "sale": "Sale",
    "share": "Your share of another merchant's sale",
    "refund": "Given back to the reader",
    "taken_back": "The payment vanished, so the sale was taken back",
    "own_wallet": "The reader paid into your own wallet",
    "own_wallet_reversed": "A payment into your own wallet vanished",
    "payout": "Payout, with its network fee",
    "payout_returned": "A payout did not happen and came back",
    "fee_returned": "Unused fee reserve of a payout",
    "other": "Correction by the operator",
}
_SENT = "Sent to your Lightning address"
_REFUND_WORDS = {
    "merchant": "You gave the price back",
    "reader": "The reader returned it",
    "undo": "The reader undid the purchase",
}
_KINDS = {
    Kind.SALE: "sale",
    Kind.RECEIPT: "own_wallet",
    Kind.RESERVE: "payout",
    Kind.RELEASE: "payout_returned",
    Kind.FEE_RETURN: "fee_returned",
}


@dataclass(frozen=True)
class StatementLine:
    """One event: positive where the operator owes the merchant more."""

    id: int
    created_at: int
    kind: str
    """``sale``, ``share``, ``refund``, ``taken_back``, ``own_wallet``,
    ``own_wallet_reversed``, ``payout``, ``payout_returned``, ``fee_returned`` or ``other``."""
    words: str
    amount_msat: int
    item_id: str | None
    title: str | None
    """Of the item; what the payer wrote, where money was sent to a Lightning address."""
    holder: str | None
    """The reader's name for this merchant, or the invoice; None for a payout."""
    payout_id: str | None


@dataclass(frozen=True)
class StatementPage:
    """Some lines and the cursor of the next ones; None at the end."""

    lines: Sequence[StatementLine]
    next_cursor: str | None


@dataclass(frozen=True)
class _Event:
    """The entries of one group and kind in the account, as one."""

    newest_id: int
    owner_id: str
    group_id: str
    kind: str
    amount_msat: int
    created_at: int
    counterpart: str


@dataclass(frozen=True)
class _Facts:
    """What the lines of a page refer to."""

    items: dict[tuple[str, str], str]
    """Owner and group to the item that it bought."""
    refunds: dict[tuple[str, str], Refund]
    titles: dict[str, tuple[str, str]]
    """Item to its title and merchant."""
    comments: dict[str, str | None]
    """Owner to what the payer wrote, where money came without a sale."""


def statement(
    deps: Deps,
    session: Session,
    merchant_id: str,
    cursor: str | None,
    limit: int,
    since: int | None = None,
    until: int | None = None,
) -> StatementPage:
    """Return a page of lines, from ``since`` until before ``until`` (Unix seconds).

    A page may be shorter than the limit though more follow. Raises InvalidRequest for a
    cursor that was not given out here.
    """
    before_id = _decode(cursor)
    account = chart.merchant(merchant_id)
    times: list[ColumnElement[bool]] = []
    if since is not None:
        times.append(Transfer.created_at >= since)
    if until is not None:
        times.append(Transfer.created_at < until)
    keys, last_id = _newest_keys(session, account, before_id, times, limit)
    events = _events(session, account, keys)
    # What began on the page before was shown there as a whole.
    fresh = [e for e in events if before_id is None or e.newest_id < before_id]
    lines = _lines(deps, session, merchant_id, fresh)
    return StatementPage(lines, None if last_id is None else str(last_id))


def all_lines(
    deps: Deps,
    session: Session,
    merchant_id: str,
    since: int | None = None,
    until: int | None = None,
) -> Iterator[StatementLine]:
    """Return every line, newest first, read page by page."""
    cursor = None
    while True:
        page = statement(deps, session, merchant_id, cursor, PAGE_LINES, since, until)
        yield from page.lines
        cursor = page.next_cursor
        if cursor is None:
            return


def _decode(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > 18:
        raise InvalidRequest("The cursor is not one that this server gave out.")
    return int(cursor)


_Key = tuple[str, str, str]


def _newest_keys(
    session: Session,
    account: str,
    before_id: int | None,
    times: Sequence[ColumnElement[bool]],
    limit: int,
) -> tuple[list[_Key], int | None]:
    """Return (owner, group, kind) of the newest events, and where the next page begins.

    Each side of the account has an index of its own, and gives as many rows as there
    can be in a page.
    """
    number = limit * _ROWS_PER_LINE + 1
    rows: list[tuple[int, str, str, str]] = []
    for side in (Transfer.to_account, Transfer.from_account):
        query = select(Transfer.id, Transfer.owner_id, Transfer.group_id, Transfer.kind)
        query = query.where(side == account, *times)
        if before_id is not None:
            query = query.where(Transfer.id < before_id)
        found = session.execute(query.order_by(Transfer.id.desc()).limit(number))
        rows += [(row_id, owner, group, kind) for row_id, owner, group, kind in found]
    rows.sort(reverse=True)
    keys: dict[_Key, int] = {}
    for row_id, owner, group, kind in rows[:number]:
        key = (owner, group, kind)
        if key not in keys and len(keys) == limit:
            return list(keys), list(keys.values())[-1]
        keys.setdefault(key, row_id)
    return list(keys), rows[number - 1][0] if len(rows) >= number else None


def _events(session: Session, account: str, keys: Sequence[_Key]) -> list[_Event]:
    """Return the events in the order of their newest entries, newest first."""
    if not keys:
        return []
    incoming = Transfer.to_account == account
    query = (
        select(
            func.max(Transfer.id),
            Transfer.owner_id,
            Transfer.group_id,
            Transfer.kind,
            func.sum(case((incoming, Transfer.amount_msat), else_=-Transfer.amount_msat)),
            func.max(Transfer.created_at),
            func.max(case((incoming, Transfer.from_account), else_=Transfer.to_account)),
        )
        .where(
            # The primary key begins with it; an index serves this faster than rows of three.
            Transfer.owner_id.in_({owner_id for owner_id, _, _ in keys}),
            or_(incoming, Transfer.from_account == account),
            tuple_(Transfer.owner_id, Transfer.group_id, Transfer.kind).in_(keys),
        )
        .group_by(Transfer.owner_id, Transfer.group_id, Transfer.kind)
    )
    events = [
        _Event(newest_id, owner_id, group_id, kind, int(amount_msat), created_at, counterpart)
        for newest_id, owner_id, group_id, kind, amount_msat, created_at, counterpart in (
            session.execute(query)
        )
    ]
    return sorted(events, key=lambda event: event.newest_id, reverse=True)


def _lines(
    deps: Deps, session: Session, merchant_id: str, events: Sequence[_Event]
) -> list[StatementLine]:
    facts = _facts(session, events)
    return [_line(deps, merchant_id, facts, event) for event in events]


def _facts(session: Session, events: Sequence[_Event]) -> _Facts:
    groups = [(event.owner_id, event.group_id) for event in events]
    owners = {event.owner_id for event in events}
    bought = select(Grant.owner_id, Grant.group_id, Grant.item_id)
    bought = bought.where(
        Grant.owner_id.in_(owners), tuple_(Grant.owner_id, Grant.group_id).in_(groups)
    )
    items = {(owner, str(group)): item for owner, group, item in session.execute(bought)}
    ordered = select(Invoice.id, Invoice.item_id, Invoice.comment).where(Invoice.id.in_(owners))
    invoices = session.execute(ordered).all()
    sold = {row.id: row.item_id for row in invoices if row.item_id}
    items |= {(o, g): sold[o] for o, g in groups if o in sold}
    comments = {row.id: row.comment for row in invoices if not row.item_id}
    given = select(Refund).where(tuple_(Refund.owner_id, Refund.refund_group).in_(groups))
    refunds = {(row.owner_id, row.refund_group): row for row in session.scalars(given)}
    items |= {key: row.item_id for key, row in refunds.items()}
    named = (
        select(Item.id, Item.title, Site.merchant_id)
        .join(Site, Site.id == Item.site_id)
        .where(Item.id.in_(set(items.values())))
    )
    titles = {item: (title, owner) for item, title, owner in session.execute(named)}
    return _Facts(items, refunds, titles, comments)


def _line(deps: Deps, merchant_id: str, facts: _Facts, event: _Event) -> StatementLine:
    key = (event.owner_id, event.group_id)
    item_id = facts.items.get(key)
    title, seller_id = facts.titles.get(item_id or "", (None, merchant_id))
    refund = facts.refunds.get(key)
    kind = _kind(event, refund, merchant_id, seller_id)
    words = _REFUND_WORDS[refund.by] if refund and seller_id == merchant_id else _WORDS[kind]
    if event.owner_id in facts.comments and kind == "sale":
        words, title = _SENT, facts.comments[event.owner_id]
    return StatementLine(
        id=event.newest_id,
        created_at=event.created_at,
        kind=kind,
        words=words,
        amount_msat=event.amount_msat,
        item_id=item_id,
        title=title,
        holder=_holder(deps, merchant_id, event),
        payout_id=_payout(event),
    )


def _kind(event: _Event, refund: Refund | None, merchant_id: str, seller_id: str) -> str:
    if event.kind == Kind.REVERSAL:
        if refund is not None:
            return "refund"
        return "taken_back" if event.amount_msat < 0 else "own_wallet_reversed"
    kind = _KINDS.get(Kind(event.kind), "other")
    return "share" if kind == "sale" and seller_id != merchant_id else kind


def _holder(deps: Deps, merchant_id: str, event: _Event) -> str | None:
    """Return who bought, in the merchant's own words; a wallet's id never leaves the server."""
    account = chart.parse(event.counterpart)
    if account.kind is chart.AccountKind.INVOICE:
        return account.key
    if account.kind in _READERS:
        return holder_name(deps.settings.secret_key.get_secret_value(), merchant_id, account.key)
    return None


def _payout(event: _Event) -> str | None:
    account = chart.parse(event.counterpart)
    return account.key if account.kind is chart.AccountKind.PAYOUT else None
