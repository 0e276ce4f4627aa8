"""Give the payer an address or an invoice of a node, and as few new addresses as is safe."""

import hashlib
import json

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AddressesExhausted,
    BitcacheError,
    InvoiceClosed,
    LnurlRefused,
    RailUnavailable,
)
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.models.catalog import Item, Merchant, Site
from bitcache_server.models.sales import Address, AddressBook, Invoice, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.rails.base import ChainRail, PaymentOrder, PaymentRequest, Rail, StreamRail
from bitcache_server.services.deps import Deps
from bitcache_server.services.invoices import find_invoice
from bitcache_server.services.offers import check_rail, confirmations_for, offers_for

#: Asks for every rail on offer at once.
ANY = "any"


def ask_for_payment(
    deps: Deps, session: Session, invoice_id: str, rail_name: str, description: str | None = None
) -> None:
    """Give the invoice a payment request over a rail, or over all on offer with ``any``.

    Asking again changes nothing. Opens its own transactions and asks a node between them:
    of two readers who ask at once the first whose answer is stored wins, and both get that
    one. With ``any`` a rail that fails while another succeeds is left out; when all fail,
    the first error is raised. ``description`` is what a Lightning invoice commits to;
    without it, it says what is sold. Raises UnknownInvoice, UnknownRail, InvoiceClosed,
    AmountBelowFloor, RailUnavailable, AddressesExhausted, RailError, and for a merchant's
    Lightning address what ``LnurlClient`` raises.
    """
    session.rollback()
    if rail_name != ANY:
        _ask(deps, session, invoice_id, rail_name, description)
        return
    names = _any_rails(deps, session, invoice_id)
    failures: list[BitcacheError] = []
    for name in names:
        try:
            _ask(deps, session, invoice_id, name, description)
        except BitcacheError as error:
            failures.append(error)
    if len(failures) == len(names):
        raise failures[0]


def asks_a_node(deps: Deps, rail_name: str) -> bool:
    """Return whether a request over this rail, or over ``any``, may wait for a network."""
    return not isinstance(deps.rails.get(rail_name), ChainRail)


def _any_rails(deps: Deps, session: Session, invoice_id: str) -> list[str]:
    """Return the rails on offer, and none but those that were asked for once it is closed."""
    invoice = find_invoice(session, invoice_id)
    asked = select(RequestRow.rail).where(RequestRow.invoice_id == invoice_id)
    names = list(session.scalars(asked))
    if not _is_closed(deps, invoice):
        offers = offers_for(deps, session, _merchant(session, invoice), invoice.amount_msat)
        names += [name for name in offers.rails if name not in names]
        if not names:
            raise next(iter(offers.refusals), RailUnavailable("No way to pay is switched on."))
    session.rollback()
    if not names:
        raise _closed()
    return names


def _ask(
    deps: Deps, session: Session, invoice_id: str, rail_name: str, description: str | None
) -> None:
    rail = deps.rail(rail_name)
    if not isinstance(rail, StreamRail):
        with write_transaction(session):
            request_address(deps, session, find_invoice(session, invoice_id), rail_name)
        return
    order = _order(deps, session, invoice_id, rail, description)
    session.rollback()
    if order is None:
        return
    request = rail.create_request(order)
    with write_transaction(session):
        invoice = _locked(session, invoice_id)
        if session.get(RequestRow, (invoice_id, rail_name), populate_existing=True) is not None:
            return  # Another one was faster; nobody sees what was made here.
        if _is_closed(deps, invoice) or invoice.direct is not bool(request.check_url):
            raise _closed()
        _refuse_known(session, request)
        _store(deps, session, invoice, request, None, 0)


def _refuse_known(session: Session, request: PaymentRequest) -> None:
    """Raise LnurlRefused for an invoice that was handed out before, by whomever.

    A Lightning address that sends the same one twice would sell two purchases for one
    payment, and one of our own node's would be paid by somebody else's word.
    """
    query = select(RequestRow.invoice_id).where(
        RequestRow.rail == request.rail, RequestRow.target == request.target
    )
    if session.scalars(query).first() is not None:
        raise LnurlRefused("The Lightning address sent an invoice that was used before.")


def _order(
    deps: Deps, session: Session, invoice_id: str, rail: Rail, description: str | None
) -> PaymentOrder | None:
    """Return what to ask the node for; None when it was asked before."""
    invoice = find_invoice(session, invoice_id)
    if session.get(RequestRow, (invoice_id, rail.name)) is not None:
        return None
    if _is_closed(deps, invoice):
        raise _closed()
    merchant = _receiver(session, invoice)
    account = check_rail(deps, session, merchant, rail.name, invoice.amount_msat)
    memo, told = _words(deps, session, invoice, merchant)
    return PaymentOrder(
        invoice_id=invoice_id,
        amount_msat=invoice.amount_msat,
        expires_at=invoice.expires_at,
        account=_normal_form(deps, rail, account),
        index=0,
        memo=memo,
        description=told if description is None else description,
    )


def _words(
    deps: Deps, session: Session, invoice: Invoice, merchant: Merchant | None
) -> tuple[str, str]:
    item = session.get(Item, invoice.item_id) if invoice.item_id else None
    site = session.get(Site, invoice.site_id) if invoice.site_id else None
    title = item.title if item else ""
    where = site.name if site else deps.settings.public_url.partition("://")[2]
    if item is None:
        title = f"Payment to {merchant.name}" if merchant else "Top-up of a balance"
    return words_for(invoice, title, where)


def words_for(invoice: Invoice, title: str, where: str) -> tuple[str, str]:
    """Return what a wallet shows, and what the invoice commits to: JSON in one form only."""
    facts = {
        "amount_msat": invoice.amount_msat,
        "invoice": invoice.id,
        "item": invoice.item_id,
        "site": where,
        "title": title,
    }
    told = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{title} · {where}", told


def request_address(deps: Deps, session: Session, invoice: Invoice, rail_name: str) -> RequestRow:
    """Return how to pay the invoice over a chain rail; the same answer when asked again.

    Runs inside the caller's transaction and asks no node. Raises InvoiceClosed after
    expiry, so that nobody is invited to pay late.
    """
    # Two clicks at the same moment: the second waits here and finds the first's answer.
    _locked(session, invoice.id)
    existing = session.get(RequestRow, (invoice.id, rail_name))
    if existing is not None:
        return existing
    if _is_closed(deps, invoice):
        raise _closed()
    merchant = _receiver(session, invoice)
    account = check_rail(deps, session, merchant, rail_name, invoice.amount_msat)
    rail = deps.rail(rail_name)
    book = _locked_book(session, rail_name, _normal_form(deps, rail, account))
    index, request = _assign(deps, session, rail, book, invoice)
    return _store(deps, session, invoice, request, index, _confirmations(deps, invoice))


def _locked(session: Session, invoice_id: str) -> Invoice:
    locked = select(Invoice).where(Invoice.id == invoice_id).with_for_update()
    return session.scalars(locked.execution_options(populate_existing=True)).one()


def _merchant(session: Session, invoice: Invoice) -> Merchant | None:
    return session.get_one(Merchant, invoice.merchant_id) if invoice.merchant_id else None


def _receiver(session: Session, invoice: Invoice) -> Merchant | None:
    """Return who is paid; raise InvoiceClosed when that is not whom the invoice books.

    What a merchant's own wallet received must never be booked as money that we have.
    """
    merchant = _merchant(session, invoice)
    if merchant is not None and merchant.direct != invoice.direct:
        raise InvoiceClosed("How this merchant is paid was changed. Create a new invoice.")
    return merchant


def _is_closed(deps: Deps, invoice: Invoice) -> bool:
    return invoice.state != InvoiceState.OPEN or deps.clock() > invoice.expires_at


def _closed() -> InvoiceClosed:
    return InvoiceClosed("The invoice is paid or has expired. Create a new one.")


def _store(
    deps: Deps,
    session: Session,
    invoice: Invoice,
    request: PaymentRequest,
    index: int | None,
    confirmations: int,
) -> RequestRow:
    now = deps.clock()
    row = RequestRow(**request_values(invoice.id, request, index, confirmations, now))
    session.add(row)
    invoice.changed_at = now
    invoice.version += 1
    session.flush()
    return row


def request_values(
    invoice_id: str, request: PaymentRequest, index: int | None, confirmations: int, now: int
) -> dict[str, object]:
    """Return a request as it is stored, by the names of its columns."""
    return {
        "invoice_id": invoice_id,
        "rail": request.rail,
        "destination": request.destination,
        "target": request.target,
        "description": request.description,
        "check_url": request.check_url,
        "amount_msat": request.amount_msat,
        "address_index": index,
        "confirmations_required": confirmations,
        "created_at": now,
    }


def _confirmations(deps: Deps, invoice: Invoice) -> int:
    """Return how deep a payment of the invoice must be before it counts.

    What is topped up can be withdrawn, so it never counts on sight: money that may
    still be replaced must not leave again as money that cannot.
    """
    required = confirmations_for(deps, invoice.amount_msat)
    return required if invoice.wallet_id is None else max(required, 1)


def _normal_form(deps: Deps, rail: Rail, account: str) -> str:
    """Return the account as the rail derives from it: the settings may hold a bare key."""
    key = (rail.name, account)
    if key not in deps.accounts:
        deps.accounts[key] = rail.check_account(account)
    return deps.accounts[key]


def _locked_book(session: Session, rail_name: str, account: str) -> AddressBook:
    """Return the book of a descriptor, locked until commit: an index is given out once."""
    book_id = hashlib.sha256(f"{rail_name}:{account}".encode()).hexdigest()
    insert_missing(session, AddressBook, id=book_id, rail=rail_name, account=account, next_index=0)
    query = select(AddressBook).where(AddressBook.id == book_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def _assign(
    deps: Deps, session: Session, rail: Rail, book: AddressBook, invoice: Invoice
) -> tuple[int, PaymentRequest]:
    """Take the longest-free unused address; derive a new one only when there is none."""
    free_at = invoice.expires_at + deps.settings.late_grace_s + deps.settings.address_quarantine_s
    address = _reusable(deps, session, book, invoice)
    index = address.index if address is not None else book.next_index
    order = PaymentOrder(invoice.id, invoice.amount_msat, invoice.expires_at, book.account, index)
    request = rail.create_request(order)
    if address is not None:
        address.invoice_id, address.free_at = invoice.id, free_at
        return index, request
    book.next_index += 1
    session.add(
        Address(
            book_id=book.id,
            index=index,
            target=request.target,
            destination=request.destination,
            invoice_id=invoice.id,
            free_at=free_at,
            used=False,
        )
    )
    return index, request


def _reusable(deps: Deps, session: Session, book: AddressBook, invoice: Invoice) -> Address | None:
    """Return an address that expired unpaid long ago, or None to derive the next.

    Wallets look only a limited distance past the last used address (the gap limit
    of BIP 44). When the gap is full, an expired address is reused before its
    quarantine ends; when there is none either, AddressesExhausted is raised. What was
    given out for a top-up goes early to the same wallet only: everything that arrives on
    it becomes that wallet's money, so a reader's late payment would be somebody else's.
    """
    now = deps.clock()
    unused = (Address.book_id == book.id, Address.used.is_(False))
    expired = (*unused, Address.free_at < now + deps.settings.address_quarantine_s)
    if invoice.wallet_id is not None:
        # Before any other, so that one wallet never holds more than its open codes.
        own = _oldest(session, *expired, Invoice.wallet_id == invoice.wallet_id)
        if own is not None:
            return own
    if rested := _oldest(session, *unused, Address.free_at <= now):
        return rested
    last_used = session.scalar(
        select(func.max(Address.index)).where(Address.book_id == book.id, Address.used)
    )
    gap = book.next_index - (-1 if last_used is None else last_used) - 1
    if gap < deps.settings.gap_limit:
        return None
    if early := _oldest(session, *expired, Invoice.wallet_id.is_(None)):
        return early
    raise AddressesExhausted("Too many unpaid invoices are open. Try again in a few minutes.")


def _oldest(session: Session, *conditions: ColumnElement[bool]) -> Address | None:
    """Return the address that is free for the longest time, locked.

    So the watch cannot find money on it at the same moment.
    """
    query = select(Address).join(Invoice, Invoice.id == Address.invoice_id).where(*conditions)
    oldest = query.order_by(Address.free_at).limit(1).with_for_update(of=Address)
    return session.scalar(oldest.execution_options(populate_existing=True))
