"""/dashboard/<merchant>/settings: time zone, currency, and the tax rates of sites."""

from collections.abc import Callable

from babel.numbers import get_currency_name
from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.domain.money import CURRENCY_EXPONENTS
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import language, said
from bitcache_server.i18n import mark as _
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.members import OWNERS
from bitcache_server.services.merchant_settings import (
    MAX_TAX_NAME_CHARS,
    percent_text,
    set_site_tax,
    set_time_and_currency,
    sites_with_taxes,
    time_zones,
)
from bitcache_server.services.once import in_transaction

NOTICES = {
    "saved": _("It is saved."),
    "tax": _("The tax rate is saved. It holds for sales from now on."),
}


def add_routes(pages: Blueprint) -> None:
    """Add the page and its forms."""
    base = "/<merchant_id>/settings"
    pages.add_url_rule(base, "settings", show)
    pages.add_url_rule(base, "save_settings", save, methods=["POST"])
    pages.add_url_rule(f"{base}/sites/<site_id>/tax", "save_tax", save_tax, methods=["POST"])


def show(merchant_id: str) -> ResponseReturnValue:
    """Show the settings."""
    require_member(merchant_id, OWNERS)
    return _show(merchant_id)


def save(merchant_id: str) -> ResponseReturnValue:
    """Change time zone and currency."""
    member = require_member(merchant_id, OWNERS)

    def change() -> None:
        set_time_and_currency(
            deps(),
            session(),
            get_merchant(session(), merchant_id),
            time_zone=request.form.get("time_zone", "").strip(),
            currency=request.form.get("currency", ""),
            account_id=member.account_id,
        )

    return _do(merchant_id, change, "saved")


def save_tax(merchant_id: str, site_id: str) -> ResponseReturnValue:
    """Change the tax rate of a site."""
    member = require_member(merchant_id, OWNERS)

    def change() -> None:
        set_site_tax(
            deps(),
            session(),
            merchant_id,
            site_id,
            name=request.form.get("name", ""),
            percent=request.form.get("percent", ""),
            account_id=member.account_id,
        )

    return _do(merchant_id, change, "tax", site_id)


def _do(
    merchant_id: str, change: Callable[[], None], done: str, site_id: str = ""
) -> ResponseReturnValue:
    try:
        in_transaction(session(), change)
    except InvalidRequest as error:
        return _show(merchant_id, error, site_id)
    return redirect(f"/dashboard/{merchant_id}/settings?done={done}", 303)


def _show(
    merchant_id: str, error: InvalidRequest | None = None, site_id: str = ""
) -> ResponseReturnValue:
    merchant = get_merchant(session(), merchant_id)
    typed = request.form if error else {}
    return page(
        "dashboard/settings.html",
        status=status_of(type(error)) if error else 200,
        failed=said(error) if error else "",
        notice=done_notice(NOTICES),
        here="settings",
        time_zone=merchant.time_zone if site_id else typed.get("time_zone", merchant.time_zone),
        currency=merchant.currency if site_id else typed.get("currency", merchant.currency),
        time_zones=time_zones(),
        currencies=[
            (code, get_currency_name(code, locale=language()))
            for code in sorted(CURRENCY_EXPONENTS)
        ],
        sites=sites_with_taxes(session(), merchant_id),
        percent=percent_text,
        typed=typed,
        typed_site=site_id,
        max_tax_name=MAX_TAX_NAME_CHARS,
    )
