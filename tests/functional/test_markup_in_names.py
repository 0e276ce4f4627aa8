"""Whatever people call themselves and their things, every page shows it as text."""

import re

from sqlalchemy import String, Table, Text, update
from sqlalchemy.exc import IntegrityError

from bitcache_server.extensions import db
from bitcache_server.models.access import Brand
from bitcache_server.models.session import write_transaction
from tests.support.belongings import ARGUMENTS
from tests.support.dashboard import Person, sign_in
from tests.support.orders import make_order
from tests.support.world import World

EVIL = "\"><b id=evil>'&{{7*7}}"
#: Columns that hold what people write, in whatever table.
WRITTEN = {
    "name", "title", "teaser", "description", "note", "label", "comment", "legal_text",
    "support", "customer_ref", "reference", "alias", "site_name",
}  # fmt: skip
#: The same words for what programs write and compare with.
NOT_WRITTEN = ("job_leases", "operators", "payments", "payout_batches", "sale_cursors")
BLUEPRINTS = ("dashboard", "account", "operator")
_ARGUMENT = re.compile(r"<(?:[a-z_]+(?:\([^)]*\))?:)?([a-z_]+)>")


def rename_everything(world: World) -> set[str]:
    """Write the villain's name into every column that people write; return their names."""
    done = set()
    for table in db.metadata.sorted_tables:
        for name in _written(table):
            try:
                with write_transaction(world.session):
                    world.session.execute(update(table).values({name: EVIL}))
            except IntegrityError:
                # One of its kind for each site, and there are several.
                continue
            done.add(f"{table.name}.{name}")
    world.session.expire_all()
    return done


def _written(table: Table) -> list[str]:
    if table.name in NOT_WRITTEN:
        return []
    return [
        column.name
        for column in table.columns
        if column.name in WRITTEN
        and isinstance(column.type, String | Text)
        and not column.primary_key
    ]


def pages_of(world: World, known: dict[str, str]) -> list[str]:
    """Return the address of every page for who is signed in."""
    return sorted(
        _ARGUMENT.sub(lambda found: known[found[1]], rule.rule)
        for rule in world.app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] in BLUEPRINTS
        and "GET" in (rule.methods or ())
        and set(_ARGUMENT.findall(rule.rule)) <= set(known)
    )


def opened(person: Person, path: str) -> str:
    """Return a page; empty for a table or a document, which have tests of their own."""
    answer = person.get(path)
    assert answer.status_code < 500, path
    return answer.text if answer.mimetype == "text/html" else ""


def test_no_page_takes_a_name_for_markup(sqlite_world: World) -> None:
    world = sqlite_world
    person = sign_in(world, operator=True)
    known = {name: make(world) for name, make in ARGUMENTS.items()}
    order = make_order(
        world,
        lines=[{"title": EVIL, "quantity": 1, "unit_minor": 250}],
        total_minor=250,
        customer_ref=EVIL,
        metadata={"gift": EVIL},
    )
    known |= {"order_id": str(order["id"]), "merchant_id": world.merchant_id}
    with write_transaction(world.session):
        brand = Brand(merchant_id=world.merchant_id, accent="", accent_dark="", support="x")
        brand.legal_text, brand.changed_at = "x", world.clock()
        world.session.add(brand)
    renamed = rename_everything(world)
    assert {
        "accounts.name", "api_keys.name", "brands.legal_text", "invitations.note", "items.title",
        "merchants.name", "sales.title", "sites.name", "webhook_endpoints.description",
    } <= renamed  # fmt: skip
    paths = [*pages_of(world, known), f"/pay/{world.article_id}", f"/l/{known['link_id']}"]
    paths.append(order["checkout_url"].removeprefix(world.deps.settings.public_url))
    shown = {path: opened(person, path) for path in paths}
    assert [path for path, text in shown.items() if "<b id" in text] == []
    assert [path for path, text in shown.items() if "&{{7*7}}" in text] == []
    escaped = [path for path, text in shown.items() if "&lt;b id=evil&gt;" in text]
    assert len(escaped) > 20, escaped
