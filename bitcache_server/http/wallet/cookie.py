"""Who holds the wallet of this browser."""

from flask import Response

from bitcache_server.domain.errors import SignInRequired
from bitcache_server.http.browser_cookie import BrowserCookie
from bitcache_server.http.context import deps, session
from bitcache_server.services.wallets import WALLETS, Holder, authenticate

NAME = "bitcache_wallet"
COOKIE = BrowserCookie(NAME, WALLETS)


def holder() -> Holder | None:
    """Return whose browser asks, or None. Call it before a write transaction begins."""
    known = authenticate(deps(), session(), COOKIE.value)
    if known is not None:
        COOKIE.seen(known)
    return known


def require_holder() -> Holder:
    """Return whose browser asks; raise SignInRequired."""
    known = holder()
    if known is None:
        raise SignInRequired()
    return known


def sign_in(response: Response, cookie_value: str) -> None:
    """Make the browser a holder; it stays one until it was away for 400 days."""
    COOKIE.keep(response, cookie_value)


def sign_out(response: Response) -> None:
    """Take the cookie away; ending the session is ``revoke_session``'s part."""
    COOKIE.forget(response)
