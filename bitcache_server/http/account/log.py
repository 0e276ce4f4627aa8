"""/account/log: what this account did, and what was done to it."""

from urllib.parse import urlencode

from flask import Blueprint, Response, request

from bitcache_server.http.account.access import require_account
from bitcache_server.http.context import session
from bitcache_server.http.dashboard.audit import MAX_CHARS, lines_of
from bitcache_server.http.dashboard.look import page
from bitcache_server.services.audit_log import account_log


def add_routes(pages: Blueprint) -> None:
    """Add the page."""
    pages.add_url_rule("/log", "log", show)


def show() -> Response:
    """Show a page of the account's log."""
    known = require_account()
    cursor = request.args.get("cursor", "")[:MAX_CHARS]
    deeds, following = account_log(session(), known.account_id, cursor or None)
    return page(
        "account/log.html",
        lines=lines_of(deeds),
        is_later_page=bool(cursor),
        older=f"?{urlencode({'cursor': following})}" if following else None,
    )
