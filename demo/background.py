"""Small web servers of the demo, each in a thread of this process."""

import logging
import threading
from types import TracebackType
from typing import Self

from flask import Flask
from werkzeug.serving import make_server

from demo.ports import HOST


class BackgroundServer:
    """Serves an app on loopback until the ``with`` block ends."""

    def __init__(self, app: Flask, port: int) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server(HOST, port, app, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
