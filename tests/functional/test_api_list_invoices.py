"""GET /v1/invoices"""

import base64
from typing import Any

from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchants import add_site
from tests.support.api import assert_refused, call
from tests.support.world import World


def test_pages_are_complete_while_invoices_are_added(world: World) -> None:
    """Also where many have the same second, and without one invoice twice."""
    before = set()
    for number in range(7):
        before.add(world.buy(rail=None).id)
        world.clock.pass_time(number % 3 // 2)
    world.clock.pass_time(1)
    seen: list[str] = []
    cursor = ""
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = call(world, "GET", "/v1/invoices", world.secret, query_string=query).get_json()
        seen += [invoice["id"] for invoice in page["invoices"]]
        world.buy(rail=None)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 7
    assert set(seen) == before


def test_states_and_sums(world: World) -> None:
    paid, short = world.buy(), world.buy()
    world.pay(paid)
    world.pay(short, 1_000_000)
    page = call(world, "GET", "/v1/invoices", world.secret).get_json()
    found = {i["id"]: (i["state"], i["received_msat"], i["missing_msat"]) for i in page["invoices"]}
    assert found == {paid.id: ("paid", 5_000_000, 0), short.id: ("open", 1_000_000, 4_000_000)}
    assert paid.verifier not in call(world, "GET", "/v1/invoices", world.secret).text


def test_a_site_sees_its_own_invoices(sqlite_world: World) -> None:
    world = sqlite_world
    mine = world.buy()
    with write_transaction(world.session):
        other = add_site(world.deps, world.session, world.merchant_id, "B", ["https://b.example"])
        secret = other.secret
    empty: dict[str, Any] = {"invoices": [], "next_cursor": None}
    assert call(world, "GET", "/v1/invoices", secret).get_json() == empty
    cursor = base64.urlsafe_b64encode(f"{2**40}:{mine.id}".encode()).decode().rstrip("=")
    assert call(world, "GET", f"/v1/invoices?cursor={cursor}", secret).get_json() == empty


def test_bad_cursors_and_secrets(world: World) -> None:
    for cursor in ("x", "%00", "a" * 199, "MToA", "OTk5OTk5OTk5OTk5OTk5OTk5OTk6eA"):
        answer = call(world, "GET", f"/v1/invoices?cursor={cursor}", world.secret)
        assert_refused(world, answer, 422, "invalid_request")
    assert_refused(world, call(world, "GET", "/v1/invoices"), 401, "missing_secret")
    answer = call(world, "GET", "/v1/invoices", world.secret[:-1])
    assert_refused(world, answer, 401, "bad_secret")
