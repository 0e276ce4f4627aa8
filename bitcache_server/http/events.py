"""Server-sent events for waiting readers: no thread and no connection per reader.

This is a small asynchronous app of its own, on a second port of the same process
group, because each waiting reader would hold a thread of a WSGI server. One task
asks the database what changed, for everybody; readers are only told.

The stream follows https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from flask import Flask
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bitcache_server.domain import errors
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.extensions import db
from bitcache_server.http import limits
from bitcache_server.http.context import block_of
from bitcache_server.http.errors import problem, status_of, translate
from bitcache_server.http.openapi import Endpoint
from bitcache_server.services.create_invoice import check_origin, get_invoice
from bitcache_server.services.deps import deps_of
from bitcache_server.services.views import InvoiceView, invoice_view
from bitcache_server.services.waiting import changed_since, versions_of

log = logging.getLogger(__name__)

#: For the document; it is served on a port of its own.
ENDPOINT = Endpoint(
    method="GET",
    path="/v1/invoices/{invoice_id}/events",
    operation_id="wait_for_invoice",
    summary="Wait for an invoice to be paid",
    description=(
        "Server-sent events named `invoice` whose data is what `read_invoice` returns: one at "
        "once, one after each change, and the end of the stream once it is paid. The invoice's "
        "`events_url` says where. Without it, read the invoice now and then."
    ),
    tag="invoices",
    media_type="text/event-stream",
    errors=(errors.UnknownInvoice,),
)

POLL_S = 0.25
HEARTBEAT_S = 15.0
#: A database that is away is asked again after this time.
AWAY_S = 1.5
RETRY_MS = 3_000
#: Beyond this a reader is told to poll; each one costs some 20 kB of memory.
MAX_READERS = 20_000
#: So many may wait at one address (of IPv6: in one /64), so that nobody takes all places.
MAX_READERS_PER_BLOCK = 500
#: A change is looked for this much longer than since the last look: the time in a
#: row is when its transaction began, and it shows when that ended.
OVERLAP_S = 10


@dataclass(frozen=True)
class Reader:
    """Who waits for which invoice."""

    invoice_id: str
    origin: str | None
    """Of the page, where it is not ours."""
    block: str
    """The reader's address, or its /64."""


class InvoiceHub:
    """Knows who waits for which invoice and wakes them when it changed."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._deps = deps_of(app)
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._versions: dict[str, int] = {}
        self._blocks: Counter[str] = Counter()
        self._looked_at = self._deps.clock()
        self.readers = 0
        """How many wait."""

    def check_room(self, block: str) -> None:
        """Raise RateLimited when nobody more can wait, here or from this address."""
        if self.readers >= MAX_READERS or self._blocks[block] >= MAX_READERS_PER_BLOCK:
            raise errors.RateLimited("Too many readers wait here; poll instead.", 5)

    @asynccontextmanager
    async def waiter(self, reader: Reader, version: int) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set whenever the invoice has another version."""
        invoice_id, event = reader.invoice_id, asyncio.Event()
        self._waiting.setdefault(invoice_id, set()).add(event)
        # An older version of another reader stays: the next look wakes both.
        self._versions.setdefault(invoice_id, version)
        self._count(reader.block, 1)
        try:
            yield event
        finally:
            self._count(reader.block, -1)
            self._waiting[invoice_id].discard(event)
            if not self._waiting[invoice_id]:
                del self._waiting[invoice_id], self._versions[invoice_id]

    def _count(self, block: str, change: int) -> None:
        self.readers += change
        self._blocks[block] += change
        if not self._blocks[block]:
            del self._blocks[block]

    async def poll_for_ever(self) -> None:
        """Look for changes while anybody waits; a database that is away is asked again."""
        loop = asyncio.get_running_loop()
        check_all_at = loop.time() + HEARTBEAT_S
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._look()
                if loop.time() >= check_all_at:
                    # What the look missed: a long transaction, a clock that is wrong.
                    self._wake(await asyncio.to_thread(self._versions_of, list(self._waiting)))
                    check_all_at = loop.time() + HEARTBEAT_S
            except Exception as error:
                log.warning("events: %s", translate(error).detail)
                await asyncio.sleep(AWAY_S)

    async def _look(self) -> None:
        now = self._deps.clock()
        if self._waiting:
            # Not since `now`: the database may have been away for long.
            since = min(self._looked_at, now) - OVERLAP_S
            self._wake(await asyncio.to_thread(self._changed, since))
        self._looked_at = now

    def _changed(self, since: int) -> list[tuple[str, int]]:
        with self._app.app_context():
            return changed_since(db.session(), since)

    def _versions_of(self, invoice_ids: list[str]) -> list[tuple[str, int]]:
        with self._app.app_context():
            return versions_of(db.session(), invoice_ids)

    def _wake(self, versions: list[tuple[str, int]]) -> None:
        for invoice_id, version in versions:
            if invoice_id in self._waiting and self._versions[invoice_id] != version:
                self._versions[invoice_id] = version
                for event in self._waiting[invoice_id]:
                    event.set()

    def admit(self, reader: Reader) -> InvoiceView:
        """Count the call and return the invoice. Blocks: run in a thread."""
        with self._app.app_context():
            limits.check_limit(limits.READS, reader.block)
        return self.read(reader)

    def read(self, reader: Reader) -> InvoiceView:
        """Return the invoice now, for a page that may see it. Blocks: run in a thread."""
        with self._app.app_context():
            invoice = get_invoice(db.session(), reader.invoice_id)
            check_origin(self._deps, db.session(), invoice.site_id, reader.origin)
            return invoice_view(self._deps, db.session(), invoice)


def create_events(app: Flask) -> Starlette:
    """Return the asynchronous app that serves the events of the given app's invoices."""
    settings = deps_of(app).settings
    if limits.EXTENSION not in app.extensions:
        limits.init_app(app, settings.rate_limit_storage)
    hub = InvoiceHub(app)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        poller = asyncio.create_task(hub.poll_for_ever())
        yield
        poller.cancel()

    async def events(request: Request) -> Response:
        block = block_of(_address(request, settings.trusted_proxies))
        return await _answer(hub, request, block)

    return Starlette(
        routes=[Route(ENDPOINT.path, events, methods=["GET"])],
        lifespan=lifespan,
        exception_handlers={HTTPException: _not_found},
    )


def _address(request: Request, proxies: int) -> str:
    """Return the caller's address, as the last proxy that is ours saw it."""
    if proxies:
        passed_on = ",".join(request.headers.getlist("X-Forwarded-For")).split(",")
        if len(passed_on) >= proxies:
            return passed_on[-proxies].strip()
    return request.client.host if request.client else "unknown"


async def _not_found(_: Request, error: Exception) -> Response:
    wrong_method = isinstance(error, HTTPException) and error.status_code == 405
    response = _problem(errors.MethodNotAllowed() if wrong_method else errors.NotFound())
    if wrong_method:
        response.headers["Allow"] = "GET, HEAD"
    return response


async def _answer(hub: InvoiceHub, request: Request, block: str) -> Response:
    origin = request.headers.get("Origin")
    reader = Reader(request.path_params["invoice_id"], origin, block)
    try:
        if "\x00" in reader.invoice_id:
            raise errors.NotFound()
        hub.check_room(block)
        first = await asyncio.to_thread(hub.admit, reader)
    except Exception as error:
        return _problem(error)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Origin"}
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
    if request.method == "HEAD":
        return Response(headers=headers, media_type=ENDPOINT.media_type)
    stream = _stream(hub, reader, first)
    return StreamingResponse(stream, headers=headers, media_type=ENDPOINT.media_type)


def _problem(error: Exception) -> Response:
    translated = translate(error)
    if status_of(type(translated)) == 500:
        log.error("unexpected error while a reader waits", exc_info=error)
    body, status, headers = problem(translated)
    return Response(json.dumps(body), status, headers)


async def _stream(hub: InvoiceHub, reader: Reader, first: InvoiceView) -> AsyncIterator[str]:
    """Yield the invoice whenever it changed, until it is paid or the reader leaves."""
    yield f"retry: {RETRY_MS}\n\n"
    async with hub.waiter(reader, first.version) as changed:
        view = first
        yield _event(view)
        # What changed between the first reading and now.
        changed.set()
        while view.state != InvoiceState.PAID:
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT_S)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            changed.clear()
            try:
                newer = await asyncio.to_thread(hub.read, reader)
            except Exception as error:
                if status_of(type(translate(error))) != 503:
                    raise
                # The database is away. A page would not come back after an error.
                changed.set()
                yield ": one moment\n\n"
                await asyncio.sleep(AWAY_S)
                continue
            if newer.version != view.version:
                view = newer
                yield _event(view)


def _event(view: InvoiceView) -> str:
    return f"event: invoice\nid: {view.version}\ndata: {view.model_dump_json()}\n\n"
