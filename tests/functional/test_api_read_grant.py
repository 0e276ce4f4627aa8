"""GET /v1/grant, answered in front of Flask when it is good and by the route otherwise."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from bitcache_server.http.api_v1 import read_grant
from bitcache_server.models.session import write_transaction
from bitcache_server.services import deliver
from bitcache_server.services.deliver import ALIVE_S
from bitcache_server.services.merchants import rotate_site_secret
from bitcache_server.services.site_keys import CACHE_S, signer_for
from bitcache_server.tokens.grants import GrantClaims
from tests.support.api import assert_refused, call
from tests.support.clicks import open_clicker
from tests.support.purchases import holder_of
from tests.support.world import ORIGIN, World


def bought(world: World, hours: int | None = None) -> tuple[str, dict[str, Any]]:
    """Buy an article; return its id and what the claim answered."""
    body = {
        "title": "A",
        "price": 2_000,
        "currency": "SAT",
        "content_html": "x",
        "access_hours": hours,
    }
    item_id = call(world, "POST", "/v1/items", world.secret, json=body).get_json()["id"]
    world.session.rollback()
    purchase = world.buy(item_id)
    world.pay(purchase)
    return item_id, dict(world.claim(purchase).get_json())


def rotate(world: World) -> str:
    world.session.rollback()
    with write_transaction(world.session):
        secret = rotate_site_secret(world.deps, world.session, world.site_id).secret
    # Every process notices within this time.
    world.clock.pass_time(CACHE_S)
    return secret


def test_what_a_grant_says(world: World) -> None:
    item_id, claimed = bought(world, hours=24)
    answer = call(world, "GET", "/v1/grant", claimed["grant"])
    view = answer.get_json()
    assert view.pop("holder").startswith("in_")
    assert view == {
        "site": world.site_id, "item": item_id, "price_msat": 2_000_000, "issued_at": world.clock(),
        "expires_at": world.clock() + 24 * 3_600, "revision": 1,
    }  # fmt: skip
    assert answer.headers["Cache-Control"] == "no-store"


def test_both_ways_give_the_same_answer(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, claimed = bought(sqlite_world)
    slow = call(sqlite_world, "GET", "/v1/grant", claimed["grant"], headers={"Origin": ORIGIN})
    assert slow.headers["Access-Control-Allow-Origin"] == ORIGIN
    asked: list[object] = []
    monkeypatch.setattr(read_grant, "check_grant", lambda *args: asked.append(args))
    quick = call(sqlite_world, "GET", "/v1/grant", claimed["grant"])
    assert asked == []
    assert quick.get_json() == slow.get_json()
    assert {name for name, _ in quick.headers} <= {name for name, _ in slow.headers}
    assert quick.headers["Cache-Control"] == slow.headers["Cache-Control"]


def test_an_undone_grant_is_refused_everywhere(world: World) -> None:
    reader = open_clicker(world)
    kept, undone = reader.unlock(world.file_id)["grant"], reader.unlock()["grant"]
    for headers in ({}, {"Origin": ORIGIN}):
        for grant in (kept, undone):
            assert call(world, "GET", "/v1/grant", grant, headers=headers).status_code == 200
    assert (
        world.post("/v1/unlocks/undo", {"item": world.article_id}, reader.token).status_code == 200
    )
    # Every process forgets within this time that the grant was good.
    for later_s in (ALIVE_S, 365 * 86_400):
        world.clock.pass_time(later_s)
        for headers in ({}, {"Origin": ORIGIN}):
            answer = call(world, "GET", "/v1/grant", undone, headers=headers)
            assert_refused(world, answer, 403, "grant_revoked")
            assert call(world, "GET", "/v1/grant", kept, headers=headers).status_code == 200


def test_a_wallets_grant_that_was_just_looked_up_is_not_looked_up_again(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = open_clicker(sqlite_world).unlock()["grant"]
    first = call(sqlite_world, "GET", "/v1/grant", grant)
    asked: list[object] = []
    monkeypatch.setattr(deliver, "_check_alive", lambda *args: asked.append(args))
    assert call(sqlite_world, "GET", "/v1/grant", grant).get_json() == first.get_json()
    assert asked == []
    sqlite_world.clock.pass_time(ALIVE_S)
    assert call(sqlite_world, "GET", "/v1/grant", grant).status_code == 200
    # A clock that is set back trusts nothing for longer.
    sqlite_world.clock.pass_time(-1)
    assert call(sqlite_world, "GET", "/v1/grant", grant).status_code == 200
    assert len(asked) == 2


def test_another_merchants_name_for_a_reader_opens_nothing(sqlite_world: World) -> None:
    world = sqlite_world
    reader = open_clicker(world)
    reader.unlock()
    signer = signer_for(world.deps, world.session, world.site_id)
    for holder, opens in (
        (holder_of(world, reader.wallet_id), True),
        (holder_of(world, reader.wallet_id, "me_other"), False),
        (reader.wallet_id, False),
        ("ho_", False),
    ):
        claims = GrantClaims(
            world.site_id, world.article_id, holder, 1, world.clock(), None, revision=1
        )
        answer = world.get(f"/v1/content/{world.article_id}", signer.issue(claims))
        assert answer.status_code == (200 if opens else 403)


def test_a_grant_ends_to_the_second(sqlite_world: World) -> None:
    item_id, claimed = bought(sqlite_world, hours=1)
    sqlite_world.clock.pass_time(3_599)
    assert call(sqlite_world, "GET", "/v1/grant", claimed["grant"]).status_code == 200
    sqlite_world.clock.pass_time(1)
    for headers in ({}, {"Origin": ORIGIN}):
        answer = call(sqlite_world, "GET", "/v1/grant", claimed["grant"], headers=headers)
        assert_refused(sqlite_world, answer, 403, "grant_expired")
    answer = call(sqlite_world, "GET", f"/v1/content/{item_id}", claimed["grant"])
    assert_refused(sqlite_world, answer, 403, "grant_expired")


def test_good_grants_are_counted_too(start_world: Callable[..., World]) -> None:
    world = start_world(limit_reads_per_address="9/day")
    _, claimed = bought(world)
    found = [call(world, "GET", "/v1/grant", claimed["grant"]) for _ in range(9)]
    assert found[0].status_code == 200
    assert_refused(world, found[-1], 429, "rate_limited")


def test_tokens_that_are_no_grants(world: World) -> None:
    _, claimed = bought(world)
    grant = claimed["grant"]
    payload, time, signature = grant.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    dearer = base64.urlsafe_b64encode(json.dumps({**claims, "p": 1}).encode()).decode().rstrip("=")
    odd_site = base64.urlsafe_b64encode(json.dumps({**claims, "s": "\x00"}).encode()).decode()
    for token in (
        "x", "a.b.c", claimed["receipt"], world.secret, claims["h"], grant[:-1], grant + "A",
        f"{grant}.x",
        f"{dearer}.{time}.{signature}", f"{payload}.b{time[1:]}.{signature}",
        f".{time}.{signature}",
        f"{payload}.{time}.{signature[::-1]}", f"{odd_site.rstrip('=')}.{time}.{signature}",
        "x" * 4_097,
        f"{payload}=.{time}.{signature}", grant.replace(".", ":"), "." * 5_000, "é",
        f"{grant} {grant}",
    ):  # fmt: skip
        answer = call(world, "GET", "/v1/grant", token)
        assert_refused(world, answer, 403, "grant_invalid")
        assert token == "x" or token not in answer.text
    for value in ("", "Bearer", "Bearer ", f"Basic {grant}", grant):
        answer = call(world, "GET", "/v1/grant", headers={"Authorization": value})
        assert_refused(world, answer, 401, "grant_missing")
    assert_refused(world, call(world, "GET", f"/v1/grant?grant={grant}"), 401, "grant_missing")


def test_two_keys_are_valid_at_once_and_no_third(world: World) -> None:
    _, first = bought(world)
    secret = rotate(world)
    old = call(world, "GET", "/v1/items", world.secret)
    assert_refused(world, old, 401, "bad_secret")
    world.secret = secret
    _, second = bought(world)
    for grant in (first["grant"], second["grant"]):
        assert call(world, "GET", "/v1/grant", grant).status_code == 200
    world.secret = rotate(world)
    assert_refused(world, call(world, "GET", "/v1/grant", first["grant"]), 403, "grant_invalid")
    assert call(world, "GET", "/v1/grant", second["grant"]).status_code == 200


def test_a_claim_after_a_rotation_gives_a_grant_that_works(world: World) -> None:
    purchase = world.buy()
    world.pay(purchase)
    before = world.grant(purchase)
    for _ in range(3):
        world.secret = rotate(world)
    world.session.rollback()
    after = world.grant(purchase)
    assert_refused(world, call(world, "GET", "/v1/grant", before), 403, "grant_invalid")
    assert call(world, "GET", "/v1/grant", after).status_code == 200
