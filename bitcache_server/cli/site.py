"""``bitcache site``: where items are sold."""

from collections.abc import Sequence
from typing import Any

import click
from sqlalchemy.orm import Session

from bitcache_server.cli.durations import duration_s
from bitcache_server.cli.output import emit, fields, json_option, moment, note, table
from bitcache_server.cli.work import work
from bitcache_server.models.catalog import Item, Site
from bitcache_server.models.session import write_transaction
from bitcache_server.services.audit_trail import note as note_deed
from bitcache_server.services.catalog import change_origins, list_sites
from bitcache_server.services.items import get_item, list_items
from bitcache_server.services.merchants import add_site, get_site, rotate_site_secret
from bitcache_server.services.origins import origins_of
from bitcache_server.services.tags import paywall_tag, script_tag

#: Tags printed for a whole site.
_MAX_TAGS = 100


@click.group()
def site() -> None:
    """Add sites, change origins and secrets, print tags."""


@site.command()
@click.option("--merchant", "merchant_id", required=True, metavar="MERCHANT", help="Who is paid.")
@click.option("--name", required=True, help="What readers call the site.")
@click.option(
    "--origin",
    "origins",
    required=True,
    multiple=True,
    help="Where its pages are, such as https://jane.example; may be given several times.",
)
@json_option
def add(merchant_id: str, name: str, origins: Sequence[str]) -> None:
    """Add a site of a merchant; prints its secret, once.

    \b
    Example:
      bitcache site add --merchant me_… --name "Jane's blog" \\
        --origin https://jane.example --origin https://www.jane.example
    """
    with work() as w:
        with write_transaction(w.session):
            added = add_site(w.deps, w.session, merchant_id, name, origins)
            document = {**_document(w.session, added.site), "secret": added.secret}
        tag = script_tag(w.deps.settings.public_url)
        lines = [
            *_lines(document),
            "",
            f"Secret for the site's own server, shown only now: {added.secret}",
            "",
            "Paste this once into each page that sells something:",
            tag,
            "",
            f"Next: bitcache item add --site {document['id']} …",
        ]
        emit({**document, "script_tag": tag}, lines)


@site.command("list")
@click.option("--merchant", "merchant_id", metavar="MERCHANT", help="Only this merchant's.")
@json_option
def list_(merchant_id: str | None) -> None:
    """List sites with their origins."""
    with work() as w:
        documents = [_document(w.session, s) for s in list_sites(w.session, merchant_id)]
        rows = [[d["id"], d["name"], d["merchant"], " ".join(d["origins"])] for d in documents]
        emit({"sites": documents}, table(["site", "name", "merchant", "origins"], rows))


@site.command("rotate-secret")
@click.argument("site_id", metavar="SITE")
@click.option(
    "--overlap",
    "overlap_s",
    type=duration_s,
    default="0",
    metavar="TIME",
    help="How long the old secret still works, such as 1h, 24h or 7d; not at all by default.",
)
@json_option
def rotate_secret(site_id: str, overlap_s: int) -> None:
    """Replace a site's secret; prints the new one, once.

    The old secret stops working now, or after the overlap: that is the time to change it
    on the site's servers. Readers keep what they bought: grants that were signed before stay
    valid until the next rotation.
    """
    with work() as w:
        with write_transaction(w.session):
            rotated = rotate_site_secret(w.deps, w.session, site_id, overlap_s)
            note_deed(
                w.deps,
                w.session,
                "site.secret_rotated",
                merchant_id=rotated.site.merchant_id,
                subject=site_id,
                overlap_s=overlap_s,
            )
            until = rotated.old_until
            document = {"id": rotated.site.id, "secret": rotated.secret, "old_until": until}
        lines = [f"New secret, shown only now: {rotated.secret}"]
        if until is not None:
            lines.append(f"The old one works until {moment(until)}.")
        emit(document, lines)


@site.command("origins")
@click.argument("site_id", metavar="SITE")
@click.option("--add", "add", multiple=True, metavar="ORIGIN", help="Allow this origin.")
@click.option("--remove", "remove", multiple=True, metavar="ORIGIN", help="Forbid this one.")
@json_option
def show_origins(site_id: str, add: Sequence[str], remove: Sequence[str]) -> None:
    """Show, add and remove the origins whose pages may sell a site's items.

    \b
    Example:
      bitcache site origins st_… --add https://www.jane.example --remove http://jane.example
    """
    with work() as w:
        if add or remove:
            with write_transaction(w.session):
                found = change_origins(w.session, site_id, add, remove)
        else:
            found = origins_of(w.session, get_site(w.session, site_id).id)
        emit({"id": site_id, "origins": sorted(found)}, sorted(found))


@site.command()
@click.argument("site_or_item", metavar="SITE|ITEM")
@json_option
def tag(site_or_item: str) -> None:
    """Print the HTML to paste for one item, or for every item of a site."""
    with work() as w:
        public_url = w.deps.settings.public_url
        items, more = _items(w.session, site_or_item)
        tags = [{"item": i.id, "title": i.title, "tag": paywall_tag(public_url, i)} for i in items]
        if more:
            note(f"Only the {_MAX_TAGS} newest items are shown.")
        script = script_tag(public_url)
        # Printed as it is: it is meant for a page, and what is in it is escaped for one.
        emit({"script_tag": script, "items": tags}, [script, *(t["tag"] for t in tags)])


def _items(session: Session, site_or_item: str) -> tuple[Sequence[Item], bool]:
    if site_or_item.startswith("it_"):
        return [get_item(session, site_or_item)], False
    page = list_items(session, get_site(session, site_or_item).id, None, _MAX_TAGS)
    return page.rows, page.next_cursor is not None


def _document(session: Session, found: Site) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "merchant": found.merchant_id,
        "origins": sorted(origins_of(session, found.id)),
        "created_at": found.created_at,
    }


def _lines(document: dict[str, Any]) -> list[str]:
    return fields(
        [
            ("site", document["id"]),
            ("name", document["name"]),
            ("merchant", document["merchant"]),
            ("origins", " ".join(document["origins"])),
            ("since", moment(document["created_at"])),
        ]
    )
