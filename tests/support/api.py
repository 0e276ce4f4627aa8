"""Calls of the HTTP API as strangers make them, and what every error must look like."""

import contextvars
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from flask import has_app_context
from werkzeug.test import TestResponse

from bitcache_server.extensions import db
from bitcache_server.http import discovery, health
from bitcache_server.http.api_v1 import ROUTES
from bitcache_server.http.document import COMMON_ERRORS
from bitcache_server.http.errors import status_of
from bitcache_server.http.openapi import build_document
from tests.support.world import World, make_settings, make_world

R = TypeVar("R")

PROBLEM = "application/problem+json"
JSON = "application/json"


@contextmanager
def open_world(database_url: str, folder: Path, **settings: Any) -> Iterator[World]:
    """Give a stocked server with settings of its own."""
    made = make_world(make_settings(folder, database_url, **settings))
    with made.app.app_context():
        yield made
        db.session.remove()
        db.engine.dispose()


def call(
    world: World, method: str, path: str, token: str | None = None, **options: Any
) -> TestResponse:
    """Send a request without an origin, in a context of its own, as a server has it."""
    headers = dict(options.pop("headers", {}))
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    client = world.app.test_client(use_cookies=False)
    if has_app_context():
        # What the test looked at before is over.
        db.session.rollback()
    return contextvars.Context().run(
        lambda: client.open(path, method=method, headers=headers, buffered=True, **options)
    )


def at_once(count: int, work: Callable[[int], R]) -> list[R]:
    """Run ``work`` with 0, 1, … in that many threads and return the answers in order."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document as the routes give it."""
    return build_document(
        [route.endpoint for route in (*ROUTES, health.ROUTE, discovery.ROUTE)],
        status_of=status_of,
        title="Bitcache",
        version="0",
        server_url="https://pay.example",
        common_errors=COMMON_ERRORS,
    )


def documented_codes(operation_id: str, status: int) -> list[str]:
    """Return the error codes that the document names for an operation and status."""
    for path in document()["paths"].values():
        for operation in path.values():
            if operation["operationId"] == operation_id:
                content = operation["responses"].get(str(status), {}).get("content", {})
                schema = content.get(PROBLEM, {}).get("schema", {})
                return list(schema.get("properties", {}).get("code", {}).get("enum", []))
    raise AssertionError(f"{operation_id} is not documented")


def assert_problem(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """Check the form of an error (RFC 9457) and return it."""
    assert (answer.status_code, answer.mimetype) == (status, PROBLEM), answer.text
    body = json.loads(answer.data)
    assert set(body) == {"type", "title", "status", "detail", "code"}
    assert body["status"] == status
    assert body["code"] == code, body
    assert body["type"] == f"urn:bitcache:error:{code}"
    assert body["title"]
    assert body["detail"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return dict(body)


def assert_refused(world: World, answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """Check an error of the API, also that the document promises it."""
    body = assert_problem(answer, status, code)
    request = answer.request
    operation_id, _ = world.app.url_map.bind("pay.example").match(request.path, request.method)
    assert code in documented_codes(operation_id, status), f"{operation_id}: {code}"
    return body
