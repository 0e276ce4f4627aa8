"""The paying side of the contract of ``rails/base.py``, the same for every rail.

After each of them the payees have what they should, once: counted in blocks and
mempool, as a stranger would.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from bitcache_server.domain.errors import (
    AddressInvalid,
    PayoutLimit,
    PayoutsUnavailable,
    RailError,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import (
    BlockConnected,
    BlockDisconnected,
    Cursor,
    PayoutOrder,
    PreparedPayout,
)
from tests.contract.worlds import CONFLICT_CONFIRMATIONS, PRICE_MSAT, World

FUNDS_MSAT = 200_000_000
AMOUNTS_MSAT = (20_000_000, 30_000_000)


@dataclass
class Till:
    """A funded wallet and two payees, with an eye on what arrives there."""

    world: World
    start: Cursor
    payees: list[str] = field(default_factory=list)

    @property
    def orders(self) -> list[PayoutOrder]:
        return [
            PayoutOrder(f"po_{n}", payee, amount)
            for n, (payee, amount) in enumerate(zip(self.payees, AMOUNTS_MSAT, strict=True))
        ]

    def prepare(self) -> PreparedPayout:
        return self.world.rail.prepare_payout(self.orders)

    def received(self) -> list[int]:
        """Return what each payee has by now, in the chain and in the mempool."""
        targets = {self.world.target_of(payee): payee for payee in self.payees}
        got: dict[str, int] = dict.fromkeys(self.payees, 0)
        self.world.rail.forget_mempool()
        for step in self.world.rail.watch(self.start, set(targets).intersection):
            assert not isinstance(step, BlockDisconnected)
            for seen in step.observations:
                got[targets[seen.target]] += seen.amount_msat
        return list(got.values())


@pytest.fixture
def till(world: World) -> Till:
    world.fund(FUNDS_MSAT)
    [tip] = world.rail.watch(None, lambda scripts: set(), with_mempool=False)
    assert isinstance(tip, BlockConnected)
    start = Cursor(tip.block.height, tip.block.hash)
    return Till(world, start, [world.destination(), world.destination()])


def _outcomes(till: Till, prepared: PreparedPayout, blocks: int) -> Sequence[Outcome]:
    """Return what the rail says of a payout after each of so many further blocks."""
    outcomes = []
    for _ in range(blocks):
        till.world.mine()
        outcomes.append(till.world.rail.lookup_payout(prepared).outcome)
    return outcomes


def test_two_payees_are_paid_and_it_gets_deep(till: Till) -> None:
    rail = till.world.rail
    prepared = till.prepare()
    assert prepared.amount_msat == sum(AMOUNTS_MSAT)
    assert 0 < prepared.fee_msat < FUNDS_MSAT // 10
    assert prepared.fee_msat % 1000 == 0
    assert rail.send_payout(prepared) is Outcome.PENDING
    waiting = rail.lookup_payout(prepared)
    assert (waiting.outcome, waiting.confirmations) == (Outcome.PENDING, 0)
    assert waiting.carrier == prepared
    for confirmations in (1, 2, 3):
        till.world.mine()
        found = rail.lookup_payout(prepared)
        assert (found.outcome, found.confirmations) == (Outcome.SETTLED, confirmations)
        assert found.carrier == prepared
    assert till.received() == list(AMOUNTS_MSAT)


def test_what_was_only_prepared_leaves_later(till: Till) -> None:
    prepared = till.prepare()
    till.world.mine(2)
    assert till.received() == [0, 0]
    assert till.world.rail.send_payout(prepared) is Outcome.PENDING
    assert _outcomes(till, prepared, 1) == [Outcome.SETTLED]
    assert till.received() == list(AMOUNTS_MSAT)


def test_a_lookup_says_what_was_never_sent_and_sends_it(till: Till) -> None:
    prepared = till.prepare()
    found = till.world.rail.lookup_payout(prepared)
    assert found.outcome is Outcome.PENDING
    assert "sent" in found.detail
    assert till.received() == list(AMOUNTS_MSAT)


def test_sending_twice_pays_once(till: Till) -> None:
    rail = till.world.rail
    prepared = till.prepare()
    assert [rail.send_payout(prepared) for _ in range(2)] == [Outcome.PENDING] * 2
    till.world.mine()
    assert rail.send_payout(prepared) is Outcome.SETTLED
    till.world.mine()
    assert rail.lookup_payout(prepared).confirmations == 2
    assert till.received() == list(AMOUNTS_MSAT)


def test_a_dropped_payout_is_sent_again(till: Till) -> None:
    prepared = till.prepare()
    till.world.rail.send_payout(prepared)
    till.world.lose(prepared.reference)
    assert till.received() == [0, 0]
    assert till.world.rail.lookup_payout(prepared).outcome is Outcome.PENDING
    assert _outcomes(till, prepared, 1) == [Outcome.SETTLED]
    assert till.received() == list(AMOUNTS_MSAT)


def test_a_fee_bump_is_adopted(till: Till) -> None:
    rail = till.world.rail
    prepared = till.prepare()
    rail.send_payout(prepared)
    bump = till.world.bump(prepared)
    waiting = rail.lookup_payout(prepared)
    assert (waiting.outcome, waiting.carrier.reference) == (Outcome.PENDING, bump)
    assert waiting.carrier.reference != prepared.reference
    assert waiting.carrier.amount_msat == prepared.amount_msat
    assert waiting.carrier.fee_msat > prepared.fee_msat
    till.world.mine(2)
    found = rail.lookup_payout(prepared)
    assert (found.outcome, found.confirmations) == (Outcome.SETTLED, 2)
    assert found.carrier == waiting.carrier
    assert rail.lookup_payout(found.carrier) == found
    assert till.received() == list(AMOUNTS_MSAT)
    assert rail.held_msat([]) == FUNDS_MSAT - prepared.amount_msat - found.carrier.fee_msat


def test_the_first_is_mined_after_all_though_a_bump_was_adopted(till: Till) -> None:
    rail = till.world.rail
    prepared = till.prepare()
    rail.send_payout(prepared)
    carrier = rail.lookup_payout(prepared).carrier
    till.world.bump(prepared)
    carrier = rail.lookup_payout(carrier).carrier
    assert carrier.reference != prepared.reference
    till.world.lose(carrier.reference)
    assert rail.lookup_payout(carrier).carrier == prepared
    assert _outcomes(till, carrier, 1) == [Outcome.SETTLED]
    assert rail.lookup_payout(carrier).carrier == prepared
    assert till.received() == list(AMOUNTS_MSAT)


@pytest.mark.parametrize("was_sent", [True, False])
def test_a_conflict_is_a_failure_only_when_it_is_deep(till: Till, was_sent: bool) -> None:
    rail = till.world.rail
    prepared = till.prepare()
    if was_sent:
        rail.send_payout(prepared)
    till.world.spend_otherwise(prepared)
    first = rail.lookup_payout(prepared)
    assert (first.outcome, first.confirmations) == (Outcome.UNKNOWN, 1)
    assert rail.send_payout(prepared) is Outcome.UNKNOWN
    outcomes = _outcomes(till, prepared, CONFLICT_CONFIRMATIONS)
    assert outcomes == [Outcome.UNKNOWN] * (CONFLICT_CONFIRMATIONS - 2) + [Outcome.FAILED] * 2
    assert till.received() == [0, 0]
    till.world.fund(FUNDS_MSAT)
    again = till.prepare()
    assert again.reference != prepared.reference
    assert rail.send_payout(again) is Outcome.PENDING
    assert till.received() == list(AMOUNTS_MSAT)


def test_a_lost_answer_is_unknown_and_pays_once(till: Till) -> None:
    prepared = till.prepare()
    assert till.world.send_without_answer(prepared) is Outcome.UNKNOWN
    assert till.world.rail.lookup_payout(prepared).outcome is Outcome.PENDING
    assert till.world.rail.send_payout(prepared) is Outcome.PENDING
    assert _outcomes(till, prepared, 1) == [Outcome.SETTLED]
    assert till.received() == list(AMOUNTS_MSAT)


def test_a_node_that_crashes_after_sending_pays_once(till: Till) -> None:
    prepared = till.prepare()
    till.world.send_without_answer(prepared)
    till.world.crash()
    assert till.world.rail.lookup_payout(prepared).outcome is Outcome.PENDING
    assert _outcomes(till, prepared, 1) == [Outcome.SETTLED]
    assert till.received() == list(AMOUNTS_MSAT)


def test_a_reorganisation_takes_a_payout_back_into_the_mempool(till: Till) -> None:
    rail = till.world.rail
    prepared = till.prepare()
    rail.send_payout(prepared)
    till.world.mine()
    assert rail.lookup_payout(prepared).outcome is Outcome.SETTLED
    till.world.compete(1)
    assert rail.lookup_payout(prepared).outcome is Outcome.PENDING
    assert _outcomes(till, prepared, 1) == [Outcome.SETTLED]


def test_a_node_that_is_away_is_no_failure(till: Till) -> None:
    prepared = till.prepare()
    rail = till.world.lonely_rail()
    assert rail.send_payout(prepared) is Outcome.UNKNOWN
    found = rail.lookup_payout(prepared)
    assert (found.outcome, found.carrier) == (Outcome.UNKNOWN, prepared)
    assert found.detail
    for question in (
        lambda: rail.prepare_payout(till.orders),
        lambda: rail.payout_fee_msat(till.payees[0], 1_000_000),
        lambda: rail.held_msat([]),
    ):
        with pytest.raises(RailError):
            question()


def test_held_money_goes_down_by_what_leaves(till: Till) -> None:
    rail = till.world.rail
    assert rail.held_msat([]) == FUNDS_MSAT
    prepared = till.prepare()
    assert rail.held_msat([]) == FUNDS_MSAT
    rail.send_payout(prepared)
    rest_msat = FUNDS_MSAT - prepared.amount_msat - prepared.fee_msat
    assert rail.held_msat([]) == rest_msat
    till.world.mine()
    assert rail.held_msat([]) == rest_msat


def test_held_money_has_payments_to_other_accounts_once(till: Till) -> None:
    rail = till.world.rail
    paid, lost = till.world.request(), till.world.request()
    references = [till.world.pay(paid), till.world.pay(lost)]
    assert rail.held_msat(references) == FUNDS_MSAT + 2 * PRICE_MSAT
    assert rail.held_msat(references * 2) == FUNDS_MSAT + 2 * PRICE_MSAT
    till.world.double_spend(references[1])
    assert rail.held_msat(references) == FUNDS_MSAT + PRICE_MSAT
    assert rail.held_msat([f"{'ab' * 32}:0"]) == FUNDS_MSAT


def test_too_little_money_is_said_and_leaves_nothing_behind(till: Till) -> None:
    rail = till.world.rail
    order = PayoutOrder("po_1", till.payees[0], FUNDS_MSAT)
    with pytest.raises(PayoutsUnavailable) as caught:
        rail.prepare_payout([order])
    assert "wallet" in caught.value.detail
    assert rail.held_msat([]) == FUNDS_MSAT
    assert rail.send_payout(till.prepare()) is Outcome.PENDING


@pytest.mark.parametrize("amount_msat", [1_000, 200_000, 20_000_001])
def test_an_amount_that_the_network_does_not_carry(till: Till, amount_msat: int) -> None:
    order = PayoutOrder("po_1", till.payees[0], amount_msat)
    with pytest.raises(PayoutLimit):
        till.world.rail.prepare_payout([order])


def test_one_payee_who_is_owed_twice_gets_both(till: Till) -> None:
    rail = till.world.rail
    orders = [*till.orders, PayoutOrder("po_3", till.payees[0], 5_000_000)]
    prepared = rail.prepare_payout(orders)
    assert prepared.amount_msat == sum(AMOUNTS_MSAT) + 5_000_000
    rail.send_payout(prepared)
    assert _outcomes(till, prepared, 1) == [Outcome.SETTLED]
    assert till.received() == [AMOUNTS_MSAT[0] + 5_000_000, AMOUNTS_MSAT[1]]


def test_the_fee_covers_a_payout_of_its_own(till: Till) -> None:
    rail = till.world.rail
    fee_msat = rail.payout_fee_msat(till.payees[0], 1_000_000)
    assert fee_msat % 1000 == 0
    alone = rail.prepare_payout(till.orders[:1])
    assert alone.fee_msat <= fee_msat < 2 * alone.fee_msat


def test_a_destination_has_one_normal_form(till: Till) -> None:
    rail = till.world.rail
    payee = till.payees[0]
    assert rail.check_destination(payee) == payee
    assert rail.check_destination(f"  {payee.upper()}\n") == payee


@pytest.mark.parametrize("text", ["", "  ", "ada", "x" * 10_000, "ü", "a\x00b", "fake:", "1"])
def test_garbage_is_no_destination(world: World, text: str) -> None:
    with pytest.raises(AddressInvalid) as caught:
        world.rail.check_destination(text)
    assert len(caught.value.detail) < 200
