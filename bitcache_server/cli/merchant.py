"""``bitcache merchant``: who is paid."""

from typing import Any

import click

from bitcache_server.cli.merchant_lightning import handle, lightning_address
from bitcache_server.cli.merchant_member import member
from bitcache_server.cli.merchant_statement import statement
from bitcache_server.cli.merchant_terms import terms, terms_document, terms_fields
from bitcache_server.cli.output import emit, fields, json_option, moment, table
from bitcache_server.cli.work import Work, work
from bitcache_server.domain.money import format_sat
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.session import write_transaction
from bitcache_server.services.books import merchant_balance_msat
from bitcache_server.services.catalog import get_merchant, list_merchants, list_sites
from bitcache_server.services.handles import address_of, require_receiver, set_handle
from bitcache_server.services.lightning_addresses import (
    TRUST,
    check_lightning_address,
    keep_lightning_address,
)
from bitcache_server.services.merchants import add_merchant


@click.group()
def merchant() -> None:
    """Add and show merchants: who is paid, on which terms, and what for."""


merchant.add_command(handle)
merchant.add_command(lightning_address)
merchant.add_command(member)
merchant.add_command(statement)
merchant.add_command(terms)


@merchant.command()
@click.option("--name", required=True, help="What readers and you call them.")
@click.option(
    "--descriptor",
    help="Their wallet's public descriptor or xpub: they are then paid directly. Without "
    "it your own wallet receives and the books say what you owe them.",
)
@click.option(
    "--lightning-address",
    help="Their own Lightning address: they are then paid directly, without a node. It is "
    "asked first whether it can be sold through.",
)
@click.option("--handle", help="The Lightning address that you serve for them, without @host.")
@json_option
def add(
    name: str, descriptor: str | None, lightning_address: str | None, handle: str | None
) -> None:
    """Add a merchant.

    \b
    Examples:
      bitcache merchant add --name "Jane" --descriptor "wpkh([d34db33f/84h/0h/0h]xpub6…/0/*)"
      bitcache merchant add --name "Jane" --descriptor zpub6…
      bitcache merchant add --name "Jane" --handle jane
      bitcache merchant add --name "Jane" --lightning-address jane@wallet.example

    Never give a private key: it is refused.
    """
    with work() as w:
        checked = check_lightning_address(w.deps, lightning_address) if lightning_address else None
        with write_transaction(w.session):
            added = add_merchant(w.deps, w.session, name, descriptor)
            keep_lightning_address(added, checked)
            w.session.flush()
            if handle is not None:
                require_receiver(w.deps)
                added = set_handle(w.session, added.id, handle)
            document = _document(w, added)
        lines = fields(_pairs(document))
        lines += ["", TRUST] if checked else []
        emit(document, [*lines, "", f"Next: bitcache site add --merchant {document['id']} …"])


@merchant.command("list")
@json_option
def list_() -> None:
    """List all merchants."""
    with work() as w:
        found = list_merchants(w.session)
        documents = [{**_document(w, who), "sites": sites} for who, sites in found]
        rows = [
            [d["id"], d["name"], d["settlement"], str(d["sites"]), format_sat(d["balance_msat"])]
            for d in documents
        ]
        headers = ["merchant", "name", "settlement", "sites", "balance"]
        emit({"merchants": documents}, table(headers, rows))


@merchant.command()
@click.argument("merchant_id", metavar="MERCHANT")
@json_option
def show(merchant_id: str) -> None:
    """Show a merchant: wallet, balance, terms, sites."""
    with work() as w:
        found = get_merchant(w.session, merchant_id)
        document = {**_document(w, found), **terms_document(w, found)}
        sites = [{"id": s.id, "name": s.name} for s in list_sites(w.session, merchant_id)]
        rows = table(["site", "name"], [[s["id"], s["name"]] for s in sites])
        lines = fields([*_pairs(document), *terms_fields(document)])
        emit({**document, "sites": sites}, [*lines, "", *rows])


def _document(w: Work, who: Merchant) -> dict[str, Any]:
    return {
        "id": who.id,
        "name": who.name,
        "settlement": "direct" if who.direct else "pooled",
        "descriptor": who.descriptor,
        "lightning_address": who.lightning_address,
        "handle": who.handle,
        "address": address_of(w.deps.settings, who),
        "balance_msat": merchant_balance_msat(w.session, who.id),
        "created_at": who.created_at,
    }


def _pairs(document: dict[str, Any]) -> list[tuple[str, str]]:
    own = [document["descriptor"], document["lightning_address"]]
    wallet = ", ".join(one for one in own if one) or "none: your own wallet receives for them"
    return [
        ("merchant", document["id"]),
        ("name", document["name"]),
        ("wallet", wallet),
        ("Lightning address here", document["address"] or "none"),
        _balance(document),
        ("since", moment(document["created_at"])),
    ]


def _balance(document: dict[str, Any]) -> tuple[str, str]:
    """Return who owes whom: who is paid directly can owe a commission and is owed nothing."""
    owed_msat = document["balance_msat"]
    if document["settlement"] == "direct" and owed_msat <= 0:
        return "commission owed to you", format_sat(-owed_msat)
    meaning = "you owe them" if owed_msat >= 0 else "they owe you"
    return "balance", f"{format_sat(abs(owed_msat))} ({meaning})"
