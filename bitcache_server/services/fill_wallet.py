"""A click that the balance is too small for lets the reader's connected wallet fill it.

It is done where the click waits, outside of any transaction and with a time limit, since a
job would have to be told of the click, and the click of the job. One automatic top-up of a
wallet is open at a time. It ends when our own node has the money, when the reader's wallet
says that it failed, or when its invoice has expired and can bring nothing more; until then
no other is begun, so an end that nobody knows is never paid for twice. What the wallet
claims is not believed: only what our node received is booked.
"""

import time
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import (
    BitcacheError,
    ConnectionInvalid,
    InsufficientBalance,
    RailError,
)
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.domain.outcome import Outcome
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.sales import Invoice, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import WalletConnection
from bitcache_server.rails.base import PaymentRequest, StreamRail
from bitcache_server.rails.lightning.backend import BackendSettings, PayOrder, Sent
from bitcache_server.rails.lightning.nwc import NwcBackend
from bitcache_server.services.deps import Deps
from bitcache_server.services.request_payment import ask_for_payment
from bitcache_server.services.strangers import place_to_wait
from bitcache_server.services.top_up import create_top_up
from bitcache_server.services.unlock_item import Unlocked, UnlockOrder, read_offer, unlock_item
from bitcache_server.services.visits import count_started
from bitcache_server.services.wallet_connections import (
    RAIL_NAME,
    check_relays,
    connection_text,
    is_open,
)
from bitcache_server.services.watch_stream import book_settlement

#: How long a wallet may take for one answer, and for a payment.
_ANSWER_S, _PAY_S = 3.0, 6.0
#: How long the click waits for the money after the wallet was told to pay.
_WAIT_S = 8.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, repr=False)
class _TopUp:
    """One automatic top-up: who pays it with what, and whether it was told to."""

    invoice_id: str
    connection: str
    told_before: bool


def unlock_or_fill(deps: Deps, session: Session, order: UnlockOrder) -> Unlocked:
    """Do as ``unlock_item``; where the balance is too small, fill it first if that may be."""
    try:
        return unlock_item(deps, session, order)
    except InsufficientBalance:
        fill_for(deps, session, order)
        return unlock_item(deps, session, order)


def fill_for(deps: Deps, session: Session, order: UnlockOrder) -> None:
    """Return when the balance may suffice now; raise InsufficientBalance when it does not.

    Its words say what became of it. Opens its own transactions. Where nobody clicked
    (``auto``), and without a connected wallet, nothing is tried.
    """
    try:
        _fill_for(deps, session, order)
    except InsufficientBalance:
        if not order.auto:
            count_started(deps, order.item_id)
        raise


def _fill_for(deps: Deps, session: Session, order: UnlockOrder) -> None:
    session.rollback()
    if order.auto or session.get(WalletConnection, order.wallet_id) is None:
        raise InsufficientBalance()
    missing_msat = _missing_msat(deps, session, order)
    session.rollback()
    if missing_msat <= 0:
        return
    with place_to_wait() as has_place:
        if not has_place:
            raise InsufficientBalance("Many wallets are being asked at this moment; try again.")
        _fill(deps, session, order.wallet_id, missing_msat)


def fills_msat(
    deps: Deps, session: Session, wallet_id: str, missing_msat: int | None
) -> int | None:
    """Return what the connected wallet would add now, for a page that offers it; None if nothing.

    The limits are looked at again when it is asked.
    """
    if not missing_msat:
        return None
    row = session.get(WalletConnection, wallet_id, populate_existing=True)
    if row is None:
        return None
    if row.invoice_id is not None and is_open(deps, session, row.invoice_id):
        return row.amount_msat
    return None if _limit(deps, row, missing_msat) else row.amount_msat


def _missing_msat(deps: Deps, session: Session, order: UnlockOrder) -> int:
    price_msat = sum(part.amount_msat for part in read_offer(deps, session, order.item_id).parts)
    wallet = session.get(Wallet, order.wallet_id, populate_existing=True)
    return 0 if wallet is None else price_msat - wallet.balance_msat - wallet.gift_msat


def _fill(deps: Deps, session: Session, wallet_id: str, missing_msat: int) -> None:
    ends_at = time.monotonic() + _ANSWER_S + _WAIT_S
    try:
        with write_transaction(session):
            top_up = _begin(deps, session, wallet_id, missing_msat)
    except InsufficientBalance:
        raise
    except BitcacheError as error:
        # Nothing was stored: no way to be paid, or too many codes wait.
        raise InsufficientBalance(f"The balance could not be filled: {error.detail}") from None
    failure = "" if top_up.told_before else _tell(deps, session, wallet_id, top_up)
    if failure:
        _give_up(deps, session, wallet_id, top_up.invoice_id, failure)
        raise InsufficientBalance(f"Your wallet did not fill the balance: {failure}")
    if not _wait(deps, session, wallet_id, top_up.invoice_id, ends_at):
        raise InsufficientBalance(
            "Your wallet was asked to fill the balance and has not paid yet. It is not asked "
            "again before that has ended; what it pays arrives in your balance."
        )


def _begin(deps: Deps, session: Session, wallet_id: str, missing_msat: int) -> _TopUp:
    """Count the amount and make the invoice; or return the top-up that is open."""
    query = select(WalletConnection).where(WalletConnection.wallet_id == wallet_id)
    row = session.scalars(
        query.with_for_update().execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise InsufficientBalance()
    if row.invoice_id is not None and is_open(deps, session, row.invoice_id):
        return _TopUp(row.invoice_id, "", told_before=True)
    if refusal := _limit(deps, row, missing_msat):
        raise InsufficientBalance(refusal)
    text = connection_text(deps, row)
    if text is None:
        raise InsufficientBalance("Connect your wallet once more: this server has a new key.")
    invoice = create_top_up(deps, session, wallet_id, row.amount_msat // MSAT_PER_SAT, RAIL_NAME)
    spent_msat = _spent_today_msat(deps, row) + row.amount_msat
    row.day, row.spent_msat = deps.clock() // SECONDS_PER_DAY, spent_msat
    row.invoice_id, row.used_at, row.error = invoice.id, deps.clock(), ""
    return _TopUp(invoice.id, text, told_before=False)


def _limit(deps: Deps, row: WalletConnection, missing_msat: int) -> str:
    """Return which of the reader's limits forbids a top-up now, in words; empty for none."""
    if missing_msat > row.amount_msat:
        return (
            f"This is dearer than the {format_sat(row.amount_msat)} that your wallet fills up "
            "at a time."
        )
    if _spent_today_msat(deps, row) + row.amount_msat > row.per_day_msat:
        return "Your wallet has filled up as much today as you allowed."
    return ""


def _spent_today_msat(deps: Deps, row: WalletConnection) -> int:
    return row.spent_msat if row.day == deps.clock() // SECONDS_PER_DAY else 0


def _tell(deps: Deps, session: Session, wallet_id: str, top_up: _TopUp) -> str:
    """Let the wallet pay; return why nothing is on its way, or nothing."""
    try:
        check_relays(deps, top_up.connection)
        ask_for_payment(deps, session, top_up.invoice_id, RAIL_NAME)
    except ConnectionInvalid as error:
        return error.detail
    except RailError as error:
        # What a node says of itself is for its operator.
        return f"{error.title}."
    except BitcacheError as error:
        return error.detail
    request = session.get_one(RequestRow, (top_up.invoice_id, RAIL_NAME))
    order = PayOrder(request.destination, request.target, request.amount_msat, 0, _PAY_S)
    session.rollback()
    sent = _pay(top_up.connection, order)
    if sent.outcome is Outcome.FAILED:
        return sent.detail
    if sent.outcome is not Outcome.SETTLED:
        _note(session, wallet_id, top_up.invoice_id, sent.detail)
    return ""


def _pay(connection: str, order: PayOrder) -> Sent:
    wallet = NwcBackend(BackendSettings(connection, "", connection, "", _ANSWER_S, False))
    try:
        return wallet.pay(order)
    finally:
        wallet.close()


def _wait(deps: Deps, session: Session, wallet_id: str, invoice_id: str, ends_at: float) -> bool:
    """Return whether our node has the money, asking it until the time is over."""
    rail = deps.rail(RAIL_NAME)
    while True:
        row = session.get(RequestRow, (invoice_id, RAIL_NAME), populate_existing=True)
        waits = is_open(deps, session, invoice_id)
        session.rollback()
        if not waits:
            break
        # Another click made the invoice and has not asked for its request yet.
        if row is not None and isinstance(rail, StreamRail) and _book(deps, session, rail, row):
            break
        if time.monotonic() >= ends_at:
            return False
        time.sleep(_LOOK_EVERY_S)
    with write_transaction(session):
        _close(session, wallet_id, invoice_id)
    return True


def _book(deps: Deps, session: Session, rail: StreamRail, row: RequestRow) -> bool:
    """Book the payment as the job would that watches the node; both at once do it once."""
    request = PaymentRequest(
        row.rail, row.destination, row.target, row.amount_msat, row.description, row.check_url
    )
    try:
        settlement = rail.check_request(request)
    except RailError:
        return False  # the job will see it
    if settlement is None:
        return False
    with write_transaction(session):
        book_settlement(deps, session, settlement)
    return True


def _give_up(deps: Deps, session: Session, wallet_id: str, invoice_id: str, failure: str) -> None:
    """End a top-up for which no money left the wallet, and give its amount back to the day.

    Its invoice ends, too, so that it does not count among the codes that wait for money.
    """
    with write_transaction(session):
        query = select(Invoice).where(Invoice.id == invoice_id).with_for_update()
        invoice = session.scalars(query.execution_options(populate_existing=True)).one()
        row = _close(session, wallet_id, invoice_id)
        if row is None or invoice.state != InvoiceState.OPEN:
            return
        invoice.expires_at = deps.clock() - deps.settings.late_grace_s - 1
        row.error = failure[:300]
        if row.day == deps.clock() // SECONDS_PER_DAY:
            row.spent_msat = max(0, row.spent_msat - invoice.amount_msat)


def _note(session: Session, wallet_id: str, invoice_id: str, words: str) -> None:
    with write_transaction(session):
        row = session.get(WalletConnection, wallet_id, with_for_update=True)
        if row is not None and row.invoice_id == invoice_id:
            row.error = words[:300]


def _close(session: Session, wallet_id: str, invoice_id: str) -> WalletConnection | None:
    """Return the connection, with no top-up open, if it is still this one that is."""
    row = session.get(WalletConnection, wallet_id, with_for_update=True, populate_existing=True)
    if row is None or row.invoice_id != invoice_id:
        return None
    row.invoice_id, row.error = None, ""
    return row
