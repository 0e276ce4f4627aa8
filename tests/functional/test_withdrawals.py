"""A reader takes money out: what is refused, what is reserved, what arrives."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bitcache_server.domain import errors
from bitcache_server.domain.errors import (
    AddressInvalid,
    IdempotencyConflict,
    InsufficientBalance,
    NodeUnreachable,
    PayoutFeeChanged,
    PayoutLimit,
    PayoutsUnavailable,
    UnknownWallet,
)
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.ledger.spend import spend
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.services.payout_approvals import cancel_payout
from bitcache_server.services.payouts import payouts_of, reserved_msat
from bitcache_server.services.withdraw import quote_withdrawal
from tests.support.books import open_wallet, order
from tests.support.payouts import (
    ADDRESS,
    agree,
    assert_payouts_sound,
    batches,
    payout_of,
    send,
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
    open_wallet(world.session, balance_msat=2_000_000_700, gift_msat=50_000_000)
    world.rail.fund(1_000_000_000_000)
    yield world
    assert_payouts_sound(world)


def _own(shop: World, wallet_id: str = "wa_1") -> tuple[int, int]:
    return held(shop, chart.wallet(wallet_id)), held(shop, chart.gift(wallet_id))


def test_from_the_question_to_the_money(shop: World) -> None:
    quote = quote_withdrawal(shop.deps, shop.session, "wa_1", " FAKE:Ada ", 20_000)
    assert (quote.address, quote.amount_msat, quote.fee_msat) == (ADDRESS, 20_000_000, FEE_MSAT)
    assert quote.total_msat == 20_141_000
    payout_id = withdraw(shop)
    assert _own(shop) == (2_000_000_700 - 20_141_000, 50_000_000)
    assert held(shop, chart.payout(payout_id)) == 20_141_000
    assert states(shop, payout_id) == ["waiting"]
    assert send(shop) == 1
    assert states(shop, payout_id) == ["sending"]
    assert held(shop, chart.payout(payout_id)) == 20_141_000, "it is not deep enough yet"
    shop.rail.confirm()
    send(shop)
    assert payout_of(shop, payout_id).settled_at == shop.clock.now
    assert transfers(shop, Kind.PAYOUT) == [
        (chart.payout(payout_id), chart.clearing("fake"), 20_000_000)
    ]
    assert held(shop, chart.clearing("fake")) == 20_000_000 + FEE_MSAT
    assert held(shop, chart.NETWORK_FEES) == 0
    send(shop)
    assert len(transfers(shop, Kind.PAYOUT)) == 1


def test_all_of_it_leaves_the_rest_of_a_sat_and_the_gift(world: World) -> None:
    open_wallet(world.session, balance_msat=30_000_999, gift_msat=50_000_000)
    payout_id = withdraw(world, None)
    assert payout_of(world, payout_id).amount_msat == 30_000_000 - FEE_MSAT
    assert _own(world) == (999, 50_000_000)
    assert_payouts_sound(world)


def test_the_gift_is_never_withdrawn(shop: World) -> None:
    open_wallet(shop.session, "wa_gift", balance_msat=6_000_000, gift_msat=90_000_000)
    with pytest.raises(InsufficientBalance, match="gift cannot be withdrawn"):
        withdraw(shop, 6_000, wallet_id="wa_gift")
    assert _own(shop, "wa_gift") == (6_000_000, 90_000_000)


def test_the_balance_to_the_msat(shop: World) -> None:
    open_wallet(shop.session, "wa_exact", balance_msat=5_000_000 + FEE_MSAT)
    open_wallet(shop.session, "wa_short", balance_msat=5_000_000 + FEE_MSAT - 1)
    withdraw(shop, 5_000, wallet_id="wa_exact")
    assert _own(shop, "wa_exact") == (0, 0)
    with pytest.raises(InsufficientBalance):
        withdraw(shop, 5_000, wallet_id="wa_short")
    with pytest.raises(InsufficientBalance):
        agree(shop, FEE_MSAT, 5_000, wallet_id="wa_short", key="k")


@pytest.mark.parametrize(
    "address", ["", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "fake:", "x" * 5_000]
)
def test_an_address_that_cannot_be_paid(shop: World, address: str) -> None:
    for attempt in (
        lambda: quote_withdrawal(shop.deps, shop.session, "wa_1", address, 20_000),
        lambda: agree(shop, FEE_MSAT, address=address, key="k"),
    ):
        with pytest.raises(AddressInvalid):
            attempt()
    assert transfers(shop, Kind.RESERVE) == []


def test_a_fee_that_rose_books_nothing_and_names_the_new_one(shop: World) -> None:
    with pytest.raises(PayoutFeeChanged, match="141 sats"):
        agree(shop, FEE_MSAT - 1, key="k")
    assert transfers(shop, Kind.RESERVE) == []
    # What was shown is what is paid, when the network became cheaper.
    payout_id = agree(shop, FEE_MSAT + 1, key="k")
    assert payout_of(shop, payout_id).fee_msat == FEE_MSAT + 1


def test_a_second_click_is_the_same_withdrawal(shop: World) -> None:
    first = withdraw(shop, key="one")
    assert withdraw(shop, key="one") == first
    with pytest.raises(IdempotencyConflict):
        withdraw(shop, 30_000, key="one")
    with pytest.raises(IdempotencyConflict):
        withdraw(shop, key="one", address="fake:eve")
    second = withdraw(shop, key="two")
    shop.session.rollback()
    assert {p.id for p in payouts_of(shop.session, chart.wallet("wa_1"))} == {first, second}
    assert reserved_msat(shop.session, chart.wallet("wa_1")) == 2 * 20_141_000


def test_a_click_counts_once_even_after_the_fee_rose(shop: World) -> None:
    """The answer was lost; the repeated request finds what was booked, at whatever fee."""
    first = withdraw(shop, key="one")
    assert agree(shop, 1, key="one") == first


def test_many_clicks_at_once_are_one_withdrawal(shop: World) -> None:
    assert len(set(together(shop, 6, lambda _: withdraw(shop, key="one")))) == 1
    assert len(transfers(shop, Kind.RESERVE)) == 1


def test_many_tabs_cannot_take_more_than_there_is(shop: World) -> None:
    open_wallet(shop.session, "wa_2", balance_msat=3 * 20_141_000)

    def take(number: int) -> str:
        try:
            return withdraw(shop, wallet_id="wa_2", key=f"key-{number}")
        except InsufficientBalance:
            return ""

    made = [payout_id for payout_id in together(shop, 6, take) if payout_id]
    assert len(made) == len(set(made)) == 3
    assert _own(shop, "wa_2") == (0, 0)


def test_limits_of_one_wallet(shop: World) -> None:
    with pytest.raises(PayoutLimit, match="smallest amount is 5,000 sats"):
        withdraw(shop, 4_999)
    for nothing in (0, -20_000):
        with pytest.raises(PayoutLimit):
            withdraw(shop, nothing)
    withdraw(shop, 900_000)
    with pytest.raises(PayoutLimit, match="100,000 sats more"):
        withdraw(shop, 100_001, key="two")
    withdraw(shop, 100_000, key="two")
    shop.clock.pass_time(DAY_S - 1)
    with pytest.raises(PayoutLimit):
        withdraw(shop, 5_000, key="three")
    shop.clock.pass_time(1)
    withdraw(shop, 5_000, key="three")


def test_a_clock_that_jumps_opens_no_limit(shop: World) -> None:
    """What was paid out counts, even when it seems to lie in the future."""
    withdraw(shop, 1_000_000)
    for seconds in (-10 * DAY_S, -1, 5 * DAY_S, 6 * DAY_S - DAY_S):
        shop.clock.pass_time(seconds)
        with pytest.raises(PayoutLimit):
            withdraw(shop, 5_000, key="two")


def test_what_was_taken_back_does_not_count(shop: World) -> None:
    first = withdraw(shop, 1_000_000)
    with write_transaction(shop.session):
        cancel_payout(shop.deps, shop.session, first)
    assert _own(shop) == (2_000_000_700, 50_000_000)
    withdraw(shop, 1_000_000, key="two")


def test_a_wallet_that_is_closed_or_never_was(shop: World) -> None:
    open_wallet(shop.session, "wa_closed")
    with write_transaction(shop.session):
        shop.session.get_one(Wallet, "wa_closed").closed_at = shop.clock()
    for wallet_id in ("wa_closed", "wa_never"):
        with pytest.raises(UnknownWallet):
            withdraw(shop, wallet_id=wallet_id)


def test_a_network_that_does_not_answer(shop: World) -> None:
    shop.rail.break_with(NodeUnreachable("Nothing listens."))
    with pytest.raises(PayoutsUnavailable):
        withdraw(shop)
    shop.rail.break_with(None)
    assert transfers(shop, Kind.RESERVE) == []


def test_the_limit_of_all_holds_for_wallets_together(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, payout_max_sat_per_day=50_000) as shop:
        for number in range(6):
            open_wallet(shop.session, f"wa_{number}", balance_msat=100_000_000)

        def take(number: int) -> str:
            try:
                return withdraw(shop, 20_000, wallet_id=f"wa_{number}")
            except PayoutLimit:
                return ""

        assert len([made for made in together(shop, 6, take) if made]) == 2
        assert withdraw(shop, None, wallet_id="wa_0", key="rest")
        with pytest.raises(PayoutLimit, match="0 sats more"):
            withdraw(shop, None, wallet_id="wa_1", key="rest")
        assert_payouts_sound(shop)


def test_unknown_keeps_the_reserve(shop: World) -> None:
    payout_id = withdraw(shop)
    shop.rail.lose_answers()
    send(shop)
    shop.rail.break_with(NodeUnreachable("Nothing listens."))
    for _ in range(3):
        with pytest.raises(errors.PayoutNotWaiting), write_transaction(shop.session):
            cancel_payout(shop.deps, shop.session, payout_id)
        shop.clock.pass_time(30 * DAY_S)
        send(shop)
        assert held(shop, chart.payout(payout_id)) == 20_141_000
    shop.rail.break_with(None)
    shop.rail.lose_answers(False)
    shop.rail.confirm()
    send(shop)
    assert states(shop, payout_id) == ["settled"]
    assert len(batches(shop)) == 1


def test_spending_the_same_balance_meanwhile(shop: World) -> None:
    """Whoever is served, nobody is served with money that another one took."""
    price_msat, total_msat = 20_141_000, 3 * 20_141_000
    open_wallet(shop.session, "wa_2", balance_msat=total_msat)

    def use(number: int) -> int:
        try:
            if number % 2:
                withdraw(shop, wallet_id="wa_2", key=f"key-{number}")
            else:
                bought = order(
                    f"key-{number}",
                    wallet_id="wa_2",
                    item_id=f"it_{number}",
                    amount_msat=price_msat,
                    now=shop.clock(),
                )
                spend(shop.session, bought)
        except InsufficientBalance:
            return 0
        return 1

    assert sum(together(shop, 8, use)) == 3
    assert _own(shop, "wa_2") == (0, 0)
    taken_msat = reserved_msat(shop.session, chart.wallet("wa_2"))
    spent_msat = held(shop, chart.merchant("me_1")) + held(shop, chart.COMMISSION)
    assert taken_msat + spent_msat == total_msat
