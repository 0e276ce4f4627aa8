"""The job that reads the ledger into the book of sales, in the order of the transfers' ids.

A sale is written as a whole when its first transfer is met, and what is met again changes
nothing: a run that died, two processes at once and a first run over years of history all
end with the same book. Who listens is told in the same transaction.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, insert, select, tuple_, update
from sqlalchemy.orm import Session

from bitcache_server.ledger import balances, chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.ledger import Transfer
from bitcache_server.models.payouts import Refund
from bitcache_server.models.sales_book import Sale, SaleCursor
from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.services.deps import Deps
from bitcache_server.services.sale_facts import BALANCE_RAIL, Bought, Group, SaleFacts, read_facts
from bitcache_server.services.sale_sums import count_sold, count_taken_back
from bitcache_server.services.sale_views import sale_view
from bitcache_server.services.webhook_events import emit, is_wanted
from bitcache_server.tokens.holders import holder_name

CURSOR = "sales_book"
#: So many ids in one transaction: on SQLite nobody else writes meanwhile.
BATCH_IDS = 500
#: A run ends after this time and the next one goes on: leases are for short runs.
RUN_S = 5.0

_SOLD = (Kind.SALE.value, Kind.COMMISSION.value)
_MET = (*_SOLD, Kind.REVERSAL.value)
_ID_PREFIX = "sa_"
_GROUP_PREFIX = "gr_"


@dataclass
class _Parts:
    """What a ledger group gave to whom, in msat, in the order of booking."""

    merchants: Counter[str] = field(default_factory=Counter)
    commission_msat: int = 0
    created_at: int = 0
    newest_id: int = 0


def sales_book(deps: Deps, session: Session) -> int:
    """Read what is new in the ledger into the book; return how many ids were walked.

    Raises StorageBusy while a transaction keeps writing for too long.
    """
    settled_id = balances.settled_id(session)
    ends_at = time.monotonic() + RUN_S
    walked = 0
    while time.monotonic() < ends_at:
        with write_transaction(session):
            step = _step(deps, session, settled_id)
        if not step:
            break
        walked += step
    return walked


def sale_id_of(group_id: str) -> str:
    """Return the id of the sale that a ledger group booked."""
    return _ID_PREFIX + group_id.removeprefix(_GROUP_PREFIX)


def _step(deps: Deps, session: Session, settled_id: int) -> int:
    cursor = _locked_cursor(session)
    through_id = min(settled_id, cursor.through_id + BATCH_IDS)
    if through_id <= cursor.through_id:
        return 0
    query = select(Transfer.owner_id, Transfer.group_id, Transfer.id, Transfer.kind)
    query = query.add_columns(Transfer.reverses_id, Transfer.created_at)
    met = session.execute(
        query.where(
            Transfer.id > cursor.through_id, Transfer.id <= through_id, Transfer.kind.in_(_MET)
        ).order_by(Transfer.id)
    ).all()
    sold = list(dict.fromkeys((row.owner_id, row.group_id) for row in met if row.kind in _SOLD))
    _add(deps, session, sold, cursor.silent_through_id)
    _take_back_all(deps, session, [row for row in met if row.reverses_id is not None], cursor)
    walked = through_id - cursor.through_id
    cursor.through_id = through_id
    return walked


def read_through_id(session: Session) -> int:
    """Return the id of the transfer through which the ledger was read into the book."""
    return session.scalar(select(func.max(SaleCursor.through_id))) or 0


def _locked_cursor(session: Session) -> SaleCursor:
    insert_missing(session, SaleCursor, name=CURSOR, through_id=0, silent_through_id=0)
    query = select(SaleCursor).where(SaleCursor.name == CURSOR).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def _take_back_all(deps: Deps, session: Session, rows: Sequence[Any], cursor: SaleCursor) -> None:
    """Mark what these transfers took back of sales; each group once."""
    if not rows:
        return
    originals = _originals(session, [(row.owner_id, row.reverses_id) for row in rows])
    done: set[Group] = set()
    for row in rows:
        group = originals.get((row.owner_id, row.reverses_id))
        if group is None or group in done:
            continue
        done.add(group)
        is_told = row.id > cursor.silent_through_id
        _take_back(deps, session, group, row.group_id, row.created_at, is_told)


def _originals(session: Session, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Group]:
    """Return the sale's group of each transfer that was taken back, of those that sold."""
    query = select(Transfer.owner_id, Transfer.id, Transfer.group_id).where(
        # The primary key begins with the owner.
        Transfer.owner_id.in_({owner_id for owner_id, _ in keys}),
        tuple_(Transfer.owner_id, Transfer.id).in_(keys),
        Transfer.kind.in_(_SOLD),
    )
    rows = session.execute(query)
    return {(owner_id, row_id): (owner_id, group_id) for owner_id, row_id, group_id in rows}


def _add(deps: Deps, session: Session, groups: Sequence[Group], silent_through_id: int) -> None:
    """Write the sales of these groups that are not in the book, and tell of them."""
    if not groups:
        return
    parts = _parts(session, groups)
    merchants = {merchant_id for one in parts.values() for merchant_id in one.merchants}
    times = [one.created_at for one in parts.values()]
    facts = read_facts(session, groups, merchants, min(times), max(times))
    rows = [row for group in groups for row in _rows(deps, facts, group, parts[group])]
    fresh = _unknown(session, rows)
    if not fresh:
        return
    # Rows beside the statement: inside it, SQLAlchemy and the driver read it anew each time.
    session.execute(insert(Sale), fresh)
    sales = [Sale(**row) for row in fresh]
    count_sold(session, sales)
    # Asked once for each merchant: most have nobody who listens.
    is_heard = {
        merchant_id: is_wanted(session, merchant_id, "sale.created")
        for merchant_id in {sale.merchant_id for sale in sales}
    }
    for sale in sales:
        if is_heard[sale.merchant_id] and sale.transfer_id > silent_through_id:
            _tell(deps, session, sale, "sale.created")


def _unknown(session: Session, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows that are not in the book; the cursor's lock keeps other writers away."""
    query = select(Sale.merchant_id, Sale.id).where(
        Sale.merchant_id.in_({row["merchant_id"] for row in rows}),
        Sale.id.in_({row["id"] for row in rows}),
    )
    known = {(merchant_id, sale_id) for merchant_id, sale_id in session.execute(query)}
    return [row for row in rows if (row["merchant_id"], row["id"]) not in known]


def _parts(session: Session, groups: Sequence[Group]) -> dict[Group, _Parts]:
    """Return what each group gave, also by transfers that the walk has not reached."""
    query = select(Transfer).where(
        Transfer.owner_id.in_({owner_id for owner_id, _ in groups}),
        tuple_(Transfer.owner_id, Transfer.group_id).in_(groups),
        Transfer.kind.in_(_SOLD),
    )
    found: dict[Group, _Parts] = {}
    for row in session.scalars(query.order_by(Transfer.id)):
        parts = found.setdefault((row.owner_id, row.group_id), _Parts())
        if row.kind == Kind.COMMISSION.value:
            parts.commission_msat += row.amount_msat
        else:
            parts.merchants[chart.parse(row.to_account).key] += row.amount_msat
        parts.created_at, parts.newest_id = row.created_at, row.id
    return found


def _rows(deps: Deps, facts: SaleFacts, group: Group, parts: _Parts) -> list[dict[str, Any]]:
    """Return the row of who sells and of each co-author."""
    bought = facts.bought.get(group)
    seller_id = bought.merchant_id if bought else ""
    # Where no item says who sells, it is who was booked first.
    seller_id = seller_id or next(iter(parts.merchants), "")
    shares = {who: msat for who, msat in parts.merchants.items() if who != seller_id}
    rows = []
    if seller_id:
        net_msat, shared_msat = parts.merchants[seller_id], sum(shares.values())
        price_msat = net_msat + shared_msat + parts.commission_msat
        rows.append(
            {
                **_common(deps, facts, group, parts, seller_id),
                "kind": "sale" if bought is None or bought.item_id else "sent",
                "commission_msat": parts.commission_msat,
                "shares_msat": shared_msat,
                "net_msat": net_msat,
                **_money(facts, bought, seller_id, price_msat, parts.created_at),
            }
        )
    for merchant_id, amount_msat in shares.items():
        rows.append(
            {
                **_common(deps, facts, group, parts, merchant_id),
                "kind": "share",
                "commission_msat": 0,
                "shares_msat": 0,
                "net_msat": amount_msat,
                **_money(facts, None, merchant_id, amount_msat, parts.created_at),
            }
        )
    return rows


def _common(
    deps: Deps, facts: SaleFacts, group: Group, parts: _Parts, merchant_id: str
) -> dict[str, Any]:
    owner_id, group_id = group
    bought = facts.bought.get(group)
    invoice = bought.invoice if bought else None
    is_wallet = invoice is None
    return {
        "merchant_id": merchant_id,
        "id": sale_id_of(group_id),
        "state": "paid",
        "site_id": bought.site_id if bought else "",
        "item_id": bought.item_id if bought else "",
        "title": bought.title[:500] if bought else "",
        "owner_kind": "wallet" if is_wallet else "invoice",
        "holder": _holder(deps, merchant_id, owner_id) if is_wallet else owner_id,
        "invoice_id": "" if is_wallet else owner_id,
        "rail": BALANCE_RAIL if is_wallet else facts.rails.get(owner_id, ""),
        "direct": invoice.direct if invoice else False,
        "group_id": group_id,
        "transfer_id": parts.newest_id,
        "created_at": parts.created_at,
        "refund_msat": 0,
        "refund_by": "",
    }


def _money(
    facts: SaleFacts, bought: Bought | None, merchant_id: str, price_msat: int, at: int
) -> dict[str, Any]:
    """Return price, value and tax; a share has the value of its owner's currency, and no tax:
    that is the business of who sells."""
    value = facts.value_of_price(bought, merchant_id, price_msat, at)
    tax_name, tax_ppm = facts.tax_of(bought, at) if bought else ("", 0)
    return {
        "price_msat": price_msat,
        "fiat_currency": value.currency,
        "fiat_minor": value.minor,
        "rate_price_per_btc": value.rate_price_per_btc,
        "rate_as_of": value.rate_as_of,
        "tax_name": tax_name,
        "tax_ppm": tax_ppm,
    }


def _holder(deps: Deps, merchant_id: str, wallet_id: str) -> str:
    return holder_name(deps.settings.secret_key.get_secret_value(), merchant_id, wallet_id)


def _take_back(
    deps: Deps, session: Session, group: Group, by_group: str, at: int, is_told: bool
) -> None:
    """Mark the sales of a group as given back, or as gone with their payment, once."""
    refund = session.get(Refund, group, populate_existing=True)
    if refund is not None and refund.refund_group == by_group:
        values = {
            "state": "refunded",
            "refunded_at": at,
            "refund_msat": Sale.price_msat,
            "refund_by": refund.by,
        }
    else:
        values = {"state": "reversed", "reversed_at": at}
    statement = (
        update(Sale)
        .where(Sale.group_id == group[1], Sale.id == sale_id_of(group[1]), Sale.state == "paid")
        .values(values)
        .returning(Sale)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    sales = session.scalars(statement).all()
    count_taken_back(session, sales, at)
    for sale in sales:
        if is_told:
            _tell(deps, session, sale, f"sale.{sale.state}")
        session.expunge(sale)


def _tell(deps: Deps, session: Session, sale: Sale, event_type: str) -> None:
    emit(deps, session, sale.merchant_id, event_type, sale_view(sale).model_dump())
