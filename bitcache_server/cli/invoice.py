"""``bitcache invoice``: what was ordered and what became of it."""

from typing import Any

import click

from bitcache_server.cli.output import emit, fields, json_option, moment, note, table
from bitcache_server.cli.work import Work, work
from bitcache_server.domain.money import format_sat
from bitcache_server.domain.words import count
from bitcache_server.models.ledger import Grant, Transfer
from bitcache_server.services.books import entries_of, grants_of
from bitcache_server.services.create_invoice import list_invoices
from bitcache_server.services.invoices import find_invoice
from bitcache_server.services.merchants import get_site
from bitcache_server.services.views import InvoiceView, PaymentView, invoice_view


@click.group()
def invoice() -> None:
    """Look at invoices: states, payments, bookings."""


@invoice.command("list")
@click.option("--site", "site_id", required=True, metavar="SITE")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Go on after an earlier list; printed at its end.")
@json_option
def list_(site_id: str, limit: int, cursor: str | None) -> None:
    """List the invoices of a site, newest first."""
    with work() as w:
        page = list_invoices(w.session, get_site(w.session, site_id), cursor, limit)
        views = [invoice_view(w.deps, w.session, row) for row in page.rows]
        rows = [
            [v.id, _state(v), format_sat(v.amount_msat), moment(v.created_at), v.item]
            for v in views
        ]
        emit(
            {"invoices": [v.model_dump() for v in views], "next_cursor": page.next_cursor},
            table(["invoice", "state", "amount", "created", "item"], rows),
        )
        if page.next_cursor:
            note(f"There are more: --cursor {page.next_cursor}")


@invoice.command()
@click.argument("invoice_id", metavar="INVOICE")
@json_option
def show(invoice_id: str) -> None:
    """Show an invoice: how it can be paid, what was seen, what was booked."""
    with work() as w:
        found = find_invoice(w.session, invoice_id)
        view = invoice_view(w.deps, w.session, found)
        entries, grants = entries_of(w.session, view.id), grants_of(w.session, view.id)
        document = {
            **view.model_dump(),
            "redeemed_msat": found.redeemed_msat,
            "comment": found.comment,
            "grants": [_grant(g) for g in grants],
            "entries": [_entry(e) for e in entries],
        }
        lines = [
            *_head(view, found.redeemed_msat),
            "",
            *_payments(view),
            "",
            *_grants(w, list(grants)),
            "",
        ]
        rows = [
            [
                str(e.id),
                moment(e.created_at),
                e.kind,
                e.from_account,
                e.to_account,
                str(e.amount_msat),
            ]
            for e in entries
        ]
        headers = ["entry", "booked", "kind", "from", "to", "msat"]
        emit(document, [*lines, *table(headers, rows)])


def _state(view: InvoiceView) -> str:
    return " ".join([view.state, *view.marks])


def _head(view: InvoiceView, redeemed_msat: int) -> list[str]:
    # Whoever redeemed what they had sent has the item: nothing is missing any more.
    open_part = ("redeemed", redeemed_msat) if redeemed_msat else ("missing", view.missing_msat)
    pairs = [
        ("invoice", view.id),
        ("state", _state(view)),
        ("item", view.item or "none: it tops up a reader's balance"),
        ("amount", format_sat(view.amount_msat)),
        ("received", format_sat(view.received_msat)),
        (open_part[0], format_sat(open_part[1])),
        ("credit", format_sat(view.credit_msat)),
        ("created", moment(view.created_at)),
        ("expires", moment(view.expires_at)),
        *((f"to pay ({r.rail})", r.uri) for r in view.requests),
    ]
    return fields(pairs)


def _payments(view: InvoiceView) -> list[str]:
    rows = [
        [
            p.reference,
            format_sat(p.amount_msat),
            p.state,
            _depth(p),
            p.note,
        ]
        for p in view.payments
    ]
    return table(["payment", "amount", "state", "depth", "note"], rows)


def _depth(payment: PaymentView) -> str:
    """Return how deep a payment lies; how deep it must lie only while that is more."""
    depth, required = payment.confirmations, payment.confirmations_required
    if depth < required:
        return f"{depth} of {count(required, 'confirmation')}"
    return count(depth, "confirmation")


def _grants(w: Work, grants: list[Grant]) -> list[str]:
    rows = [
        [f"revision {g.revision}", moment(g.issued_at), _until(w, g), moment(g.revoked_at)]
        for g in grants
    ]
    return table(["grant", "issued", "opens", "revoked"], rows)


def _until(w: Work, grant: Grant) -> str:
    if grant.expires_at is None:
        return "for ever"
    over = grant.expires_at <= w.deps.clock()
    return f"until {moment(grant.expires_at)}{' (over)' if over else ''}"


def _grant(grant: Grant) -> dict[str, Any]:
    return {
        "item": grant.item_id,
        "revision": grant.revision,
        "price_msat": grant.price_msat,
        "issued_at": grant.issued_at,
        "expires_at": grant.expires_at,
        "revoked_at": grant.revoked_at,
    }


def _entry(entry: Transfer) -> dict[str, Any]:
    return {
        "id": entry.id,
        "kind": entry.kind,
        "from": entry.from_account,
        "to": entry.to_account,
        "amount_msat": entry.amount_msat,
        "group": entry.group_id,
        "reverses": entry.reverses_id,
        "created_at": entry.created_at,
    }
