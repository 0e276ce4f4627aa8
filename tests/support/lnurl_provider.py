"""A Lightning address provider on loopback that does what a test tells it, also the wrong thing."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import InvoiceOrder
from bitcache_server.rails.lightning.registry import BackendSettings
from bitcache_server.rails.lightning.scripted import ScriptedBackend

Answer = Callable[[BaseHTTPRequestHandler], None]


def saying(body: object, status: int = 200, **headers: str) -> Answer:
    """Answer with JSON, or with a text as it is."""
    data = body if isinstance(body, bytes) else (
        body.encode() if isinstance(body, str) else json.dumps(body).encode()
    )  # fmt: skip

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """Send one byte at a time, so that no single read ever takes long."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


@dataclass
class Provider:
    """The address ``jane@<host>`` and what stands behind it."""

    host: str
    scheme: str
    node: ScriptedBackend
    metadata: str = '[["text/plain","Payment to Jane"],["text/identifier","jane@shop.test"]]'
    terms: dict[str, Any] = field(default_factory=dict)
    """What differs from honest terms."""
    invoice: dict[str, Any] = field(default_factory=dict)
    """What differs from an honest invoice."""
    status: dict[str, Any] = field(default_factory=dict)
    """What differs from an honest answer to LUD-21."""
    answers: dict[str, Answer] = field(default_factory=dict)
    """By path: instead of all that."""
    description: str | None = None
    """What the invoice commits to, instead of the metadata; empty is a memo."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """The ``Host`` and path of each request."""

    @property
    def address(self) -> str:
        """Return the Lightning address."""
        return f"jane@{self.host}"

    @property
    def url(self) -> str:
        """Return where it answers."""
        return f"{self.scheme}://{self.host}"

    def pay(self, payment_hash: str) -> None:
        """Let somebody pay an invoice."""
        self.node.pay(payment_hash)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        parts = urlsplit(handler.path)
        self.asked.append((handler.headers["Host"], handler.path))
        known = self.answers.get(parts.path)
        if known is not None:
            known(handler)
        elif parts.path == "/.well-known/lnurlp/jane":
            saying(self._terms())(handler)
        elif parts.path == "/callback":
            saying(self._invoice(parse_qs(parts.query)))(handler)
        elif parts.path.startswith("/verify/"):
            saying(self._status(parts.path.removeprefix("/verify/")))(handler)
        else:
            saying({"status": "ERROR", "reason": "Not found"}, 404)(handler)

    def _terms(self) -> dict[str, Any]:
        return {
            "tag": "payRequest",
            "callback": f"{self.url}/callback?account=7",
            "minSendable": 1_000,
            "maxSendable": 100_000_000,
            "metadata": self.metadata,
            "commentAllowed": 20,
            **self.terms,
        }

    def _invoice(self, query: dict[str, list[str]]) -> dict[str, Any]:
        told = self.metadata if self.description is None else self.description
        order = InvoiceOrder("", int(query["amount"][0]), "A payment", told, 3_600)
        made = self.node.create_invoice(order)
        verify = f"{self.url}/verify/{made.payment_hash}"
        answer = {"pr": made.bolt11, "routes": [], "verify": verify, **self.invoice}
        return {name: value for name, value in answer.items() if value is not None}

    def _status(self, payment_hash: str) -> dict[str, Any]:
        found = self.node.lookup_invoice(payment_hash)
        settled = found.outcome is Outcome.SETTLED
        preimage = found.preimage or None
        return {"status": "OK", "settled": settled, "preimage": preimage, **self.status}


@contextmanager
def lnurl_provider(
    host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[Provider]:
    """Serve a provider on a free port of loopback, called ``host``."""
    node = ScriptedBackend(BackendSettings("", "", "", "", 1, allow_fake=True))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                provider.answer(self)
            except OSError:  # The client has gone, as some tests want.
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            # A client that refuses the certificate is no fault of this server's.
            server.handle_error = lambda *_: None  # type: ignore[method-assign]
        name = f"{host}:{server.server_address[1]}"
        provider = Provider(name, "https" if tls else "http", node)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
