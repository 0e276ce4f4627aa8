"""What a site sells."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidOrigin, InvalidRequest, ItemArchived, UnknownItem
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import ORDER_KIND, Item, Merchant, Site
from bitcache_server.models.operations import StoredRate
from bitcache_server.services.deps import Deps
from bitcache_server.services.item_events import tell_of_item
from bitcache_server.services.origins import normalise_origin, origins_of
from bitcache_server.services.paging import Page, newest_first
from bitcache_server.services.quotes import parse_item_price, quote
from bitcache_server.services.splits import set_splits
from bitcache_server.services.texts import check_name, check_text
from bitcache_server.tokens.secrets import new_id

MAX_CONTENT_CHARS = 500_000
MAX_TEASER_CHARS = 2_000
MAX_TITLE_CHARS = 300
MAX_URL_CHARS = 2_000
MAX_CACHED_SITES = 100_000
#: One hundred years: anything longer is "for ever" misspelt.
MAX_ACCESS_HOURS = 876_600


@dataclass(frozen=True)
class NewItem:
    """What a merchant says about an item: one of content, file and open_url is given."""

    title: str
    price: str | int
    currency: str
    teaser: str = ""
    external_id: str | None = None
    access_hours: int | None = None
    content_html: str | None = None
    file_path: str | None = None
    """A path in the files folder; what a site says goes through ``file_of_site``."""
    open_url: str | None = None
    """Where the site opens what it holds itself, on an origin of the site."""
    url: str | None = None
    """The page that sells it, on an origin of the site."""
    archived: bool | None = None
    """Whether it is off sale; None leaves it as it is."""
    splits: Mapping[str, int] | None = None
    """Co-authors and their shares in ppm; None leaves those that there are."""


def add_item(deps: Deps, session: Session, site: Site, new: NewItem) -> Item:
    """Add an item, or change the one of this site that has the same ``external_id``.

    Runs in the caller's transaction. A changed price holds for new invoices only. An item
    that the site holds itself from now on keeps what was sold from here: who has it may come
    with an old page, or with a link that was made before.
    """
    fields = _checked_fields(deps, session, site, new)
    item = _same_external_id(session, site, fields["external_id"])
    if item is None:
        item = Item(id=new_id("it"), site_id=site.id, created_at=deps.clock())
    for name, value in fields.items():
        setattr(item, name, value)
    if new.archived is not None and new.archived != (item.archived_at is not None):
        item.archived_at = deps.clock() if new.archived else None
    session.add(item)
    session.flush()
    if new.splits is not None:
        set_splits(session, item, new.splits)
    tell_of_item(deps, session, item)
    return item


def file_of_site(site: Site, path: str) -> str:
    """Return where in the files folder a site's own file lies: in the folder of its id.

    So a site sells what was put there for it, and cannot even ask for what others sell.
    That the path stays in that folder is seen to where the file is looked for.
    """
    return f"{site.id}/{path}"


def _same_external_id(session: Session, site: Site, external_id: str | int | None) -> Item | None:
    if external_id is None:
        return None
    # Of two calls at once the second waits here and then finds the item of the first.
    session.execute(select(Site.id).where(Site.id == site.id).with_for_update())
    query = select(Item).where(Item.site_id == site.id, Item.external_id == external_id)
    return session.scalar(query)


def _checked_fields(
    deps: Deps, session: Session, site: Site, new: NewItem
) -> dict[str, str | int | None]:
    if sum(given is not None for given in (new.content_html, new.file_path, new.open_url)) != 1:
        raise InvalidRequest("Give one of the article's content, a file, and an open_url.")
    check_hours(new.access_hours)
    currency, amount = check_price(deps, session, new.price, new.currency)
    return {
        **_held(deps, session, site, new),
        "external_id": _optional_name(new.external_id, "The external id"),
        "title": check_name(new.title, _("The title"), MAX_TITLE_CHARS),
        "teaser": _limited(new.teaser, "The teaser", MAX_TEASER_CHARS),
        "price_currency": currency,
        "price_amount": amount,
        "access_hours": new.access_hours,
        "url": None if new.url is None else page_url(session, site.id, new.url),
    }


def _held(deps: Deps, session: Session, site: Site, new: NewItem) -> dict[str, str | int | None]:
    """Return where the locked part lies; what lay here before stays where the site holds it."""
    if new.open_url is not None:
        return {"kind": "article", "open_url": page_url(session, site.id, new.open_url)}
    file_path = None
    if new.file_path is not None:
        file_path = check_text(new.file_path, "The file's path")
        deps.files.describe(file_path)
    return {
        "kind": "file" if file_path is not None else "article",
        "content_html": _content(new.content_html),
        "file_path": file_path,
        "open_url": None,
    }


def check_hours(hours: int | None) -> None:
    """Raise InvalidRequest for an access time that nobody means; None is for ever."""
    if hours is not None and not 0 < hours <= MAX_ACCESS_HOURS:
        raise InvalidRequest(
            _("The access time must be 1 to %(number)s hours."), number=MAX_ACCESS_HOURS
        )


def check_price(deps: Deps, session: Session, price: str | int, currency: str) -> tuple[str, int]:
    """Return currency, or SAT, and minor units or sats; raise InvalidPrice, UnknownCurrency."""
    parsed = parse_item_price(price, currency)
    priced = quote(deps, session, *parsed)
    if priced.rate is not None:
        priced.must()
    return parsed


def page_url(session: Session, site_id: str, text: str) -> str:
    """Return the address of a page of the site: a link that we show never leads elsewhere.

    Raises InvalidRequest.
    """
    url = check_name(text, _("The page's address"), MAX_URL_CHARS)
    origin = origin_of(url)
    if origin not in origins_of(session, site_id):
        raise InvalidRequest(_("%(origin)s is not an origin of this site."), origin=origin)
    return url


def origin_of(url: str) -> str:
    """Return the origin of a page's address; raise InvalidRequest where it has none."""
    try:
        parts = urlsplit(url)
        return normalise_origin(f"{parts.scheme}://{parts.netloc}")
    except (ValueError, InvalidOrigin):
        raise InvalidRequest(f"{url[:80]!r} is no address of a web page.") from None


def _optional_name(text: str | None, what: str) -> str | None:
    return None if text is None else check_name(text, what)


def _limited(text: str, what: str, max_chars: int) -> str:
    if len(text) > max_chars:
        raise InvalidRequest(f"{what} is longer than {max_chars} characters.")
    return check_text(text, what)


def _content(html: str | None) -> str | None:
    if html is None:
        return None
    if not html.strip():
        raise InvalidRequest("The article is empty.")
    return _limited(html, "The article", MAX_CONTENT_CHARS)


def get_item(session: Session, item_id: str) -> Item:
    """Return an item; raise UnknownItem, also for what an order is sold as."""
    item = any_item(session, item_id)
    if item.kind == ORDER_KIND:
        raise UnknownItem(f"There is no item {item_id[:64]!r}.")
    return item


def any_item(session: Session, item_id: str) -> Item:
    """Return an item, be it what an order is sold as; raise UnknownItem."""
    item = session.get(Item, item_id)
    if item is None:
        raise UnknownItem(f"There is no item {item_id[:64]!r}.")
    return item


def get_offer(session: Session, item_id: str) -> tuple[Item, Merchant]:
    """Return an item and whom it pays, with one query; raise UnknownItem."""
    query = (
        # The rate comes along so that the quote, which follows, finds it in the session.
        select(Item, Merchant, StoredRate)
        .join(Site, Site.id == Item.site_id)
        .join(Merchant, Merchant.id == Site.merchant_id)
        .outerjoin(StoredRate, StoredRate.currency == Item.price_currency)
        .where(Item.id == item_id)
    )
    row = session.execute(query).one_or_none()
    if row is None:
        raise UnknownItem(f"There is no item {item_id[:64]!r}.")
    item, merchant, _ = row
    return item, merchant


def check_on_sale(item: Item) -> None:
    """Raise ItemArchived for an item that is not sold any more; who has bought it reads on."""
    if item.archived_at is not None:
        raise ItemArchived(f"{item.title} is not sold any more.")


def check_in_stock(deps: Deps, item: Item) -> None:
    """Raise FileMissing, FilePathRefused: nobody pays for a file that is gone.

    What the site holds itself is not ours to look for.
    """
    if item.file_path is not None and item.open_url is None:
        deps.files.describe(item.file_path)


def site_of(deps: Deps, session: Session, item_id: str) -> str:
    """Return the site of an item, which never changes; raise UnknownItem."""
    if item_id not in deps.item_sites:
        if len(deps.item_sites) >= MAX_CACHED_SITES:
            deps.item_sites.clear()
        deps.item_sites[item_id] = any_item(session, item_id).site_id
    return deps.item_sites[item_id]


def list_items(session: Session, site_id: str | None, cursor: str | None, limit: int) -> Page[Item]:
    """Return the items of one site, or of all, newest first."""
    conditions = [Item.kind != ORDER_KIND]
    if site_id is not None:
        conditions.append(Item.site_id == site_id)
    return newest_first(session, Item, conditions, cursor, limit)
