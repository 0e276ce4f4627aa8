"""/wallet/withdraw: the reader's own money leaves, after the fee was shown.

The form leads to a page with the fee, whose address carries what was asked for: so a
reader who must confirm who they are comes back to it with nothing lost.
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
from bitcache_server.http.context import deps, session
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import same_origin
from bitcache_server.http.limits import UNLOCKS, check_limit
from bitcache_server.http.wallet.cookie import require_holder
from bitcache_server.http.wallet.look import page, whole_number
from bitcache_server.services.wallet_views import wallet_view, withdrawals
from bitcache_server.services.wallets import is_confirmed, require_confirmation
from bitcache_server.services.withdraw import (
    WithdrawalQuote,
    quote_withdrawal,
    request_withdrawal,
)

PATH = "/wallet/withdraw"
NOTICES = {"asked": "The withdrawal is on its way. Its amount and fee have left your balance."}
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
    "waiting": "Waits for the next transaction",
    "sending": "Sent, waits for its confirmation",
    "settled": "Arrived",
    "cancelled": "Cancelled, the money is back",
    "rejected": "Rejected, the money is back",
}


def add_routes(pages: Blueprint) -> None:
    """Add the form, the page with the fee, and the request."""
    pages.add_url_rule("/withdraw", "withdraw", show)
    pages.add_url_rule("/withdraw/review", "withdraw_review", review)
    pages.add_url_rule("/withdraw", "withdraw_request", ask, methods=["POST"])


def show() -> Response:
    """Ask where the money goes, and list what went."""
    return _form()


def _form(failed: BitcacheError | None = None) -> Response:
    known = require_holder()
    return page(
        "wallet_withdraw.html",
        status=status_of(type(failed)) if failed else 200,
        here="withdraw",
        wallet=wallet_view(deps(), session(), known.wallet_id),
        withdrawals=withdrawals(session(), known.wallet_id),
        states=STATES,
        address=request.values.get("address", "")[:200],
        amount=request.values.get("amount", "")[:20],
        least_sat=deps().settings.withdrawal_min_sat,
        failed=failed.detail if failed else "",
        notice=NOTICES.get(request.args.get("done", "")),
    )


def review() -> Response:
    """Show what arrives, what the network takes, and what leaves the balance."""
    check_limit(UNLOCKS)
    known = require_holder()
    try:
        quote = _quote(known.wallet_id)
    except REFUSALS as error:
        return _form(error)
    return _review(quote)


def _review(quote: WithdrawalQuote, failed: str = "", status: int = 200) -> Response:
    known = require_holder()
    again = urlencode({"address": quote.address, "amount": quote.amount_sat})
    return page(
        "wallet_withdraw_review.html",
        status=status,
        here="withdraw",
        quote=quote,
        key=secrets.token_urlsafe(16),
        confirmed=is_confirmed(deps(), session(), known),
        confirm_url=f"/wallet/confirm?{urlencode({'next': f'{PATH}/review?{again}'})}",
        change_url=f"{PATH}?{again}",
        failed=failed,
    )


def _quote(wallet_id: str) -> WithdrawalQuote:
    text = request.values.get("amount", "").strip()
    amount_sat = whole_number(text) if text else None
    address = request.values.get("address", "").strip()
    return quote_withdrawal(deps(), session(), wallet_id, address, amount_sat)


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
            amount_sat=whole_number(request.form.get("amount", "")),
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
        quote = _quote(wallet_id)
    except REFUSALS as refusal:
        return _form(refusal)
    words = f"{error.detail} Look at the new figures; nothing has left your balance."
    return _review(quote, words, status_of(PayoutFeeChanged))
