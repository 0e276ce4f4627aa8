"""kill -9 at the worst moments: what was booked stays, what was not is booked once, later."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bitcache_server.ledger.journal import Kind
from bitcache_server.models.sales import Invoice
from bitcache_server.tokens.verifier import challenge_of
from tests.support.shops import (
    assert_nothing_lost,
    opened_world,
    payment_count,
    read_anew,
    sell_at,
    transfers,
)
from tests.support.workers import Moment, finish, post_and_die, server_of, spawn, watch_and_die
from tests.support.world import World

VERIFIER = "v" * 43


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[World]:
    with opened_world(tmp_path, database_url) as world:
        yield world
        assert_nothing_lost(world)


def _invoices(shop: World) -> int:
    count = shop.session.scalar(select(func.count()).select_from(Invoice))
    shop.session.rollback()
    return count or 0


def _killed_at(shop: World, moment: Moment, number: int = 1) -> None:
    watching = spawn(watch_and_die, server_of(shop), moment, number)
    assert finish(watching) == -signal.SIGKILL


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
def test_killed_between_the_payment_and_its_booking(shop: World, moment: Moment) -> None:
    purchase = shop.buy()
    shop.rail.pay(shop.target_of(purchase), 5_000_000)
    _killed_at(shop, moment)
    assert payment_count(shop) == (moment == "after commit")
    shop.watch()
    assert read_anew(shop, purchase)["state"] == "paid"
    assert shop.claim(purchase).status_code == 200
    assert len(transfers(shop, Kind.RECEIPT)) == len(transfers(shop, Kind.SALE)) == 1


@pytest.mark.parametrize("number", [1, 3])
def test_killed_while_catching_up(shop: World, number: int) -> None:
    """Each block is kept or forgotten as a whole, with the payments in it."""
    bought = [shop.buy(sell_at(shop, 20_000)) for _ in range(4)]
    for purchase in bought:
        shop.rail.pay(shop.target_of(purchase), 20_000_000)
        shop.rail.confirm()
    _killed_at(shop, "before commit", number)
    paid = [read_anew(shop, purchase)["state"] == "paid" for purchase in bought]
    assert paid == [True] * (number - 1) + [False] * (5 - number)
    shop.watch()
    assert [read_anew(shop, purchase)["state"] for purchase in bought] == ["paid"] * 4
    assert len(transfers(shop, Kind.RECEIPT)) == 4


def test_killed_in_the_middle_of_a_reorganisation(shop: World) -> None:
    purchase = shop.buy(sell_at(shop, 2_000_000))
    shop.pay(purchase)
    shop.mine(3)
    shop.rail.reorg(3)
    _killed_at(shop, "after commit", 2)
    shop.assert_books_balance()
    shop.watch()
    assert read_anew(shop, purchase)["state"] == "seen"
    shop.mine(3)
    assert read_anew(shop, purchase)["state"] == "paid"


def _headers(key: str = "") -> dict[str, str]:
    return {"Idempotency-Key": key} if key else {}


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
def test_killed_while_creating_an_invoice(shop: World, moment: Moment) -> None:
    body = {"item": shop.article_id, "challenge": challenge_of(VERIFIER), "rail": "fake"}
    headers = _headers("a click")
    dying = spawn(post_and_die, server_of(shop), moment, "/v1/invoices", body, headers)
    assert finish(dying) == -signal.SIGKILL
    assert _invoices(shop) == (moment == "after commit")
    again = [shop.post("/v1/invoices", body, **headers) for _ in range(2)]
    assert [answer.status_code for answer in again] == [201, 201]
    assert again[0].get_json()["id"] == again[1].get_json()["id"]
    assert again[0].get_json()["requests"][0]["address_index"] == 0
    assert _invoices(shop) == 1


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
def test_killed_while_redeeming(shop: World, moment: Moment) -> None:
    purchase = shop.buy()
    shop.expire(901)
    shop.pay(purchase, 10_000_000)
    path, body = f"/v1/invoices/{purchase.id}/redeem", {"verifier": purchase.verifier}
    dying = spawn(post_and_die, server_of(shop), moment, path, body, {})
    assert finish(dying) == -signal.SIGKILL
    assert len(transfers(shop, Kind.SALE)) == (moment == "after commit")
    answer = shop.post(path, body)
    assert answer.status_code == 200
    assert shop.get(f"/v1/content/{shop.article_id}", answer.get_json()["grant"]).status_code == 200
    assert read_anew(shop, purchase)["credit_msat"] == 5_000_000
    assert len(transfers(shop, Kind.SALE)) == 1


def test_killed_while_claiming(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase)
    path, body = f"/v1/invoices/{purchase.id}/claim", {"verifier": purchase.verifier}
    dying = spawn(post_and_die, server_of(shop), "at rollback", path, body, {})
    assert finish(dying) == -signal.SIGKILL
    first, second = shop.grant(purchase), shop.grant(purchase)
    assert shop.get(f"/v1/content/{shop.article_id}", first).status_code == 200
    assert first == second
    assert len(transfers(shop, Kind.SALE)) == 1
