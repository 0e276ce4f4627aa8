"""Give the payer an address, and as few new ones as is safe."""

import hashlib

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import AddressesExhausted, InvoiceClosed, RailUnavailable
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.sales import Address, AddressBook, Invoice, RequestRow
from bitcache_server.models.upsert import insert_missing
from bitcache_server.rails.base import PaymentOrder, PaymentRequest, Rail
from bitcache_server.services.deps import Deps
from bitcache_server.services.offers import account_of, check_rail, confirmations_for


def request_payment(deps: Deps, session: Session, invoice: Invoice, rail_name: str) -> RequestRow:
    """Return how to pay the invoice over a rail; the same answer when asked again.

    Runs inside the caller's transaction. Raises InvoiceClosed after expiry, so
    that nobody is invited to pay late.
    """
    # Two clicks at the same moment: the second waits here and finds the first's answer.
    locked = select(Invoice).where(Invoice.id == invoice.id).with_for_update()
    session.scalar(locked.execution_options(populate_existing=True))
    existing = session.get(RequestRow, (invoice.id, rail_name))
    if existing is not None:
        return existing
    now = deps.clock()
    if invoice.state != InvoiceState.OPEN or now > invoice.expires_at:
        raise InvoiceClosed("The invoice is paid or has expired. Create a new one.")
    merchant = session.get_one(Merchant, invoice.merchant_id) if invoice.merchant_id else None
    check_rail(deps, session, merchant, rail_name, invoice.amount_msat)
    account = account_of(deps, merchant)
    if account is None:
        raise RailUnavailable("Neither the merchant nor the operator has given a descriptor.")
    rail = deps.rail(rail_name)
    book = _locked_book(session, rail_name, _normal_form(deps, rail, account))
    index, request = _assign(deps, session, rail, book, invoice)
    row = RequestRow(
        invoice_id=invoice.id,
        rail=rail_name,
        destination=request.destination,
        target=request.target,
        amount_msat=request.amount_msat,
        address_index=index,
        confirmations_required=_confirmations(deps, invoice),
        created_at=now,
    )
    session.add(row)
    invoice.changed_at = now
    invoice.version += 1
    session.flush()
    return row


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
