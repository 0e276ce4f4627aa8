"""Merchants are paid on demand and on schedule, and never more than they have."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitcache_server.domain.errors import (
    AddressInvalid,
    InvalidRequest,
    MerchantBalanceTooLow,
    NodeUnreachable,
    PayoutAddressMissing,
    PayoutLimit,
    PayoutsUnavailable,
    UnknownMerchant,
)
from bitcache_server.jobs import run_jobs
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Entry, Kind, post, reverse
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchant_lock import lock_merchant, require_merchant_balance
from bitcache_server.services.merchant_payouts import (
    request_merchant_payout,
    schedule_payouts,
    set_payout_terms,
)
from bitcache_server.services.merchants import add_merchant
from tests.support.books import open_wallet
from tests.support.payouts import (
    assert_payouts_sound,
    earn,
    payout_of,
    send,
    set_terms,
    states,
    together,
    withdraw,
)
from tests.support.shops import held, opened_world, transfers
from tests.support.world import World

FEE_MSAT = 141_000
DAY_S = 86_400


@pytest.fixture
def shop(world: World) -> Iterator[World]:
    world.rail.fund(1_000_000_000)
    yield world
    assert_payouts_sound(world)


def _ask(shop: World, **options: object) -> str:
    payout_id = request_merchant_payout(
        shop.deps,
        shop.session,
        shop.merchant_id,
        **options,  # type: ignore[arg-type]  # handed through
    ).id
    shop.session.rollback()
    return payout_id


def _balance(shop: World) -> int:
    return held(shop, chart.merchant(shop.merchant_id))


def _schedule(shop: World) -> int:
    return schedule_payouts(shop.deps, shop.session)


def test_all_of_it_less_the_fee(shop: World) -> None:
    set_terms(shop, " FAKE:Shop ")
    earn(shop, 30_000_999)
    asked = payout_of(shop, _ask(shop))
    assert (asked.destination, asked.amount_msat) == ("fake:shop", 30_000_000 - FEE_MSAT)
    assert _balance(shop) == 999
    send(shop)
    shop.rail.confirm()
    send(shop)
    assert states(shop, asked.id) == ["settled"]


def test_a_part_of_it(shop: World) -> None:
    set_terms(shop)
    earn(shop, 30_000_000)
    _ask(shop, amount_sat=10_000)
    assert _balance(shop) == 20_000_000 - FEE_MSAT
    with pytest.raises(MerchantBalanceTooLow):
        _ask(shop, amount_sat=20_000)
    with pytest.raises(PayoutLimit):
        _ask(shop, amount_sat=4_999)


def test_the_address_is_stored_and_checked_before(shop: World) -> None:
    earn(shop, 30_000_000)
    with pytest.raises(PayoutAddressMissing):
        _ask(shop)
    with pytest.raises(AddressInvalid):
        set_terms(shop, "bc1qelsewhere")
    set_terms(shop)
    set_terms(shop, None, threshold_sat=7, every_s=9)
    merchant = shop.session.get_one(Merchant, shop.merchant_id)
    terms = (merchant.payout_address, merchant.payout_threshold_msat, merchant.payout_every_s)
    assert terms == ("fake:ada", 7_000, 9)
    set_terms(shop, "")
    with pytest.raises(PayoutAddressMissing):
        _ask(shop)
    with pytest.raises(InvalidRequest):
        set_terms(shop, threshold_sat=-1)
    with pytest.raises(InvalidRequest):
        set_terms(shop, every_s=-1)
    with pytest.raises(UnknownMerchant):
        set_payout_terms(shop.deps, shop.session, "me_nobody", address="fake:eve")
    with pytest.raises(UnknownMerchant):
        request_merchant_payout(shop.deps, shop.session, "me_nobody")


def test_too_little_and_debts_stay(shop: World) -> None:
    set_terms(shop)
    with pytest.raises(MerchantBalanceTooLow):
        _ask(shop)
    earn(shop, 5_000_000 + FEE_MSAT - 1)
    with pytest.raises(MerchantBalanceTooLow):
        _ask(shop)
    earn(shop, 1)
    _ask(shop)
    assert _balance(shop) == 0
    commission = Entry(Kind.DEPOSIT, chart.merchant(shop.merchant_id), chart.OPENING, 9_000)
    with write_transaction(shop.session):
        post(shop.session, [commission], owner_id=shop.merchant_id, now=shop.clock())
    with pytest.raises(MerchantBalanceTooLow):
        _ask(shop)


def test_a_second_click_is_the_same_payout(shop: World) -> None:
    set_terms(shop)
    earn(shop, 30_000_000)
    first = _ask(shop, idempotency_key="one")
    earn(shop, 30_000_000)
    shop.rail.break_with(NodeUnreachable("Nothing listens."))
    assert _ask(shop, idempotency_key="one") == first, "the node need not be asked again"
    with pytest.raises(PayoutsUnavailable):
        _ask(shop, idempotency_key="two")
    shop.rail.break_with(None)
    assert _ask(shop, idempotency_key="two") != first


def test_many_clicks_at_once_pay_the_balance_once(shop: World) -> None:
    set_terms(shop)
    earn(shop, 30_000_000)

    def click(number: int) -> str:
        try:
            return _ask(shop, idempotency_key=f"key-{number % 2}")
        except MerchantBalanceTooLow:
            return ""

    made = {payout_id for payout_id in together(shop, 6, click) if payout_id}
    assert len(made) == 1
    assert _balance(shop) == 0


def test_a_refund_while_it_is_paid_out(shop: World) -> None:
    """Both lock the merchant first; whoever comes second finds the balance gone."""
    set_terms(shop)
    open_wallet(shop.session, "wa_1", balance_msat=10_000_000)
    sale = Entry(Kind.DEPOSIT, chart.wallet("wa_1"), chart.merchant(shop.merchant_id), 10_000_000)
    with write_transaction(shop.session):
        group = post(shop.session, [sale], owner_id="wa_1", now=shop.clock()).group_id
    locked, done = threading.Event(), threading.Event()

    def refund_or_pay(number: int) -> str:
        if number == 0:
            with write_transaction(shop.session):
                lock_merchant(shop.session, shop.merchant_id)
                require_merchant_balance(shop.session, shop.merchant_id, 10_000_000)
                locked.set()
                done.wait(0.3)
                reverse(shop.session, group, owner_id="wa_1", now=shop.clock())
            return "refunded"
        locked.wait(10)
        try:
            return _ask(shop)
        except MerchantBalanceTooLow:
            return "too low"

    assert together(shop, 2, refund_or_pay) == ["refunded", "too low"]
    assert (_balance(shop), held(shop, chart.wallet("wa_1"))) == (0, 10_000_000)


def test_a_payout_while_a_refund_comes(shop: World) -> None:
    set_terms(shop)
    earn(shop, 10_000_000)
    _ask(shop)
    with write_transaction(shop.session):
        lock_merchant(shop.session, shop.merchant_id)
        with pytest.raises(MerchantBalanceTooLow):
            require_merchant_balance(shop.session, shop.merchant_id, 1_000)
    with pytest.raises(UnknownMerchant), write_transaction(shop.session):
        lock_merchant(shop.session, "me_nobody")


def test_on_schedule_above_the_threshold(shop: World) -> None:
    set_terms(shop, threshold_sat=50_000, every_s=DAY_S)
    earn(shop, 49_999_999)
    assert _schedule(shop) == 0
    earn(shop, 1)
    assert _schedule(shop) == 1
    assert _balance(shop) == 0
    earn(shop, 60_000_000)
    for seconds in (0, DAY_S - 1):
        shop.clock.pass_time(seconds)
        assert _schedule(shop) == 0, "one a day"
    shop.clock.pass_time(1)
    assert _schedule(shop) == 1
    shop.clock.pass_time(-5 * DAY_S)
    assert _schedule(shop) == 0
    earn(shop, 60_000_000)
    assert _schedule(shop) == 1, "a clock that was put back keeps nobody from being paid"


def test_one_bad_merchant_does_not_hold_up_the_others(
    shop: World, caplog: pytest.LogCaptureFixture
) -> None:
    set_terms(shop, every_s=60)
    with write_transaction(shop.session):
        others = [add_merchant(shop.deps, shop.session, name, None).id for name in "BC"]
    for other in others:
        set_payout_terms(
            shop.deps, shop.session, other, address="fake:other", threshold_sat=0, every_s=60
        )
        earn(shop, 20_000_000, other)
    earn(shop, 20_000_000)
    with write_transaction(shop.session):
        shop.session.get_one(Merchant, others[0]).payout_address = "bc1qelsewhere"
    assert _schedule(shop) == 2
    assert f"merchant={others[0]} is not paid out" in caplog.text
    assert held(shop, chart.merchant(others[0])) == 20_000_000


def test_the_day_s_limit_splits_a_large_balance(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, payout_max_sat_per_day=50_000) as shop:
        set_terms(shop, every_s=60)
        earn(shop, 80_000_000)
        assert _schedule(shop) == 1
        assert _balance(shop) == 30_000_000 - FEE_MSAT
        shop.clock.pass_time(60)
        assert _schedule(shop) == 0
        with pytest.raises(PayoutLimit):
            _ask(shop)
        shop.clock.pass_time(DAY_S)
        assert _schedule(shop) == 1
        assert_payouts_sound(shop)


def test_the_jobs_do_it_all(shop: World) -> None:
    set_terms(shop, every_s=60)
    earn(shop, 80_000_000)
    open_wallet(shop.session, "wa_1", balance_msat=50_000_000)
    asked = withdraw(shop)
    assert run_jobs(shop.app, only_once=True)
    shop.clock.pass_time(600)
    assert run_jobs(shop.app, only_once=True)
    shop.rail.confirm()
    assert run_jobs(shop.app, only_once=True)
    assert states(shop, asked) == ["settled"]
    assert len(transfers(shop, Kind.PAYOUT)) == 2
    assert _balance(shop) == 0
