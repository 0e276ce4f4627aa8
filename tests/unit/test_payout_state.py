"""What follows from what a rail says of a payout, and when payouts go out."""

import pytest

from bitcache_server.domain.outcome import Outcome
from bitcache_server.domain.payout_state import (
    COUNTED_STATES,
    OPEN_STATES,
    RETRY_AFTER_S,
    UNSIGNED_STATES,
    BatchStep,
    PayoutState,
    is_due,
    needs_approval,
    next_step,
    retry_after_s,
)

NOW = 1_000_000


@pytest.mark.parametrize(
    ("outcome", "confirmations", "step"),
    [
        (Outcome.SETTLED, 2, BatchStep.WAIT),
        (Outcome.SETTLED, 3, BatchStep.SETTLE),
        (Outcome.FAILED, 5, BatchStep.WAIT),
        (Outcome.FAILED, 6, BatchStep.FAIL),
        (Outcome.PENDING, 0, BatchStep.WAIT),
        (Outcome.PENDING, 9, BatchStep.WAIT),
        (Outcome.UNKNOWN, 9, BatchStep.SEND),
    ],
)
def test_only_depth_ends_a_transaction(
    outcome: Outcome, confirmations: int, step: BatchStep
) -> None:
    assert next_step(outcome, confirmations, 3, 6) is step


@pytest.mark.parametrize(
    ("created_ats", "due"),
    [
        ([], False),
        ([NOW], False),
        ([NOW - 599, NOW], False),
        ([NOW - 600, NOW], True),
        ([NOW, NOW, NOW], True),
        ([NOW + 1], True),
    ],
)
def test_payouts_gather_until_one_waited_long_or_they_are_many(
    created_ats: list[int], due: bool
) -> None:
    assert is_due(created_ats, NOW, 600, 3) is due


def test_pieces_of_a_large_payout_are_added_up() -> None:
    assert not needs_approval(1_000, 0, 1_000)
    assert needs_approval(1_001, 0, 1_000)
    assert not needs_approval(400, 600, 1_000)
    assert needs_approval(401, 600, 1_000)


def test_each_state_is_counted_or_over() -> None:
    over = {PayoutState.CANCELLED, PayoutState.REJECTED, PayoutState.FAILED}
    assert set(COUNTED_STATES) | over == set(PayoutState)
    assert set(COUNTED_STATES) & over == set()
    assert set(COUNTED_STATES) - set(OPEN_STATES) == {PayoutState.SETTLED}
    assert set(OPEN_STATES) - set(UNSIGNED_STATES) == {PayoutState.SENDING}


def test_an_invoice_has_one_try_and_an_address_a_few() -> None:
    assert retry_after_s(1, one_time=True) is None
    tries = [retry_after_s(attempt, one_time=False) for attempt in range(1, 6)]
    assert tries == [*RETRY_AFTER_S, None]
    assert list(RETRY_AFTER_S) == sorted(RETRY_AFTER_S)
