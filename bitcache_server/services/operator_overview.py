"""What the operator's pages show: money, queues, budgets, merchants. All of it only reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import NotFound
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.domain.money import MSAT_PER_SAT
from bitcache_server.domain.payout_state import PayoutState
from bitcache_server.models.accounts import QueuedMail
from bitcache_server.models.catalog import Merchant, Site
from bitcache_server.models.ledger import Transfer
from bitcache_server.models.payouts import Payout
from bitcache_server.models.sales import Invoice
from bitcache_server.models.solvency import Reconciliation
from bitcache_server.models.wallets import GiftDay
from bitcache_server.models.webhooks import WebhookDelivery
from bitcache_server.services.books import merchant_balance_msat
from bitcache_server.services.deps import Deps
from bitcache_server.services.sales_book import read_through_id
from bitcache_server.services.solvency import SolvencyView, newest_report, report_view
from bitcache_server.services.webhook_events import WAITING

PAGE_ROWS = 50


@dataclass(frozen=True)
class Queue:
    """Work that waits: how much, and since when the oldest of it."""

    name: str
    waiting: int
    oldest_at: int | None


@dataclass(frozen=True)
class GiftBudget:
    """Starter credit of this UTC day, in msat."""

    gift_msat: int
    given_msat: int
    budget_msat: int


@dataclass(frozen=True)
class MerchantLine:
    """A merchant in the operator's list."""

    merchant: Merchant
    sites: int
    balance_msat: int
    """What we owe them; negative is what they owe."""


def queues(session: Session) -> list[Queue]:
    """Return what the jobs still have to do."""
    return [
        _queue(session, "invoices", Invoice.created_at, Invoice.state.in_(_OPEN_INVOICES)),
        _queue(session, "payouts", Payout.created_at, Payout.state.in_(_MOVING_PAYOUTS)),
        _queue(session, "approvals", Payout.created_at, Payout.state == PayoutState.APPROVAL),
        _queue(session, "webhooks", WebhookDelivery.created_at, WebhookDelivery.state == WAITING),
        _queue(session, "mails", QueuedMail.created_at),
        _unread_transfers(session),
    ]


_OPEN_INVOICES = (InvoiceState.OPEN, InvoiceState.SEEN)
_MOVING_PAYOUTS = (PayoutState.WAITING, PayoutState.SENDING)


def _queue(
    session: Session,
    name: str,
    created_at: InstrumentedAttribute[int],
    *conditions: ColumnElement[bool],
) -> Queue:
    query = select(func.count(), func.min(created_at)).where(*conditions)
    waiting, oldest_at = session.execute(query).one()
    return Queue(name, waiting, oldest_at)


def _unread_transfers(session: Session) -> Queue:
    """Return the transfers that the book of sales has not read yet."""
    read_to = read_through_id(session)
    query = select(func.count(), func.min(Transfer.created_at)).where(Transfer.id > read_to)
    waiting, oldest_at = session.execute(query).one()
    return Queue("sales_book", waiting, oldest_at)


def gift_budget(deps: Deps, session: Session) -> GiftBudget:
    """Return what today's gifts have cost, and what they may cost."""
    day = deps.clock() // SECONDS_PER_DAY
    given_msat = session.scalar(select(GiftDay.given_msat).where(GiftDay.day == day)) or 0
    return GiftBudget(
        gift_msat=deps.settings.gift_sat * MSAT_PER_SAT,
        given_msat=given_msat,
        budget_msat=deps.settings.gift_budget_sat_per_day * MSAT_PER_SAT,
    )


def reconciliations(session: Session) -> Sequence[Reconciliation]:
    """Return the last comparison of each rail with the books."""
    return session.scalars(select(Reconciliation).order_by(Reconciliation.rail)).all()


def solvency_report(session: Session) -> SolvencyView | None:
    """Return the newest proof of solvency, or None before there is one."""
    try:
        return report_view(newest_report(session))
    except NotFound:
        return None


def search_merchants(session: Session, text: str, after: str = "") -> list[MerchantLine]:
    """Return up to a page of merchants by name, those that come after the id ``after``.

    ``text`` is looked for in names, ids and Lightning addresses.
    """
    query = select(Merchant).order_by(Merchant.id).limit(PAGE_ROWS)
    if after:
        query = query.where(Merchant.id > after)
    if text:
        found = text.lower()
        columns = (Merchant.name, Merchant.id, Merchant.lightning_address, Merchant.handle)
        query = query.where(
            or_(*(func.lower(column).contains(found, autoescape=True) for column in columns))
        )
    merchants = session.scalars(query).all()
    ids = [merchant.id for merchant in merchants]
    counted = select(Site.merchant_id, func.count()).where(Site.merchant_id.in_(ids))
    sites = {row[0]: row[1] for row in session.execute(counted.group_by(Site.merchant_id))}
    return [
        MerchantLine(one, sites.get(one.id, 0), merchant_balance_msat(session, one.id))
        for one in merchants
    ]
