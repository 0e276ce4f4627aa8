"""Who asks: the account of this browser, and what it may do for the merchant of the page."""

from flask import Response

from bitcache_server.domain.errors import (
    AccountConfirmationRequired,
    AccountRequired,
    NotFound,
)
from bitcache_server.http.browser_cookie import BrowserCookie
from bitcache_server.http.context import deps, kept, session
from bitcache_server.http.language import prefer
from bitcache_server.services.account_sessions import (
    ACCOUNTS,
    SignedIn,
    authenticate_account,
    require_fresh,
)
from bitcache_server.services.members import Member, Role, member_of, require_role

NAME = "bitcache_account"
COOKIE = BrowserCookie(NAME, ACCOUNTS)


def signed_in() -> SignedIn | None:
    """Return whose browser asks, or None. Call it before a write transaction begins."""
    if "signed_in" not in kept():
        found = authenticate_account(deps(), session(), COOKIE.value)
        kept()["signed_in"] = found
        if found is not None:
            prefer(found.locale)
            COOKIE.seen(found)
    known: SignedIn | None = kept()["signed_in"]
    return known


def require_account() -> SignedIn:
    """Return whose browser asks; raise AccountRequired."""
    known = signed_in()
    if known is None:
        raise AccountRequired()
    return known


def require_member(merchant_id: str, roles: frozenset[Role]) -> Member:
    """Return who asks for this merchant; raise AccountRequired, UnknownMerchant, RoleMissing."""
    member = member_of(session(), require_account().account_id, merchant_id)
    kept()["member"] = member
    require_role(member, roles)
    return member


def require_confirmed() -> SignedIn:
    """Return whose browser asks; raise AccountConfirmationRequired without a fresh proof.

    For what moves money to a new place, opens new doors or shows a secret.
    """
    known = require_account()
    require_fresh(deps(), known)
    return known


def is_confirmed() -> bool:
    """Say whether ``require_confirmed`` lets this browser through: pages show their forms then."""
    try:
        require_confirmed()
    except AccountConfirmationRequired:
        return False
    return True


def require_operator() -> SignedIn:
    """Return whose browser asks; raise NotFound for all but the operator's accounts."""
    known = require_account()
    if not known.is_operator:
        raise NotFound()
    return known


def keep_signed_in(response: Response, cookie_value: str) -> None:
    """Make the browser one that is signed in."""
    COOKIE.keep(response, cookie_value)


def forget(response: Response) -> None:
    """Take the cookie away; ending the session is another's part."""
    COOKIE.forget(response)
