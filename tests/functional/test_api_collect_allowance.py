"""POST /v1/allowances"""

import secrets

from werkzeug.test import TestResponse

from bitcache_server.models.session import write_transaction
from bitcache_server.services.allowances import (
    APPROVAL_LIFETIME_S,
    Limits,
    approve,
    create_allowance,
    revoke_allowance,
)
from bitcache_server.services.merchants import add_site
from bitcache_server.services.wallets import open_session
from bitcache_server.tokens.allowances import read_allowance
from tests.support.api import assert_refused, at_once, call
from tests.support.clicks import Clicker, open_clicker
from tests.support.shops import assert_nothing_lost
from tests.support.world import ORIGIN, World, sha256_challenge

VERIFIER = secrets.token_urlsafe(32)


def approved(reader: Clicker, days: int = 90) -> str:
    """Approve as the reader does and return the code."""
    world = reader.world
    with write_transaction(world.session):
        limits = Limits(10_000_000, 50_000_000, 1_000_000, days)
        allowance = create_allowance(
            world.deps, world.session, reader.wallet_id, world.site_id, ORIGIN, limits
        )
        cookie = open_session(world.deps, world.session, reader.wallet_id, "Test", verified=False)
        session_id = cookie.split(".")[1]
        challenge = sha256_challenge(VERIFIER)
        return approve(world.deps, world.session, allowance, challenge, session_id)


def collect(
    world: World, code: str, verifier: str = VERIFIER, origin: str | None = ORIGIN
) -> TestResponse:
    headers = {"Origin": origin} if origin else {}
    body = {"code": code, "verifier": verifier}
    return call(world, "POST", "/v1/allowances", json=body, headers=headers)


def test_the_code_and_the_verifier_get_a_token_that_pays(world: World) -> None:
    reader = open_clicker(world)
    answer = collect(world, approved(reader))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    body = answer.get_json()
    token = body.pop("allowance")
    assert body == {
        "site": world.site_id,
        "per_item_msat": 10_000_000,
        "per_day_msat": 50_000_000,
        "auto_msat": 1_000_000,
        "expires_at": world.clock() + 90 * 86_400,
    }
    secret_key = world.deps.settings.secret_key.get_secret_value()
    claims = read_allowance(secret_key, token)
    assert (claims.wallet, claims.origin) == (reader.wallet_id, ORIGIN)
    bought = Clicker(world, reader.wallet_id, claims.allowance, token).unlock()
    assert bought["charged_msat"] == 5_000_000
    assert_nothing_lost(world)


def test_an_answer_that_was_lost_is_collected_again_until_the_code_ends(world: World) -> None:
    code = approved(open_clicker(world))
    answers = at_once(4, lambda _: collect(world, code))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.get_json()["allowance"] for answer in answers}) == 1
    world.clock.pass_time(APPROVAL_LIFETIME_S - 1)
    assert collect(world, code).status_code == 200
    world.clock.pass_time(1)
    assert_refused(world, collect(world, code), 409, "approval_pending")


def test_only_the_page_that_asked_gets_it(world: World) -> None:
    code = approved(open_clicker(world))
    for origin in ("https://evil.example", "null", "https://pay.example", None):
        answer = collect(world, code, origin=origin)
        assert_refused(world, answer, 403, "origin_not_allowed")
    for verifier in (secrets.token_urlsafe(32), "", sha256_challenge(VERIFIER), VERIFIER + "x"):
        assert_refused(world, collect(world, code, verifier), 403, "verifier_mismatch")
    for wrong in ("", "x", code[:-1], code.swapcase(), "é" * 20):
        assert_refused(world, collect(world, wrong), 409, "approval_pending")
    assert collect(world, code).status_code == 200


def test_another_site_of_this_server_cannot_collect_it(world: World) -> None:
    elsewhere = "https://other.example"
    with write_transaction(world.session):
        add_site(world.deps, world.session, world.merchant_id, "Other", [elsewhere])
    answer = collect(world, approved(open_clicker(world)), origin=elsewhere)
    assert_refused(world, answer, 403, "origin_not_allowed")


def test_a_code_gives_nothing_once_the_allowance_is_over(world: World) -> None:
    reader = open_clicker(world)
    code = approved(reader)
    with write_transaction(world.session):
        revoke_allowance(world.deps, world.session, reader.wallet_id, reader.allowance_id)
    assert_refused(world, collect(world, code), 403, "allowance_revoked")


def test_the_body_is_checked(world: World) -> None:
    for body in ({}, {"code": 1, "verifier": VERIFIER}, {"code": "x" * 201, "verifier": "y"}):
        answer = call(world, "POST", "/v1/allowances", json=body, headers={"Origin": ORIGIN})
        assert_refused(world, answer, 422, "invalid_request")
