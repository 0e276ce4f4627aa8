"""The clients for servers (plugins/python and javascript) against a server and its document."""

import contextlib
import inspect
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints, is_typeddict

import httpx
import pytest
from bitcache_client import ApiError, Client, Unreachable, WebhookRefused, read_webhook, types
from standardwebhooks import Webhook

from tests.shape.tree import ROOT
from tests.support.loopback import loopback
from tests.support.world import PUBLIC_URL, World

#: What readers' pages, wallets and machines call; a site's server does not.
OF_READERS = {
    "claim_grant", "collect_allowance", "create_file_link", "health", "read_content",
    "read_file", "read_grant", "read_qr_png", "read_qr_svg", "read_solvency", "redeem_credit",
    "request_payment", "undo_unlock", "unlock_item", "wait_for_invoice",
}  # fmt: skip
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ORDER: Any = {
    "reference": "1001",
    "currency": "USD",
    "lines": [{"title": "A print", "unit_minor": 250}],
    "total_minor": 250,
}


@pytest.fixture
def document(sqlite_world: World) -> dict[str, Any]:
    return dict(sqlite_world.client.get("/openapi.json").get_json())


def operations(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Return method, path and description of every operation."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def over(world: World, secret: str = "", **options: Any) -> Client:
    """Return a client whose network is the server itself."""
    transport = httpx.WSGITransport(app=world.app)
    return Client(PUBLIC_URL, secret or world.secret, transport=transport, **options)


def scripted(
    answers: list[httpx.Response | Exception], seen: list[httpx.Request], pauses: list[float]
) -> Client:
    """Return a client of a server that answers so, one after the other."""

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        following = answers.pop(0)
        if isinstance(following, Exception):
            raise following
        return following

    transport = httpx.MockTransport(answer)
    return Client(PUBLIC_URL, "bcsk_x", transport=transport, pause=pauses.append)


def test_there_is_a_method_for_each_operation_of_a_sites_server(document: dict[str, Any]) -> None:
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isfunction)}
    wanted = set(operations(document)) - OF_READERS
    assert {name for name in methods if not name.startswith("_")} == wanted
    script = (ROOT / "plugins" / "javascript" / "bitcache.js").read_text("utf-8")
    named = set(re.findall(r"^  (?:async )?([a-z]\w+)\(", script, re.MULTILINE))
    assert named == {re.sub(r"_(\w)", lambda m: m[1].upper(), name) for name in wanted}


def test_each_call_is_as_the_document_says(document: dict[str, Any]) -> None:
    for name, (method, path, operation) in operations(document).items():
        if name in OF_READERS:
            continue
        seen: list[httpx.Request] = []
        call: Callable[..., Any] = getattr(scripted([httpx.ConnectError("")], seen, []), name)
        given = [
            "id" if hint is str else {}
            for key, hint in get_type_hints(call).items()
            if key not in ("key", "return")
            and inspect.signature(call).parameters[key].default is inspect.Parameter.empty
        ]
        with contextlib.suppress(Unreachable, IndexError):
            made = call(*given)
            if isinstance(made, Iterator):
                next(made)
        [request] = seen[:1]
        assert (request.method, request.url.path) == (
            method,
            re.sub(r"{\w+}", "id", path),
        ), name
        headers = {parameter["name"] for parameter in operation["parameters"]}
        assert ("Idempotency-Key" in request.headers) == ("Idempotency-Key" in headers), name


def test_filters_of_lists_are_those_of_the_document(document: dict[str, Any]) -> None:
    for name, (_, _, operation) in operations(document).items():
        if name.startswith("list_") and name not in OF_READERS:
            filters = {p["name"] for p in operation["parameters"]} - {"cursor", "limit"}
            assert set(inspect.signature(getattr(Client, name)).parameters) - {"self"} == filters


def test_types_are_those_of_the_document(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    known = {name: value for name, value in vars(types).items() if is_typeddict(value)}
    for name, kind in known.items():
        inner = name.removeprefix("New") if name in ("NewSplit", "NewOrderLine") else name
        schema = schemas[inner if inner != name or f"{name}View" not in schemas else f"{name}View"]
        assert set(kind.__annotations__) == set(schema.get("properties", {})), name
        assert kind.__required_keys__ == set(schema.get("required", [])), name


def test_a_shop_sells_through_it(world: World) -> None:
    with over(world) as client:
        order = client.create_order(ORDER, key="once")
        assert client.create_order(ORDER, key="once")["id"] == order["id"]
        assert [one["id"] for one in client.list_orders()] == [order["id"]]
        assert client.read_order(order["id"])["reference"] == "1001"
        assert {item["id"] for item in client.list_items()} == {world.article_id, world.file_id}
        invoice = client.create_invoice({"item": world.article_id, "challenge": "A" * 43})
        assert client.read_invoice(invoice["id"])["state"] == "open"
        assert client.read_balance()["balance_msat"] == 0
        assert list(client.list_sales()) == []
        assert client.cancel_order(order["id"])["state"] == "cancelled"
        with pytest.raises(ApiError) as refused:
            client.cancel_order("or_none")
        assert (refused.value.status, refused.value.code) == (404, "unknown_order")


def test_lists_are_read_page_by_page(world: World) -> None:
    bought = [world.buy(rail=None).id for _ in range(120)]
    with over(world) as client:
        listed = [invoice["id"] for invoice in client.list_invoices()]
    assert sorted(listed) == sorted(bought)


def test_a_call_whose_answer_was_lost_is_sent_again_with_the_same_key() -> None:
    seen: list[httpx.Request] = []
    pauses: list[float] = []
    busy = httpx.Response(503, json={"code": "storage_busy", "detail": "later"})
    slow = httpx.Response(429, headers={"Retry-After": "7"}, json={})
    done = httpx.Response(201, json={"id": "or_1"})
    client = scripted([httpx.ReadTimeout(""), busy, slow, done], seen, pauses)
    assert client.create_order(ORDER)["id"] == "or_1"
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1
    assert len(seen) == 4
    assert pauses[2] == 7
    assert all(0.1 < pause < 1 for pause in pauses[:2])


def test_who_gives_up_can_repeat_with_the_key() -> None:
    seen: list[httpx.Request] = []
    client = scripted([httpx.ConnectError("")] * 4, seen, [])
    with pytest.raises(Unreachable) as given_up:
        client.create_order(ORDER)
    assert given_up.value.key == seen[0].headers["Idempotency-Key"]


def test_what_has_no_key_is_not_sent_twice_unless_it_was_refused() -> None:
    seen: list[httpx.Request] = []
    for answer in (httpx.ReadTimeout(""), httpx.Response(504, text="a proxy's page")):
        with pytest.raises(Unreachable):
            scripted([answer], seen, []).send_test_event("we_1")
    assert len(seen) == 2
    limited = httpx.Response(429, json={})
    scripted([limited, httpx.Response(202, json={})], seen, []).send_test_event("we_1")
    assert len(seen) == 4


def test_a_page_of_a_proxy_is_an_error_with_a_code_too() -> None:
    client = scripted([httpx.Response(404, text="<h1>nginx</h1>")], [], [])
    with pytest.raises(ApiError) as refused:
        client.read_balance()
    assert refused.value.code == "no_problem_document"


def signed(body: str) -> dict[str, str]:
    """Return the headers of a webhook, as Bitcache signs it."""
    now = datetime.now(UTC)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", now, body),
    }


def test_webhooks_are_read_and_forged_ones_refused() -> None:
    body = json.dumps({"type": "test", "data": {}})
    headers = signed(body)
    named = {name.title(): value for name, value in headers.items()}
    assert read_webhook(SECRET, named, body.encode())["type"] == "test"
    for wrong in (body + " ", b"\xff", "[]"):
        with pytest.raises(WebhookRefused):
            read_webhook(SECRET, headers, wrong)
    with pytest.raises(WebhookRefused):
        read_webhook(SECRET, {}, body)


def test_the_javascript_one_does_the_same(world: World) -> None:
    body = json.dumps({"type": "test"})
    webhook = json.dumps({"secret": SECRET, "headers": signed(body), "body": body})
    with loopback() as port:
        port.serve(world.app)
        address = f"http://127.0.0.1:{port.port}"
        ran = subprocess.run(
            ["node", "bitcache_client.mjs", address, world.secret, world.article_id, webhook],
            cwd=ROOT / "tests" / "clients",
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    sold, read, refused, unreachable, hook = map(json.loads, ran.stdout.splitlines())
    assert sold["orders"] == [sold["order"]]
    assert len(sold["keys"]) == 3
    assert len(set(sold["keys"])) == 1
    assert sold["pauses"] == 2
    assert read["item"] == world.article_id
    assert set(read["items"]) == {world.article_id, world.file_id}
    assert read["network"] == "regtest"
    assert refused == {"refused": True, "code": "bad_secret", "status": 401}
    assert unreachable == {"unreachable": True, "key": "mine"}
    assert hook["event"] == {"type": "test"}
    assert set(hook["refusals"]) == {"WebhookRefused"}


def test_types_are_named_in_the_signatures() -> None:
    """So that an editor knows what a call takes and returns."""
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if name.startswith("_"):
            continue
        returned = get_type_hints(method)["return"]
        inner = get_args(returned)[0] if get_args(returned) else returned
        assert returned is type(None) or is_typeddict(inner), name
