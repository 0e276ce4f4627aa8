"""Which entries belong to which business event.

Every function runs inside the caller's write transaction. Those about an invoice
expect that the caller holds the invoice's row lock, so that two events of one
invoice never interleave. They return the id of the group that they booked.
"""

from collections.abc import Sequence

from sqlalchemy import and_, case, func, or_, select

from bitcache_server.domain.errors import NoCredit, UnknownTransfer
from bitcache_server.ledger import chart
from bitcache_server.ledger.balances import balance
from bitcache_server.ledger.journal import Entry, Kind, post, reverse
from bitcache_server.ledger.parts import Part, price_of
from bitcache_server.models.ledger import Transfer
from bitcache_server.models.session import AnySession


def receive(
    session: AnySession, invoice_id: str, source_account: str, amount_msat: int, now: int
) -> str:
    """Book a payer's money to the invoice.

    ``source_account`` says where the money stands: ``clearing:<rail>`` (ours and
    confirmed), ``unconfirmed:<rail>`` (ours, accepted on sight) or
    ``merchant:<id>`` (the merchant's own wallet got it and so owes it). If the
    operator lost money to this invoice before, the new money makes up for it first.
    """
    entry = Entry(Kind.RECEIPT, source_account, chart.invoice(invoice_id), amount_msat)
    group_id = post(session, [entry], owner_id=invoice_id, now=now).group_id
    _settle_loss(session, invoice_id, now)
    return group_id


def confirm_sight(session: AnySession, invoice_id: str, receipt_group: str, now: int) -> str:
    """Book that a receipt accepted on sight is confirmed, into the group of the receipt.

    So ``unreceive`` takes both back at once. Raises UnknownTransfer when the group
    is no receipt accepted on sight.
    """
    receipt = session.scalars(
        select(Transfer).where(
            Transfer.owner_id == invoice_id,
            Transfer.group_id == receipt_group,
            Transfer.kind == Kind.RECEIPT.value,
        )
    ).one_or_none()
    source = chart.parse(receipt.from_account) if receipt else None
    if receipt is None or source is None or source.kind is not chart.AccountKind.UNCONFIRMED:
        raise UnknownTransfer(f"{receipt_group[:64]!r} is no receipt accepted on sight.")
    clearing = chart.clearing(source.key)
    entry = Entry(Kind.CONFIRMATION, clearing, receipt.from_account, receipt.amount_msat)
    return post(session, [entry], owner_id=invoice_id, now=now, group_id=receipt_group).group_id


def unreceive(session: AnySession, invoice_id: str, receipt_group: str, now: int) -> str:
    """Take a receipt back, with its confirmation, because the payment vanished.

    What the invoice no longer has, because it was sold or claimed, is the
    operator's loss.
    """
    group_id = reverse(session, receipt_group, owner_id=invoice_id, now=now).group_id
    _settle_loss(session, invoice_id, now)
    return group_id


def sell(
    session: AnySession,
    invoice_id: str,
    parts: Sequence[Part],
    *,
    rounding_msat: int,
    now: int,
) -> str:
    """Give merchants and operator their parts of the price, and book the rounding beside it.

    Takes the parts and ``rounding_msat`` from the invoice. Raises NoCredit when the
    invoice holds less.
    """
    _require_credit(session, invoice_id, price_of(parts) + rounding_msat)
    invoice = chart.invoice(invoice_id)
    entries = [Entry(part.kind, invoice, part.account, part.amount_msat) for part in parts]
    if rounding_msat:
        entries.append(Entry(Kind.ROUNDING, invoice, chart.ROUNDING, rounding_msat))
    return post(session, entries, owner_id=invoice_id, now=now).group_id


def unsell(session: AnySession, invoice_id: str, sale_group: str, now: int) -> str:
    """Take a sale back: merchant and operator return their parts to the invoice."""
    group_id = reverse(session, sale_group, owner_id=invoice_id, now=now).group_id
    _settle_loss(session, invoice_id, now)
    return group_id


def claim_credit(
    session: AnySession, invoice_id: str, wallet_id: str, amount_msat: int, now: int
) -> str:
    """Move money of an invoice to the balance of the reader who paid it.

    Raises NoCredit when the invoice holds less, UnknownWallet.
    """
    _require_credit(session, invoice_id, amount_msat)
    entry = Entry(Kind.CLAIM, chart.invoice(invoice_id), chart.wallet(wallet_id), amount_msat)
    return post(session, [entry], owner_id=invoice_id, now=now).group_id


def give_starter_credit(session: AnySession, wallet_id: str, amount_msat: int, now: int) -> str:
    """Give a reader credit at the operator's cost. Raises UnknownWallet."""
    entry = Entry(Kind.GIFT, chart.PROMOTION, chart.gift(wallet_id), amount_msat)
    return post(session, [entry], owner_id=wallet_id, now=now).group_id


def _require_credit(session: AnySession, invoice_id: str, amount_msat: int) -> None:
    held_msat = balance(session, chart.invoice(invoice_id))
    if held_msat < amount_msat:
        raise NoCredit(f"The invoice holds {held_msat} msat; {amount_msat} msat are needed.")


def _settle_loss(session: AnySession, invoice_id: str, now: int) -> None:
    """Let the operator's loss be exactly what the invoice lacks, no more and no less."""
    invoice = chart.invoice(invoice_id)
    held_msat = balance(session, invoice)
    lost_msat = _lost(session, invoice_id)
    recovered_msat = min(held_msat, lost_msat)
    if held_msat < 0:
        entry = Entry(Kind.LOSS, chart.LOSS, invoice, -held_msat)
    elif recovered_msat:
        entry = Entry(Kind.RECOVERY, invoice, chart.LOSS, recovered_msat)
    else:
        return
    post(session, [entry], owner_id=invoice_id, now=now)


def _lost(session: AnySession, invoice_id: str) -> int:
    """Return what the operator put into the invoice and did not get back, in msat."""
    invoice = chart.invoice(invoice_id)
    amount = Transfer.amount_msat
    signed = case((Transfer.to_account == invoice, amount), else_=-amount)
    given = and_(Transfer.from_account == chart.LOSS, Transfer.to_account == invoice)
    returned = and_(Transfer.from_account == invoice, Transfer.to_account == chart.LOSS)
    query = select(func.coalesce(func.sum(signed), 0)).where(
        Transfer.owner_id == invoice_id, or_(given, returned)
    )
    return int(session.execute(query).scalar_one())
