"""Invoices of one second for one offer differ in a few words: the rest is written once.

A form is made from an invoice that was put together like any other, with words in it that
stand nowhere else; each sale puts its own in their place.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from json.encoder import encode_basestring

from bitcache_server.models.catalog import Item
from bitcache_server.models.sales import Invoice, RequestRow
from bitcache_server.rails.base import PaymentRequest, StreamRail
from bitcache_server.services.deps import Deps
from bitcache_server.services.invoice_store import Values, sale_json
from bitcache_server.services.request_payment import request_values
from bitcache_server.services.request_views import request_view
from bitcache_server.services.views import assemble_invoice


@dataclass(frozen=True)
class Form:
    """Two texts with gaps, filled by ``%`` with ``own_words``."""

    sale: str
    """What ``store_together`` takes."""
    answer: str
    """The JSON of an InvoiceView."""


@dataclass(frozen=True)
class Offer:
    """An item as it is sold over one rail in one second, and what it was read from."""

    version: str
    item: Item
    rail: StreamRail
    rails: tuple[str, ...]
    """All that it is sold over."""
    amount_msat: int
    expires_at: int
    invoice: Values
    """An invoice for it; each has an id and a challenge of its own."""
    memo: str
    told: str
    """What an invoice commits to, with a gap for its id."""
    forms: dict[tuple[object, ...], Form] = field(default_factory=dict)


def with_gaps(text: str, marks: Mapping[str, str]) -> str:
    """Return a text for ``%``: each mark, which no one can guess, is a gap of that name."""
    text = text.replace("%", "%%")
    for name, mark in marks.items():
        text = text.replace(mark, f"%({name})s")
    return text


def form_for(deps: Deps, offer: Offer, request: PaymentRequest) -> Form:
    """Return the form of invoices that are asked for like this one, at this second."""
    described = bool(request.description)
    like = (deps.clock(), request.rail, request.amount_msat, request.check_url, described)
    form = offer.forms.get(like)
    if form is None:
        form = offer.forms[like] = _make_form(deps, offer, request)
    return form


def _make_form(deps: Deps, offer: Offer, request: PaymentRequest) -> Form:
    names = ("id", "challenge", "destination", "target", "description", "origin", "key")
    # Capitals and small letters: links carry an invoice in three ways.
    marks = {name: f"Mark{secrets.token_hex(16)}" for name in names}
    values = {**offer.invoice, "id": marks["id"], "challenge": marks["challenge"]}
    marked = replace(
        request,
        destination=marks["destination"],
        target=marks["target"],
        description=marks["description"] if request.description else "",
    )
    asked = request_values(marks["id"], marked, None, 0, deps.clock())
    sale = sale_json(offer.version, marks["origin"], values, asked, marks["key"])
    # These two are JSON of their own, so their quotes go with them.
    quoted = {name: f'"{marks.pop(name)}"' for name in ("origin", "key")}
    marks["small"] = marks["destination"].lower()
    marks["capital"] = marks["destination"].upper()
    invoice = Invoice(**values)
    shown = request_view(deps, invoice, RequestRow(**asked))
    view = assemble_invoice(deps, invoice, offer.rails, [shown], [])
    return Form(
        sale=with_gaps(sale, {**marks, **quoted}), answer=with_gaps(view.model_dump_json(), marks)
    )


def own_words(
    invoice_id: str,
    challenge: str,
    request: PaymentRequest,
    origin: str | None,
    key: Values | None,
) -> dict[str, str]:
    """Return what an invoice has of its own, as it stands in JSON."""
    to = request.destination
    return {
        "id": invoice_id,
        "challenge": _inside_json(challenge),
        "destination": _inside_json(to),
        "small": _inside_json(to.lower()),
        "capital": _inside_json(to.upper()),
        "target": _inside_json(request.target),
        "description": _inside_json(request.description),
        "origin": "null" if origin is None else json.dumps(origin),
        "key": "null" if key is None else json.dumps(key),
    }


def _inside_json(text: str) -> str:
    return encode_basestring(text)[1:-1]
