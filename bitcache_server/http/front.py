"""What the answers in front of Flask share (PEP 3333).

They answer well-formed requests whose answer is good, and hand all others to the route
behind, which says the same and more.
"""

import io
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bitcache_server.http.errors import log_unexpected, problem, translate

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: Ids, a price, a challenge; whatever is longer is for the route behind.
MAX_BODY_BYTES = 2_000
_HEADERS = [("Vary", "Origin"), ("X-Content-Type-Options", "nosniff")]
_JSON = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]


def is_small_post(environ: "WSGIEnvironment", path: str) -> bool:
    """Return whether it posts a little JSON to the path."""
    length = environ.get("CONTENT_LENGTH") or ""
    return (
        environ["PATH_INFO"] == path
        and environ["REQUEST_METHOD"] == "POST"
        and environ.get("CONTENT_TYPE") == "application/json"
        and length.isdecimal()
        and int(length) <= MAX_BODY_BYTES
    )


def read_body(environ: "WSGIEnvironment") -> bytes:
    """Return the body, and leave the request as it came."""
    data: bytes = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    environ["wsgi.input"] = io.BytesIO(data)
    return data


def send(
    start_response: "StartResponse", origin: str | None, status: str, body: str
) -> Iterable[bytes]:
    """Answer with JSON that is ready. A page of ``origin`` may read it."""
    return _send(start_response, origin, status, body, _JSON)


def send_problem(
    environ: "WSGIEnvironment", start_response: "StartResponse", error: Exception
) -> Iterable[bytes]:
    """Answer with a problem document, as the routes do; any page may read it."""
    translated = translate(error)
    log_unexpected(translated, f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
    values, status, headers = problem(translated)
    line = f"{status} {translated.code}"
    origin = environ.get("HTTP_ORIGIN")
    return _send(start_response, origin, line, json.dumps(values), list(headers.items()))


def _send(
    start_response: "StartResponse",
    origin: str | None,
    status: str,
    body: str,
    headers: list[tuple[str, str]],
) -> Iterable[bytes]:
    data = body.encode()
    sent = [*headers, *_HEADERS, ("Content-Length", str(len(data)))]
    if origin is not None:
        sent.append(("Access-Control-Allow-Origin", origin))
        sent.append(("Access-Control-Expose-Headers", "Retry-After"))
    start_response(status, sent)
    return [data]
