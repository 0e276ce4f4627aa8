"""Connecting a site: a merchant allows somebody's software to fetch a site's id and secret.

The authorization code grant of OAuth 2 (RFC 6749 §4.1) with PKCE (RFC 7636, S256 alone) and
the issuer in the answer (RFC 9207). Clients are not registered: who asks is told by the
origin, which the merchant is shown, and the answer goes to an address on that origin only.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus, urlencode, urlsplit

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    BitcacheError,
    ConnectInvalid,
    InvalidOrigin,
    InvalidRequest,
    ReturnUrlRefused,
)
from bitcache_server.i18n import mark as _
from bitcache_server.models.access import ConnectCode
from bitcache_server.models.accounts import Membership
from bitcache_server.models.catalog import Merchant, Site, SiteOrigin
from bitcache_server.services.audit_trail import note
from bitcache_server.services.deps import Deps
from bitcache_server.services.members import OWNERS, Role, member_of, require_role
from bitcache_server.services.merchants import site_of_merchant
from bitcache_server.services.origins import is_local, normalise_origin
from bitcache_server.services.return_urls import split_address
from bitcache_server.services.texts import check_name
from bitcache_server.tokens.secrets import hash_secret
from bitcache_server.tokens.verifier import check_challenge_format

CODE_LIFETIME_S = 300
#: A code that was used is remembered for so long: a second use in that time is noticed.
KEPT_S = 7 * 86_400
CODE_BYTES = 32
MAX_CLIENT_CHARS = 80
MAX_TITLE_CHARS = 80
MAX_PATH_CHARS = 200
_SITE_ID = re.compile(r"st_[A-Za-z0-9_-]{1,60}")
#: RFC 6749 Appendix A.5: visible characters and spaces.
_STATE = re.compile(r"[ -~]{1,500}")


@dataclass(frozen=True)
class Wish:
    """What some software asks a merchant for."""

    client_name: str
    redirect_uri: str
    """As it was sent; the token endpoint is sent the same."""
    origin: str
    state: str
    challenge: str
    site_title: str = ""
    """What the site calls itself: a proposal, which the merchant sees and may change."""
    site_url: str = ""
    """The address of its front page: of several sites on one origin each has its own."""
    site_id: str = ""
    """The site that it says it is connected as; it may be that of somebody else."""
    shares_origin: bool = False
    """Whether it says that other sites are on its origin, too."""

    @property
    def host(self) -> str:
        """Return how people know the site."""
        return urlsplit(self.origin).netloc

    @property
    def place(self) -> str:
        """Return the host, and the folder where the site is not the whole of it."""
        return self.host + urlsplit(self.site_url).path.rstrip("/")

    def fields(self) -> dict[str, str]:
        """Return the query that asks for this."""
        told = {
            "site_title": self.site_title,
            "site_url": self.site_url,
            "site": self.site_id,
            "shares_origin": "1" * self.shares_origin,
        }
        return {
            "response_type": "code",
            "client_name": self.client_name,
            "redirect_uri": self.redirect_uri,
            "origin": self.origin,
            "state": self.state,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            **{name: value for name, value in told.items() if value},
        }

    def answer(self, **values: str) -> str:
        """Return the address that the browser is sent to with the answer (RFC 6749 §4.1.2)."""
        origin, rest = split_address(self.redirect_uri)
        joint = "&" if "?" in rest else "?"
        return f"{origin}{rest}{joint}{urlencode({**values, 'state': self.state})}"


@dataclass(frozen=True)
class Choice:
    """What the merchant chose: a site that there is, or a new one by name."""

    merchant_id: str
    site_id: str | None = None
    site_name: str | None = None


def read_wish(values: Mapping[str, str]) -> Wish:
    """Return what is asked for; raise ConnectInvalid, which is shown and never sent anywhere."""
    if values.get("response_type") != "code":
        raise ConnectInvalid("response_type must be `code`.")
    if values.get("code_challenge_method") != "S256":
        raise ConnectInvalid("code_challenge_method must be `S256` (RFC 7636).")
    if not _STATE.fullmatch(values.get("state", "")):
        raise ConnectInvalid("state must be 1 to 500 visible characters.")
    try:
        challenge = check_challenge_format(values.get("code_challenge", ""))
        name = check_name(values.get("client_name", ""), "client_name", MAX_CLIENT_CHARS)
    except InvalidRequest as error:
        raise ConnectInvalid(error.detail) from None
    origin = _origin(values.get("origin", ""))
    redirect_uri = values.get("redirect_uri", "")
    _check_redirect(redirect_uri, origin)
    return Wish(
        name,
        redirect_uri,
        origin,
        values["state"],
        challenge,
        site_title=_title(values.get("site_title", "")),
        site_url=_site_url(values.get("site_url", ""), origin),
        site_id=_site_id(values.get("site", "")),
        shares_origin=values.get("shares_origin") == "1",
    )


def _title(text: str) -> str:
    if not text.strip():
        return ""
    try:
        return check_name(text, "site_title", MAX_TITLE_CHARS)
    except InvalidRequest as error:
        raise ConnectInvalid(error.detail) from None


def _site_url(url: str, origin: str) -> str:
    if not url:
        return ""
    try:
        found, path = split_address(url)
    except ReturnUrlRefused as error:
        raise ConnectInvalid(f"site_url: {error.detail}") from None
    if found != origin:
        raise ConnectInvalid("site_url must be on the origin.")
    if len(path) > MAX_PATH_CHARS or any(mark in path for mark in "?#"):
        raise ConnectInvalid("site_url must be a short address without query and fragment.")
    return found + path


def _site_id(text: str) -> str:
    if text and not _SITE_ID.fullmatch(text):
        raise ConnectInvalid("site must be the id of a site.")
    return text


def _origin(text: str) -> str:
    try:
        origin = normalise_origin(text)
    except InvalidOrigin as error:
        raise ConnectInvalid(f"origin: {error.detail}") from None
    parts = urlsplit(origin)
    if parts.scheme != "https" and not is_local(parts.hostname or ""):
        raise ConnectInvalid("origin must be https, or this machine itself.")
    return origin


def _check_redirect(redirect_uri: str, origin: str) -> None:
    try:
        found, _ = split_address(redirect_uri)
    except ReturnUrlRefused as error:
        raise ConnectInvalid(f"redirect_uri: {error.detail}") from None
    if "#" in redirect_uri:
        raise ConnectInvalid("redirect_uri must have no fragment.")
    if any(mark in unquote_plus(redirect_uri.partition("?")[2]) for mark in ("//", "\\")):
        # Where the site sends browsers on to an address that it is given, the code would follow,
        # and whoever wrote this request has the verifier (RFC 9700 section 4.11).
        raise ConnectInvalid("redirect_uri must hold no other address.")
    if found != origin:
        raise ConnectInvalid("redirect_uri must be on the origin.")


def owned_by(session: Session, account_id: str) -> Sequence[Merchant]:
    """Return the merchants whose owner the account is: nobody else may connect a site."""
    query = (
        select(Merchant)
        .join(Membership, Membership.merchant_id == Merchant.id)
        .where(Membership.account_id == account_id, Membership.role == Role.OWNER.value)
        .order_by(Merchant.created_at, Merchant.id)
    )
    return session.scalars(query).all()


def sites_with(session: Session, merchant_id: str, origin: str) -> Sequence[Site]:
    """Return the merchant's sites that have this origin: nobody else may have their secret."""
    query = (
        select(Site)
        .join(SiteOrigin, SiteOrigin.site_id == Site.id)
        .where(Site.merchant_id == merchant_id, SiteOrigin.origin == origin)
        .order_by(Site.created_at, Site.id)
    )
    return session.scalars(query).all()


def likely(merchants: Sequence[tuple[Merchant, Sequence[Site]]], wish: Wish) -> Choice | None:
    """Return what seems to be meant, of merchants with their sites on this origin.

    It only decides what is marked first; None where there is no merchant.
    """
    for merchant, sites in merchants:
        if site := _likely_site(sites, wish):
            return Choice(merchant.id, site.id)
    return Choice(merchants[0][0].id) if merchants else None


def _likely_site(sites: Sequence[Site], wish: Wish) -> Site | None:
    """Return the one that it says it is, or has the name of, or the only one there can be."""
    if known := next((site for site in sites if site.id == wish.site_id), None):
        return known
    title = wish.site_title.casefold()
    named = [site for site in sites if site.name.casefold() == title]
    if len(named) == 1:
        return named[0]
    shares = wish.shares_origin or urlsplit(wish.site_url).path.strip("/")
    return None if shares else next(iter(sites), None)


def allow(deps: Deps, session: Session, account_id: str, wish: Wish, choice: Choice) -> str:
    """Let whoever asked have the secret of the site that was chosen; return the code for it.

    Raises UnknownMerchant, RoleMissing, UnknownSite, ConnectInvalid, InvalidRequest. Runs in
    the caller's transaction; a new site is made when the code is exchanged.
    """
    require_role(member_of(session, account_id, choice.merchant_id), OWNERS)
    name = None
    if choice.site_id is None:
        name = check_name(choice.site_name or "", _("The site's name"))
    else:
        site = site_of_merchant(session, choice.merchant_id, choice.site_id)
        if site.id not in {one.id for one in sites_with(session, choice.merchant_id, wish.origin)}:
            raise ConnectInvalid(f"{wish.origin} is not an origin of this site.")
    code = secrets.token_urlsafe(CODE_BYTES)
    now = deps.clock()
    session.execute(delete(ConnectCode).where(ConnectCode.expires_at < now - KEPT_S))
    session.add(
        ConnectCode(
            code_hash=hash_secret(code),
            merchant_id=choice.merchant_id,
            account_id=account_id,
            site_id=choice.site_id,
            site_name=name,
            client_name=wish.client_name,
            origin=wish.origin,
            redirect_uri=wish.redirect_uri,
            challenge=wish.challenge,
            created_at=now,
            expires_at=now + CODE_LIFETIME_S,
        )
    )
    note(
        deps,
        session,
        "site.connection_allowed",
        merchant_id=choice.merchant_id,
        account_id=account_id,
        subject=choice.site_id or "",
        client=wish.client_name,
        origin=wish.origin,
    )
    return code


def may_still(session: Session, row: ConnectCode) -> bool:
    """Say whether who allowed it is still an owner."""
    try:
        require_role(member_of(session, row.account_id, row.merchant_id), OWNERS)
    except BitcacheError:
        return False
    return True
