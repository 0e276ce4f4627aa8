"""/wallet/withdraw/link: own money leaves by a link: scanned at once, or given to somebody.

As for an address, a page shows what it takes before anything leaves, and what was asked
for comes to it signed; see ``withdraw.py``.
"""

import secrets
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from bitcache_server.domain.errors import PayoutFeeChanged, PayoutNotWaiting
from bitcache_server.http.context import deps, session
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import same_origin
from bitcache_server.http.limits import UNLOCKS, check_limit
from bitcache_server.http.wallet.cookie import require_holder
from bitcache_server.http.wallet.look import page, whole_number
from bitcache_server.http.wallet.withdraw import PATH as WITHDRAW
from bitcache_server.http.wallet.withdraw import REFUSALS, form
from bitcache_server.http.wallet.withdraw_order import (
    GIVE,
    MAX_AMOUNT_CHARS,
    SCAN,
    WithdrawOrder,
    open_order,
    seal_order,
)
from bitcache_server.services.browsers import is_confirmed, require_confirmation
from bitcache_server.services.once import in_transaction
from bitcache_server.services.withdraw_links import (
    GIFT_LIFETIME_S,
    SCAN_LIFETIME_S,
    LinkQuote,
    cancel_link,
    create_link,
    quote_link,
)

PATH = f"{WITHDRAW}/link"
LIFETIMES_S = {SCAN: SCAN_LIFETIME_S, GIVE: GIFT_LIFETIME_S}


def add_routes(pages: Blueprint) -> None:
    """Add the page with the fee, the request, and the way back."""
    pages.add_url_rule("/withdraw/link/review", "link_review", review)
    pages.add_url_rule("/withdraw/link/review", "link_check", check, methods=["POST"])
    pages.add_url_rule("/withdraw/link", "link_make", make, methods=["POST"])
    pages.add_url_rule(
        "/withdraw/link/<payout_id>/cancel", "link_cancel", take_back, methods=["POST"]
    )


def check() -> AnyResponse:
    """Lead to the page with the fee, or say what is wrong with the form."""
    same_origin()
    check_limit(UNLOCKS)
    known, (how, amount) = require_holder(), _typed()
    try:
        _quote(known.wallet_id, amount)
    except REFUSALS as error:
        return form(link_amount=amount, failed=error)
    return redirect(_review_path(known.wallet_id, how, amount), 303)


def review() -> AnyResponse:
    """Show what the link is worth and what leaves the balance."""
    check_limit(UNLOCKS)
    known = require_holder()
    order = open_order(deps(), known.wallet_id, request.args.get("order", ""))
    if order is None or order.address not in LIFETIMES_S:
        return redirect(f"{WITHDRAW}?done=over", 303)
    try:
        quote = _quote(known.wallet_id, order.amount)
    except REFUSALS as error:
        return form(link_amount=order.amount, failed=error)
    return _review(quote, order.address)


def _typed() -> tuple[str, str]:
    """Return how the link will be used, and the amount as it was typed."""
    how = request.form.get("how", "")
    amount = request.form.get("amount", "").strip()[:MAX_AMOUNT_CHARS]
    return how if how in LIFETIMES_S else SCAN, amount


def _review_path(wallet_id: str, how: str, amount: str) -> str:
    return f"{PATH}/review?{_sealed(wallet_id, how, amount)}"


def _sealed(wallet_id: str, how: str, amount: str) -> str:
    return urlencode({"order": seal_order(deps(), wallet_id, WithdrawOrder(how, amount))})


def _quote(wallet_id: str, amount: str) -> LinkQuote:
    return quote_link(deps(), session(), wallet_id, whole_number(amount) if amount else None)


def _review(quote: LinkQuote, how: str, failed: str = "", status: int = 200) -> Response:
    known = require_holder()
    here = _review_path(known.wallet_id, how, str(quote.amount_sat))
    return page(
        "wallet_withdraw_link.html",
        status=status,
        here="withdraw",
        quote=quote,
        how=how,
        days=GIFT_LIFETIME_S // 86_400,
        key=secrets.token_urlsafe(16),
        confirmed=is_confirmed(deps(), session(), known),
        confirm_url=f"/wallet/confirm?{urlencode({'next': here})}",
        change_url=f"{WITHDRAW}?{_sealed(known.wallet_id, how, str(quote.amount_sat))}",
        failed=failed,
    )


def make() -> AnyResponse:
    """Put the money aside and lead to the link's page; sending the form twice makes one."""
    same_origin()
    check_limit(UNLOCKS)
    known, (how, amount) = require_holder(), _typed()
    require_confirmation(deps(), session(), known)
    try:
        made = create_link(
            deps(),
            session(),
            known.wallet_id,
            amount_sat=whole_number(amount),
            fee_msat=whole_number(request.form.get("fee_msat", "")),
            lifetime_s=LIFETIMES_S[how],
            idempotency_key=request.form.get("key", "")[:64],
        )
    except PayoutFeeChanged as error:
        words = f"{error.detail} Look at the new figures; nothing has left your balance."
        return _review(_quote(known.wallet_id, amount), how, words, status_of(PayoutFeeChanged))
    except REFUSALS as error:
        return form(link_amount=amount, failed=error)
    return redirect(f"/gift/{made.secret}", 303)


def take_back(payout_id: str) -> AnyResponse:
    """Give up a link that nobody has claimed; its money comes back."""
    same_origin()
    known = require_holder()
    try:
        in_transaction(
            session(), lambda: cancel_link(deps(), session(), known.wallet_id, payout_id)
        )
    except PayoutNotWaiting as error:
        return form(failed=error)
    return redirect(f"{WITHDRAW}?done=taken_back", 303)
