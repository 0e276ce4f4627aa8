"""/operator: what is ill, what waits, what the books say, what the limits are."""

from flask import Blueprint, Response

from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import page
from bitcache_server.i18n import mark as _
from bitcache_server.services.books import balance_lines
from bitcache_server.services.health import check_parts
from bitcache_server.services.operator_overview import (
    gift_budget,
    queues,
    reconciliations,
    solvency_report,
)

#: By ``services/operator_overview.queues``.
QUEUES = {
    "invoices": _("Open invoices"),
    "payouts": _("Payouts on their way"),
    "approvals": _("Payouts that wait for two operators"),
    "webhooks": _("Webhooks to deliver"),
    "mails": _("Mail to send"),
    "sales_book": _("Transfers not yet in the book of sales"),
}
#: By ``services/reconcile.Code``.
COMPARISONS = {
    "ok": _("The books are right"),
    "short": _("Money is missing"),
    "surplus": _("More is there than the books say"),
    "unknown": _("Not known"),
}
#: Settings that say how much is allowed; changed in the configuration, not here.
LIMITS = (
    "sign_up",
    "limit_invoices_per_address",
    "limit_invoices_per_site",
    "limit_reads_per_address",
    "limit_unlocks_per_address",
    "limit_sign_ins_per_address",
    "limit_sign_ups_per_address",
    "limit_replays_per_merchant",
    "commission_ppm",
    "commission_min_msat",
    "commission_max_msat",
    "gift_sat",
    "gift_budget_sat_per_day",
    "gifts_per_address",
    "withdrawal_max_sat_per_day",
    "payout_max_sat_per_day",
    "payout_approval_above_sat",
)


def add_routes(pages: Blueprint) -> None:
    """Add the pages."""
    pages.add_url_rule("", "overview", show)
    pages.add_url_rule("/books", "books", show_books)
    pages.add_url_rule("/limits", "limits", show_limits)


def show() -> Response:
    """Show health, queues, the gift budget and the comparison with the rails."""
    return page(
        "operator/overview.html",
        here="overview",
        parts=check_parts(deps(), session()),
        queues=queues(session()),
        queue_words=QUEUES,
        gifts=gift_budget(deps(), session()),
        comparisons=reconciliations(session()),
        comparison_words=COMPARISONS,
    )


def show_books() -> Response:
    """Show the balances of the books and the newest proof of solvency."""
    lines = balance_lines(session())
    return page(
        "operator/books.html",
        here="books",
        lines=lines,
        total_msat=sum(line.balance_msat for line in lines),
        report=solvency_report(session()),
    )


def show_limits() -> Response:
    """Show what the settings allow."""
    settings = deps().settings
    return page(
        "operator/limits.html",
        here="limits",
        limits=[(name, getattr(settings, name)) for name in LIMITS],
        rails=list(settings.rails),
        backend=settings.lightning_backend,
        network=settings.network,
    )
