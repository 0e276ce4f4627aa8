"""A merchant's day, currency and taxes: how takings are counted and shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from zoneinfo import available_timezones

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.domain.money import CURRENCY_EXPONENTS
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import Merchant, Site
from bitcache_server.models.sales_book import SiteTax
from bitcache_server.services.audit_trail import note
from bitcache_server.services.deps import Deps
from bitcache_server.services.local_days import zone_of
from bitcache_server.services.merchants import site_of_merchant
from bitcache_server.services.texts import check_text

MAX_TAX_NAME_CHARS = 40
_PPM_PER_PERCENT = 10_000
_MAX_PERCENT = 100


@dataclass(frozen=True)
class SiteWithTax:
    """A site and the tax that holds there now; None for none."""

    site: Site
    tax: SiteTax | None


def time_zones() -> Sequence[str]:
    """Return the names that people choose from: of regions and cities, and UTC."""
    return ["UTC", *sorted(name for name in available_timezones() if _is_place(name))]


def _is_place(name: str) -> bool:
    return "/" in name and not name.startswith(("Etc/", "posix/", "right/", "SystemV/", "US/"))


def set_time_and_currency(
    deps: Deps,
    session: Session,
    merchant: Merchant,
    *,
    time_zone: str,
    currency: str,
    account_id: str,
) -> None:
    """Change in which zone days begin and in which currency takings are shown.

    Runs inside the caller's write transaction. Sales keep the value that they have. Raises
    InvalidRequest.
    """
    if len(time_zone) > 64 or zone_of(time_zone) is None:
        raise InvalidRequest(_("This is no time zone that the server knows."))
    if currency not in CURRENCY_EXPONENTS:
        raise InvalidRequest(_("This is no currency that the server knows."))
    before = (merchant.time_zone, merchant.currency)
    if before == (time_zone, currency):
        return
    merchant.time_zone, merchant.currency = time_zone, currency
    note(
        deps,
        session,
        "merchant.settings_changed",
        merchant_id=merchant.id,
        account_id=account_id,
        subject=merchant.id,
        time_zone=[before[0], time_zone],
        currency=[before[1], currency],
    )


def sites_with_taxes(session: Session, merchant_id: str) -> list[SiteWithTax]:
    """Return the merchant's sites, oldest first, with the tax that holds now."""
    query = select(Site).where(Site.merchant_id == merchant_id)
    sites = session.scalars(query.order_by(Site.created_at, Site.id)).all()
    taxes = select(SiteTax).where(SiteTax.site_id.in_([site.id for site in sites]))
    newest = {row.site_id: row for row in session.scalars(taxes.order_by(SiteTax.since))}
    return [SiteWithTax(site, newest.get(site.id)) for site in sites]


def set_site_tax(
    deps: Deps,
    session: Session,
    merchant_id: str,
    site_id: str,
    *,
    name: str,
    percent: str,
    account_id: str,
) -> None:
    """Let a tax hold for a site from now on; earlier sales keep theirs.

    Runs inside the caller's write transaction. Raises UnknownSite, InvalidRequest.
    """
    site = site_of_merchant(session, merchant_id, site_id)
    name = check_text(name, _("The name of the tax")).strip()
    tax_ppm = parse_percent(percent)
    if len(name) > MAX_TAX_NAME_CHARS or not name.isprintable():
        raise InvalidRequest(_("The name of a tax has at most 40 characters."))
    if tax_ppm and not name:
        raise InvalidRequest(_("Give the tax the name that it has on bills."))
    now = deps.clock()
    query = select(SiteTax).where(SiteTax.site_id == site.id).order_by(SiteTax.since.desc())
    before = session.scalars(query.limit(1)).first()
    known = (before.name, before.tax_ppm) if before else ("", 0)
    if known == (name, tax_ppm):
        return
    # A clock that went back must not hide the newest behind an older one.
    since = max(now, before.since) if before else now
    session.merge(SiteTax(site_id=site.id, since=since, name=name, tax_ppm=tax_ppm))
    note(
        deps,
        session,
        "site.tax_changed",
        merchant_id=merchant_id,
        account_id=account_id,
        subject=site.id,
        tax=[known[0], name],
        tax_ppm=[known[1], tax_ppm],
    )


def parse_percent(text: str) -> int:
    """Return a rate in parts per million; a comma is a point. Raises InvalidRequest."""
    cleaned = text.strip().removesuffix("%").strip().replace(",", ".") or "0"
    try:
        exact = Decimal(cleaned) * _PPM_PER_PERCENT
    except InvalidOperation:
        raise InvalidRequest(_("Give the tax rate in per cent, such as 19 or 5.5.")) from None
    if len(cleaned) > 12 or not exact.is_finite() or exact != exact.to_integral_value():
        raise InvalidRequest(_("A tax rate has at most four decimals."))
    if not 0 <= exact <= _MAX_PERCENT * _PPM_PER_PERCENT:
        raise InvalidRequest(_("A tax rate is between 0 and 100 per cent."))
    return int(exact)


def percent_text(tax_ppm: int) -> str:
    """Return a rate as ``parse_percent`` reads it, as short as it can be."""
    return f"{Decimal(tax_ppm).scaleb(-4):f}".rstrip("0").rstrip(".")
