"""What the rail holds is compared with the books, to the msat, whatever is under way."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bitcache_server.domain.errors import InvalidRequest, NodeUnreachable, UnknownRail
from bitcache_server.domain.outcome import Outcome
from bitcache_server.models.session import write_transaction
from bitcache_server.models.solvency import Reconciliation
from bitcache_server.rails.base import Lookup
from bitcache_server.rails.fake import FakeRail
from bitcache_server.services.diagnose_money import check_money
from bitcache_server.services.health import check_parts
from bitcache_server.services.payout_batches import run_payouts
from bitcache_server.services.reconcile import (
    Code,
    Comparison,
    book_deposit,
    book_withdrawal,
    reconcile,
    reconcile_due,
)
from bitcache_server.services.watch_rail import watch_rail
from tests.support.books import open_wallet
from tests.support.payouts import batches, send, withdraw
from tests.support.shops import assert_nothing_lost, opened_world
from tests.support.world import World

FLOAT_MSAT = 500_000_000


@pytest.fixture
def shop(world: World) -> Iterator[World]:
    """Return a world whose paying wallet has a float that is booked."""
    open_wallet(world.session, balance_msat=900_000_000)
    put_in(world, FLOAT_MSAT)
    yield world
    assert_nothing_lost(world)


def put_in(world: World, amount_msat: int) -> None:
    world.rail.fund(amount_msat)
    with write_transaction(world.session):
        book_deposit(world.deps, world.session, "fake", amount_msat)


def look(world: World) -> Comparison:
    world.session.rollback()
    found = reconcile(world.deps, world.session, world.rail)
    world.session.rollback()
    return found


def assert_ok(world: World, held_msat: int) -> None:
    found = look(world)
    assert (found.code, found.held_msat, found.booked_msat) == (
        Code.OK,
        held_msat,
        held_msat,
    ), found


def stored(world: World) -> Reconciliation:
    world.session.rollback()
    row = world.session.get_one(Reconciliation, "fake")
    world.session.expunge(row)
    world.session.rollback()
    return row


def codes(world: World) -> tuple[str, str]:
    """Return what health and the doctor say."""
    parts = {part.name: part for part in check_parts(world.deps, world.session)}
    [finding] = check_money(world.deps, world.session)
    world.session.rollback()
    assert parts["reconciliation"].ok == (parts["reconciliation"].code == "ok")
    return parts["reconciliation"].code, finding.code


def test_empty_books_and_an_empty_rail_agree(world: World) -> None:
    assert codes(world) == ("ok", "ok")
    assert_ok(world, 0)
    assert codes(world) == ("ok", "ok")


def test_payments_agree_from_the_first_sight_to_the_last_confirmation(shop: World) -> None:
    purchase = shop.buy()
    reference = shop.pay(purchase, 5_000_000, "signals replacement")
    assert_ok(shop, FLOAT_MSAT + 5_000_000)
    shop.mine()
    assert_ok(shop, FLOAT_MSAT + 5_000_000)
    shop.rail.reorg(1)
    shop.watch()
    assert_ok(shop, FLOAT_MSAT + 5_000_000)
    shop.rail.double_spend(reference)
    shop.check_unconfirmed()
    assert_ok(shop, FLOAT_MSAT)


def test_overpaid_late_and_short_payments_agree(shop: World) -> None:
    total_msat = FLOAT_MSAT
    for amount_msat in (1_000, 5_000_000, 7_123_000):
        shop.pay(shop.buy(), amount_msat)
        shop.mine()
        total_msat += amount_msat
        assert_ok(shop, total_msat)
    late = shop.buy()
    shop.expire(10_000)
    shop.pay(late, 6_000_000)
    assert_ok(shop, total_msat + 6_000_000)


def test_a_payment_that_nobody_can_find_any_more_is_not_missing(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger sends a transaction that no block takes; nodes drop it after a while."""
    reference = shop.pay(shop.buy(), 700_000_000, "its fee is low")
    assert_ok(shop, FLOAT_MSAT + 700_000_000)
    shop.rail.lose(reference)
    dropped = Lookup(Outcome.UNKNOWN, None, "mempool min fee not met")
    monkeypatch.setattr(shop.rail, "lookup", lambda _: dropped)
    assert_ok(shop, FLOAT_MSAT)
    # Other money is missed all the same.
    shop.rail.fund(-1_000_000)
    assert look(shop).code is Code.SHORT


def test_money_that_was_seen_by_the_rail_alone_is_not_missing(shop: World) -> None:
    """Before anything is called short or too much, the watch catches up."""
    purchase = shop.buy()
    reference = shop.pay(purchase, 5_000_000)
    shop.rail.double_spend(reference)
    assert_ok(shop, FLOAT_MSAT)


def test_direct_payments_are_the_merchants_own(database_url: str, tmp_path: Path) -> None:
    with opened_world(tmp_path, database_url, direct=True) as world:
        world.pay(world.buy(), 5_000_000)
        world.mine()
        assert_ok(world, 0)


def test_a_payout_agrees_at_every_step(shop: World) -> None:
    withdraw(shop, 20_000)
    assert_ok(shop, FLOAT_MSAT)
    send(shop)
    [batch] = batches(shop)
    left_msat = FLOAT_MSAT - batch.amount_msat - batch.fee_msat
    assert batch.amount_msat == 20_000_000
    assert_ok(shop, left_msat)
    shop.rail.lose(batch.reference)
    assert_ok(shop, left_msat)
    shop.mine()
    assert_ok(shop, left_msat)
    send(shop)
    assert batches(shop)[0].state == "settled"
    assert_ok(shop, left_msat)


def test_a_payout_that_was_signed_and_never_sent_agrees(shop: World) -> None:
    withdraw(shop, 20_000)
    shop.rail.refuse_payouts()
    send(shop)
    [batch] = batches(shop)
    assert batch.state == "signed"
    assert_ok(shop, FLOAT_MSAT)
    shop.rail.refuse_payouts("")
    assert_ok(shop, FLOAT_MSAT - batch.amount_msat - batch.fee_msat)


def test_a_payout_whose_answer_was_lost_agrees(shop: World) -> None:
    withdraw(shop, 20_000)
    shop.rail.lose_answers()
    send(shop)
    [batch] = batches(shop)
    assert_ok(shop, FLOAT_MSAT - batch.amount_msat - batch.fee_msat)


def test_a_payout_that_was_replaced_agrees_with_its_new_fee(shop: World) -> None:
    withdraw(shop, 20_000)
    send(shop)
    [batch] = batches(shop)
    shop.rail.bump(batch.reference, 5_000)
    left_msat = FLOAT_MSAT - batch.amount_msat - batch.fee_msat - 5_000
    assert_ok(shop, left_msat)
    shop.mine()
    send(shop)
    assert_ok(shop, left_msat)


def test_coins_that_were_spent_behind_our_back_raise_the_alarm_once(
    shop: World, caplog: pytest.LogCaptureFixture
) -> None:
    reference = shop.pay(shop.buy(), 5_000_000)
    shop.mine()
    shop.rail.sweep(reference, into_wallet=False)
    started_at = shop.clock()
    found = look(shop)
    assert (found.code, found.booked_msat - found.held_msat) == (Code.SHORT, 5_000_000)
    assert found.detail == (
        "The rail fake holds 500,000 sats; the books say 505,000 sats: 5,000 sats missing."
    )
    assert codes(shop) == ("short", "money_missing")
    shop.clock.pass_time(60)
    assert look(shop).code is Code.SHORT
    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert [r.getMessage() for r in errors] == [f"MONEY IS MISSING: {found.detail}"]
    assert (stored(shop).since, stored(shop).checked_at) == (started_at, started_at + 60)
    answer = shop.get("/health")
    # Readers pay and read all the same.
    assert answer.status_code == 200
    # Everybody may ask for the health; how much is missing is none of their business.
    assert "5000" not in answer.text
    shop.rail.fund(5_000_000)
    assert_ok(shop, FLOAT_MSAT + 5_000_000)
    assert codes(shop) == ("ok", "ok")


def test_coins_that_were_moved_into_the_paying_wallet_are_still_ours(shop: World) -> None:
    reference = shop.pay(shop.buy(), 5_000_000)
    shop.mine()
    shop.rail.sweep(reference)
    assert_ok(shop, FLOAT_MSAT + 5_000_000)


def test_one_msat_is_enough(shop: World) -> None:
    shop.rail.fund(-1)
    assert look(shop).code is Code.SHORT
    shop.rail.fund(2)
    found = look(shop)
    assert (found.code, found.held_msat - found.booked_msat) == (Code.SURPLUS, 1)
    assert codes(shop) == ("ok", "money_unbooked")
    shop.rail.fund(-1)
    assert_ok(shop, FLOAT_MSAT)


def test_a_float_is_booked_in_and_out(shop: World) -> None:
    put_in(shop, 7_000)
    assert_ok(shop, FLOAT_MSAT + 7_000)
    with write_transaction(shop.session):
        book_withdrawal(shop.deps, shop.session, "fake", FLOAT_MSAT)
    shop.rail.fund(-FLOAT_MSAT)
    assert_ok(shop, 7_000)
    with pytest.raises(InvalidRequest, match="holds 7 sats"), write_transaction(shop.session):
        book_withdrawal(shop.deps, shop.session, "fake", 7_001)
    with pytest.raises(UnknownRail), write_transaction(shop.session):
        book_deposit(shop.deps, shop.session, "lightning", 1)


def test_a_comparison_from_before_a_booking_says_nothing_any_more(world: World) -> None:
    """A shop's first jobs run while its operator still books what they have put in."""
    world.rail.fund(FLOAT_MSAT)
    assert look(world).code is Code.SURPLUS
    assert codes(world) == ("ok", "money_unbooked")
    put_in(world, 7_000)
    assert codes(world) == ("ok", "ok")
    reconcile_due(world.deps, world.session, world.rail)
    assert codes(world) == ("ok", "money_unbooked"), "what was never booked is still said"
    with write_transaction(world.session):
        book_deposit(world.deps, world.session, "fake", FLOAT_MSAT)
    reconcile_due(world.deps, world.session, world.rail)
    assert stored(world).code == Code.OK
    assert_nothing_lost(world)


def test_money_that_was_missing_stays_so_until_somebody_has_looked(shop: World) -> None:
    shop.rail.fund(-7_000)
    assert look(shop).code is Code.SHORT
    with write_transaction(shop.session):
        book_withdrawal(shop.deps, shop.session, "fake", 7_000)
    assert codes(shop) == ("short", "money_missing")
    reconcile_due(shop.deps, shop.session, shop.rail)
    assert codes(shop) == ("ok", "ok")


def test_a_rail_that_does_not_answer_is_unknown_and_no_alarm(
    shop: World, caplog: pytest.LogCaptureFixture
) -> None:
    shop.rail.break_with(NodeUnreachable())
    found = look(shop)
    assert (found.code, found.detail) == (Code.UNKNOWN, NodeUnreachable().detail)
    assert codes(shop) == ("ok", "money_unknown")
    shop.rail.break_with(None)
    assert_ok(shop, FLOAT_MSAT)
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


def test_a_payout_that_somebody_spent_otherwise_is_unknown_until_it_is_deep(shop: World) -> None:
    withdraw(shop, 20_000)
    send(shop)
    [batch] = batches(shop)
    shop.rail.spend_otherwise(batch.reference, [("fake:other", 100_000)])
    assert look(shop).code is Code.UNKNOWN
    shop.rail.spend_otherwise(batch.reference, [("fake:thief", 300_000_000)])
    shop.rail.confirm(10)
    assert look(shop).code is Code.SHORT


class MovingRail(FakeRail):
    """Lets something happen to the books while it is asked."""

    def __init__(self) -> None:
        super().__init__(allow=True)
        self.meanwhile: list[object] = []

    def held_msat(self, references: Sequence[str]) -> int:
        held_msat = super().held_msat(references)
        if self.meanwhile:
            happens = self.meanwhile.pop()
            assert callable(happens)
            happens()
        return held_msat


@pytest.fixture
def moving(shop: World) -> World:
    rail = MovingRail()
    rail.__dict__ |= vars(shop.rail)
    rail.meanwhile = []
    shop.deps.rails["fake"] = rail  # type: ignore[index]  # only tests swap a rail
    shop.rail = rail
    return shop


def test_what_happens_while_the_rail_is_asked_makes_it_ask_again(moving: World) -> None:
    def pays() -> None:
        moving.session.rollback()
        moving.pay(moving.buy(), 5_000_000)

    assert isinstance(moving.rail, MovingRail)
    moving.rail.meanwhile = [pays] * 3
    assert_ok(moving, FLOAT_MSAT + 15_000_000)
    moving.rail.meanwhile = [pays] * 5
    assert look(moving).code is Code.UNKNOWN
    assert_ok(moving, FLOAT_MSAT + 40_000_000)


def test_a_payout_that_goes_out_while_the_rail_is_asked_is_not_missing(moving: World) -> None:
    withdraw(moving, 20_000)

    def sends() -> None:
        moving.session.rollback()
        run_payouts(moving.deps, moving.session, moving.rail, at_once=True)

    assert isinstance(moving.rail, MovingRail)
    moving.rail.meanwhile = [sends]
    found = look(moving)
    assert (found.code, found.held_msat) == (
        Code.OK,
        FLOAT_MSAT - batches(moving)[0].amount_msat - batches(moving)[0].fee_msat,
    )


def test_the_job_looks_when_it_is_time_also_after_the_clock_was_put_back(shop: World) -> None:
    every_s = shop.deps.settings.reconcile_every_s

    def run() -> int:
        reconcile_due(shop.deps, shop.session, shop.rail)
        return stored(shop).checked_at

    first = run()
    shop.clock.pass_time(every_s - 1)
    assert run() == first
    shop.clock.pass_time(1)
    assert run() == first + every_s
    shop.clock.pass_time(-10 * every_s)
    assert run() == first - 9 * every_s


def test_it_looks_at_the_rail_only_outside_transactions(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock is held while a node thinks."""
    asked = []
    ask = type(shop.rail).held_msat

    def held(rail: FakeRail, references: Sequence[str]) -> int:
        asked.append(shop.session.in_transaction())
        return ask(rail, references)

    monkeypatch.setattr(type(shop.rail), "held_msat", held)
    look(shop)
    watch_rail(shop.deps, shop.session, shop.rail)
    assert asked == [False]
