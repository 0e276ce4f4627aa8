"""Worlds with other settings, worlds after a restart, and the proof that nothing is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session, aliased

from bitcache_server import wiring
from bitcache_server.app import create_app
from bitcache_server.domain.invoice_state import InvoiceState, assess
from bitcache_server.extensions import db
from bitcache_server.ledger import chart
from bitcache_server.ledger.audit import audit
from bitcache_server.ledger.balances import balance
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.ledger import Grant, Transfer, Wallet
from bitcache_server.models.sales import Address, Invoice, Payment, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.services.deps import Deps
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.merchants import get_site
from bitcache_server.services.settle_invoice import in_time_until, payment_facts, payments_of
from tests.support.world import Purchase, World, make_settings, make_world

PRICE_MSAT = 5_000_000
"""What the article of a world costs: five cents at 1,000 dollars."""


@contextmanager
def opened_world(
    folder: Path, database_url: str, *, direct: bool = False, **settings: Any
) -> Iterator[World]:
    """Give a stocked world with some settings of its own."""
    made = make_world(make_settings(folder, database_url, **settings), direct=direct)
    with made.app.app_context():
        yield made
        db.session.remove()
        db.engine.dispose()


@contextmanager
def restarted(world: World) -> Iterator[World]:
    """Give the same shop as a new process would build it: same database, rail and clock."""
    world.session.rollback()
    rails = dict(world.deps.rails)
    deps = wiring.build(
        world.deps.settings, clock=world.clock, rails=rails, rate_sources=world.deps.rate_sources
    )
    world.rail.forget_mempool()
    again = World(
        app=create_app(deps),
        deps=deps,
        rail=world.rail,
        clock=world.clock,
        merchant_id=world.merchant_id,
        site_id=world.site_id,
        secret=world.secret,
        article_id=world.article_id,
        file_id=world.file_id,
    )
    with again.app.app_context():
        yield again
        db.session.remove()
        db.engine.dispose()


def read_anew(world: World, purchase: Purchase) -> dict[str, Any]:
    """Return the invoice with what other processes changed: a test's session outlives requests."""
    world.session.rollback()
    return world.read(purchase)


def sell_at(world: World, price: str | int, currency: str = "SAT") -> str:
    """Add an article at a price and return its id."""
    new = NewItem(title="Priced", price=price, currency=currency, content_html="<p>Locked.</p>")
    with write_transaction(world.session):
        item_id = add_item(
            world.deps, world.session, get_site(world.session, world.site_id), new
        ).id
    return item_id


def held(world: World, account: str) -> int:
    """Return the balance of an account in msat."""
    world.session.rollback()
    amount_msat = balance(world.session, account)
    world.session.rollback()
    return amount_msat


def transfers(world: World, kind: Kind | None = None) -> list[tuple[str, str, int]]:
    """Return (from, to, msat) of the transfers in their order, of one kind or of all."""
    query = select(Transfer).order_by(Transfer.id)
    if kind is not None:
        query = query.where(Transfer.kind == kind.value)
    rows = world.session.scalars(query).all()
    found = [(row.from_account, row.to_account, row.amount_msat) for row in rows]
    world.session.rollback()
    return found


def payment_count(world: World) -> int:
    """Return how many payments are stored."""
    count = world.session.scalar(select(func.count()).select_from(Payment))
    world.session.rollback()
    return count or 0


def assert_nothing_lost(world: World) -> None:
    """Work out every fact again: books, payments, invoices, grants, addresses."""
    assert_facts(world.deps, world.session)


def assert_facts(deps: Deps, session: Session) -> None:
    """Do as ``assert_nothing_lost`` where there is no world."""
    session.rollback()
    assert audit(session).findings == []
    for invoice in session.scalars(select(Invoice).order_by(Invoice.id)).all():
        _check_invoice(deps, session, invoice)
    used = select(Address.target).where(Address.used)
    paid_to = set(session.scalars(select(Payment.target).where(Payment.final.is_(False))))
    assert set(session.scalars(used)) == paid_to
    session.rollback()


def _check_invoice(deps: Deps, session: Session, invoice: Invoice) -> None:
    payments = payments_of(session, invoice.id)
    facts = payment_facts(deps, session, invoice, payments)
    ends_at = in_time_until(deps, invoice, facts)
    truth = assess(invoice.amount_msat, ends_at, facts, deps.clock())
    if not (truth.state is InvoiceState.EXPIRED and invoice.state == InvoiceState.OPEN):
        # Until the expiry job runs, an invoice may still say open.
        assert invoice.state == truth.state
    assert set(invoice.marks.split(",")) - {""} == {mark.value for mark in truth.marks}
    assert (invoice.received_msat, invoice.missing_msat) == (
        truth.received_msat,
        truth.missing_msat,
    )
    for payment, fact in zip(payments, facts, strict=True):
        assert payment.settled == fact.settled == (payment.receipt_group is not None)
    assert _unreversed(session, invoice.id, Kind.RECEIPT) == truth.settled_msat
    if invoice.wallet_id is None:
        _check_money(session, invoice, truth.settled_msat)
        _check_grants(deps, session, invoice)
    else:
        _check_top_up(session, invoice, truth.settled_msat)


def _check_top_up(session: Session, invoice: Invoice, settled_msat: int) -> None:
    """All settled money is the reader's, and what the wallet got beyond it is the loss."""
    assert (invoice.item_id, invoice.sale_group, invoice.redeemed_msat) == ("", None, 0)
    account = chart.invoice(invoice.id)
    wallet = chart.wallet(invoice.wallet_id or "")
    assert invoice.claimed_msat == _net(session, account, wallet)
    lost_msat = _net(session, chart.LOSS, account)
    assert lost_msat == max(0, invoice.claimed_msat - settled_msat)
    kept_msat = settled_msat + lost_msat - invoice.claimed_msat
    assert balance(session, account) == kept_msat == invoice.credit_msat
    if session.get_one(Wallet, invoice.wallet_id).closed_at is None:
        assert kept_msat == 0


def _net(session: Session, payer: str, payee: str) -> int:
    """Return the msat that went from one account to the other, less what came back."""

    def sent(source: str, target: str) -> int:
        query = select(func.coalesce(func.sum(Transfer.amount_msat), 0)).where(
            Transfer.from_account == source, Transfer.to_account == target
        )
        return int(session.execute(query).scalar_one())

    return sent(payer, payee) - sent(payee, payer)


def _check_money(session: Session, invoice: Invoice, settled_msat: int) -> None:
    assert invoice.claimed_msat == _net_to_wallets(session, invoice.id)
    sold_msat = 0
    if invoice.sale_group is not None:
        assert invoice.state == InvoiceState.PAID
        sold_msat = _unreversed(session, invoice.id, group=invoice.sale_group)
    elif invoice.state == InvoiceState.PAID:
        # Paid for and not sold: it was redeemed, refunded or moved to a balance.
        elsewhere = settled_msat - invoice.claimed_msat < invoice.amount_msat
        assert invoice.redeemed_msat > 0 or invoice.refunded_at is not None or elsewhere
    account = chart.invoice(invoice.id)
    used_msat = sold_msat + invoice.redeemed_msat + invoice.claimed_msat
    kept_msat = max(0, settled_msat - used_msat)
    assert _net(session, chart.LOSS, account) == max(0, used_msat - settled_msat)
    assert balance(session, account) == kept_msat
    if invoice.state in (InvoiceState.PAID, InvoiceState.EXPIRED):
        assert invoice.credit_msat == kept_msat
    else:
        assert invoice.credit_msat == 0


def _net_to_wallets(session: Session, invoice_id: str) -> int:
    """Return the msat that went from an invoice to wallets, less what they gave back."""
    account = chart.invoice(invoice_id)
    rows = session.scalars(select(Transfer).where(Transfer.owner_id == invoice_id))
    net_msat = 0
    for row in rows:
        if row.from_account == account and row.to_account.startswith("wallet:"):
            net_msat += row.amount_msat
        elif row.to_account == account and row.from_account.startswith("wallet:"):
            net_msat -= row.amount_msat
    return net_msat


def _check_grants(deps: Deps, session: Session, invoice: Invoice) -> None:
    grants = session.scalars(select(Grant).where(Grant.owner_id == invoice.id)).all()
    if not invoice.item_id:
        assert not grants, "money that was sent to a merchant buys nothing"
        return
    assert sorted(grant.revision for grant in grants) == list(range(1, len(grants) + 1))
    alive = [grant for grant in grants if grant.revoked_at is None]
    if invoice.sale_group is not None or invoice.redeemed_msat:
        assert alive
    if deps.settings.revoke_on_reorg:
        now = deps.clock()
        assert sum(g.expires_at is None or g.expires_at > now for g in alive) <= 1
        for grant in alive:
            assert _unreversed(session, invoice.id, group=grant.group_id) >= grant.price_msat


def _unreversed(
    session: Session, owner_id: str, kind: Kind | None = None, *, group: str | None = None
) -> int:
    """Return the msat of transfers that were not taken back, of a kind or of a group."""
    correction = aliased(Transfer)
    query = (
        select(func.coalesce(func.sum(Transfer.amount_msat), 0))
        .outerjoin(
            correction,
            and_(
                correction.owner_id == Transfer.owner_id,
                correction.reverses_id == Transfer.id,
            ),
        )
        .where(
            Transfer.owner_id == owner_id,
            Transfer.reverses_id.is_(None),
            correction.id.is_(None),
        )
    )
    if kind is not None:
        query = query.where(Transfer.kind == kind.value)
    if group is not None:
        query = query.where(Transfer.group_id == group)
    return int(session.execute(query).scalar_one())


def requests_of(world: World) -> list[RequestRow]:
    """Return all payment requests in the order of their indices."""
    world.session.rollback()
    rows = world.session.scalars(select(RequestRow).order_by(RequestRow.address_index)).all()
    world.session.expunge_all()
    world.session.rollback()
    return list(rows)


def open_content(shop: World, purchase: Purchase, grant: str) -> tuple[int, str]:
    """Ask for the paid text; return the status and the error code."""
    answer = shop.get(f"/v1/content/{purchase.invoice['item']}", grant)
    return answer.status_code, str(answer.get_json().get("code", ""))


def live_revision(shop: World, purchase: Purchase) -> int:
    """Return the revision of the one grant that is not revoked."""
    query = select(Grant.revision).where(Grant.owner_id == purchase.id, Grant.revoked_at.is_(None))
    [revision] = shop.session.scalars(query)
    shop.session.rollback()
    return revision
