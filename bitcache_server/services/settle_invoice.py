"""Bring an invoice, its bookings and its grant to what is true of its payments.

Called whenever anything about a payment changed. It compares what should be
booked with what is, and books the difference: the same few lines serve the first
payment, a late one, a reorganisation and a double spend, and running them twice
changes nothing.
"""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import OrderClosed
from bitcache_server.domain.invoice_state import Assessment, InvoiceState, PaymentFact, assess
from bitcache_server.domain.money import MSAT_PER_SAT, msat_to_sat_ceil
from bitcache_server.ledger import chart, recipes, wallet_recipes
from bitcache_server.models.catalog import Item
from bitcache_server.models.ledger import Grant
from bitcache_server.models.operations import ChainBlock
from bitcache_server.models.sales import Invoice, Payment, RequestRow
from bitcache_server.services.deps import Deps
from bitcache_server.services.invoice_events import before, tell_of_invoice
from bitcache_server.services.offers import confirmations_for
from bitcache_server.services.order_sales import order_to_sell, sold, unsold
from bitcache_server.services.sale_parts import parts_of_invoice, parts_on_top
from bitcache_server.services.wake_ups import announce

SECONDS_PER_HOUR = 3_600
#: Blockchains cannot move a part of a sat, so that prices are rounded up for them.
_WHOLE_SAT_RAILS = frozenset({"onchain", "fake"})


def settle_invoice(deps: Deps, session: Session, invoice_id: str) -> Invoice:
    """Re-assess one invoice inside the caller's transaction.

    Locks the invoice row first, so that two processes never book the same money.
    """
    query = select(Invoice).where(Invoice.id == invoice_id).with_for_update()
    invoice = session.scalars(query.execution_options(populate_existing=True)).one()
    earlier = before(invoice)
    payments = payments_of(session, invoice_id)
    facts = payment_facts(deps, session, invoice, payments)
    now = deps.clock()
    truth = assess(invoice.amount_msat, in_time_until(deps, invoice, facts), facts, now)
    if invoice.sale_group and truth.state is not InvoiceState.PAID:
        _undo_sale(deps, session, invoice)
    if vanished_msat := _vanished_msat(payments, facts):
        invoice.claimed_msat -= wallet_recipes.take_back(session, invoice.id, vanished_msat, now)
    for payment, fact in zip(payments, facts, strict=True):
        _book_receipt(deps, session, invoice, payment, fact)
    if invoice.wallet_id is not None:
        invoice.claimed_msat += wallet_recipes.top_up(session, invoice.id, invoice.wallet_id, now)
    elif _is_to_be_sold(invoice, truth):
        _sell(deps, session, invoice, truth)
    _store(invoice, truth, now)
    if _is_sent_to_merchant(invoice) and invoice.credit_msat:
        _give_rest(deps, session, invoice, truth, now)
    announce(session, invoice.id)
    if invoice.credit_msat and not any(_is_unconfirmed(p) for p in payments):
        _give_again(session, invoice, now)
    session.flush()
    tell_of_invoice(deps, session, invoice, earlier)
    return invoice


def in_time_until(deps: Deps, invoice: Invoice, facts: Sequence[PaymentFact]) -> int:
    """Return until when money pays the invoice, and is not late."""
    ends_at = invoice.expires_at + deps.settings.late_grace_s
    if not _is_sent_to_merchant(invoice):
        return ends_at
    # What is sent to a merchant is theirs whenever it comes: nothing was held for it.
    return max([ends_at, *(fact.arrived_at for fact in facts)])


def _is_sent_to_merchant(invoice: Invoice) -> bool:
    """Say whether somebody sent money to a merchant's Lightning address, and buys nothing."""
    return not invoice.item_id and invoice.wallet_id is None


def payments_of(session: Session, invoice_id: str) -> Sequence[Payment]:
    """Return the payments of an invoice in the order of their arrival."""
    query = select(Payment).where(Payment.invoice_id == invoice_id)
    query = query.order_by(Payment.arrived_at, Payment.reference)
    # What this session read before the invoice was locked may have been changed since.
    return session.scalars(query.execution_options(populate_existing=True)).all()


def tip_height(session: Session, rail: str) -> int:
    """Return the height of the last booked block of a rail; 0 before the first."""
    query = select(func.max(ChainBlock.height)).where(ChainBlock.rail == rail)
    return session.scalar(query) or 0


def confirmations_of(payment: Payment, tip: int) -> int:
    """Return how deep a payment is: 1 in the tip, 0 in the mempool."""
    if payment.block_height is None or payment.removed:
        return 0
    return max(0, tip - payment.block_height + 1)


def payment_facts(
    deps: Deps, session: Session, invoice: Invoice, payments: Sequence[Payment]
) -> list[PaymentFact]:
    """Return what the domain needs to know of all payments of an invoice, in their order."""
    tips = {p.rail: tip_height(session, p.rail) for p in payments}
    rows = session.scalars(select(RequestRow).where(RequestRow.invoice_id == invoice.id))
    asked = {row.rail: row for row in rows}
    total_msat = sum(p.amount_msat for p in payments if not p.removed)
    return [
        payment_fact(
            p,
            tips[p.rail],
            _depth_needed(deps, invoice, p, asked.get(p.rail), total_msat),
            _whole_sats(invoice, p, asked.get(p.rail)),
        )
        for p in payments
    ]


def _whole_sats(invoice: Invoice, payment: Payment, request: RequestRow | None) -> bool:
    """Say whether more than the price was asked for because the rail has no smaller unit."""
    rounded = request is not None and request.amount_msat > invoice.amount_msat
    return rounded or payment.rail in _WHOLE_SAT_RAILS


def _depth_needed(
    deps: Deps, invoice: Invoice, payment: Payment, request: RequestRow | None, total_msat: int
) -> int:
    """Return how deep a payment must be before it counts.

    What was asked for fits the invoice's amount. Who sends more could take more back, and a surplus
    can leave again as balance: all of it waits for the depth of the sum. What counts
    already needs the depth of its own amount only, so that nobody takes a sale back by
    sending something on top. A surplus that counts on sight still cannot be claimed.
    """
    asked = request.confirmations_required if request else 1
    price_msat = msat_to_sat_ceil(invoice.amount_msat) * MSAT_PER_SAT
    at_stake_msat = total_msat if payment.receipt_group is None else payment.amount_msat
    if at_stake_msat <= price_msat:
        return asked
    return max(asked, confirmations_for(deps, at_stake_msat))


def payment_fact(payment: Payment, tip: int, required: int, whole_sats: bool) -> PaymentFact:
    """Return what the domain needs to know of a payment."""
    return PaymentFact(
        amount_msat=payment.amount_msat,
        arrived_at=payment.arrived_at,
        confirmations=confirmations_of(payment, tip),
        confirmations_required=0 if payment.final else required,
        sight_ok=payment.sight_ok,
        mature=tip + 1 >= payment.spendable_at_height,
        removed=payment.removed,
        whole_sats=whole_sats,
        final=payment.final,
    )


def _book_receipt(
    deps: Deps, session: Session, invoice: Invoice, payment: Payment, fact: PaymentFact
) -> None:
    """Book money that began to count, unbook money that ceased to."""
    now = deps.clock()
    confirmed = fact.confirmations > 0 or fact.final
    if fact.settled and payment.receipt_group is None:
        source = _source_account(invoice, payment.rail, confirmed)
        payment.receipt_group = recipes.receive(
            session, invoice.id, source, payment.amount_msat, now
        )
        payment.receipt_source = source
    elif not fact.settled and payment.receipt_group is not None:
        recipes.unreceive(session, invoice.id, payment.receipt_group, now)
        payment.receipt_group = payment.receipt_source = None
    elif (
        payment.receipt_group is not None
        and confirmed
        and payment.receipt_source == chart.unconfirmed(payment.rail)
    ):
        recipes.confirm_sight(session, invoice.id, payment.receipt_group, now)
        payment.receipt_source = chart.clearing(payment.rail)
    payment.settled = fact.settled


def _vanished_msat(payments: Sequence[Payment], facts: Sequence[PaymentFact]) -> int:
    """Return the booked money that counts no more."""
    pairs = zip(payments, facts, strict=True)
    return sum(p.amount_msat for p, fact in pairs if p.receipt_group and not fact.settled)


def _is_unconfirmed(payment: Payment) -> bool:
    in_no_block = payment.block_height is None and not payment.final
    return payment.receipt_group is not None and in_no_block


def _give_again(session: Session, invoice: Invoice, now: int) -> None:
    """Return credit to the wallets that it was taken back from when its payment vanished."""
    given_msat = wallet_recipes.give_again(session, invoice.id, invoice.credit_msat, now)
    invoice.claimed_msat += given_msat
    invoice.credit_msat -= given_msat


def _is_to_be_sold(invoice: Invoice, truth: Assessment) -> bool:
    """Say whether the item must be sold now.

    What was redeemed bought it already, what was refunded is sold no more, and what
    became a balance cannot buy it as well.
    """
    if truth.state is not InvoiceState.PAID or invoice.sale_group is not None:
        return False
    if invoice.redeemed_msat or invoice.refunded_at is not None:
        return False
    return truth.settled_msat - invoice.claimed_msat >= invoice.amount_msat


def _source_account(invoice: Invoice, rail: str, confirmed: bool) -> str:
    """Return where the money stands: with the merchant, safe with us, or at our risk."""
    if invoice.direct:
        return chart.merchant(invoice.merchant_id)
    return chart.clearing(rail) if confirmed else chart.unconfirmed(rail)


def _sell(deps: Deps, session: Session, invoice: Invoice, truth: Assessment) -> None:
    if not invoice.item_id:
        _book_sale(deps, session, invoice, truth)
        return
    try:
        order = order_to_sell(deps, session, invoice.item_id, in_time=True)
    except OrderClosed:
        # Another has paid the order, or the shop gave it up: the money stays its payer's.
        invoice.refunded_at = deps.clock()
        return
    group_id = _book_sale(deps, session, invoice, truth)
    if order is not None:
        sold(deps, session, order, invoice.id, group_id, invoice.amount_msat)


def _book_sale(deps: Deps, session: Session, invoice: Invoice, truth: Assessment) -> str:
    now = deps.clock()
    # A claim may have left the price without all of its rounding.
    spare_msat = truth.settled_msat - invoice.claimed_msat - invoice.amount_msat
    invoice.sale_group = recipes.sell(
        session,
        invoice.id,
        parts_of_invoice(deps, session, invoice, invoice.amount_msat),
        rounding_msat=min(truth.rounding_msat, spare_msat),
        now=now,
    )
    invoice.paid_at = now
    if invoice.item_id:
        give_grant(session, invoice, invoice.sale_group, invoice.amount_msat, now)
    return invoice.sale_group


def _give_rest(deps: Deps, session: Session, invoice: Invoice, truth: Assessment, now: int) -> None:
    """Give the merchant what is left over of money that was sent to them.

    Its payer keeps no verifier, so that as credit it would be nobody's. The commission of
    the whole is that of one sale.
    """
    rest_msat = invoice.credit_msat
    parts = parts_on_top(deps, session, invoice, truth.settled_msat - rest_msat, rest_msat)
    recipes.sell(session, invoice.id, parts, rounding_msat=0, now=now)
    invoice.credit_msat = 0
    invoice.redeemed_msat += rest_msat


def _undo_sale(deps: Deps, session: Session, invoice: Invoice) -> None:
    now = deps.clock()
    group_id, invoice.sale_group, invoice.paid_at = invoice.sale_group, None, None
    if group_id is None:
        return
    recipes.unsell(session, invoice.id, group_id, now)
    for grant in _grants(session, invoice):
        if grant.group_id == group_id and deps.settings.revoke_on_reorg:
            grant.revoked_at = now
    if invoice.item_id:
        unsold(deps, session, invoice.item_id, group_id)


def give_grant(
    session: Session, invoice: Invoice, group_id: str, price_msat: int, now: int
) -> Grant:
    """Add a grant that the ledger group paid for, with the next revision."""
    item = session.get_one(Item, invoice.item_id)
    older = _grants(session, invoice)
    hours = item.access_hours
    grant = Grant(
        owner_id=invoice.id,
        item_id=item.id,
        revision=max((g.revision for g in older), default=0) + 1,
        site_id=invoice.site_id,
        price_msat=price_msat,
        group_id=group_id,
        issued_at=now,
        expires_at=now + hours * SECONDS_PER_HOUR if hours else None,
    )
    session.add(grant)
    session.flush()
    return grant


def _grants(session: Session, invoice: Invoice) -> Sequence[Grant]:
    query = select(Grant).where(Grant.owner_id == invoice.id, Grant.item_id == invoice.item_id)
    return session.scalars(query.order_by(Grant.revision)).all()


def _store(invoice: Invoice, truth: Assessment, now: int) -> None:
    invoice.state = truth.state.value
    invoice.marks = ",".join(sorted(mark.value for mark in truth.marks))
    invoice.received_msat = truth.received_msat
    invoice.missing_msat = truth.missing_msat
    used_msat = invoice.redeemed_msat + invoice.claimed_msat
    invoice.credit_msat = max(0, _unsold_msat(invoice, truth) - used_msat)
    invoice.changed_at = now
    invoice.version += 1


def _unsold_msat(invoice: Invoice, truth: Assessment) -> int:
    """Return the settled money that no sale took, before what was used of it since."""
    if invoice.wallet_id is not None:
        return truth.settled_msat
    if truth.state is InvoiceState.PAID and invoice.sale_group is None:
        return truth.settled_msat
    return truth.credit_msat
