"""Bad input of every kind: an answer of 4xx with a stable code, never a 500 and no change."""

import io
import json
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.support.api import JSON, assert_problem, assert_refused, call
from tests.support.world import World, sha256_challenge

CHALLENGE = sha256_challenge("v" * 43)
#: Paths with a body, and one that is good but for what a test changes.
BODIES = {
    "/v1/items": {"title": "A", "price": "1", "currency": "USD", "content_html": "x"},
    "/v1/invoices": {"item": "it_unknown", "challenge": CHALLENGE},
    "/v1/invoices/in_x/requests": {"rail": "fake"},
    "/v1/invoices/in_x/claim": {"verifier": "v" * 43},
    "/v1/invoices/in_x/redeem": {"verifier": "v" * 43},
}
UNREADABLE = {
    "empty": b"",
    "cut off": b'{"item": "it_',
    "two values": b"{} {}",
    "not UTF-8": b'{"item": "\xff\xfe"}',
    "UTF-16": '{"item": "it_x"}'.encode("utf-16"),
    "lone surrogate": b'{"item": "\\ud800"}',
    "single quotes": b"{'item': 'it_x'}",
    "deep list": b"[" * 20_000 + b"]" * 20_000,
    "deep object": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
}
WRONG = {
    "null": b"null",
    "a list": b"[]",
    "a text": b'"item"',
    "a number": b"1e999",
    "NaN": b"NaN",
    "nothing in it": b"{}",
    "a long number": b"9" * 5_000,
}


@pytest.mark.parametrize("path", BODIES)
def test_bodies_that_are_no_json_or_another_type(sqlite_world: World, path: str) -> None:
    world = sqlite_world

    def post(body: bytes, content_type: str | None = JSON) -> object:
        answer = call(world, "POST", path, world.secret, data=body, content_type=content_type)
        found = (answer.status_code, answer.get_json()["code"])
        assert_refused(world, answer, *found)
        return found

    for name, body in UNREADABLE.items():
        assert post(body) == (400, "malformed_json"), name
    for name, body in WRONG.items():
        assert post(body) in ((422, "invalid_request"), (400, "malformed_json")), name
    good = json.dumps(BODIES[path]).encode()
    for content_type in (
        None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
        "application/jsonp", "text/json", "application/problem+json", "x\x7f",
    ):  # fmt: skip
        assert post(good, content_type) == (415, "unsupported_media_type"), content_type


@pytest.mark.parametrize("path", BODIES)
def test_members_that_are_unknown_or_of_another_type(sqlite_world: World, path: str) -> None:
    world = sqlite_world
    refused = [{**BODIES[path], "extra": 1}, {**BODIES[path], "__proto__": {}}]
    for name in BODIES[path]:
        refused.append({key: value for key, value in BODIES[path].items() if key != name})
        values: tuple[Any, ...] = (None, True, 1.5, [], {}, ["x"], "null\x00byte", float("nan"))
        for value in values:
            refused.append({**BODIES[path], name: value})
    for body in refused:
        answer = call(world, "POST", path, world.secret, json=body)
        assert_refused(world, answer, 422, "invalid_request")


def test_a_refusal_does_not_repeat_what_was_sent(sqlite_world: World) -> None:
    body = {"verifier": ["a-secret-of-the-reader"]}
    answer = call(sqlite_world, "POST", "/v1/invoices/in_x/claim", json=body)
    assert "a-secret" not in answer.text


def test_a_body_that_is_too_large(sqlite_world: World) -> None:
    world = sqlite_world
    limit = world.deps.settings.max_body_bytes
    for path in BODIES:
        answer = call(world, "POST", path, world.secret, data=b" " * (limit + 1), content_type=JSON)
        assert_refused(world, answer, 413, "payload_too_large")
    body = json.dumps(BODIES["/v1/items"]).encode()
    body += b" " * (limit - len(body))
    answer = call(world, "POST", "/v1/items", world.secret, data=body, content_type=JSON)
    assert answer.status_code == 201


def test_a_body_in_chunks_that_is_too_large(sqlite_world: World) -> None:
    """It says no length beforehand (RFC 9112 §7.1), and begins with what would be good."""
    world = sqlite_world
    good = json.dumps(BODIES["/v1/items"]).encode()
    limit = world.deps.settings.max_body_bytes
    for body, status in (
        (good, 201),
        (good + b" " * limit, 413),
        (good + b" " * limit + b"x", 413),
    ):
        answer = call(
            world, "POST", "/v1/items", world.secret, input_stream=io.BytesIO(body),
            content_type=JSON, headers={"Transfer-Encoding": "chunked"},
            environ_overrides={"wsgi.input_terminated": True},
        )  # fmt: skip
        assert answer.status_code == status
    assert_refused(world, answer, 413, "payload_too_large")


def test_odd_ids_in_paths(world: World) -> None:
    """On both engines: only one of them stumbles over a null byte."""
    grant = world.buy(rail=None).verifier
    ids = [
        "it_unknown", "x", "in_%E2%98%83", "%00", "in_%00", "%FF%FE", "%ED%A0%80", "'", "%25",
        "in_x'--", "a" * 5_000, "%2e%2e", ".%2e", "%20", "%0d%0aX: y", "%F0%9F%92%A9", "{}", "*",
    ]  # fmt: skip
    for odd in ids:
        for path in (
            f"/v1/items/{odd}", f"/v1/invoices/{odd}", f"/v1/content/{odd}",
            f"/v1/invoices/{odd}/qr.svg", f"/v1/invoices/{odd}/qr.png",
        ):  # fmt: skip
            answer = call(world, "GET", path, grant)
            assert answer.status_code == 404, path
            assert_problem(answer, 404, answer.get_json()["code"])
        for path, body in BODIES.items():
            if "in_x" in path:
                answer = call(world, "POST", path.replace("in_x", odd), json=body)
                assert answer.status_code == 404, path
        for path in (f"/v1/files/{odd}/link", f"/files/{odd}/t/n", f"/files/x/{odd}/n"):
            method = "POST" if "link" in path else "GET"
            assert call(world, method, path, grant).status_code in (404, 403), path


def test_addresses_and_methods_that_do_not_exist(sqlite_world: World) -> None:
    world = sqlite_world
    for path in ("/v1", "/v1/", "/v2/items", "/v1/items/", "/v1/nothing", "/openapi.yaml"):
        assert_problem(call(world, "GET", path), 404, "not_found")
    for method, path, allowed in (
        ("DELETE", "/v1/items", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", "/v1/grant", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/v1/invoices/in_x/claim", {"OPTIONS", "POST"}),
        ("PROPFIND", "/v1/invoices", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("PUT", "/health", {"GET", "HEAD", "OPTIONS"}),
    ):
        answer = call(world, method, path)
        assert_problem(answer, 405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == allowed


def test_query_names(sqlite_world: World) -> None:
    world = sqlite_world
    for path in ("/v1/items", "/v1/invoices"):
        for query in (
            "limit=1&limit=2", "cursor=a&cursor=a", "limit=0", "limit=101", "limit=-1", "limit=x",
            "limit=1.5", "limit=", "limit=1e2", "unknown=1", "limit=99999999999999999999", "%00=1",
            "limit=%00", f"cursor={'a' * 201}", "limit[]=1",
        ):  # fmt: skip
            answer = call(world, "GET", f"{path}?{query}", world.secret)
            assert_refused(world, answer, 422, "invalid_request")


def test_a_fault_of_the_program_tells_nothing(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the password is 12345")

    monkeypatch.setattr("bitcache_server.http.api_v1.read_item.get_item", fail)
    answer = call(sqlite_world, "GET", "/v1/items/it_x")
    assert_refused(sqlite_world, answer, 500, "internal_error")
    assert "12345" not in answer.text


def test_a_database_that_does_not_answer_is_worth_another_try(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("SELECT", {}, ConnectionError("no route to host"))

    monkeypatch.setattr("bitcache_server.http.api_v1.read_item.get_item", fail)
    answer = call(sqlite_world, "GET", "/v1/items/it_x")
    assert_refused(sqlite_world, answer, 503, "storage_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "no route" not in answer.text


def test_a_slash_too_many_leads_to_the_right_address(sqlite_world: World) -> None:
    answer = call(sqlite_world, "GET", f"/v1//items/{sqlite_world.article_id}")
    assert answer.status_code == 308
    assert answer.headers["Location"].endswith(f"/v1/items/{sqlite_world.article_id}")


def test_head_has_the_headers_and_no_body(sqlite_world: World) -> None:
    path = f"/v1/items/{sqlite_world.article_id}"
    head, get = call(sqlite_world, "HEAD", path), call(sqlite_world, "GET", path)
    assert head.status_code == 200
    assert head.data == b""
    assert head.headers["Content-Type"] == get.headers["Content-Type"] == JSON
    assert call(sqlite_world, "HEAD", "/v1/items/it_x").status_code == 404
