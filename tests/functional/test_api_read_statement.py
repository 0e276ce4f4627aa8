"""GET /v1/statement"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchant_terms import set_refund_terms
from bitcache_server.services.merchants import add_site, get_site
from bitcache_server.services.refund import refund_by_merchant, refund_by_reader, undo_purchase
from bitcache_server.services.statement import all_lines
from tests.support.api import assert_refused, call
from tests.support.purchases import (
    FILE_COMMISSION_MSAT,
    FILE_MSAT,
    WALLET,
    add_author,
    buy_from_balance,
    earned,
    fill_wallet,
    holder_of,
    pay_out,
    sell_shared,
)
from tests.support.shops import PRICE_MSAT, assert_nothing_lost, opened_world, sell_at
from tests.support.world import World

NET_MSAT = FILE_MSAT - FILE_COMMISSION_MSAT
ARTICLE_NET_MSAT = PRICE_MSAT - PRICE_MSAT // 100


@pytest.fixture(autouse=True)
def _books(world: World) -> Iterator[None]:
    yield
    assert_nothing_lost(world)


def read(world: World, secret: str = "", query: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = call(world, "GET", "/v1/statement", secret or world.secret, query_string=query or {})
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def lines(world: World, secret: str = "") -> list[dict[str, Any]]:
    page = read(world, secret)
    assert page["next_cursor"] is None
    return list(page["lines"])


def kinds(world: World) -> list[tuple[str, int]]:
    return [(line["kind"], line["amount_msat"]) for line in lines(world)]


def test_nothing_happened(world: World) -> None:
    assert read(world) == {"lines": [], "next_cursor": None}


def test_a_sale_that_was_partly_a_gift_is_one_line(world: World) -> None:
    fill_wallet(world, gift_msat=1_000_000)
    buy_from_balance(world)
    [line] = lines(world)
    holder = line.pop("holder")
    assert line == {
        "created_at": world.clock(),
        "kind": "sale",
        "words": "Sale",
        "amount_msat": NET_MSAT,
        "item": world.file_id,
        "title": "A song",
        "payout": None,
    }
    # The same reader has the same name, which is no wallet.
    buy_from_balance(world, world.article_id)
    assert [line["holder"] for line in lines(world)] == [holder, holder]
    assert WALLET not in holder


def test_everything_that_can_happen(world: World) -> None:
    fill_wallet(world, 100_000_000)
    with write_transaction(world.session):
        set_refund_terms(world.session, world.merchant_id, 3_600, 1)
    purchase = world.buy()
    reference = world.pay(purchase)
    for item_id in (world.file_id, world.article_id, sell_at(world, 100)):
        buy_from_balance(world, item_id)
    with write_transaction(world.session):
        undo_purchase(world.deps, world.session, WALLET, world.file_id)
        refund_by_reader(world.deps, world.session, WALLET, world.article_id)
        site = get_site(world.session, world.site_id)
        refund_by_merchant(world.deps, world.session, site, holder_of(world), item_id)
    world.rail.double_spend(reference)
    world.check_unconfirmed()
    buy_from_balance(world)
    payout_id = pay_out(world)
    found = lines(world)
    assert [(line["kind"], line["words"]) for line in found] == [
        ("payout", "Payout, with its network fee"),
        ("sale", "Sale"),
        ("taken_back", "The payment vanished, so the sale was taken back"),
        ("refund", "You gave the price back"),
        ("refund", "The reader returned it"),
        ("refund", "The reader undid the purchase"),
        ("sale", "Sale"),
        ("sale", "Sale"),
        ("sale", "Sale"),
        ("sale", "Sale"),
    ]
    assert sum(line["amount_msat"] for line in found) == earned(world)[0]
    assert (found[0]["payout"], found[0]["holder"], found[0]["item"]) == (payout_id, None, None)
    assert [line["holder"] for line in (found[2], found[-1])] == [purchase.id, purchase.id]
    assert (found[3]["item"], found[3]["amount_msat"]) == (item_id, -99_000)
    assert found[5]["title"] == "A song"


def test_a_merchant_with_a_wallet_of_their_own(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, direct=True) as shop:
        reference = shop.pay(shop.buy())
        assert kinds(shop) == [("sale", ARTICLE_NET_MSAT), ("own_wallet", -PRICE_MSAT)]
        shop.rail.double_spend(reference)
        shop.check_unconfirmed()
        assert kinds(shop)[:2] == [
            ("own_wallet_reversed", PRICE_MSAT),
            ("taken_back", -ARTICLE_NET_MSAT),
        ]


def test_pages_join_without_a_gap(world: World) -> None:
    fill_wallet(world, 900_000, gift_msat=350_000)
    items = [sell_at(world, 100) for _ in range(9)]
    for item_id in items:
        # The fourth is paid from both purses, so that it is two entries.
        buy_from_balance(world, item_id)
    whole = lines(world)
    assert [line["item"] for line in whole] == items[::-1]
    for limit in (1, 2, 3, 4, 8, 9):
        cursor, found = None, []
        while True:
            query = {"limit": limit, **({"cursor": cursor} if cursor else {})}
            page = read(world, query=query)
            assert len(page["lines"]) <= limit
            found += page["lines"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == whole


def test_times_are_from_until_before(world: World) -> None:
    fill_wallet(world)
    start = world.clock()
    for item_id in (world.file_id, world.article_id, sell_at(world, 5)):
        buy_from_balance(world, item_id)
        world.clock.pass_time(100)

    def found(since: int | None, until: int | None) -> list[int]:
        world.session.rollback()
        rows = all_lines(world.deps, world.session, world.merchant_id, since, until)
        return [row.amount_msat for row in rows]

    assert found(None, None) == [4_950, ARTICLE_NET_MSAT, NET_MSAT]
    assert found(start + 100, None) == [4_950, ARTICLE_NET_MSAT]
    assert found(start, start + 200) == [ARTICLE_NET_MSAT, NET_MSAT]
    assert found(start + 1, start + 100) == []


def test_readers_have_another_name_for_each_merchant(world: World) -> None:
    bob = add_author(world)
    with write_transaction(world.session):
        secret = add_site(world.deps, world.session, bob, "Bob's", ["https://bob.example"]).secret
    item_id = sell_shared(world, 100, {bob: 400_000})
    fill_wallet(world)
    buy_from_balance(world, item_id)
    [sale], [share] = lines(world), lines(world, secret)
    assert (sale["kind"], sale["amount_msat"]) == ("sale", 59_400)
    assert (share["kind"], share["amount_msat"]) == ("share", 39_600)
    assert (share["words"], share["title"]) == (
        "Your share of another merchant's sale",
        "Together",
    )
    assert sale["holder"] != share["holder"]
    with write_transaction(world.session):
        site = get_site(world.session, world.site_id)
        refund_by_merchant(world.deps, world.session, site, sale["holder"], item_id)
    newest = lines(world, secret)[0]
    assert (newest["words"], newest["amount_msat"]) == ("Given back to the reader", -39_600)


def test_only_own_cursors_and_the_sites_own_server(world: World) -> None:
    for query in ({"cursor": "x"}, {"cursor": "-1"}, {"cursor": "9" * 19}, {"limit": 0}):
        answer = call(world, "GET", "/v1/statement", world.secret, query_string=query)
        assert_refused(world, answer, 422, "invalid_request")
    assert_refused(world, call(world, "GET", "/v1/statement"), 401, "missing_secret")
