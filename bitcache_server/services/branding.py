"""How a merchant shows themselves: on the hosted checkout, on receipts and invoices."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bitcache_server.domain.colours import (
    READABLE,
    WHITE,
    contrast,
    lightened,
    read_colour,
    text_on,
)
from bitcache_server.domain.errors import InvalidRequest, NotFound, ReturnUrlRefused
from bitcache_server.i18n import mark as _
from bitcache_server.models.access import Brand, BrandLogo
from bitcache_server.models.catalog import Merchant, Site
from bitcache_server.services.audit_trail import note
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.deps import Deps
from bitcache_server.services.return_urls import split_address
from bitcache_server.services.texts import check_name, check_text

MAX_SUPPORT_CHARS = 320
MAX_LEGAL_CHARS = 2_000
#: What the checkout's pages stand on in the dark; static/checkout.css.
DARK_BACKGROUND = "#1c1a18"
#: Nobody's inbox is checked here: one ``@``, a host with a dot, nothing that ends a header.
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")


@dataclass(frozen=True)
class BrandOrder:
    """What an owner writes on the page."""

    name: str
    accent: str = ""
    accent_dark: str = ""
    support: str = ""
    legal_text: str = ""


@dataclass(frozen=True)
class BrandView:
    """How a merchant looks; empty is what all pages have."""

    merchant_id: str
    name: str
    accent: str = ""
    accent_dark: str = ""
    support: str = ""
    legal_text: str = ""
    logo_at: int | None = None
    changed_at: int = 0

    @property
    def accent_on_dark(self) -> str:
        """Return the colour on dark pages; made from the other where nobody chose one."""
        if self.accent_dark or not self.accent:
            return self.accent_dark
        return lightened(self.accent, DARK_BACKGROUND)

    @property
    def css_url(self) -> str:
        """Return the address of the merchant's colours; empty without any."""
        return f"/brand/{self.merchant_id}.css?v={self.changed_at}" if self.accent else ""

    @property
    def logo_url(self) -> str:
        """Return the address of the logo; empty without one."""
        return f"/brand/{self.merchant_id}.png?v={self.logo_at}" if self.logo_at else ""

    @property
    def support_url(self) -> str:
        """Return where a click on the support address leads; empty without one."""
        if "@" in self.support and not self.support.startswith("https://"):
            return f"mailto:{quote(self.support, safe='@')}"
        return self.support


def brand_of(session: Session, merchant_id: str) -> BrandView:
    """Return how a merchant looks; raise UnknownMerchant. Only reads."""
    merchant = get_merchant(session, merchant_id)
    return _view(merchant, session.get(Brand, merchant_id))


def brand_of_site(session: Session, site_id: str) -> BrandView | None:
    """Return how the merchant of a site looks; None for no site. Only reads."""
    query = (
        select(Merchant, Brand)
        .join(Site, Site.merchant_id == Merchant.id)
        .outerjoin(Brand, Brand.merchant_id == Merchant.id)
        .where(Site.id == site_id)
    )
    found = session.execute(query).one_or_none()
    return _view(found[0], found[1]) if found else None


def _view(merchant: Merchant, brand: Brand | None) -> BrandView:
    if brand is None:
        return BrandView(merchant.id, merchant.name)
    return BrandView(
        merchant.id,
        merchant.name,
        brand.accent,
        brand.accent_dark,
        brand.support,
        brand.legal_text,
        brand.logo_at,
        brand.changed_at,
    )


def change_brand(
    deps: Deps, session: Session, merchant_id: str, account_id: str, order: BrandOrder
) -> None:
    """Keep what an owner wrote; raise InvalidRequest. Runs in the caller's transaction."""
    merchant = get_merchant(session, merchant_id)
    before = _view(merchant, session.get(Brand, merchant_id))
    accent, dark = accents(order.accent, order.accent_dark)
    merchant.name = check_name(order.name, _("The name"))
    row = _row(deps, session, merchant_id)
    row.accent, row.accent_dark = accent, dark
    row.support = _support(order.support)
    row.legal_text = _legal_text(order.legal_text)
    row.changed_at = max(deps.clock(), row.changed_at + 1)
    session.flush()
    after = _view(merchant, row)
    names = ("name", "accent", "accent_dark", "support", "legal_text")
    changed = {n: getattr(after, n) for n in names if getattr(after, n) != getattr(before, n)}
    if changed:
        old = {name: getattr(before, name) for name in changed}
        who = {"merchant_id": merchant_id, "account_id": account_id, "subject": merchant_id}
        note(deps, session, "brand.changed", **who, before=old, after=changed)


def accents(accent: str, accent_dark: str) -> tuple[str, str]:
    """Return the colours for light and dark pages, either of which may be empty.

    Raises InvalidRequest for a colour in which text cannot be read.
    """
    light, dark = read_colour(accent), read_colour(accent_dark)
    if dark and not light:
        raise InvalidRequest(_("Choose the colour on light pages as well."))
    if light and contrast(light, WHITE) < READABLE:
        raise InvalidRequest(
            _(
                "%(colour)s is too pale on white: its contrast is %(contrast)s and must be"
                " %(least)s. Choose a darker colour."
            ),
            colour=light,
            contrast=f"{contrast(light, WHITE):.1f}",
            least=READABLE,
        )
    if dark and contrast(dark, DARK_BACKGROUND) < READABLE:
        raise InvalidRequest(
            _(
                "%(colour)s is too dark on dark pages: its contrast is %(contrast)s and must be"
                " %(least)s. Choose a lighter one."
            ),
            colour=dark,
            contrast=f"{contrast(dark, DARK_BACKGROUND):.1f}",
            least=READABLE,
        )
    return light, dark


def colours_css(brand: BrandView) -> str:
    """Return the style sheet with the merchant's colours; raise NotFound without any."""
    if not brand.accent:
        raise NotFound()
    light = f"--accent: {brand.accent}; --on-accent: {text_on(brand.accent)};"
    dark = f"--accent: {brand.accent_on_dark}; --on-accent: {text_on(brand.accent_on_dark)};"
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"


def set_logo(deps: Deps, session: Session, merchant_id: str, account_id: str, png: bytes) -> None:
    """Take as the merchant's logo what ``redraw`` has made of a picture.

    That takes its time, and so is done before the caller's transaction begins.
    """
    row = _row(deps, session, merchant_id)
    session.execute(delete(BrandLogo).where(BrandLogo.merchant_id == merchant_id))
    session.add(BrandLogo(merchant_id=merchant_id, png=png))
    row.logo_at = max(deps.clock(), (row.logo_at or 0) + 1)
    session.flush()
    _note_logo(deps, session, "brand.logo_set", merchant_id, account_id)


def remove_logo(deps: Deps, session: Session, merchant_id: str, account_id: str) -> None:
    """Show no logo from now on."""
    row = session.get(Brand, merchant_id)
    if row is None or row.logo_at is None:
        return
    row.logo_at = None
    session.execute(delete(BrandLogo).where(BrandLogo.merchant_id == merchant_id))
    _note_logo(deps, session, "brand.logo_removed", merchant_id, account_id)


def read_logo(session: Session, merchant_id: str) -> bytes | None:
    """Return the merchant's logo as PNG; None without one."""
    return session.scalar(select(BrandLogo.png).where(BrandLogo.merchant_id == merchant_id))


def _note_logo(
    deps: Deps, session: Session, action: str, merchant_id: str, account_id: str
) -> None:
    note(deps, session, action, merchant_id=merchant_id, account_id=account_id, subject=merchant_id)


def _row(deps: Deps, session: Session, merchant_id: str) -> Brand:
    row = session.get(Brand, get_merchant(session, merchant_id).id)
    if row is None:
        row = Brand(
            merchant_id=merchant_id,
            accent="",
            accent_dark="",
            support="",
            legal_text="",
            changed_at=deps.clock(),
        )
        session.add(row)
        session.flush()
    return row


def _support(text: str) -> str:
    """Return an e-mail or web address, or nothing; raise InvalidRequest."""
    if not text.strip():
        return ""
    address = check_name(text, _("The address for questions"), MAX_SUPPORT_CHARS)
    if _EMAIL.fullmatch(address):
        return address
    try:
        origin, rest = split_address(address)
    except ReturnUrlRefused:
        origin = rest = ""
    if not origin.startswith("https://"):
        raise InvalidRequest(
            _("The address for questions is an e-mail address, or a page that begins with https://")
        )
    return origin + rest


def _legal_text(text: str) -> str:
    """Return plain text with its line breaks; raise InvalidRequest."""
    lines = check_text(text, _("The text for receipts")).replace("\r\n", "\n").strip()
    if len(lines) > MAX_LEGAL_CHARS:
        raise InvalidRequest(
            _("%(what)s is longer than %(number)s characters."),
            what=_("The text for receipts"),
            number=MAX_LEGAL_CHARS,
        )
    if any((ord(char) < 32 and char != "\n") or ord(char) == 127 for char in lines):
        raise InvalidRequest(
            _("%(what)s contains a control character."), what=_("The text for receipts")
        )
    return lines
