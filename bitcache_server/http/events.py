"""Server-sent events for waiting readers: no thread and no connection per reader.

This is a small asynchronous app of its own, on a second port of the same process
group, because each waiting reader would hold a thread of a WSGI server. The database says that
something changed (``services/wake_ups.py``), one task looks what, for everybody, and readers
are only told. A stream that waits is one coroutine below the server: a framework around it
would hold ten, and 10,000 of those are what the memory is counted in.

The stream follows https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from flask import Flask
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bitcache_server.domain import errors
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.extensions import db
from bitcache_server.http import limits
from bitcache_server.http.context import block_of
from bitcache_server.http.errors import problem, status_of, translate
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.waiters import Call, Reader, Waiter, Waiters
from bitcache_server.models.session import normalise_url
from bitcache_server.services.create_invoice import check_origin, get_invoice
from bitcache_server.services.deps import deps_of
from bitcache_server.services.views import InvoiceView, invoice_view
from bitcache_server.services.waiting import changed_since, versions_of
from bitcache_server.services.wake_ups import listen

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

_PATH = re.compile(r"/v1/invoices/([^/]+)/events")

#: How often the database is asked while it does not say by itself that something changed.
POLL_S = 0.25
#: And while it does: some changes are announced by nobody, and a word may get lost.
SLOW_POLL_S = 1.0
#: However busy the database is, it is not asked more often.
PAUSE_S = 0.02
HEARTBEAT_S = 15.0
#: A database that is away is asked again after this time.
AWAY_S = 1.5
RETRY_MS = 3_000
#: Beyond this a reader is told to poll; what one costs, `make bench` says.
MAX_READERS = 20_000
#: So many may wait at one address (of IPv6: in one /64), so that nobody takes all places.
MAX_READERS_PER_BLOCK = 500
#: A change is looked for this much longer than since the last look: the time in a
#: row is when its transaction began, and it shows when that ended.
OVERLAP_S = 10


class InvoiceHub:
    """Knows who waits for which invoice and wakes them when it changed."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._deps = deps_of(app)
        self._url = normalise_url(self._deps.settings.database_url)
        self._versions: dict[str, int] = {}
        self._looked_at = self._deps.clock()
        self._look_now = asyncio.Event()
        self._is_told = False
        self._groups = max(1, int(HEARTBEAT_S))
        self._waiters = Waiters(self._groups)

    @property
    def readers(self) -> int:
        """Return how many wait."""
        return self._waiters.count

    def check_room(self, block: str) -> None:
        """Raise RateLimited when nobody more can wait, here or from this address."""
        if self.readers >= MAX_READERS or self._waiters.of_block(block) >= MAX_READERS_PER_BLOCK:
            raise errors.RateLimited("Too many readers wait here; poll instead.", 5)

    @contextmanager
    def waiting(self, reader: Reader, version: int) -> Iterator[Waiter]:
        """Give what is woken whenever the invoice has another version."""
        waiter = Waiter(reader)
        self._waiters.enter(waiter)
        # An older version of another reader stays: the next look wakes both.
        self._versions.setdefault(reader.invoice_id, version)
        try:
            yield waiter
        finally:
            self._waiters.leave(waiter)
            if reader.invoice_id not in self._waiters:
                del self._versions[reader.invoice_id]

    async def run(self) -> None:
        """Look, listen and keep the lines alive for ever."""
        await asyncio.gather(self._look_for_ever(), self._listen_for_ever(), self._beat_for_ever())

    async def _beat_for_ever(self) -> None:
        group = 0
        while True:
            await asyncio.sleep(HEARTBEAT_S / self._groups)
            self._waiters.beat(group)
            group += 1

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await listen(self._url, self._be_told, self._hear)
            except Exception as error:
                # The look goes on as if nobody ever told anything.
                log.debug("events: not told of changes", exc_info=error)
            self._is_told = False
            await asyncio.sleep(AWAY_S)

    def _be_told(self) -> None:
        self._is_told = True
        self._look_now.set()

    def _hear(self, invoice_id: str | None) -> None:
        if invoice_id is None:
            self._look_now.set()
        else:
            self._waiters.tell(invoice_id)

    async def _look_for_ever(self) -> None:
        """Look for changes while anybody waits; a database that is away is asked again."""
        loop = asyncio.get_running_loop()
        check_all_at = loop.time() + HEARTBEAT_S
        while True:
            await asyncio.sleep(PAUSE_S)
            with suppress(TimeoutError):
                pause_s = SLOW_POLL_S if self._is_told else POLL_S
                await asyncio.wait_for(self._look_now.wait(), min(pause_s, HEARTBEAT_S))
            self._look_now.clear()
            try:
                await self._look()
                if loop.time() >= check_all_at:
                    # What the look missed: a long transaction, a clock that is wrong.
                    self._wake(await asyncio.to_thread(self._versions_of, self._waiters.ids()))
                    check_all_at = loop.time() + HEARTBEAT_S
            except Exception as error:
                log.warning("events: %s", translate(error).detail)
                await asyncio.sleep(AWAY_S)

    async def _look(self) -> None:
        now = self._deps.clock()
        if self.readers:
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
            if invoice_id in self._waiters and self._versions[invoice_id] != version:
                self._versions[invoice_id] = version
                self._waiters.tell(invoice_id)

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


def create_events(app: Flask) -> ASGIApp:
    """Return the asynchronous app that serves the events of the given app's invoices."""
    settings = deps_of(app).settings
    if limits.EXTENSION not in app.extensions:
        limits.init_app(app, settings.rate_limit_storage)
    hub = InvoiceHub(app)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(hub.run())
        yield
        running.cancel()

    #: Begins and ends with the server, and answers whatever asks for no events.
    rest = Starlette(lifespan=lifespan, exception_handlers={HTTPException: _not_found})

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        path = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if path is None:
            await rest(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            response = _problem(errors.MethodNotAllowed())
            response.headers["Allow"] = "GET, HEAD"
            await response(scope, receive, send)
        else:
            headers = Headers(scope=scope)
            block = block_of(_address(scope, headers, settings.trusted_proxies))
            reader = Reader(path[1], headers.get("Origin"), block)
            version = await _answer(hub, reader, scope, receive, send)
            # What stays while nothing happens is what ten thousand readers cost.
            del scope, headers, path, block
            if version is not None:
                await _stream(hub, reader, version, receive, send)

    return serve


def _address(scope: Scope, headers: Headers, proxies: int) -> str:
    """Return the caller's address, as the last proxy that is ours saw it."""
    if proxies:
        passed_on = ",".join(headers.getlist("X-Forwarded-For")).split(",")
        if len(passed_on) >= proxies:
            return passed_on[-proxies].strip()
    return str(scope["client"][0]) if scope.get("client") else "unknown"


async def _not_found(_request: Request, _error: Exception) -> Response:
    return _problem(errors.NotFound())


async def _answer(
    hub: InvoiceHub, reader: Reader, scope: Scope, receive: Receive, send: Send
) -> int | None:
    """Begin the stream; return the version that was sent, or None when that was all."""
    try:
        if "\x00" in reader.invoice_id:
            raise errors.NotFound()
        hub.check_room(reader.block)
        first = await asyncio.to_thread(hub.admit, reader)
    except Exception as error:
        await _problem(error)(scope, receive, send)
        return None
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Origin"}
    if reader.origin is not None:
        headers["Access-Control-Allow-Origin"] = reader.origin
    empty = Response(headers=headers, media_type=ENDPOINT.media_type)
    if scope["method"] == "HEAD":
        await empty(scope, receive, send)
        return None
    raw = [pair for pair in empty.raw_headers if pair[0] != b"content-length"]
    await send({"type": "http.response.start", "status": 200, "headers": raw})
    await _send(send, f"retry: {RETRY_MS}\n\n{_event(first)}")
    if first.state != InvoiceState.PAID:
        return first.version
    await _end(send)
    return None


async def _end(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


def _problem(error: Exception) -> Response:
    translated = translate(error)
    if status_of(type(translated)) == 500:
        log.error("unexpected error while a reader waits", exc_info=error)
    body, status, headers = problem(translated)
    return Response(json.dumps(body), status, headers)


async def _stream(
    hub: InvoiceHub, reader: Reader, version: int, receive: Receive, send: Send
) -> None:
    """Send the invoice whenever it changed, until it is paid or the reader leaves."""
    with hub.waiting(reader, version) as waiter:
        leaving = asyncio.ensure_future(_until_gone(receive))
        leaving.add_done_callback(lambda _: waiter.call(Call.GONE))
        try:
            # What changed between the first reading and now.
            waiter.call(Call.CHANGED)
            while (call := await waiter.next()) is not Call.GONE:
                if call is Call.BEAT:
                    await _send(send, ": still here\n\n")
                    continue
                view = await _read(hub, waiter, send)
                if view is not None and view.version != version:
                    version = view.version
                    await _send(send, _event(view))
                    if view.state == InvoiceState.PAID:
                        await _end(send)
                        return
                del view
        finally:
            leaving.cancel()


async def _read(hub: InvoiceHub, waiter: Waiter, send: Send) -> InvoiceView | None:
    """Return the invoice; None, and the same call again, while the database is away."""
    try:
        return await asyncio.to_thread(hub.read, waiter.reader)
    except Exception as error:
        if status_of(type(translate(error))) != 503:
            raise
    # A page would not come back after an error.
    waiter.call(Call.CHANGED)
    await _send(send, ": one moment\n\n")
    await asyncio.sleep(AWAY_S)
    return None


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(view: InvoiceView) -> str:
    return f"event: invoice\nid: {view.version}\ndata: {view.model_dump_json()}\n\n"
