"""A whole server on a port of this machine, for tests of the wallet's pages in a browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tests.support.api import open_world
from tests.support.world import World


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextmanager
def served_world(database_url: str, folder: Path, **settings: Any) -> Iterator[World]:
    """Give a stocked server that answers at ``http://localhost:port``, where passkeys work."""
    # The port is known before the server is: its address is one of its settings.
    server = make_server("127.0.0.1", 0, lambda *_: [], _Threads, _Quiet)
    url = f"http://localhost:{server.server_port}"
    with open_world(database_url, folder, public_url=url, **settings) as world:
        server.set_app(world.app)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield world
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
