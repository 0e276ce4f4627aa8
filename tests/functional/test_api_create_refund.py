"""POST /v1/refunds"""

from collections.abc import Iterator

import pytest
from werkzeug.test import TestResponse

from tests.support.api import assert_refused, call
from tests.support.purchases import (
    FILE_MSAT,
    WALLET,
    buy_from_balance,
    earned,
    fill_wallet,
    holder_of,
    pay_out,
    purses,
)
from tests.support.shops import assert_nothing_lost
from tests.support.world import World


@pytest.fixture(autouse=True)
def _books(world: World) -> Iterator[None]:
    yield
    assert_nothing_lost(world)


def give_back(world: World, holder: str, item_id: str = "", key: str | None = None) -> TestResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"holder": holder, "item": item_id or world.file_id}
    return call(world, "POST", "/v1/refunds", world.secret, json=body, headers=headers)


def holder_in_statement(world: World) -> str:
    answer = call(world, "GET", "/v1/statement", world.secret)
    return str(answer.get_json()["lines"][0]["holder"])


def test_a_reader_as_the_statement_names_them(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    holder = holder_in_statement(world)
    assert WALLET not in holder
    answer = give_back(world, holder)
    assert answer.status_code == 201
    refund = answer.get_json()
    assert refund.pop("id").startswith("rf_")
    assert refund == {
        "holder": holder,
        "item": world.file_id,
        "amount_msat": FILE_MSAT,
        "created_at": world.clock(),
    }
    assert (purses(world), earned(world)) == ((20_000_000, 0), (0,))


def test_an_invoice(world: World) -> None:
    purchase = world.buy(world.file_id)
    world.pay(purchase)
    world.mine(6)
    assert holder_in_statement(world) == purchase.id
    assert give_back(world, purchase.id).status_code == 201
    world.session.rollback()
    invoice = world.read(purchase)
    assert (invoice["state"], invoice["credit_msat"]) == ("paid", FILE_MSAT)
    code = world.claim(purchase).get_json()["code"]
    assert code == "invoice_not_paid"
    assert_refused(world, give_back(world, purchase.id), 409, "already_refunded")


def test_a_repeated_call_gets_the_same_answer(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    holder = holder_of(world)
    first, again = (give_back(world, holder, key="key-1") for _ in range(2))
    assert first.get_json() == again.get_json()
    assert_refused(world, give_back(world, holder, key="key-2"), 409, "already_refunded")
    other = give_back(world, holder, world.article_id, key="key-1")
    assert_refused(world, other, 409, "idempotency_conflict")
    assert purses(world) == (20_000_000, 0)


def test_what_nobody_bought(world: World) -> None:
    fill_wallet(world)
    holder = holder_of(world)
    for nobody in (holder, "in_none", "ho_none", "", "\u2603"):
        assert_refused(world, give_back(world, nobody), 404, "unknown_purchase")
    assert_refused(world, give_back(world, holder, "it_none"), 404, "unknown_item")


def test_a_reader_is_known_by_the_merchants_own_name_only(world: World) -> None:
    fill_wallet(world)
    grant = buy_from_balance(world).grant
    for name in (WALLET, holder_of(world, merchant_id="me_other"), f"ho_{WALLET}"):
        assert_refused(world, give_back(world, name), 404, "unknown_purchase")
    holder = call(world, "GET", "/v1/grant", grant).get_json()["holder"]
    assert holder == holder_in_statement(world)
    assert give_back(world, holder).status_code == 201


def test_money_that_is_on_its_way_out(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    pay_out(world)
    assert_refused(world, give_back(world, holder_of(world)), 409, "merchant_balance_too_low")


def test_only_the_sites_own_server(world: World) -> None:
    body = {"holder": WALLET, "item": world.file_id}
    answer = call(world, "POST", "/v1/refunds", json=body)
    assert_refused(world, answer, 401, "missing_secret")
    answer = call(world, "POST", "/v1/refunds", world.secret + "x", json=body)
    assert_refused(world, answer, 401, "bad_secret")
    answer = call(world, "POST", "/v1/refunds", world.secret, json={**body, "amount": 1})
    assert_refused(world, answer, 422, "invalid_request")
