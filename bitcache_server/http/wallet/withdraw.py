"""/wallet/withdraw: the reader's own money leaves, after the fee was shown.

The form leads to a page with the fee, whose address carries what was asked for, signed:
so a reader who must confirm who they are comes back to it with nothing lost, and no
other site can lead them to a button with an address of its choice behind it.
"""

import secrets
from collections.abc import Sequence
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from bitcache_server.domain.errors import (
    AddressInvalid,
    BitcacheError,
    IdempotencyConflict,
    InsufficientBalance,
    InvalidRequest,
    PayoutFeeChanged,
    PayoutLimit,
    PayoutNotWaiting,
    PayoutsUnavailable,
)
from bitcache_server.domain.money import MSAT_PER_SAT
from bitcache_server.domain.payout_state import PayoutState
from bitcache_server.http.context import deps, session
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import same_origin
from bitcache_server.http.limits import UNLOCKS, check_limit
from bitcache_server.http.wallet.cookie import require_holder
from bitcache_server.http.wallet.look import page, whole_number
from bitcache_server.http.wallet.withdraw_order import (
    BY_CODE,
    MAX_ADDRESS_CHARS,
    MAX_AMOUNT_CHARS,
    WithdrawOrder,
    open_order,
    seal_order,
)
from bitcache_server.models.payouts import Payout
from bitcache_server.services.browsers import is_confirmed, require_confirmation
from bitcache_server.services.once import in_transaction
from bitcache_server.services.payout_views import short_destination
from bitcache_server.services.payouts import least_of_all_msat
from bitcache_server.services.wallet_views import wallet_view, withdrawals
from bitcache_server.services.withdraw import (
    WithdrawalQuote,
    can_be_taken_back,
    quote_withdrawal,
    request_withdrawal,
    take_back,
)
from bitcache_server.services.withdraw_destination import ask_address
from bitcache_server.services.withdraw_links import open_links

PATH = "/wallet/withdraw"
NOTICES = {
    "asked": "The withdrawal is on its way. Its amount and fee have left your balance.",
    "back": "It was taken back: amount and fee are in your balance again.",
    "taken_back": "The link opens nothing any more, and its money is back.",
    "over": "That page is over. Nothing has left your balance; enter the address again.",
}
#: What became of the one that was asked for last, once that is known.
_ENDED = {
    PayoutState.SETTLED: "The withdrawal has arrived.",
    PayoutState.FAILED: "The withdrawal failed. Its money is in your balance again.",
}
#: A Lightning payment ends within moments; a page that loads itself again waits no longer.
_WATCHED_S = 600
#: What a reader can put right on the page where it happened.
REFUSALS = (
    AddressInvalid,
    InsufficientBalance,
    InvalidRequest,
    PayoutLimit,
    PayoutsUnavailable,
)
STATES = {
    "approval": "Being looked at by the operator",
    "offered": "Waits behind a link until it is claimed",
    "waiting": "Waits for the next transaction",
    "sending": "Sent, waits for its confirmation",
    "settled": "Arrived",
    "cancelled": "Cancelled, the money is back",
    "rejected": "Rejected, the money is back",
    "failed": "Failed, the money is back",
}
#: Where each is a payment of its own.
SINGLE_STATES = {**STATES, "waiting": "Waits to be sent", "sending": "On its way"}


def add_routes(pages: Blueprint) -> None:
    """Add the form, the page with the fee, and the request."""
    pages.add_url_rule("/withdraw", "withdraw", show)
    pages.add_url_rule("/withdraw/review", "withdraw_review", review)
    pages.add_url_rule("/withdraw/review", "withdraw_check", check, methods=["POST"])
    pages.add_url_rule("/withdraw", "withdraw_request", ask, methods=["POST"])
    pages.add_url_rule("/withdraw/<payout_id>/cancel", "withdraw_cancel", cancel, methods=["POST"])


def show() -> Response:
    """Ask where the money goes, and list what went."""
    known = require_holder()
    typed = _typed(known.wallet_id)
    if typed is not None and typed.address in BY_CODE:
        return form(link_amount=typed.amount)
    return form(typed)


def form(
    typed: WithdrawOrder | None = None,
    *,
    link_amount: str | None = None,
    failed: BitcacheError | None = None,
) -> Response:
    """Return the page, with what was typed on it and what could not be done.

    ``link_amount`` is what stood in the form of links; None when that was not the one in use.
    While a payment is about to end the page looks again by itself, so it asks for nothing.
    """
    known = require_holder()
    gone = withdrawals(session(), known.wallet_id)
    in_use = typed is not None or link_amount is not None or failed is not None
    least_msat = least_of_all_msat(deps())
    return page(
        "wallet_withdraw.html",
        status=status_of(type(failed)) if failed else 200,
        here="withdraw",
        wallet=wallet_view(deps(), session(), known.wallet_id),
        withdrawals=gone,
        words=_state_words,
        tried_again=_is_tried_again,
        links=open_links(deps(), session(), known.wallet_id),
        can_be_taken_back=can_be_taken_back(session(), known.wallet_id),
        short=short_destination,
        typed=typed or WithdrawOrder(),
        link_amount=link_amount or "",
        failed_link=failed is not None and link_amount is not None,
        waits=not in_use and "more" not in request.args and any(map(_ends_soon, gone)),
        least_sat=least_msat // MSAT_PER_SAT,
        onchain_least_sat=deps().settings.withdrawal_min_sat,
        over_lightning=least_msat == MSAT_PER_SAT,
        failed=failed.detail if failed else "",
        notice="" if failed else _notice(gone),
    )


def _notice(gone: Sequence[Payout]) -> str:
    done = request.args.get("done", "")
    ended = _ENDED.get(PayoutState(gone[0].state)) if gone and done == "asked" else None
    return ended or NOTICES.get(done, "")


def _is_single(payout: Payout) -> bool:
    """Return whether it is a payment of its own, as over Lightning."""
    rail = deps().rails.get(payout.rail)
    return rail is not None and rail.payouts_together == 1


def _is_tried_again(payout: Payout) -> bool:
    """Return whether it waits because its destination failed; all else is for operators."""
    return payout.state == PayoutState.WAITING and payout.next_try_at > 0


def _ends_soon(payout: Payout) -> bool:
    if payout.state not in (PayoutState.WAITING, PayoutState.SENDING):
        return False
    is_young = 0 <= deps().clock() - payout.created_at < _WATCHED_S
    return is_young and _is_single(payout) and not _is_tried_again(payout)


def _state_words(payout: Payout) -> str:
    known = SINGLE_STATES if _is_single(payout) else STATES
    return known.get(payout.state, payout.state)


def check() -> AnyResponse:
    """Lead to the page with the fee, or say what is wrong with the form."""
    same_origin()
    check_limit(UNLOCKS)
    known = require_holder()
    order = _typed(known.wallet_id) or WithdrawOrder()
    try:
        quote = _quote(known.wallet_id, order)
        ask_address(deps(), session(), quote.rail, quote.address, quote.amount_msat)
    except REFUSALS as error:
        return form(order, failed=error)
    return redirect(_with_order(f"{PATH}/review", known.wallet_id, order), 303)


def review() -> AnyResponse:
    """Show what arrives, what the network takes, and what leaves the balance."""
    check_limit(UNLOCKS)
    known = require_holder()
    order = _typed(known.wallet_id)
    if order is None:
        return redirect(f"{PATH}?done=over", 303)
    try:
        quote = _quote(known.wallet_id, order)
    except REFUSALS as error:
        return form(order, failed=error)
    return _review(quote)


def _typed(wallet_id: str) -> WithdrawOrder | None:
    """Return what the reader typed: now in a form, or before in what we have signed."""
    if request.method == "POST":
        address = request.form.get("address", "").strip()
        return WithdrawOrder(
            address[:MAX_ADDRESS_CHARS], request.form.get("amount", "").strip()[:MAX_AMOUNT_CHARS]
        )
    return open_order(deps(), wallet_id, request.args.get("order", ""))


def _with_order(path: str, wallet_id: str, order: WithdrawOrder) -> str:
    return f"{path}?{urlencode({'order': seal_order(deps(), wallet_id, order)})}"


def _review(quote: WithdrawalQuote, failed: str = "", status: int = 200) -> Response:
    known = require_holder()
    order = WithdrawOrder(quote.address, "" if quote.is_fixed else str(quote.amount_sat))
    here = _with_order(f"{PATH}/review", known.wallet_id, order)
    return page(
        "wallet_withdraw_review.html",
        status=status,
        here="withdraw",
        quote=quote,
        short=short_destination,
        payee=_short_key(quote),
        key=secrets.token_urlsafe(16),
        confirmed=is_confirmed(deps(), session(), known),
        confirm_url=f"/wallet/confirm?{urlencode({'next': here})}",
        change_url=_with_order(PATH, known.wallet_id, order),
        failed=failed,
    )


def _short_key(quote: WithdrawalQuote) -> str:
    """Return both ends of the key of the node that an invoice pays, as wallets show it."""
    return f"{quote.invoice.payee[:10]}…{quote.invoice.payee[-10:]}" if quote.invoice else ""


def _quote(wallet_id: str, order: WithdrawOrder) -> WithdrawalQuote:
    amount_sat = _amount_sat(order.amount)
    return quote_withdrawal(deps(), session(), wallet_id, order.address, amount_sat)


def _amount_sat(text: str) -> int | None:
    return whole_number(text) if text else None


def ask() -> AnyResponse:
    """Reserve the money; sending the form twice asks once."""
    same_origin()
    check_limit(UNLOCKS)
    known = require_holder()
    require_confirmation(deps(), session(), known)
    try:
        request_withdrawal(
            deps(),
            session(),
            known.wallet_id,
            address=request.form.get("address", ""),
            amount_sat=_amount_sat(request.form.get("amount", "").strip()),
            fee_msat=whole_number(request.form.get("fee_msat", "")),
            idempotency_key=request.form.get("key", "")[:64],
        )
    except PayoutFeeChanged as error:
        return _fee_changed(known.wallet_id, error)
    except (*REFUSALS, IdempotencyConflict) as error:
        return form(_typed(known.wallet_id), failed=error)
    return redirect(f"{PATH}?done=asked", 303)


def cancel(payout_id: str) -> AnyResponse:
    """Take back what no payment carries; amount and fee come back."""
    same_origin()
    known = require_holder()
    try:
        in_transaction(session(), lambda: take_back(deps(), session(), known.wallet_id, payout_id))
    except PayoutNotWaiting as error:
        return form(failed=error)
    return redirect(f"{PATH}?done=back", 303)


def _fee_changed(wallet_id: str, error: PayoutFeeChanged) -> Response:
    """Show the new fee on the same page: nothing was booked."""
    typed = _typed(wallet_id) or WithdrawOrder()
    try:
        quote = _quote(wallet_id, typed)
    except REFUSALS as refusal:
        return form(typed, failed=refusal)
    words = f"{error.detail} Look at the new figures; nothing has left your balance."
    return _review(quote, words, status_of(PayoutFeeChanged))
