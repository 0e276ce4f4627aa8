"""What every page of the wallet shares: the head with the balance, times in words, scripts."""

import re
from datetime import UTC, datetime

from flask import Blueprint, Flask, Response, make_response, render_template

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.http.context import deps, session
from bitcache_server.http.headers import page_policy
from bitcache_server.http.wallet.cookie import holder
from bitcache_server.i18n import mark as _
from bitcache_server.services.wallet_views import WalletView, wallet_view

#: All bitcoin there will ever be, in msat: nineteen digits, six commas, and no more than
#: a database's integer holds.
MAX_CHARS = 25
MAX_NUMBER = 2_100_000_000_000_000_000
#: A comma stands between thousands or nowhere: 20,5 is a slip, not 205.
_WHOLE = re.compile(r"[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+", re.ASCII)


def register(app: Flask, pages: Blueprint) -> None:
    """Give the templates of the wallet their filters and ``reader_wallet()``."""
    app.add_template_filter(utc_time)
    app.add_template_filter(utc_words)
    pages.context_processor(lambda: {"reader_wallet": reader_wallet})


def reader_wallet() -> WalletView | None:
    """Return the wallet of the browser that asks, or None."""
    known = holder()
    return wallet_view(deps(), session(), known.wallet_id) if known else None


def scripted(html: str) -> Response:
    """Return a page that may run our own script files and call our own server, nothing else."""
    page = make_response(html)
    page.headers["Content-Security-Policy"] = page_policy(scripts=True)
    return page


def page(template: str, *, scripts: bool = False, status: int = 200, **context: object) -> Response:
    """Return one of our templates as an answer, with leave for our scripts where it needs them."""
    html = render_template(template, **context)
    answer = scripted(html) if scripts else make_response(html)
    answer.status_code = status
    return answer


def whole_number(text: str) -> int:
    """Return a whole number as people write it, ``20 000`` or ``20,000``; raise InvalidRequest."""
    compact = "".join(text.split())
    if len(compact) > MAX_CHARS or not _WHOLE.fullmatch(compact):
        raise InvalidRequest(_("Write the amount as a whole number of sats, such as 20000."))
    number = int(compact.replace(",", ""))
    if number > MAX_NUMBER:
        raise InvalidRequest(_("That is more than there is."))
    return number


def utc_time(at: int) -> str:
    """Return seconds since 1970 as machines read them (RFC 3339)."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_words(at: int) -> str:
    """Return seconds since 1970 as people read them; no script asks for the reader's zone."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"
