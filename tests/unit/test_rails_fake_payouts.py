"""The switches by which tests make the fake rail's payouts go wrong."""

import pytest

from bitcache_server.domain.errors import AddressInvalid, NodeUnreachable, PayoutsUnavailable
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import PayoutOrder, PreparedPayout
from bitcache_server.rails.fake import FakeRail

AMOUNT_MSAT = 10_000_000


@pytest.fixture
def rail() -> FakeRail:
    rail = FakeRail(allow=True)
    rail.fund(50_000_000)
    return rail


def _prepared(rail: FakeRail, amount_msat: int = AMOUNT_MSAT) -> PreparedPayout:
    return rail.prepare_payout([PayoutOrder("po_1", "fake:ada", amount_msat)])


def test_the_same_questions_get_the_same_answers() -> None:
    first, second = FakeRail(allow=True), FakeRail(allow=True)
    for rail in (first, second):
        rail.fund(50_000_000)
    assert _prepared(first) == _prepared(second)


def test_an_empty_wallet_pays_nothing() -> None:
    with pytest.raises(PayoutsUnavailable, match="holds 0 sats"):
        _prepared(FakeRail(allow=True))


def test_a_refusal_passes(rail: FakeRail) -> None:
    prepared = _prepared(rail)
    rail.refuse_payouts("min relay fee not met")
    assert rail.send_payout(prepared) is Outcome.UNKNOWN
    found = rail.lookup_payout(prepared)
    assert found.outcome is Outcome.UNKNOWN
    assert "min relay fee not met" in found.detail
    rail.refuse_payouts("")
    assert rail.send_payout(prepared) is Outcome.PENDING


def test_a_broken_rail_has_sent_nothing(rail: FakeRail) -> None:
    prepared = _prepared(rail)
    rail.break_with(NodeUnreachable())
    assert rail.send_payout(prepared) is Outcome.UNKNOWN
    rail.break_with(None)
    assert rail.held_msat([]) == 50_000_000


def test_a_lost_answer_hides_a_payout_that_left(rail: FakeRail) -> None:
    prepared = _prepared(rail)
    rail.lose_answers()
    assert rail.send_payout(prepared) is Outcome.UNKNOWN
    assert rail.held_msat([]) == 50_000_000 - AMOUNT_MSAT - prepared.fee_msat


def test_a_conflict_that_pays_the_same_is_adopted(rail: FakeRail) -> None:
    prepared = _prepared(rail)
    other = rail.spend_otherwise(prepared.reference, [("fake:ada", AMOUNT_MSAT)])
    found = rail.lookup_payout(prepared)
    assert (found.outcome, found.carrier.reference) == (Outcome.PENDING, other)


def test_a_conflict_brings_the_money_back_less_the_fee(rail: FakeRail) -> None:
    prepared = _prepared(rail)
    rail.send_payout(prepared)
    rail.spend_otherwise(prepared.reference)
    rail.confirm()
    assert rail.held_msat([]) == 50_000_000 - prepared.fee_msat


def test_a_swept_payment_is_held_once_or_gone(rail: FakeRail) -> None:
    kept, moved, stolen = (rail.pay("target", 1_000_000) for _ in range(3))
    rail.sweep(moved)
    rail.sweep(stolen, into_wallet=False)
    assert rail.held_msat([kept, moved, stolen]) == 52_000_000


def test_an_address_of_bitcoin_is_of_another_network(rail: FakeRail) -> None:
    with pytest.raises(AddressInvalid, match="fake network"):
        rail.check_destination("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")
