"""/dashboard/<merchant>/payouts: the balance, where it goes and when, and what went."""

import secrets
from collections.abc import Callable

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import (
    AddressInvalid,
    BitcacheError,
    DescriptorInvalid,
    InvalidRequest,
    LightningAddressInvalid,
    LnurlForbidden,
    LnurlRefused,
    LnurlUnreachable,
    MerchantBalanceTooLow,
    PayoutAddressMissing,
    PayoutLimit,
    PayoutsUnavailable,
    PrivateKeyRefused,
    SplitInvalid,
    UnknownRail,
)
from bitcache_server.http.account.access import (
    is_confirmed,
    require_confirmed,
    require_member,
)
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import gettext, ngettext, said
from bitcache_server.http.wallet.look import whole_number
from bitcache_server.i18n import mark as _
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.handles import address_of
from bitcache_server.services.lightning_addresses import TRUST
from bitcache_server.services.members import EVERYBODY, OWNERS, Member
from bitcache_server.services.merchant_payouts import request_merchant_payout, set_payout_terms
from bitcache_server.services.money_places import set_own_wallet
from bitcache_server.services.payout_overview import payout_overview, transaction_url
from bitcache_server.services.payout_views import (
    PayoutView,
    get_merchant_payout,
    list_merchant_payouts,
    payout_view,
)

PAGE_ROWS = 25
NOTICES = {
    "asked": _("The payout is on its way. Its state is shown below."),
    "terms": _("Saved. It holds for the next payout."),
    "wallet": _("Saved. It holds for every invoice from now on."),
}
#: By ``domain/payout_state.py``.
STATES = {
    "approval": _("Waits for the operator"),
    "offered": _("Waits for its link to be used"),
    "waiting": _("Waits for the next transaction"),
    "sending": _("On its way"),
    "settled": _("Paid"),
    "cancelled": _("Cancelled"),
    "rejected": _("Rejected"),
    "failed": _("Failed; the money came back"),
}
#: Seconds between scheduled payouts, and what that is called.
SCHEDULES = {
    0: _("Only when I ask for it"),
    86_400: _("Every day"),
    604_800: _("Every week"),
    2_592_000: _("Every 30 days"),
}
_REFUSALS = (
    AddressInvalid, DescriptorInvalid, InvalidRequest, LightningAddressInvalid, LnurlForbidden,
    LnurlRefused, LnurlUnreachable, MerchantBalanceTooLow, PayoutAddressMissing, PayoutLimit,
    PayoutsUnavailable, PrivateKeyRefused, SplitInvalid, UnknownRail,
)  # fmt: skip


def add_routes(pages: Blueprint) -> None:
    """Add the pages and their forms."""
    base = "/<merchant_id>/payouts"
    pages.add_url_rule(base, "payouts", show)
    pages.add_url_rule(f"{base}/ask", "ask_payout", ask, methods=["POST"])
    pages.add_url_rule(f"{base}/terms", "payout_terms", set_terms, methods=["POST"])
    pages.add_url_rule(f"{base}/wallet", "own_wallet", set_wallet, methods=["POST"])
    pages.add_url_rule(f"{base}/<payout_id>", "payout", show_one)


def show(merchant_id: str) -> ResponseReturnValue:
    """Show what is there and what went."""
    return _show(require_member(merchant_id, EVERYBODY))


def _show(member: Member, error: BitcacheError | None = None) -> ResponseReturnValue:
    merchant = get_merchant(session(), member.merchant_id)
    found = list_merchant_payouts(session(), merchant.id, request.args.get("cursor"), PAGE_ROWS)
    owner = member.may(OWNERS)
    return page(
        "dashboard/payouts.html",
        status=status_of(type(error)) if error else 200,
        here="payouts",
        merchant=merchant,
        served_address=address_of(deps().settings, merchant),
        overview=payout_overview(deps(), session(), merchant),
        payouts=[payout_view(session(), payout) for payout in found.rows],
        next_cursor=found.next_cursor,
        states=STATES,
        schedules=_schedules(merchant.payout_every_s),
        trust=TRUST,
        owner=owner,
        confirmed=owner and is_confirmed(),
        onchain="onchain" in deps().rails,
        lightning="lightning" in deps().rails,
        key=secrets.token_urlsafe(16),
        typed=request.form if error else {},
        failed=said(error) if error else "",
        notice=done_notice(NOTICES),
    )


def _schedules(every_s: int) -> dict[int, str]:
    """Return the schedules in words, with the one that holds: the command line sets others."""
    words = {seconds: gettext(sentence) for seconds, sentence in SCHEDULES.items()}
    hours = -(-every_s // 3_600)
    return (
        words
        if every_s in words
        else {**words, every_s: ngettext("Every hour", "Every %(num)s hours", hours)}
    )


def show_one(merchant_id: str, payout_id: str) -> ResponseReturnValue:
    """Show one payout in full."""
    require_member(merchant_id, EVERYBODY)
    found: PayoutView = payout_view(
        session(), get_merchant_payout(session(), merchant_id, payout_id)
    )
    return page(
        "dashboard/payout.html",
        here="payouts",
        payout=found,
        states=STATES,
        url=transaction_url(deps().settings, found.rail, found.transaction),
    )


def ask(merchant_id: str) -> ResponseReturnValue:
    """Ask for a payout of an amount, or of all that can go; a form sent twice asks once."""
    member = require_member(merchant_id, OWNERS)
    wanted = request.form.get("amount_sat", "").strip()

    def deed() -> None:
        request_merchant_payout(
            deps(),
            session(),
            merchant_id,
            amount_sat=whole_number(wanted) if wanted else None,
            idempotency_key=f"page:{request.form.get('key', '')[:100]}",
            account_id=member.account_id,
        )

    return _do(member, deed, "asked")


def set_terms(merchant_id: str) -> ResponseReturnValue:
    """Change the destination, the threshold and the schedule."""
    member = require_member(merchant_id, OWNERS)
    require_confirmed()

    def deed() -> None:
        set_payout_terms(
            deps(),
            session(),
            merchant_id,
            address=request.form.get("address", "").strip(),
            threshold_sat=whole_number(request.form.get("threshold_sat", "") or "0"),
            every_s=_schedule(),
            account_id=member.account_id,
        )

    return _do(member, deed, "terms")


def _schedule() -> int:
    chosen = whole_number(request.form.get("every_s", "0"))
    if chosen > 365 * 86_400:
        raise InvalidRequest(gettext("Choose one of the schedules."))
    return chosen


def set_wallet(merchant_id: str) -> ResponseReturnValue:
    """Let readers pay into wallets of the merchant's own, or through this server again."""
    member = require_member(merchant_id, OWNERS)
    require_confirmed()

    def deed() -> None:
        set_own_wallet(
            deps(),
            session(),
            merchant_id,
            descriptor=request.form.get("descriptor", "").strip() or None,
            lightning_address=request.form.get("lightning_address", "").strip() or None,
            account_id=member.account_id,
        )

    return _do(member, deed, "wallet")


def _do(member: Member, deed: Callable[[], None], done: str) -> ResponseReturnValue:
    try:
        deed()
    except _REFUSALS as error:
        session().rollback()
        return _show(member, error)
    return redirect(f"/dashboard/{member.merchant_id}/payouts?done={done}", 303)
