"""A merchant's server that takes webhooks: real, on loopback, answering as a test says."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

from tests.support.certificates import Certificate

#: How long a test waits for what must come.
PATIENCE_S = 60

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Received:
    """One call, as it came over the wire."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        """Return the event's id."""
        return self.headers["webhook-id"]

    def verify(self, secret: str) -> dict[str, Any]:
        """Check it with the specification's own library and return what it says."""
        return dict(Webhook(secret).verify(self.body, self.headers))


def saying(status: int, body: bytes = b"thanks", **headers: str) -> Answer:
    """Return an answer with this status."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@dataclass
class Receiver:
    """What came, and what is answered."""

    server: ThreadingHTTPServer
    answer: Answer = field(default_factory=lambda: saying(200))
    received: list[Received] = field(default_factory=list)
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released once for each call."""

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def port(self) -> int:
        """Return its port."""
        return int(self.server.server_port)

    @property
    def ids(self) -> list[str]:
        """Return the ids of what came, in order."""
        return [one.id for one in self.received]

    def wait(self) -> None:
        """Return when one more call has come."""
        assert self.came.acquire(timeout=PATIENCE_S)


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing: a sender that hangs up is what some tests are about."""


@contextmanager
def receiver(host: str = "127.0.0.1", certificate: Certificate | None = None) -> Iterator[Receiver]:
    """Give a server on a free port of this machine, with TLS where it has a certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.received.append(Received(self.path, headers, body))
            made.came.release()
            made.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = _Threads((host, 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain, certificate.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made = Receiver(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
