"""POST /v1/invoices"""

from collections.abc import Callable
from typing import Any

from werkzeug.test import TestResponse

from tests.support.api import assert_refused, at_once, call
from tests.support.world import World, sha256_challenge

CHALLENGE = sha256_challenge("v" * 43)


def create(world: World, key: str | None = None, **changes: Any) -> TestResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"item": world.article_id, "challenge": CHALLENGE, **changes}
    return call(world, "POST", "/v1/invoices", json=body, headers=headers)


def count(world: World) -> int:
    page = call(world, "GET", "/v1/invoices?limit=100", world.secret).get_json()
    return len(page["invoices"])


def test_an_invoice(world: World) -> None:
    answer = create(world)
    assert answer.status_code == 201
    invoice = answer.get_json()
    expected = {
        "item": world.article_id, "state": "open", "marks": [], "amount_msat": 5_000_000,
        "created_at": world.clock(), "now": world.clock(), "rails": ["fake"], "requests": [],
        "expires_at": world.clock() + world.deps.settings.invoice_lifetime_s, "payments": [],
        "received_msat": 0, "missing_msat": 5_000_000, "credit_msat": 0,
        "events_url": f"https://pay.example:8403/v1/invoices/{invoice['id']}/events",
        "checkout_url": f"https://pay.example/pay/invoices/{invoice['id']}",
    }  # fmt: skip
    assert {name: invoice[name] for name in expected} == expected
    assert CHALLENGE not in answer.text
    assert call(world, "GET", f"/v1/invoices/{invoice['id']}").get_json() == invoice
    with_address = create(world, rail="fake").get_json()
    assert [request["amount_sat"] for request in with_address["requests"]] == [5_000]


def test_the_price_is_fixed_now(sqlite_world: World) -> None:
    invoice = create(sqlite_world).get_json()
    body = {
        "title": "Song",
        "price": 9_000,
        "currency": "SAT",
        "content_html": "x",
        "external_id": "a",
    }
    item = call(sqlite_world, "POST", "/v1/items", sqlite_world.secret, json=body).get_json()
    first = create(sqlite_world, item=item["id"]).get_json()
    call(sqlite_world, "POST", "/v1/items", sqlite_world.secret, json={**body, "price": 1_500})
    assert create(sqlite_world, item=item["id"]).get_json()["amount_msat"] == 1_500_000
    assert (
        call(sqlite_world, "GET", f"/v1/invoices/{first['id']}").get_json()["amount_msat"]
        == 9_000_000
    )
    assert invoice["price"]["rate"]["price_per_btc"] == "1000"


def test_challenges(sqlite_world: World) -> None:
    for challenge in (
        "", "A" * 42, "A" * 44, "A" * 43 + "=", "A" * 42 + "B", "A" * 42 + "+", " " + "A" * 42,
        "☃" * 43,
        "v" * 43, CHALLENGE + "\n", CHALLENGE[:-1] + "/", "0" * 64,
    ):  # fmt: skip
        answer = create(sqlite_world, challenge=challenge)
        assert_refused(sqlite_world, answer, 422, "invalid_request")


def test_items_and_rails_that_are_not_there(world: World) -> None:
    before = count(world)
    for item in ("it_unknown", "", world.site_id, "x" * 5_000):
        assert_refused(world, create(world, item=item), 404, "unknown_item")
    for rail in ("lightning", "", "onchain", "x" * 500):
        assert_refused(world, create(world, rail=rail), 422, "unknown_rail")
    assert count(world) == before


def test_when_no_rate_is_known(sqlite_world: World) -> None:
    sqlite_world.clock.pass_time(sqlite_world.deps.settings.rate_max_age_s + 1)
    answer = create(sqlite_world)
    assert_refused(sqlite_world, answer, 503, "rate_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    # A price in sats needs none.
    assert create(sqlite_world, item=sqlite_world.file_id).status_code == 201


def test_below_the_floor_nothing_is_offered(start_world: Callable[..., World]) -> None:
    world = start_world(onchain_floor_sat=6_000)
    assert call(world, "GET", f"/v1/items/{world.article_id}").get_json()["rails"] == []
    assert_refused(world, create(world, rail="fake"), 422, "amount_below_floor")
    assert create(world, item=world.file_id, rail="fake").status_code == 201


def test_when_all_addresses_are_in_use(start_world: Callable[..., World]) -> None:
    world = start_world(gap_limit=2)
    found = [create(world, rail="fake") for _ in range(3)]
    assert [answer.status_code for answer in found] == [201, 201, 503]
    assert_refused(world, found[2], 503, "addresses_exhausted")
    # An invoice alone costs no address.
    assert create(world).status_code == 201


def test_the_same_key(world: World) -> None:
    before = count(world)
    first = create(world, key="k1", rail="fake")
    world.clock.pass_time(5)
    again = create(world, key="k1", rail="fake")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.data == first.data
    other = sha256_challenge("w" * 43)
    for changes in (
        {},
        {"rail": "fake", "challenge": other},
        {"item": world.file_id, "rail": "fake"},
    ):
        assert_refused(world, create(world, key="k1", **changes), 409, "idempotency_conflict")
    assert count(world) == before + 1


def test_the_same_key_at_the_same_time(world: World) -> None:
    before = count(world)
    answers = at_once(6, lambda _: create(world, key="k1", rail="fake"))
    assert [answer.status_code for answer in answers] == [201] * 6
    assert len({answer.data for answer in answers}) == 1
    assert count(world) == before + 1
    mixed = at_once(
        6, lambda n: create(world, key="k2", rail="fake" if n % 2 else None).status_code
    )
    assert sorted(mixed) == [201, 201, 201, 409, 409, 409]
    assert count(world) == before + 2


def test_two_readers_may_pick_the_same_key(sqlite_world: World) -> None:
    """Otherwise one could take another's invoice, or stand in the way of it."""
    body = {"item": sqlite_world.article_id, "challenge": CHALLENGE}
    ids = set()
    for address, n in (("203.0.113.1", 1), ("203.0.113.2", 2)):
        challenge = sha256_challenge(str(n) * 43)
        answer = call(
            sqlite_world, "POST", "/v1/invoices", json={**body, "challenge": challenge},
            headers={"Idempotency-Key": "1"}, environ_overrides={"REMOTE_ADDR": address},
        )  # fmt: skip
        assert answer.status_code == 201
        ids.add(answer.get_json()["id"])
    assert len(ids) == 2


def test_keys_that_are_none(sqlite_world: World) -> None:
    for key in ("", "a" * 201, "caf\xe9", "a\tb"):
        assert_refused(sqlite_world, create(sqlite_world, key=key), 422, "invalid_request")
