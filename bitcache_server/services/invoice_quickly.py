"""Invoices with a Lightning request without a look at the catalog and in one statement.

What an offer is made from is kept for as long as the clock shows the same second, and the
statement that stores the invoice looks whether all of it is still so (``invoice_store.py``).
The node is asked before that, outside of any transaction. PostgreSQL only.
"""

import contextlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from bitcache_server.models.catalog import ORDER_KIND, Site
from bitcache_server.rails.base import PaymentOrder, StreamRail
from bitcache_server.services.create_invoice import InvoiceOrder, price_invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.invoice_forms import Offer, form_for, own_words, with_gaps
from bitcache_server.services.invoice_store import (
    Values,
    are_free,
    columns_of,
    read_version,
    store_together,
)
from bitcache_server.services.items import check_in_stock, check_on_sale, get_offer
from bitcache_server.services.offers import account_of, rails_for
from bitcache_server.services.quotes import quote
from bitcache_server.services.request_payment import ANY, words_for
from bitcache_server.services.together import Together
from bitcache_server.services.visits import count_started
from bitcache_server.tokens.secrets import new_id
from bitcache_server.tokens.verifier import check_challenge_format


@dataclass(frozen=True)
class CallKey:
    """The idempotency key of a call, whose it is and the hash of the call."""

    owner_id: str
    key: str
    request_hash: str


class QuickInvoices:
    """One for each process. ``session()`` is called inside a ``context()``; it connects late."""

    def __init__(
        self,
        deps: Deps,
        engine: Engine,
        context: Callable[[], AbstractContextManager[object]],
        session: Callable[[], Session],
    ) -> None:
        self._deps = deps
        self._context = context
        self._session = session
        streams = {rail.name for rail in deps.stream_rails}
        self._names = streams | {ANY} if streams else streams
        self._kept: tuple[int, dict[tuple[str, str], Offer | None]] = (0, {})
        self._free_keys: Together[tuple[str, str], bool] = Together(
            engine, lambda connection, keys: are_free(connection, keys)
        )
        self._store: Together[str, bool] = Together(
            engine, lambda connection, sales: store_together(connection, sales)
        )

    def find(self, order: InvoiceOrder) -> Offer | None:
        """Return what is ordered; None when the invoice has to be made in the other way.

        So it has to for what is not on offer or not over Lightning, and for a merchant's
        own Lightning address, whose answers have to be looked at.
        """
        name = order.rail or ""
        if name not in self._names:
            return None
        offers = self._offers()
        key = (order.item_id, name)
        with contextlib.suppress(KeyError):
            return offers[key]
        with self._context():
            offer = offers[key] = self._read(self._session(), order.item_id, name)
        return offer

    def sell(self, offer: Offer, order: InvoiceOrder, key: CallKey | None) -> str | None:
        """Return the JSON of an invoice that can be paid (InvoiceView).

        None when it has to be made in the other way; nothing is stored then: the page is none
        of the site's, the key was used, or what the offer was made from has changed. Raises
        InvalidRequest for the challenge, what ``LocalFiles.describe`` raises, and RailError
        when the node does not answer.
        """
        deps = self._deps
        if key is not None and not self._free_keys.send((key.owner_id, key.key)):
            return None  # Before the node makes an invoice that nobody will see.
        check_challenge_format(order.challenge)
        check_in_stock(deps, offer.item)
        invoice_id = new_id("in")
        request = offer.rail.create_request(
            PaymentOrder(
                invoice_id=invoice_id,
                amount_msat=offer.amount_msat,
                expires_at=offer.expires_at,
                account="",
                index=0,
                memo=offer.memo,
                description=offer.told % {"id": invoice_id},
            )
        )
        form = form_for(deps, offer, request)
        used = _used(key, invoice_id, deps.clock()) if key else None
        words = own_words(invoice_id, order.challenge, request, order.origin, used)
        if not self._store.send(form.sale % words):
            # Something was changed, or it is a key's second call: the other way looks closer.
            self._offers().clear()
            return None
        count_started(deps, offer.item.id)
        return form.answer % words

    def _offers(self) -> dict[tuple[str, str], Offer | None]:
        """Return what was read in this second; what is older is forgotten."""
        now = self._deps.clock()
        if self._kept[0] != now:
            self._kept = (now, {})
        return self._kept[1]

    def _read(self, session: Session, item_id: str, rail_name: str) -> Offer | None:
        version = read_version(session, item_id)
        if version is None:
            return None
        item, merchant = get_offer(session, item_id)
        if item.kind == ORDER_KIND:
            return None  # Whether it can still be paid is asked each time.
        check_on_sale(item)
        site = session.get_one(Site, item.site_id)
        priced = quote(self._deps, session, item.price_currency, item.price_amount)
        rails = rails_for(self._deps, session, merchant, priced.amount_msat)
        name = rails[0] if rail_name == ANY and len(rails) == 1 else rail_name
        rail = self._deps.rails[name] if name in rails else None
        if not isinstance(rail, StreamRail) or account_of(self._deps, merchant, name) != "":
            return None
        invoice = price_invoice(self._deps, InvoiceOrder(item_id, ""), item, merchant, priced)
        invoice.version += 1
        session.expunge_all()
        memo, told = words_for(invoice, item.title, site.name)
        return Offer(
            version=version,
            item=item,
            rail=rail,
            rails=rails,
            amount_msat=invoice.amount_msat,
            expires_at=invoice.expires_at,
            invoice=columns_of(invoice),
            memo=memo,
            told=with_gaps(told, {"id": invoice.id}),
        )


def _used(key: CallKey, invoice_id: str, now: int) -> Values:
    """Return the row of an idempotency key."""
    return {
        "owner_id": key.owner_id,
        "key": key.key,
        "request_hash": key.request_hash,
        "result": json.dumps({"id": invoice_id}, separators=(",", ":")),
        "created_at": now,
    }
