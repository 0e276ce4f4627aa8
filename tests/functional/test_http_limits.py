"""Rate limits: who is counted, what is counted, and what the answer says."""

from collections.abc import Callable
from typing import Any

import pytest

from bitcache_server.http.context import block_of
from tests.support.api import assert_refused, call
from tests.support.world import ORIGIN, World, sha256_challenge

CHALLENGE = sha256_challenge("v" * 43)


def ask(world: World, address: str, path: str | None = None, **headers: str) -> int:
    """Read an item from an address; return the status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    environ = {"REMOTE_ADDR": address}
    path = path or f"/v1/items/{world.article_id}"
    return call(world, "GET", path, environ_overrides=environ, headers=named).status_code


def order(world: World, address: str, item_id: str) -> Any:
    body = {"item": item_id, "challenge": CHALLENGE}
    environ = {"REMOTE_ADDR": address}
    return call(world, "POST", "/v1/invoices", json=body, environ_overrides=environ)


def test_too_many_reads(start_world: Callable[..., World]) -> None:
    world = start_world(limit_reads_per_address="3/hour")
    path = f"/v1/items/{world.article_id}"
    assert [ask(world, "203.0.113.5") for _ in range(5)] == [200, 200, 200, 429, 429]
    environ = {"REMOTE_ADDR": "203.0.113.5"}
    answer = call(world, "GET", path, headers={"Origin": ORIGIN}, environ_overrides=environ)
    assert_refused(world, answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 3_601
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert ask(world, "203.0.113.6") == 200


def test_refused_calls_count_too(start_world: Callable[..., World]) -> None:
    world = start_world(limit_reads_per_address="3/hour")
    strangers = [ask(world, "203.0.113.1", Origin=f"https://x{n}.example") for n in range(5)]
    assert strangers == [403, 403, 403, 429, 429]
    environ = {"REMOTE_ADDR": "203.0.113.2"}
    wrong = [
        call(world, "POST", "/v1/invoices", data=b"{", content_type="application/json",
             environ_overrides=environ).status_code
        for _ in range(5)
    ]  # fmt: skip
    assert wrong == [400, 400, 400, 429, 429]
    secrets = [ask(world, "203.0.113.3", "/v1/items", Authorization="Bearer x") for _ in range(4)]
    assert secrets == [401, 401, 401, 429]
    downloads = [ask(world, "203.0.113.4", f"/files/{world.file_id}/x/y") for _ in range(4)]
    assert downloads == [403, 403, 403, 429]


def test_one_household_is_one_caller(start_world: Callable[..., World]) -> None:
    world = start_world(limit_reads_per_address="2/hour")
    assert [ask(world, f"2001:db8:0:1::{n}") for n in (1, 2, 3)] == [200, 200, 429]
    assert ask(world, "2001:db8:0:1:ffff:ffff:ffff:ffff") == 429
    assert ask(world, "2001:db8:0:2::1") == 200


@pytest.mark.parametrize(
    ("proxies", "expected"),
    [
        # Without a proxy of ours, the header is what the caller wants us to believe.
        (0, [200, 200, 429, 429]),
        # Our proxy adds the address that it saw at the end; the rest is the caller's invention.
        (1, [200, 200, 429, 429]),
    ],
)
def test_a_caller_cannot_choose_its_address(
    start_world: Callable[..., World], proxies: int, expected: list[int]
) -> None:
    world = start_world(limit_reads_per_address="2/hour", trusted_proxies=proxies)
    seen = ", 203.0.113.9" if proxies else ""
    invented = [f"198.51.100.{n}{seen}" for n in range(4)]
    assert [ask(world, "192.0.2.1", X_Forwarded_For=chain) for chain in invented] == expected
    names = ("Forwarded", "X_Real_IP", "X_Client_IP")
    forwarded = [ask(world, "192.0.2.1", **{name: "198.51.100.1"}) for name in names]
    assert forwarded[-1] == 429


def test_behind_a_proxy_readers_are_told_apart(start_world: Callable[..., World]) -> None:
    world = start_world(limit_reads_per_address="1/hour", trusted_proxies=1)
    chains = [f"198.51.100.{n}" for n in range(3)]
    assert [ask(world, "192.0.2.1", X_Forwarded_For=chain) for chain in chains] == [200] * 3
    assert ask(world, "192.0.2.1", X_Forwarded_For=chains[0]) == 429


def test_invoices_per_address(start_world: Callable[..., World]) -> None:
    world = start_world(limit_invoices_per_address="2/hour;5/day")
    answers = [order(world, "203.0.113.5", world.article_id) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert_refused(world, answers[2], 429, "rate_limited")
    # Asking for an address of an invoice counts as well: it costs more than the invoice.
    path = f"/v1/invoices/{answers[0].get_json()['id']}/requests"
    environ = {"REMOTE_ADDR": "203.0.113.5"}
    answer = call(world, "POST", path, json={"rail": "fake"}, environ_overrides=environ)
    assert_refused(world, answer, 429, "rate_limited")
    assert order(world, "203.0.113.6", world.article_id).status_code == 201


def test_invoices_per_site(start_world: Callable[..., World]) -> None:
    """However many addresses they come from."""
    world = start_world(limit_invoices_per_site="3/hour")
    found = [order(world, f"203.0.113.{n}", world.article_id).status_code for n in range(5)]
    assert found == [201, 201, 201, 429, 429]


def test_ipv4_readers_of_an_ipv6_listener_count_each_for_themselves() -> None:
    assert block_of("::ffff:1.2.3.4") == "1.2.3.4"
    assert block_of("::ffff:1.2.3.4") != block_of("::ffff:200.2.3.4")
    assert block_of("2001:db8:1:2::3") == block_of("2001:db8:1:2::4")
