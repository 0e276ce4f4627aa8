"""GET /v1/items"""

import base64
from typing import Any

import pytest

from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchants import add_site
from tests.support.api import assert_refused, call
from tests.support.world import World


def add(world: World, title: str, secret: str | None = None) -> str:
    body = {"title": title, "price": 1_000, "currency": "SAT", "content_html": "x"}
    answer = call(world, "POST", "/v1/items", secret or world.secret, json=body)
    return str(answer.get_json()["id"])


def page(world: World, cursor: str | None = None, limit: int = 2) -> dict[str, Any]:
    query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
    answer = call(world, "GET", "/v1/items", world.secret, query_string=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def test_pages_are_complete_while_items_are_added(world: World) -> None:
    """Also where many have the same second, and without one item twice."""
    before = {world.article_id, world.file_id} | {add(world, f"A{n}") for n in range(4)}
    world.clock.pass_time(1)
    before |= {add(world, f"B{n}") for n in range(3)}
    seen: list[str] = []
    cursor: str | None = None
    for number in range(20):
        found = page(world, cursor)
        seen += [item["id"] for item in found["items"]]
        cursor = found["next_cursor"]
        assert len(found["items"]) == 2 or cursor is None
        world.clock.pass_time(number % 2)
        add(world, f"added meanwhile {number}")
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    # One that was added in the second of the cursor may be among them.
    assert before <= set(seen)
    assert page(world)["items"][0]["title"].startswith("added meanwhile")


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_the_last_page_says_so(sqlite_world: World, count: int) -> None:
    """Two items are there already; with a limit of two there is never an empty page."""
    for n in range(count):
        add(sqlite_world, str(n))
    sizes, cursor = [], None
    while True:
        found = page(sqlite_world, cursor)
        sizes.append(len(found["items"]))
        cursor = found["next_cursor"]
        if cursor is None:
            break
    assert sum(sizes) == count + 2
    assert sizes[-1] > 0


def test_a_site_sees_its_own_items(sqlite_world: World) -> None:
    world = sqlite_world
    with write_transaction(world.session):
        other = add_site(world.deps, world.session, world.merchant_id, "B", ["https://b.example"])
        secret = other.secret
    assert call(world, "GET", "/v1/items", secret).get_json() == {"items": [], "next_cursor": None}
    mine = add(world, "of B", secret)
    cursor = page(world, limit=1)["next_cursor"]
    answer = call(world, "GET", f"/v1/items?cursor={cursor}", secret).get_json()
    assert {item["id"] for item in answer["items"]} <= {mine}
    assert mine not in {item["id"] for item in page(world, limit=100)["items"]}


def test_cursors_that_nobody_gave_out(world: World) -> None:
    """On both engines: only one of them stumbles over a null byte or a huge number."""

    def encoded(text: bytes) -> str:
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    for cursor in (
        "x", "!!!", "☃", "%00", " ", "a" * 199, encoded(b"no colon"), encoded(b"x:it_x"),
        encoded(b"-1:it_x"),
        encoded(b"1:2:3"), encoded(b"1.5:it_x"), encoded(b"1e3:it_x"),
        encoded(b"9223372036854775808:x"),
        encoded(b"1:\x00"), encoded(b"1:\xff"), encoded(b"9" * 120 + b":x"), encoded(b"nan:x"),
        "A", "=",
    ):  # fmt: skip
        answer = call(world, "GET", "/v1/items", world.secret, query_string={"cursor": cursor})
        assert_refused(world, answer, 422, "invalid_request")


def test_one_dear_item_does_not_hide_the_others(world: World) -> None:
    """Its price was fine until the rate fell; now nobody may pay that much."""
    body = {"title": "Dear", "price": "10000", "currency": "USD", "content_html": "x"}
    dear = call(world, "POST", "/v1/items", world.secret, json=body).get_json()
    assert dear["price"]["amount_msat"] == 10**12
    lower_the_rate(world)
    titles = {item["title"] for item in page(world, limit=100)["items"]}
    assert {"Dear", "On engines"} <= titles
    item = call(world, "GET", f"/v1/items/{dear['id']}").get_json()
    assert (item["price"]["amount_msat"], item["rails"]) == (None, [])
    challenge = {"item": dear["id"], "challenge": "A" * 43}
    answer = call(world, "POST", "/v1/invoices", json=challenge)
    assert_refused(world, answer, 422, "invalid_price")


def lower_the_rate(world: World) -> None:
    from bitcache_server.models.operations import StoredRate

    world.session.rollback()
    with write_transaction(world.session):
        world.session.get_one(StoredRate, "USD").price_per_btc = "999"


def test_the_secret_is_needed(sqlite_world: World) -> None:
    assert_refused(sqlite_world, call(sqlite_world, "GET", "/v1/items"), 401, "missing_secret")
    assert_refused(sqlite_world, call(sqlite_world, "GET", "/v1/items", "x"), 401, "bad_secret")
