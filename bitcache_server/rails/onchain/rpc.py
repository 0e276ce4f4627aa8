"""Bitcoin Core's JSON-RPC through python-bitcoinrpc, with clear failures.

The library's proxy is not thread-safe and stays broken after a lost connection,
so each thread has its own, built anew after a failure. Every failure leaves as a
RailError that names neither user nor password.
"""

import json
import threading
from base64 import b64encode
from collections.abc import Callable, Sequence
from http.client import (
    BadStatusLine,
    CannotSendRequest,
    HTTPConnection,
    HTTPException,
    HTTPSConnection,
    IncompleteRead,
    ResponseNotReady,
)
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from bitcoinrpc.authproxy import AuthServiceProxy, JSONRPCException

from bitcache_server.domain.errors import (
    ConfigurationError,
    NodePruned,
    NodeRejected,
    NodeSyncing,
    NodeUnauthorized,
    NodeUnreachable,
    RailError,
)

T = TypeVar("T")

#: Error numbers of Bitcoin Core (src/rpc/protocol.h).
RPC_NOT_FOUND = -5
RPC_METHOD_NOT_FOUND = -32601
_RPC_IN_WARMUP = -28
#: What python-bitcoinrpc itself raises for an answer that is no JSON.
_NO_JSON = -342

_CONNECTION_LOST = (
    BadStatusLine,
    CannotSendRequest,
    ConnectionError,
    IncompleteRead,
    ResponseNotReady,
)
#: Characters that python-bitcoinrpc cannot have in a user name or password.
_NOT_IN_CREDENTIALS = set("/?#[]")


class _Link:
    """One thread's connection. It closes with the thread that owns it."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(str(parts.hostname), parts.port, timeout=timeout_s)
        self._path = parts.path or "/"
        credentials = b64encode(f"{parts.username}:{parts.password}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/json",
        }
        self._proxy = AuthServiceProxy(url, timeout=timeout_s, connection=self._connection)
        self.used = False

    def call(self, method: str, params: Sequence[Any]) -> Any:
        return getattr(self._proxy, method)(*params)

    def batch(self, method: str, params: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
        # The library's own batch gives up at the first error in it, and cannot read
        # the answers of Bitcoin Core 28 and later, which leave out "error".
        body = [{"method": method, "params": p, "id": i} for i, p in enumerate(params)]
        self._connection.request("POST", self._path, json.dumps(body), self._headers)
        answers = self._proxy._get_response()
        if not isinstance(answers, list):
            raise JSONRPCException(answers["error"])
        by_id = {answer["id"]: answer for answer in answers}
        return [by_id[i] for i in range(len(params))]

    def close(self) -> None:
        self._connection.close()

    def __del__(self) -> None:
        self._connection.close()


class NodeClient:
    """Calls to one node, from any number of threads. Constructing it connects to nothing."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = _checked_url(url)
        self._timeout_s = timeout_s
        self._local = threading.local()

    def call(self, method: str, *params: Any) -> Any:
        """Call a method that may be repeated, and return its result.

        Raises NodeUnreachable, NodeUnauthorized, NodeSyncing, NodePruned or, for an
        error of the call itself, NodeRejected.
        """
        return self._run(lambda link: link.call(method, params))

    def find(self, method: str, *params: Any) -> Any | None:
        """Call a method that looks something up; return None if it is not there."""
        try:
            return self.call(method, *params)
        except NodeRejected as error:
            if error.rpc_code == RPC_NOT_FOUND:
                return None
            raise

    def find_many(self, method: str, params: Sequence[Sequence[Any]]) -> list[Any | None]:
        """Do as ``find`` for many parameter lists, in one round trip."""
        if not params:
            return []
        answers = self._run(lambda link: link.batch(method, params))
        return [_result(answer) for answer in answers]

    def _run(self, work: Callable[[_Link], T]) -> T:
        """Do the work; once more on a new connection if an old one was gone."""
        link = self._link()
        was_used, link.used = link.used, True
        try:
            return work(link)
        except _CONNECTION_LOST as error:
            self._drop()
            if was_used:
                return self._run(work)
            raise _unreachable(error) from None
        except JSONRPCException as error:
            if error.code == _NO_JSON:
                self._drop()  # the answer was not read to its end
            raise _rejection(error.error) from None
        except (OSError, HTTPException) as error:
            self._drop()
            raise _unreachable(error) from None
        except (ValueError, TypeError, KeyError, AttributeError):
            self._drop()
            raise NodeUnreachable(
                "Something answers at the node's address, but not in JSON-RPC."
            ) from None
        except BaseException:
            self._drop()  # interrupted: the next answer would belong to this call
            raise

    def _link(self) -> _Link:
        link = getattr(self._local, "link", None)
        if link is None:
            link = self._local.link = _Link(self._url, self._timeout_s)
        return link

    def _drop(self) -> None:
        self._link().close()
        self._local.link = None


def _result(answer: dict[str, Any]) -> Any | None:
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    rejection = _rejection(error)
    if isinstance(rejection, NodeRejected) and rejection.rpc_code == RPC_NOT_FOUND:
        return None
    raise rejection


def _rejection(error: dict[str, Any]) -> RailError:
    """Return the domain error for an error that the node (or the library) reported."""
    code, message = int(error.get("code") or 0), str(error.get("message") or "no reason given")
    if code == _NO_JSON:
        if "'401 " in message or "'403 " in message:
            return NodeUnauthorized("The node refuses the user name or password of the RPC URL.")
        return NodeUnreachable(f"The node gave no JSON: {message}.")
    if code == _RPC_IN_WARMUP or "not fully downloaded" in message:
        return NodeSyncing(f"The node is not ready: {message}")
    if "pruned" in message.lower():
        return NodePruned(
            "The node has deleted a block that is needed. Let it download the chain again"
            " (bitcoind -reindex), or use a node that keeps more blocks."
        )
    return NodeRejected(message, rpc_code=code)


def _unreachable(error: Exception) -> NodeUnreachable:
    if isinstance(error, TimeoutError):
        return NodeUnreachable("The node did not answer in time.")
    if isinstance(error, ConnectionRefusedError):
        return NodeUnreachable("Nothing listens at the node's address.")
    return NodeUnreachable(f"The connection to the node failed ({type(error).__name__}).")


def _checked_url(url: str) -> str:
    """Return the URL as the library can use it; never repeat it in an error."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.scheme not in ("http", "https"):
        raise ConfigurationError("The node's RPC URL must be http://user:password@host:port.")
    # The library does not decode %xx, so it gets both in plain.
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user or not password or _NOT_IN_CREDENTIALS & set(user + password):
        raise ConfigurationError(
            "The node's RPC URL needs a user name and a password without / ? # [ or ]."
        )
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{user}:{password}@{host}:{port}{parts.path}"
