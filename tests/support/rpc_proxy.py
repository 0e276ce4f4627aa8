"""A loopback proxy in front of a node that misbehaves on request.

The node behind it is real: each fault changes one thing about its answers, as
networks, proxies and nodes in trouble do.
"""

import json
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from enum import Enum, auto
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

MUCH = 1_000
#: How long a client waits: where nothing is slow on purpose, for a machine that is busy.
PATIENT_S, IMPATIENT_S = 30.0, 2.0


class Fault(Enum):
    """What goes wrong. NONE and MODERN are healthy nodes."""

    NONE = auto()
    MODERN = auto()
    """JSON-RPC 2.0 as Bitcoin Core 28 and later: no "error" beside a result."""
    DIE_IN_ANSWER = auto()
    DIE_BEFORE_ANSWER = auto()
    DROP_IDLE = auto()
    """Answers, then closes the connection without saying so."""
    SLOW = auto()
    UNAUTHORIZED = auto()
    BUSY = auto()
    WRONG_CHAIN = auto()
    SYNCING = auto()
    WARMING_UP = auto()
    PRUNED = auto()
    HTML = auto()
    BROKEN_JSON = auto()
    OTHER_JSON = auto()


Answer = dict[str, Any]


def patience_s(request: pytest.FixtureRequest) -> float:
    """Return how long the client of a test may wait, by the test's own ``fault``."""
    callspec = getattr(request.node, "callspec", None)
    slow = callspec is not None and callspec.params.get("fault") is Fault.SLOW
    return IMPATIENT_S if slow else PATIENT_S


def _wrong_chain(info: Answer) -> None:
    info["chain"] = "main"


def _behind(info: Answer) -> None:
    info["headers"] = info["blocks"] + MUCH


_CHAIN_INFO: dict[Fault, Callable[[Answer], None]] = {
    Fault.WRONG_CHAIN: _wrong_chain,
    Fault.SYNCING: _behind,
}
#: Answers that never ask the node: status, type, body.
_CANNED = {
    Fault.UNAUTHORIZED: (401, "text/html", b"Unauthorized"),
    Fault.BUSY: (503, "text/plain", b"Work queue depth exceeded"),
    Fault.HTML: (200, "text/html", b"<html>It works!</html>"),
    Fault.BROKEN_JSON: (200, "application/json", b'{"result": {"chain": "regt'),
    Fault.OTHER_JSON: (200, "application/json", b'["hello", "world"]'),
    Fault.WARMING_UP: (
        500,
        "application/json",
        b'{"result":null,"error":{"code":-28,"message":"Loading block index..."},"id":1}',
    ),
}


class RpcProxy:
    """Stands between a client and a node; ``fault`` may change at any time.

    With ``only`` it strikes nothing but calls of that method.
    """

    def __init__(self, node_url: str) -> None:
        self._node = urlsplit(node_url)
        self.fault = Fault.NONE
        self.only = ""
        self.calls: Counter[str] = Counter()
        self.connections = 0
        self.open: set[socket.socket] = set()
        self.closing = threading.Event()
        self._server = self._listen(0)

    @property
    def url(self) -> str:
        """Return the node's URL, with its credentials, at the proxy's port."""
        credentials = f"{self._node.username}:{self._node.password}"
        return f"http://{credentials}@127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return self._server.server_address[1]

    def go_away(self) -> None:
        """Stop listening, and end all connections."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.open):
            with suppress(OSError):  # the client was quicker
                connection.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        """Listen at the same port again."""
        port = self.port
        self.closing = threading.Event()
        self._server = self._listen(port)

    def fault_for(self, methods: list[str]) -> Fault:
        """Return what goes wrong with a request of these calls."""
        return self.fault if not self.only or self.only in methods else Fault.NONE

    def forward(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Ask the node; return the status and the body."""
        node = HTTPConnection(str(self._node.hostname), self._node.port)
        try:
            node.request("POST", path, body, headers)
            response = node.getresponse()
            return response.status, response.read()
        finally:
            node.close()

    def _listen(self, port: int) -> "_Server":
        server = _Server(("127.0.0.1", port), _Handler)
        server.proxy = self
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.go_away()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: RpcProxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def setup(self) -> None:
        super().setup()
        self._proxy.connections += 1
        self._proxy.open.add(self.connection)

    def finish(self) -> None:
        self._proxy.open.discard(self.connection)
        super().finish()

    @property
    def _proxy(self) -> RpcProxy:
        server = self.server
        assert isinstance(server, _Server)
        return server.proxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        methods = [call["method"] for call in (request if isinstance(request, list) else [request])]
        self._proxy.calls.update(methods)
        fault = self._proxy.fault_for(methods)
        if fault is Fault.SLOW:
            self._proxy.closing.wait(self.timeout)
        if fault in (Fault.SLOW, Fault.DIE_BEFORE_ANSWER):
            self.close_connection = True
            return
        if fault in _CANNED:
            self._answer(fault, *_CANNED[fault])
            return
        if fault is Fault.PRUNED and "getblock" in methods:
            error = {"code": -1, "message": "Block not available (pruned data)"}
            self._answer(
                fault, 500, "application/json", json.dumps({"result": None, "error": error})
            )
            return
        headers = {"Authorization": self.headers["Authorization"]}
        status, text = self._proxy.forward(self.path, body, headers)
        self._answer(fault, status, "application/json", self._changed(fault, methods, text))

    def _changed(self, fault: Fault, methods: list[str], text: bytes) -> bytes | str:
        if fault is Fault.MODERN:
            return _dump(_modern(json.loads(text, parse_float=Decimal)))
        if fault in _CHAIN_INFO and methods == ["getblockchaininfo"]:
            answer = json.loads(text, parse_float=Decimal)
            _CHAIN_INFO[fault](answer["result"])
            return _dump(answer)
        return text

    def _answer(self, fault: Fault, status: int, content_type: str, body: bytes | str) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if fault is Fault.DIE_IN_ANSWER:
            data = data[: len(data) // 2]
        self.wfile.write(data)
        # The client was not told, so it will use the connection again.
        self.close_connection = fault in (Fault.DIE_IN_ANSWER, Fault.DROP_IDLE)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _modern(answer: Any) -> Any:
    """Return the answer as JSON-RPC 2.0 has it: either a result or an error."""
    if isinstance(answer, list):
        return [_modern(one) for one in answer]
    unused = "error" if answer["error"] is None else "result"
    return {"jsonrpc": "2.0"} | {key: value for key, value in answer.items() if key != unused}


def _dump(answer: Any) -> str:
    return json.dumps(answer, default=float)
