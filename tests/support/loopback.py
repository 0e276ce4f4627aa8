"""An app on a free port of this machine, with or without TLS; the port is known before the app."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from flask import Flask

from tests.support.certificates import Certificate


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@dataclass
class Loopback:
    """A port that answers once it was given an app."""

    server: WSGIServer
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Return the port on 127.0.0.1."""
        return self.server.server_port

    def serve(self, app: Flask) -> None:
        """Answer with this app from now on."""
        self.server.set_app(app)
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        self.threads.append(thread)


@contextmanager
def loopback(certificate: Certificate | None = None) -> Iterator[Loopback]:
    """Give a port; whatever serves there ends with the block."""
    server = make_server("127.0.0.1", 0, lambda *_: [], _Threads, _Quiet)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain, certificate.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made = Loopback(server)
    try:
        yield made
    finally:
        for thread in made.threads:
            server.shutdown()
            thread.join()
        server.server_close()
