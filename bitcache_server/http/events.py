"""Server-sent events for waiting readers: no thread and no connection per reader.

This is a small asynchronous app of its own, on a second port of the same process
group, because each waiting reader would hold a thread of a WSGI server. One task
asks the database what changed, for everybody; readers are only told.

The stream follows https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bitcache_server.domain import errors
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.extensions import db
from bitcache_server.http.errors import problem, status_of, translate
from bitcache_server.services.create_invoice import check_origin, get_invoice
from bitcache_server.services.deps import deps_of
from bitcache_server.services.views import InvoiceView, invoice_view
from bitcache_server.services.waiting import changed_since

log = logging.getLogger(__name__)

POLL_S = 0.25
HEARTBEAT_S = 15
RETRY_MS = 3_000
#: Beyond this a reader is told to poll; each one costs some 20 kB of memory.
MAX_READERS = 20_000
#: A change is looked for this much longer than since the last look: the time in a
#: row is when its transaction began, and it shows when that ended.
OVERLAP_S = 10


class InvoiceHub:
    """Knows who waits for which invoice and wakes them when it changed."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._versions: dict[str, int] = {}

    @property
    def readers(self) -> int:
        """Return how many readers wait."""
        return sum(len(events) for events in self._waiting.values())

    @asynccontextmanager
    async def waiter(self, invoice_id: str) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set whenever the invoice changed."""
        event = asyncio.Event()
        self._waiting[invoice_id].add(event)
        try:
            yield event
        finally:
            self._waiting[invoice_id].discard(event)
            if not self._waiting[invoice_id]:
                del self._waiting[invoice_id]
                self._versions.pop(invoice_id, None)

    async def poll_for_ever(self) -> None:
        """Look for changes while anybody waits; a database that is away is asked again."""
        while True:
            await asyncio.sleep(POLL_S)
            if not self._waiting:
                continue
            try:
                self._wake(await asyncio.to_thread(self._changed))
            except Exception as error:
                log.warning("events: %s", translate(error).detail)
                await asyncio.sleep(HEARTBEAT_S / 10)

    def _changed(self) -> list[tuple[str, int]]:
        with self._app.app_context():
            now = deps_of(self._app).clock()
            return changed_since(db.session(), now - OVERLAP_S)

    def _wake(self, changed: list[tuple[str, int]]) -> None:
        for invoice_id, version in changed:
            if invoice_id in self._waiting and self._versions.get(invoice_id) != version:
                self._versions[invoice_id] = version
                for event in self._waiting[invoice_id]:
                    event.set()

    def read(self, invoice_id: str, origin: str | None) -> InvoiceView:
        """Return the invoice now, for a page that may see it. Blocks: run in a thread."""
        with self._app.app_context():
            deps = deps_of(self._app)
            invoice = get_invoice(db.session(), invoice_id)
            page = None if origin == deps.settings.public_url else origin
            check_origin(deps, db.session(), invoice.site_id, page)
            return invoice_view(deps, db.session(), invoice)


def create_events(app: Flask) -> Starlette:
    """Return the asynchronous app that serves the events of the given app's invoices."""
    hub = InvoiceHub(app)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        poller = asyncio.create_task(hub.poll_for_ever())
        yield
        poller.cancel()

    async def events(request: Request) -> Response:
        return await _answer(hub, request)

    routes = [Route("/v1/invoices/{invoice_id}/events", events, methods=["GET"])]
    return Starlette(routes=routes, lifespan=lifespan)


async def _answer(hub: InvoiceHub, request: Request) -> Response:
    invoice_id = request.path_params["invoice_id"]
    origin = request.headers.get("Origin")
    try:
        if hub.readers >= MAX_READERS:
            raise errors.RateLimited("Too many readers wait here; poll instead.", 5)
        first = await asyncio.to_thread(hub.read, invoice_id, origin)
    except Exception as error:
        return _problem(error)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Origin"}
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin
    stream = _stream(hub, invoice_id, origin, first)
    return StreamingResponse(stream, headers=headers, media_type="text/event-stream")


def _problem(error: Exception) -> Response:
    translated = translate(error)
    if status_of(type(translated)) == 500:
        log.error("unexpected error while a reader waits", exc_info=error)
    body, status, headers = problem(translated)
    return Response(json.dumps(body), status, headers)


async def _stream(
    hub: InvoiceHub, invoice_id: str, origin: str | None, first: InvoiceView
) -> AsyncIterator[str]:
    """Yield the invoice whenever it changed, until it is paid or the reader leaves."""
    yield f"retry: {RETRY_MS}\n\n"
    async with hub.waiter(invoice_id) as changed:
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
            newer = await asyncio.to_thread(hub.read, invoice_id, origin)
            if newer.version != view.version:
                view = newer
                yield _event(view)


def _event(view: InvoiceView) -> str:
    return f"event: invoice\nid: {view.version}\ndata: {view.model_dump_json()}\n\n"
