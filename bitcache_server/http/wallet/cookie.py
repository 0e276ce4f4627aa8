"""The cookie that makes a browser the holder of a wallet.

First-party, on our own origin: no page can read it (HttpOnly), no other site's form
carries it (SameSite=Lax), and over https its name begins with ``__Host-``, so that no
sibling domain can set it (RFC 6265bis section 4.1.3).
"""

import contextlib

from flask import Response, after_this_request, request

from bitcache_server.domain.errors import SignInRequired, StorageBusy, StorageFull
from bitcache_server.http.context import deps, session
from bitcache_server.services.once import in_transaction
from bitcache_server.services.wallets import (
    SESSION_AGE_S,
    Holder,
    authenticate,
    is_seen_lately,
    mark_seen,
)

NAME = "bitcache_wallet"


def cookie_name() -> str:
    """Return the cookie's name: with the ``__Host-`` prefix where browsers accept it."""
    return f"__Host-{NAME}" if _is_https() else NAME


def holder() -> Holder | None:
    """Return whose browser asks, or None. Call it before a write transaction begins."""
    value = request.cookies.get(cookie_name())
    known = authenticate(deps(), session(), value)
    if known is not None and value and not is_seen_lately(deps(), session(), known):
        _seen_again(known, value)
    return known


def require_holder() -> Holder:
    """Return whose browser asks; raise SignInRequired."""
    known = holder()
    if known is None:
        raise SignInRequired()
    return known


def sign_in(response: Response, cookie_value: str) -> None:
    """Make the browser a holder; it stays one until it was away for 400 days."""
    response.set_cookie(
        cookie_name(),
        cookie_value,
        max_age=SESSION_AGE_S,
        path="/",
        httponly=True,
        secure=_is_https(),
        samesite="Lax",
    )


def sign_out(response: Response) -> None:
    """Take the cookie away; ending the session is ``revoke_session``'s part."""
    response.delete_cookie(
        cookie_name(), path="/", httponly=True, secure=_is_https(), samesite="Lax"
    )


def _seen_again(known: Holder, value: str) -> None:
    # A page must open when the disk is full, too.
    with contextlib.suppress(StorageBusy, StorageFull):
        in_transaction(session(), lambda: mark_seen(deps(), session(), known))

    @after_this_request
    def _keep(response: Response) -> Response:
        # Browsers count the 400 days from when they got the cookie, not from its last use.
        answered = response.headers.getlist("Set-Cookie")
        if not any(line.startswith(f"{cookie_name()}=") for line in answered):
            sign_in(response, value)
        return response


def _is_https() -> bool:
    return deps().settings.public_url.startswith("https:")
