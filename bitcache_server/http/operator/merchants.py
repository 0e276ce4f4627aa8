"""/operator/merchants: who sells here, and on what terms."""

from collections.abc import Callable

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import BitcacheError, ConfigurationError, InvalidRequest
from bitcache_server.domain.fees import PARTS_PER_MILLION, CommissionRule
from bitcache_server.http.account.access import is_confirmed, require_confirmed
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.dashboard.words import ROLES
from bitcache_server.http.language import gettext, said
from bitcache_server.http.wallet.look import whole_number
from bitcache_server.i18n import mark as _
from bitcache_server.services.audit_trail import note
from bitcache_server.services.books import merchant_balance_msat
from bitcache_server.services.catalog import get_merchant, list_sites
from bitcache_server.services.merchant_terms import set_commission, set_refund_terms
from bitcache_server.services.once import in_transaction
from bitcache_server.services.operator_overview import PAGE_ROWS, search_merchants
from bitcache_server.services.people import list_people
from bitcache_server.services.sale_parts import commission_rule

MAX_SEARCH_CHARS = 200
NOTICES = {"kept": _("Saved. It holds for every sale from now on.")}


def add_routes(pages: Blueprint) -> None:
    """Add the pages and their form."""
    pages.add_url_rule("/merchants", "merchants", show)
    pages.add_url_rule("/merchants/<merchant_id>", "merchant", show_one)
    pages.add_url_rule("/merchants/<merchant_id>/terms", "terms", set_terms, methods=["POST"])


def show() -> ResponseReturnValue:
    """Show a page of merchants, as they are searched for."""
    text = request.args.get("q", "").strip()[:MAX_SEARCH_CHARS]
    found = search_merchants(session(), text, request.args.get("after", "")[:MAX_SEARCH_CHARS])
    following = found[-1].merchant.id if len(found) == PAGE_ROWS else None
    return page(
        "operator/merchants.html", here="merchants", found=found, text=text, following=following
    )


def show_one(merchant_id: str) -> ResponseReturnValue:
    """Show a merchant and the terms that hold."""
    return _show_one(merchant_id)


def _show_one(merchant_id: str, error: BitcacheError | None = None) -> ResponseReturnValue:
    merchant = get_merchant(session(), merchant_id)
    return page(
        "operator/merchant.html",
        status=422 if error else 200,
        here="merchants",
        shown=merchant,
        balance_msat=merchant_balance_msat(session(), merchant_id),
        sites=list_sites(session(), merchant_id),
        people=list_people(session(), merchant_id),
        roles=ROLES,
        rule=commission_rule(deps(), merchant),
        confirmed=is_confirmed(),
        typed=request.form if error else {},
        failed=said(error) if error else "",
        notice=done_notice(NOTICES),
    )


def set_terms(merchant_id: str) -> ResponseReturnValue:
    """Give a merchant terms of their own, or the usual ones again."""
    known = require_confirmed()
    try:
        rule, window_s, per_reader = _wanted()
    except (InvalidRequest, ConfigurationError) as error:
        return _show_one(merchant_id, error)
    deed = _deed(merchant_id, rule, window_s, per_reader, known.account_id)
    try:
        in_transaction(session(), deed)
    except InvalidRequest as error:
        return _show_one(merchant_id, error)
    return redirect(f"/operator/merchants/{merchant_id}?done=kept", 303)


def _deed(
    merchant_id: str,
    rule: CommissionRule | None,
    window_s: int,
    per_reader: int,
    account_id: str,
) -> Callable[[], None]:
    def change() -> None:
        set_commission(session(), merchant_id, rule)
        set_refund_terms(session(), merchant_id, window_s, per_reader)
        note(
            deps(),
            session(),
            "terms.changed",
            merchant_id=merchant_id,
            account_id=account_id,
            commission_ppm=rule.share_ppm if rule else None,
            commission_min_msat=rule.min_msat if rule else None,
            commission_max_msat=rule.max_msat if rule else None,
            refund_window_s=window_s,
            refunds_per_reader=per_reader,
        )

    return change


def _wanted() -> tuple[CommissionRule | None, int, int]:
    window_s = whole_number(request.form.get("refund_days") or "0") * SECONDS_PER_DAY
    per_reader = whole_number(request.form.get("refunds_per_reader") or "0")
    if "usual" in request.form:
        return None, window_s, per_reader
    share_ppm = whole_number(request.form.get("commission_ppm") or "0")
    if share_ppm > PARTS_PER_MILLION:
        raise InvalidRequest(gettext("The commission is at most 1,000,000 ppm, the whole price."))
    most = request.form.get("commission_max_msat", "").strip()
    rule = CommissionRule(
        share_ppm,
        whole_number(request.form.get("commission_min_msat") or "0"),
        whole_number(most) if most else None,
    )
    return rule, window_s, per_reader
