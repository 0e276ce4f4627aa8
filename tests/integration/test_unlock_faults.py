"""Everything that can go wrong around a click: what was paid for is there, once."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from bitcache_server.models import migrate
from bitcache_server.services import spend_queue
from bitcache_server.services.deliver import open_item
from tests.support.api import assert_refused, at_once, open_world
from tests.support.clicks import Clicker, open_clicker
from tests.support.postgres import PostgresServer
from tests.support.shops import assert_nothing_lost, sell_at
from tests.support.web import Web, web_of
from tests.support.world import World

PRICE_MSAT = 7_000_000
READERS = 8
ITEMS = 6
ITEM_MSAT = 20_000


@pytest.fixture
def shop(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Return a world in which every test must leave the books in order.

    Who clicks while the wallet is in use waits for a turn, and on a busy machine longer
    than a reader would: nobody here is told to come back.
    """
    monkeypatch.setattr(spend_queue, "BUSY_PATIENCE_S", 60.0)
    yield world
    assert_nothing_lost(world)


def assert_bought_once(reader: Clicker, items: list[str], price_msat: int, paid_msat: int) -> None:
    """Check what the reader has and what it cost."""
    grants = reader.grants()
    assert sorted(grant.item_id for grant in grants) == sorted(items)
    assert {grant.revision for grant in grants} <= {1}
    assert paid_msat - sum(reader.money()) == price_msat * len(items)


# In one process, as many threads as a browser has tabs


def test_a_double_click_and_two_tabs(shop: World) -> None:
    reader = open_clicker(shop)
    answers = at_once(6, lambda _: reader.unlock(shop.file_id))
    assert sorted(answer["outcome"] for answer in answers) == ["booked"] + ["owned"] * 5
    assert len({answer["grant"] for answer in answers}) == 1
    assert sum(answer["charged_msat"] for answer in answers) == PRICE_MSAT
    assert_bought_once(reader, [shop.file_id], PRICE_MSAT, 20_000_000)


def test_two_tabs_with_keys_of_their_own(shop: World) -> None:
    reader = open_clicker(shop)
    answers = at_once(6, lambda n: reader.unlock(shop.file_id, key=f"tab-{n % 2}"))
    outcomes = sorted(answer["outcome"] for answer in answers)
    assert outcomes == ["booked", "owned", "owned", "owned", "replayed", "replayed"]
    assert_bought_once(reader, [shop.file_id], PRICE_MSAT, 20_000_000)


def test_a_wallet_at_exactly_the_price_of_one(shop: World) -> None:
    reader = open_clicker(shop, 3_000_000, gift_msat=4_000_000)
    items = [sell_at(shop, 7_000) for _ in range(6)]
    answers = at_once(6, lambda n: reader.click(items[n]))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    for answer in answers:
        if answer.status_code == 409:
            assert_refused(shop, answer, 409, "insufficient_balance")
    assert reader.money() == (0, 0)
    assert len(reader.grants()) == 1


def test_a_days_limit_under_many_clicks(shop: World) -> None:
    reader = open_clicker(shop, per_day_msat=2 * PRICE_MSAT + 1)
    items = [sell_at(shop, 7_000) for _ in range(6)]
    answers = at_once(6, lambda n: reader.click(items[n]))
    assert sorted(answer.status_code for answer in answers) == [200, 200] + [409] * 4
    assert reader.money() == (20_000_000 - 2 * PRICE_MSAT, 0)


def test_revoked_while_clicks_are_under_way(shop: World) -> None:
    reader = open_clicker(shop, per_day_msat=10**12, balance_msat=10**9)
    items = [sell_at(shop, 7) for _ in range(8)]

    def click(number: int) -> int:
        if number == 4:
            with shop.app.app_context():
                reader.change_allowance(revoked_at=shop.clock())
        return reader.click(items[number]).status_code

    before = at_once(8, click)
    assert set(before) <= {200, 403}
    assert before[4] == 403
    # From then on not even what was bought is given to the page.
    assert {reader.click(item).status_code for item in items} == {403}
    assert len(reader.grants()) == before.count(200)


def test_clocks_that_jump(shop: World) -> None:
    reader = open_clicker(shop, 30_000_000, per_day_msat=2 * PRICE_MSAT)
    items = [sell_at(shop, 7_000) for _ in range(4)]
    first = reader.unlock(items[0])
    shop.clock.pass_time(86_400)
    reader.unlock(items[1])
    shop.clock.pass_time(-2 * 86_400)
    # Back in time the day that was begun still counts, and nothing is sold again.
    assert reader.unlock(items[0])["grant"] == first["grant"]
    assert reader.unlock(items[2])["outcome"] == "booked"
    assert_refused(shop, reader.click(items[3]), 409, "allowance_exceeded")
    grant = reader.unlock(items[1])["grant"]
    assert open_item(shop.deps, shop.session, items[1], grant).item.id == items[1]
    assert_bought_once(reader, items[:3], PRICE_MSAT, 30_000_000)


# Real processes


@pytest.fixture
def street(shop: World) -> tuple[list[Clicker], list[str]]:
    """Return readers with money for everything, and items."""
    return _open_street(shop)


def _open_street(shop: World) -> tuple[list[Clicker], list[str]]:
    far = {"expires_at": 2**40, "per_day_msat": 10**12}
    readers = [open_clicker(shop, ITEMS * ITEM_MSAT, **far) for _ in range(READERS)]
    return readers, [sell_at(shop, ITEM_MSAT // 1000) for _ in range(ITEMS)]


def click_through(
    web: Web, readers: list[Clicker], items: list[str], disturb: Callable[[], None]
) -> None:
    """Let each reader buy everything, in two tabs at once, and disturb them in the middle."""
    answered = threading.Semaphore(0)

    def tab(reader: Clicker, key: str) -> list[str]:
        outcomes = []
        for number, item in enumerate(items):
            answer = web.insist(reader, item, f"{key}-{number}" if key else "")
            assert answer["status"] == 200, answer
            outcomes.append(answer["outcome"])
            answered.release()
        return outcomes

    with ThreadPoolExecutor(2 * len(readers)) as pool:
        tabs: list[Future[list[str]]] = [
            pool.submit(tab, reader, key) for reader in readers for key in ("", "tab")
        ]
        for _ in range(len(readers) * len(items) // 2):
            assert answered.acquire(timeout=120)
        disturb()
        for future in tabs:
            future.result(240)


def test_a_server_is_killed_during_clicks(
    shop: World, street: tuple[list[Clicker], list[str]]
) -> None:
    readers, items = street
    with web_of(shop) as web:

        def disturb() -> None:
            assert web.kill_workers() == 2

        click_through(web, readers, items, disturb)
    for reader in readers:
        assert_bought_once(reader, items, ITEM_MSAT, ITEMS * ITEM_MSAT)
        assert sum(reader.money()) == 0


def test_an_answer_that_was_lost_is_there_at_the_next_try(
    shop: World, street: tuple[list[Clicker], list[str]]
) -> None:
    readers, items = street
    with web_of(shop, workers=1) as web:
        for number, reader in enumerate(readers):
            web.click_and_leave(reader, items[0], f"lost-{number}")
        _wait_until(lambda: all(reader.grants() for reader in readers))
        for number, reader in enumerate(readers):
            same = web.insist(reader, items[0], f"lost-{number}")
            assert (same["outcome"], same["charged_msat"]) == ("replayed", ITEM_MSAT)
            other = web.insist(reader, items[0])
            assert (other["outcome"], other["grant"]) == ("owned", same["grant"])
            assert_bought_once(reader, items[:1], ITEM_MSAT, ITEMS * ITEM_MSAT)


def _wait_until(true: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_postgresql_is_killed_during_clicks(tmp_path: Path) -> None:
    with PostgresServer(durable=True) as server:
        url = server.create_database("shop")
        migrate.upgrade(url)
        with open_world(url, tmp_path) as shop:
            readers, items = _open_street(shop)
            with web_of(shop) as web:

                def disturb() -> None:
                    server.halt(signal.SIGKILL)
                    server.start()

                click_through(web, readers, items, disturb)
            for reader in readers:
                assert_bought_once(reader, items, ITEM_MSAT, ITEMS * ITEM_MSAT)
            assert_nothing_lost(shop)
