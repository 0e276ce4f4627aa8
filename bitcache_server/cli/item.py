"""``bitcache item``: what is sold."""

import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from bitcache_server.cli.offers import why_not_on_offer
from bitcache_server.cli.output import emit, fields, json_option, note, shown, table
from bitcache_server.cli.prices import check_price
from bitcache_server.cli.work import Work, work
from bitcache_server.domain.errors import InvalidRequest, SplitInvalid
from bitcache_server.domain.fees import PARTS_PER_MILLION
from bitcache_server.domain.money import MSAT_PER_SAT, SAT, Fiat, format_sat
from bitcache_server.domain.words import count
from bitcache_server.models.catalog import Item
from bitcache_server.models.session import write_transaction
from bitcache_server.services.catalog import change_price
from bitcache_server.services.item_events import tell_of_item
from bitcache_server.services.items import (
    MAX_CONTENT_CHARS,
    NewItem,
    add_item,
    get_item,
    list_items,
)
from bitcache_server.services.merchants import get_site
from bitcache_server.services.splits import list_splits, set_splits
from bitcache_server.services.tags import paywall_tag, script_tag
from bitcache_server.services.views import ItemView, item_view

_STANDARD_INPUT = "-"
#: No character takes more bytes in UTF-8.
_MAX_BYTES_PER_CHAR = 4


@click.group()
def item() -> None:
    """Add, show, price and share items: articles and files."""


@item.command()
@click.option("--site", "site_id", required=True, metavar="SITE", help="Where it is sold.")
@click.option("--title", required=True)
@click.option("--price", required=True, help="Such as 2.00, or whole sats with --currency SAT.")
@click.option("--currency", default="USD", show_default=True, help="ISO 4217 code, or SAT.")
@click.option("--article", metavar="FILE.html", help="The locked part, as HTML; - reads it here.")
@click.option(
    "--file", "file_path", metavar="NAME", help="A file, by its path in the files folder."
)
@click.option("--teaser", default="", help="Plain text that everyone may read.")
@click.option("--external-id", help="Your own id; the same id again changes the item.")
@click.option("--hours", type=int, help="How long a purchase opens it. Default: for ever.")
@click.option("--url", help="The page that sells it, on one of the site's origins.")
@json_option
def add(
    site_id: str,
    title: str,
    price: str,
    currency: str,
    article: str | None,
    file_path: str | None,
    teaser: str,
    external_id: str | None,
    hours: int | None,
    url: str | None,
) -> None:
    """Add an item and print the HTML to paste.

    \b
    Examples:
      bitcache item add --site st_… --title "My story" --price 2.00 --article story.html
      bitcache item add --site st_… --title "The map" --price 2000 --currency SAT --file map.pdf
      bitcache item add --site st_… --title "Today" --price 1.50 --hours 24 --article - < today.html
    """
    if (article is None) == (file_path is None):
        raise click.UsageError("Give either --article or --file.")
    check_price(price, currency.upper())
    new = NewItem(
        title=title,
        price=price,
        currency=currency.upper(),
        teaser=teaser,
        external_id=external_id,
        access_hours=hours,
        content_html=None if article is None else _read_article(article),
        file_path=file_path,
        url=url,
    )
    with work() as w:
        with write_transaction(w.session):
            added = add_item(w.deps, w.session, get_site(w.session, site_id), new)
            document, lines = _described(w, added)
        tags = [
            script_tag(w.deps.settings.public_url),
            paywall_tag(w.deps.settings.public_url, added),
        ]
        document |= {"script_tag": tags[0], "tag": tags[1]}
        emit(document, [*lines, "", "Paste this into the page:", *tags])


def _read_article(path: str) -> str:
    """Return the text of a file; raise InvalidRequest where it is not text, or too much."""
    limit = MAX_CONTENT_CHARS * _MAX_BYTES_PER_CHAR
    if path == _STANDARD_INPUT:
        data = sys.stdin.buffer.read(limit + 1)
    else:
        with Path(path).open("rb") as file:
            data = file.read(limit + 1)
    if len(data) > limit:
        raise InvalidRequest(f"The article is longer than {MAX_CONTENT_CHARS} characters.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path} is not text in UTF-8.") from None


@item.command("list")
@click.option("--site", "site_id", metavar="SITE", help="Only this site's.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Go on after an earlier list; printed at its end.")
@json_option
def list_(site_id: str | None, limit: int, cursor: str | None) -> None:
    """List items, newest first."""
    with work() as w:
        known = None if site_id is None else get_site(w.session, site_id).id
        page = list_items(w.session, known, cursor, limit)
        documents = [item_view(w.deps, w.session, i).model_dump() for i in page.rows]
        rows = [[i.id, i.kind, price_text(i), i.title, i.external_id or ""] for i in page.rows]
        emit(
            {"items": documents, "next_cursor": page.next_cursor},
            table(["item", "kind", "price", "title", "external id"], rows),
        )
        if page.next_cursor:
            note(f"There are more: --cursor {page.next_cursor}")


@item.command()
@click.argument("item_id", metavar="ITEM")
@json_option
def show(item_id: str) -> None:
    """Show an item as readers see it; never its locked part."""
    with work() as w:
        emit(*_described(w, get_item(w.session, item_id)))


@item.command("price")
@click.argument("item_id", metavar="ITEM")
@click.option("--price", required=True, help="Such as 2.00, or whole sats with --currency SAT.")
@click.option("--currency", default="USD", show_default=True, help="ISO 4217 code, or SAT.")
@json_option
def set_price(item_id: str, price: str, currency: str) -> None:
    """Change the price. Invoices that are open keep theirs.

    \b
    Example:
      bitcache item price it_… --price 2.50
    """
    check_price(price, currency.upper())
    with work() as w:
        with write_transaction(w.session):
            changed = change_price(w.session, item_id, price, currency.upper())
            tell_of_item(w.deps, w.session, changed)
            document, lines = _described(w, changed)
        emit(document, lines)


@item.command()
@click.argument("item_id", metavar="ITEM")
@click.argument("shares", metavar="[MERCHANT=SHARE%]...", nargs=-1)
@click.option("--clear", is_flag=True, help="No co-authors any more.")
@json_option
def split(item_id: str, shares: Sequence[str], clear: bool) -> None:
    """Show or set co-authors: who else is paid for an item from now on.

    Of what is left of a price after the commission each gets a share, rounded down;
    the item's own merchant gets the rest.

    \b
    Examples:
      bitcache item split it_… me_…=30% me_…=12.5%
      bitcache item split it_… --clear
    """
    if clear and shares:
        raise click.UsageError("Give either shares or --clear.")
    wanted = _shares(shares)
    with work() as w:
        found = get_item(w.session, item_id)
        if clear or shares:
            with write_transaction(w.session):
                authors = set_splits(w.session, get_item(w.session, item_id), wanted)
        else:
            authors = list_splits(w.session, [found.id])[found.id]
        splits = [{"merchant": a.merchant_id, "share_ppm": a.share_ppm} for a in authors]
        rows = [[a.merchant_id, a.name, f"{a.share_ppm / 10_000:g} %"] for a in authors]
        emit({"id": item_id, "splits": splits}, table(["co-author", "name", "share"], rows))


def _shares(words: Sequence[str]) -> dict[str, int]:
    """Return merchants and their shares in ppm; no share is rounded."""
    shares: dict[str, int] = {}
    for word in words:
        merchant_id, _, percent = word.partition("=")
        try:
            share_ppm = Decimal(percent.removesuffix("%")) * PARTS_PER_MILLION / 100
            whole = share_ppm == int(share_ppm)
        except (InvalidOperation, OverflowError, ValueError):
            whole = False
        if not merchant_id or not whole:
            raise SplitInvalid(f"{word[:80]!r} is not like me_…=12.5%, with four decimals at most.")
        if merchant_id in shares:
            raise SplitInvalid(f"{merchant_id[:64]!r} is named twice.")
        shares[merchant_id] = int(share_ppm)
    return shares


def price_text(found: Item) -> str:
    """Return the price that the merchant set."""
    if found.price_currency == SAT:
        return format_sat(found.price_amount * MSAT_PER_SAT)
    return str(Fiat(found.price_amount, found.price_currency))


def _described(w: Work, found: Item) -> tuple[dict[str, Any], list[str]]:
    """Return an item as JSON and as lines."""
    view = item_view(w.deps, w.session, found)
    why_not = why_not_on_offer(w, found, view)
    pairs = [
        ("item", view.id),
        ("title", view.title),
        ("site", f"{view.site.id} ({view.site.name})"),
        ("price", price_text(found) + _now(found, view)),
        ("access", count(view.policy.hours, "hour") if view.policy.hours else "for ever"),
        ("paid by", ", ".join(view.rails) or f"balance only: {why_not}"),
        ("page", view.checkout_url),
    ]
    if found.url:
        pairs.append(("on the site", found.url))
    if found.open_url is not None:
        pairs.append(("opened by the site", found.open_url))
    if found.kind == "file":
        size = count(view.file.size_bytes, "byte") if view.file else "MISSING from the files folder"
        pairs.append(("file", f"{found.file_path} ({size})"))
    if view.external_id:
        pairs.append(("external id", view.external_id))
    if view.teaser:
        pairs.append(("teaser", shown(view.teaser)))
    document = {**view.model_dump(), "url": found.url, "why_not": why_not or None}
    return document, fields(pairs)


def _now(found: Item, view: ItemView) -> str:
    """Return what a price in a currency is in sats now; sats are what they are."""
    if found.price_currency == SAT:
        return ""
    now_msat = view.price.amount_msat
    return " (no exchange rate now)" if now_msat is None else f" (now {format_sat(now_msat)})"
