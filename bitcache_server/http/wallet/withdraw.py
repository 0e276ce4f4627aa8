"""/wallet/withdraw: the reader's own money leaves, after the fee was shown.

The form leads to a page with the fee, whose address carries what was asked for, signed:
so a reader who must confirm who they are comes back to it with nothing lost, and no
other site can lead them to a button with an address of its choice behind it.
"""

import secrets
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
    PayoutsUnavailable,
)
from bitcache_server.domain.money import MSAT_PER_SAT
from bitcache_server.http.context import deps, session
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import same_origin
from bitcache_server.http.limits import UNLOCKS, check_limit
from bitcache_server.http.wallet.cookie import require_holder
from bitcache_server.http.wallet.look import page, whole_number
from bitcache_server.http.wallet.withdraw_order import (
    MAX_ADDRESS_CHARS,
    MAX_AMOUNT_CHARS,
    WithdrawOrder,
    open_order,
    seal_order,
)
from bitcache_server.models.payouts import Payout
from bitcache_server.services.payout_views import short_destination
from bitcache_server.services.payouts import least_of_all_msat
from bitcache_server.services.wallet_views import wallet_view, withdrawals
from bitcache_server.services.wallets import is_confirmed, require_confirmation
from bitcache_server.services.withdraw import (
    WithdrawalQuote,
    quote_withdrawal,
    request_withdrawal,
)
from bitcache_server.services.withdraw_links import open_links

PATH = "/wallet/withdraw"
NOTICES = {
    "asked": "The withdrawal is on its way. Its amount and fee have left your balance.",
    "taken_back": "The link opens nothing any more, and its money is back.",
    "over": "That page is over. Nothing has left your balance; enter the address again.",
}
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


def show() -> Response:
    """Ask where the money goes, and list what went."""
    return _form()


def refused(error: BitcacheError) -> Response:
    """Return the form with what could not be done."""
    return _form(error)


def _form(failed: BitcacheError | None = None) -> Response:
    known = require_holder()
    typed = _typed(known.wallet_id) or WithdrawOrder()
    least_msat = least_of_all_msat(deps())
    return page(
        "wallet_withdraw.html",
        status=status_of(type(failed)) if failed else 200,
        here="withdraw",
        wallet=wallet_view(deps(), session(), known.wallet_id),
        withdrawals=withdrawals(session(), known.wallet_id),
        words=_state_words,
        links=open_links(deps(), session(), known.wallet_id),
        short=short_destination,
        address=typed.address,
        amount=typed.amount,
        least_sat=least_msat // MSAT_PER_SAT,
        onchain_least_sat=deps().settings.withdrawal_min_sat,
        over_lightning=least_msat == MSAT_PER_SAT,
        failed=failed.detail if failed else "",
        notice=NOTICES.get(request.args.get("done", "")),
    )


def _state_words(payout: Payout) -> str:
    rail = deps().rails.get(payout.rail)
    known = SINGLE_STATES if rail and rail.payouts_together == 1 else STATES
    return known.get(payout.state, payout.state)


def check() -> AnyResponse:
    """Lead to the page with the fee, or say what is wrong with the form."""
    same_origin()
    check_limit(UNLOCKS)
    known = require_holder()
    order = _typed(known.wallet_id) or WithdrawOrder()
    try:
        _quote(known.wallet_id, order)
    except REFUSALS as error:
        return _form(error)
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
        return _form(error)
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
        key=secrets.token_urlsafe(16),
        confirmed=is_confirmed(deps(), session(), known),
        confirm_url=f"/wallet/confirm?{urlencode({'next': here})}",
        change_url=_with_order(PATH, known.wallet_id, order),
        failed=failed,
    )


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
        return _form(error)
    return redirect(f"{PATH}?done=asked", 303)


def _fee_changed(wallet_id: str, error: PayoutFeeChanged) -> Response:
    """Show the new fee on the same page: nothing was booked."""
    try:
        quote = _quote(wallet_id, _typed(wallet_id) or WithdrawOrder())
    except REFUSALS as refusal:
        return _form(refusal)
    words = f"{error.detail} Look at the new figures; nothing has left your balance."
    return _review(quote, words, status_of(PayoutFeeChanged))
