"""The gift: once for a wallet, a few for a network, never more than the budget."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import altcha
import pytest
from sqlalchemy import func, select

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import Gift, GiftDay, OneTimeCode
from bitcache_server.services.close_wallet import close_wallet
from bitcache_server.services.gifts import (
    ATTEMPT_COST,
    WORK,
    address_hash,
    forget_gift_addresses,
    gift_on_offer_msat,
)
from bitcache_server.services.one_time_codes import KEPT_S, forget_one_time_codes
from tests.support.api import PROBLEM, open_world
from tests.support.shops import assert_nothing_lost, held, transfers
from tests.support.wallet_browser import Reader
from tests.support.world import World

GIFT_MSAT = 500_000


@pytest.fixture
def shop(database_url: str, tmp_path: Path) -> Iterator[World]:
    """Return a world that gives five gifts a day, three of them to one network."""
    with open_world(
        database_url, tmp_path, gift_sat=500, gift_budget_sat_per_day=2_500, gift_work=40
    ) as made:
        yield made
        assert_nothing_lost(made)


def refusal(reader: Reader, payload: str) -> tuple[int, str]:
    """Send a payload that must be refused; return the status and the code."""
    before = reader.cookie
    answer = reader.call("/wallet/gift", {"payload": payload})
    assert answer.mimetype == PROBLEM, answer.text
    assert reader.cookie == before
    return answer.status_code, answer.get_json()["code"]


def gifts_given(world: World) -> int:
    world.session.rollback()
    count = world.session.scalar(select(func.count()).select_from(Gift))
    world.session.rollback()
    return count or 0


def test_a_gift_makes_a_wallet_and_is_spendable_credit(shop: World) -> None:
    reader = Reader(shop)
    assert gift_on_offer_msat(shop.deps, shop.session) == GIFT_MSAT
    answer = reader.take_gift()
    assert (answer.status_code, answer.get_json()) == (201, {"gift_msat": GIFT_MSAT})
    assert reader.is_signed_in()
    shop.session.rollback()
    wallet = shop.session.get_one(Wallet, reader.wallet_id)
    assert (wallet.balance_msat, wallet.gift_msat) == (0, GIFT_MSAT)
    [(source, target, amount_msat)] = transfers(shop, Kind.GIFT)
    assert (source, target) == (chart.PROMOTION, chart.gift(reader.wallet_id))
    assert amount_msat == GIFT_MSAT
    assert held(shop, chart.PROMOTION) == -GIFT_MSAT


def test_a_wallet_without_a_gift_gets_one_and_only_one(shop: World) -> None:
    reader = Reader(shop)
    wallet_id = reader.open_wallet()
    before = reader.cookie
    spare = [reader.solve() for _ in range(2)]
    assert reader.take_gift().status_code == 201
    assert (reader.cookie, reader.wallet_id) == (before, wallet_id)
    assert gift_on_offer_msat(shop.deps, shop.session, wallet_id) == 0
    assert refusal(reader, spare[0]) == (409, "gift_unavailable")
    shop.clock.pass_time(2 * SECONDS_PER_DAY)
    answer = reader.call("/wallet/gift/challenge", {})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "gift_unavailable")
    assert gifts_given(shop) == 1


def test_clearing_cookies_in_a_loop_ends_soon(shop: World) -> None:
    answers = [Reader(shop, f"198.51.100.{n}").call("/wallet/gift/challenge", {}) for n in (1, 2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    for number in range(3):
        assert Reader(shop, f"198.51.100.{number}").take_gift().status_code == 201
    # A fresh browser, another address of the same block, with work done before and after.
    for address in ("198.51.100.1", "198.51.100.250", "::ffff:198.51.100.9"):
        answer = Reader(shop, address).call("/wallet/gift/challenge", {})
        assert (answer.status_code, answer.get_json()["code"]) == (409, "gift_unavailable")
        solved = Reader(shop, "192.0.2.1").solve()
        assert refusal(Reader(shop, address), solved) == (409, "gift_unavailable")
    assert Reader(shop, "198.51.101.1").take_gift().status_code == 201
    shop.clock.pass_time(SECONDS_PER_DAY)
    assert Reader(shop, "198.51.100.1").take_gift().status_code == 201
    assert gifts_given(shop) == 5


def test_an_ipv6_customer_is_one_block(shop: World) -> None:
    for number in range(3):
        assert Reader(shop, f"2001:db8:7:{number}::1").take_gift().status_code == 201
    answer = Reader(shop, "2001:db8:7:ffff::1").call("/wallet/gift/challenge", {})
    assert answer.status_code == 409
    assert Reader(shop, "2001:db8:8::1").take_gift().status_code == 201


def test_a_deleted_wallet_brings_no_second_gift(shop: World) -> None:
    for _ in range(3):
        reader = Reader(shop)
        assert reader.take_gift().status_code == 201
        wallet_id = reader.wallet_id
        with write_transaction(shop.session):
            close_wallet(shop.deps, shop.session, wallet_id, give_up_rest=True)
        assert not reader.is_signed_in()
    again = Reader(shop)
    again.cookie = str(reader.cookie)
    for reader in (again, Reader(shop)):
        assert reader.call("/wallet/gift/challenge", {}).status_code == 409
    assert gifts_given(shop) == 3


def test_the_budget_of_a_day_is_never_exceeded(shop: World) -> None:
    for number in range(5):
        assert Reader(shop, f"203.0.{number}.1").take_gift().status_code == 201
    assert gift_on_offer_msat(shop.deps, shop.session) == 0
    answer = Reader(shop, "203.0.9.1").call("/wallet/gift/challenge", {})
    assert "All gifts of today are given" in answer.get_json()["detail"]
    shop.clock.pass_time(SECONDS_PER_DAY)
    assert gift_on_offer_msat(shop.deps, shop.session) == GIFT_MSAT
    assert Reader(shop, "203.0.9.1").take_gift().status_code == 201


def take_at_once(readers: list[Reader], payloads: list[str]) -> list[int]:
    """Send all payloads at one moment; return the status codes in order."""
    start = threading.Barrier(len(readers))

    def take(pair: tuple[Reader, str]) -> int:
        start.wait()
        return pair[0].call("/wallet/gift", {"payload": pair[1]}).status_code

    with ThreadPoolExecutor(len(readers)) as pool:
        return sorted(pool.map(take, zip(readers, payloads, strict=True)))


def test_gifts_at_once_stay_within_the_budget(shop: World) -> None:
    readers = [Reader(shop, f"203.0.{number}.1") for number in range(8)]
    codes = take_at_once(readers, [reader.solve() for reader in readers])
    assert codes == [201] * 5 + [409] * 3
    shop.session.rollback()
    days = shop.session.scalars(select(GiftDay.given_msat).order_by(GiftDay.day)).all()
    assert list(days) == [0, 5 * GIFT_MSAT]


def test_gifts_at_once_stay_within_the_limit_of_a_network(shop: World) -> None:
    readers = [Reader(shop) for _ in range(5)]
    codes = take_at_once(readers, [reader.solve() for reader in readers])
    assert codes == [201] * 3 + [409] * 2


def test_one_wallet_at_once_gets_one_gift(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    payloads = [reader.solve() for _ in range(3)]
    tabs = [Reader(shop, f"203.0.{number}.1") for number in range(3)]
    for tab in tabs:
        tab.cookie = str(reader.cookie)
    assert take_at_once(tabs, payloads) == [201, 409, 409]
    assert held(shop, chart.gift(reader.wallet_id)) == GIFT_MSAT


def test_one_challenge_at_once_counts_once(shop: World) -> None:
    payload = Reader(shop).solve()
    readers = [Reader(shop, f"203.0.{number}.1") for number in range(3)]
    assert take_at_once(readers, [payload] * 3) == [201, 403, 403]
    assert gifts_given(shop) == 1


def rewritten(payload: str, change: Callable[[dict[str, Any]], None]) -> str:
    data = json.loads(base64.b64decode(payload))
    change(data)
    return base64.b64encode(json.dumps(data).encode()).decode()


def test_a_challenge_counts_once_however_it_is_written(shop: World) -> None:
    payload = Reader(shop).solve()
    assert Reader(shop, "203.0.1.1").call("/wallet/gift", {"payload": payload}).status_code == 201

    def upper(data: dict[str, Any]) -> None:
        solution = data["solution"]
        solution["derivedKey"] = solution["derivedKey"].upper()
        solution["time"] = 7

    def longer(data: dict[str, Any]) -> None:
        data["challenge"]["note"] = "x"

    for again in (payload, rewritten(payload, upper), rewritten(payload, longer)):
        assert refusal(Reader(shop, "203.0.2.1"), again) == (403, "proof_of_work_invalid")
    assert gifts_given(shop) == 1


def test_work_that_was_not_done_or_not_for_us_is_refused(shop: World) -> None:
    reader = Reader(shop)
    good = reader.solve()

    def change(path: str, value: object) -> str:
        def put(data: dict[str, Any]) -> None:
            *parents, last = path.split(".")
            for name in parents:
                data = data[name]
            data[last] = value

        return rewritten(good, put)

    mine = altcha.create_challenge("PBKDF2/SHA-256", 1, counter=1, hmac_secret="mine")
    solved = altcha.solve_challenge(mine)
    assert solved is not None
    bad = (
        "",
        "x",
        base64.b64encode(b"{}").decode(),
        base64.b64encode(b"[" * 2_000).decode(),
        altcha.Payload(mine, solved).to_base64(),
        change("solution.derivedKey", "00" * 32),
        change("solution.derivedKey", None),
        change("challenge.parameters.cost", 1),
        change("challenge.parameters.keySignature", None),
        change("challenge.parameters.nonce", "00" * 16),
        change("challenge.parameters.data", {"made_at": shop.clock(), "attempts": 1}),
        change("challenge.signature", None),
        change("challenge", []),
    )
    for payload in bad:
        assert refusal(reader, payload) == (403, "proof_of_work_invalid"), payload
    assert refusal(reader, "x" * 5_000) == (422, "invalid_request")
    assert gifts_given(shop) == 0
    # None of that has used the good one up.
    assert reader.call("/wallet/gift", {"payload": good}).status_code == 201


@pytest.mark.parametrize(
    ("shift_s", "good"),
    [(0, True), (WORK.lifetime_s - 1, True), (WORK.lifetime_s, False), (-60, True), (-61, False)],
)
def test_work_is_good_for_ten_minutes_also_when_the_clock_jumps(
    shop: World, shift_s: int, good: bool
) -> None:
    reader = Reader(shop)
    payload = reader.solve()
    shop.clock.now += shift_s
    if good:
        assert reader.call("/wallet/gift", {"payload": payload}).status_code == 201
    else:
        assert refusal(reader, payload) == (403, "proof_of_work_invalid")


def test_a_clock_that_jumps_ahead_and_back_frees_no_gift(shop: World) -> None:
    shop.clock.pass_time(30 * SECONDS_PER_DAY)
    for _ in range(3):
        assert Reader(shop).take_gift().status_code == 201
    shop.clock.pass_time(-30 * SECONDS_PER_DAY)
    assert Reader(shop).call("/wallet/gift/challenge", {}).status_code == 409
    assert Reader(shop, "203.0.1.1").take_gift().status_code == 201


def test_only_a_keyed_hash_of_the_network_is_kept_and_for_a_day(shop: World) -> None:
    first, second = Reader(shop, "198.51.100.7"), Reader(shop, "203.0.113.5")
    assert first.take_gift().status_code == 201
    shop.clock.pass_time(SECONDS_PER_DAY // 2)
    assert second.take_gift().status_code == 201
    shop.session.rollback()
    stored = {row.wallet_id: row.address_hash for row in shop.session.scalars(select(Gift))}
    shop.session.rollback()
    assert stored[first.wallet_id] == address_hash(shop.deps, "198.51.100.99")
    assert stored[first.wallet_id] != address_hash(shop.deps, "198.51.101.7")
    assert "198.51.100" not in "".join(stored.values())
    assert forget_gift_addresses(shop.deps, shop.session) == 0
    shop.clock.pass_time(SECONDS_PER_DAY // 2 + 1)
    assert forget_gift_addresses(shop.deps, shop.session) == 1
    shop.session.rollback()
    left = {row.wallet_id: row.address_hash for row in shop.session.scalars(select(Gift))}
    assert left == {first.wallet_id: "", second.wallet_id: stored[second.wallet_id]}


def test_used_codes_are_forgotten_when_nobody_can_use_them(shop: World) -> None:
    assert Reader(shop).take_gift().status_code == 201
    shop.clock.pass_time(WORK.lifetime_s + KEPT_S)
    assert forget_one_time_codes(shop.deps, shop.session) == 0
    shop.clock.pass_time(1)
    assert forget_one_time_codes(shop.deps, shop.session) == 1
    shop.session.rollback()
    assert shop.session.scalars(select(OneTimeCode)).all() == []


def test_the_operator_may_give_nothing(start_world: Callable[..., World]) -> None:
    world = start_world()
    assert gift_on_offer_msat(world.deps, world.session) == 0
    answer = Reader(world).call("/wallet/gift/challenge", {})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "gift_unavailable")


def test_the_work_follows_the_setting(start_world: Callable[..., World]) -> None:
    world = start_world(gift_sat=1, gift_budget_sat_per_day=100, gift_work=100 * ATTEMPT_COST)
    parameters = Reader(world).call("/wallet/gift/challenge", {}).get_json()["parameters"]
    assert parameters["algorithm"] == "PBKDF2/SHA-256"
    assert parameters["cost"] == ATTEMPT_COST
    assert parameters["data"]["attempts"] == 200


def test_calls_are_json(shop: World) -> None:
    reader = Reader(shop)
    for path in ("/wallet/gift/challenge", "/wallet/gift"):
        assert reader.post(path, payload="x").status_code == 415
    assert reader.call("/wallet/gift", {"payload": "x", "more": 1}).status_code == 422
