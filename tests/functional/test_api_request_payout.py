"""POST /v1/payouts"""

import pytest
from werkzeug.test import TestResponse

from bitcache_server.domain.errors import NodeUnreachable
from bitcache_server.ledger import chart
from tests.support.api import assert_refused, at_once, call
from tests.support.payouts import assert_payouts_sound, earn, send, set_terms
from tests.support.shops import held
from tests.support.world import World


def ask(world: World, key: str | None = None, body: object = None) -> TestResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    json = {} if body is None else body
    return call(world, "POST", "/v1/payouts", world.secret, json=json, headers=headers)


def test_the_balance_goes_to_the_stored_address(world: World) -> None:
    set_terms(world, "fake:shop")
    earn(world, 30_000_999)
    answer = ask(world)
    assert answer.status_code == 201
    payout = answer.get_json()
    expected = {
        "state": "waiting", "rail": "fake", "address": "fake:shop", "amount_msat": 29_859_000,
        "fee_msat": 141_000, "fee_returned_msat": 0, "transaction": None, "note": "",
        "created_at": world.clock.now,
        "settled_at": None,
    }  # fmt: skip
    assert payout == {"id": payout["id"], **expected}
    assert held(world, chart.merchant(world.merchant_id)) == 999
    assert_payouts_sound(world)


def test_the_same_key_pays_once(world: World) -> None:
    set_terms(world)
    earn(world, 30_000_000)
    answers = at_once(4, lambda _: ask(world, "one"))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.get_json()["id"] for answer in answers}) == 1
    earn(world, 30_000_000)
    assert ask(world, "one").get_json() == answers[0].get_json()
    assert ask(world, "two").get_json()["id"] != answers[0].get_json()["id"]
    assert_payouts_sound(world)


@pytest.mark.parametrize("body", [{"address": "fake:eve"}, {"amount_sat": 1}, [], "x"])
def test_a_site_cannot_say_where_it_goes(sqlite_world: World, body: object) -> None:
    set_terms(sqlite_world)
    earn(sqlite_world, 30_000_000)
    assert_refused(sqlite_world, ask(sqlite_world, body=body), 422, "invalid_request")
    assert held(sqlite_world, chart.merchant(sqlite_world.merchant_id)) == 30_000_000


def test_what_is_refused(sqlite_world: World) -> None:
    world = sqlite_world
    assert_refused(world, ask(world), 409, "payout_address_missing")
    set_terms(world)
    assert_refused(world, ask(world), 409, "merchant_balance_too_low")
    earn(world, 5_000_000)
    assert_refused(world, ask(world), 409, "merchant_balance_too_low")
    earn(world, 30_000_000)
    world.rail.break_with(NodeUnreachable("Nothing listens at 10.0.0.7."))
    answer = ask(world)
    assert_refused(world, answer, 503, "payouts_unavailable")
    assert "10.0.0.7" not in answer.text
    world.rail.break_with(None)
    assert_refused(world, call(world, "POST", "/v1/payouts", json={}), 401, "missing_secret")
    assert_refused(world, call(world, "POST", "/v1/payouts", "bcsk_x", json={}), 401, "bad_secret")


def test_a_site_does_not_learn_what_the_operator_holds(sqlite_world: World) -> None:
    set_terms(sqlite_world)
    earn(sqlite_world, 30_000_000)
    ask(sqlite_world, "one")
    send(sqlite_world)
    answer = ask(sqlite_world, "one")
    assert answer.get_json()["state"] == "waiting"
    assert "holds" not in answer.text
