"""The state of an invoice as a function of its payments and the time, and of nothing else."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.domain.invoice_state import (
    Assessment,
    InvoiceState,
    Mark,
    PaymentFact,
    assess,
)

PRICE_MSAT = 5_000_000
EXPIRES_AT = 1_000
BEFORE, AFTER = EXPIRES_AT - 1, EXPIRES_AT + 1


def _payment(amount_msat: int = PRICE_MSAT, **changes: object) -> PaymentFact:
    """Return a payment that came in time and counts, but for the changes."""
    fact = PaymentFact(
        amount_msat=amount_msat,
        arrived_at=BEFORE,
        confirmations=1,
        confirmations_required=1,
        sight_ok=True,
        mature=True,
        removed=False,
        whole_sats=True,
    )
    return replace(fact, **changes)  # type: ignore[arg-type]  # names and types stand in PaymentFact


def _assess(*payments: PaymentFact, now: int = BEFORE, amount_msat: int = PRICE_MSAT) -> Assessment:
    return assess(amount_msat, EXPIRES_AT, payments, now)


@pytest.mark.parametrize(
    ("required", "confirmations", "sight_ok", "settled"),
    [
        (0, 0, True, True),
        (0, 0, False, False),
        (0, 1, False, True),
        (1, 0, True, False),
        (1, 1, True, True),
        (3, 2, True, False),
        (3, 3, False, True),
        (6, 5, True, False),
        (6, 6, True, True),
        (6, 7, True, True),
    ],
)
def test_what_counts(required: int, confirmations: int, sight_ok: bool, settled: bool) -> None:
    payment = _payment(
        confirmations=confirmations, confirmations_required=required, sight_ok=sight_ok
    )
    assert payment.settled is settled


def test_what_is_final_needs_no_confirmation() -> None:
    payment = _payment(confirmations=0, confirmations_required=6, sight_ok=False)
    assert not payment.settled
    assert replace(payment, final=True).settled
    assert not replace(payment, final=True, removed=True).settled


@pytest.mark.parametrize("change", [{"removed": True}, {"mature": False}])
def test_removed_or_immature_money_never_counts(change: dict[str, bool]) -> None:
    assert not _payment(confirmations=99, **change).settled


def test_without_payments_it_is_open_until_its_time() -> None:
    assert _assess().state is InvoiceState.OPEN
    assert _assess(now=EXPIRES_AT).state is InvoiceState.OPEN
    late = _assess(now=AFTER)
    assert (late.state, late.marks) == (InvoiceState.EXPIRED, ())
    assert (late.received_msat, late.missing_msat, late.credit_msat) == (0, PRICE_MSAT, 0)


def test_exact_payment() -> None:
    truth = _assess(_payment())
    assert truth == Assessment(
        state=InvoiceState.PAID,
        marks=(),
        received_msat=PRICE_MSAT,
        settled_msat=PRICE_MSAT,
        missing_msat=0,
        rounding_msat=0,
        credit_msat=0,
    )
    assert _assess(_payment(), now=AFTER) == truth


def test_unconfirmed_payment_is_seen_even_past_the_expiry() -> None:
    for now in (BEFORE, AFTER):
        truth = _assess(_payment(confirmations=0), now=now)
        assert truth.state is InvoiceState.SEEN
        assert (truth.settled_msat, truth.credit_msat) == (0, 0)


def test_a_payment_at_the_last_second_is_in_time() -> None:
    assert _assess(_payment(arrived_at=EXPIRES_AT), now=AFTER).state is InvoiceState.PAID
    assert _assess(_payment(arrived_at=AFTER), now=AFTER).state is InvoiceState.EXPIRED


def test_half_is_underpaid_and_becomes_credit_at_expiry() -> None:
    half = _payment(2_000_000)
    early = _assess(half)
    assert (early.state, early.marks) == (InvoiceState.OPEN, (Mark.UNDERPAID,))
    assert (early.missing_msat, early.credit_msat) == (3_000_000, 0)
    over = _assess(half, now=AFTER)
    assert (over.state, over.marks) == (InvoiceState.EXPIRED, (Mark.UNDERPAID,))
    assert over.credit_msat == 2_000_000
    assert _assess(half, _payment(3_000_000), now=AFTER).state is InvoiceState.PAID


def test_half_settled_and_half_waiting_is_seen() -> None:
    truth = _assess(_payment(2_000_000), _payment(3_000_000, confirmations=0), now=AFTER)
    assert (truth.state, truth.marks) == (InvoiceState.SEEN, ())
    assert truth.credit_msat == 0


def test_too_much_is_credit() -> None:
    truth = _assess(_payment(PRICE_MSAT + 7))
    assert (truth.state, truth.marks) == (InvoiceState.PAID, (Mark.OVERPAID,))
    assert truth.credit_msat == 7


def test_unsettled_surplus_is_no_credit_yet() -> None:
    truth = _assess(_payment(), _payment(9_000, confirmations=0))
    assert (truth.state, truth.marks) == (InvoiceState.PAID, (Mark.OVERPAID,))
    assert truth.credit_msat == 0


def test_late_money_does_not_complete_an_invoice() -> None:
    truth = _assess(_payment(2_000_000), _payment(3_000_000, arrived_at=AFTER), now=AFTER)
    assert truth.state is InvoiceState.EXPIRED
    assert truth.marks == (Mark.UNDERPAID, Mark.LATE)
    assert (truth.missing_msat, truth.credit_msat) == (3_000_000, PRICE_MSAT)


def test_late_after_paid_is_credit_and_no_overpayment() -> None:
    truth = _assess(_payment(), _payment(4_000, arrived_at=AFTER), now=AFTER)
    assert (truth.state, truth.marks, truth.credit_msat) == (
        InvoiceState.PAID,
        (Mark.LATE,),
        4_000,
    )


def test_a_removed_payment_never_was() -> None:
    removed = _payment(removed=True)
    assert _assess(removed) == _assess()
    assert _assess(removed, now=AFTER) == _assess(now=AFTER)


@pytest.mark.parametrize(
    ("paid_msat", "rounding_msat", "credit_msat", "marks"),
    [
        (1_234_567, 0, 0, ()),
        (1_234_900, 333, 0, ()),
        (1_235_000, 433, 0, ()),
        (1_236_000, 433, 1_000, (Mark.OVERPAID,)),
    ],
)
def test_whole_sats_round_up(
    paid_msat: int, rounding_msat: int, credit_msat: int, marks: tuple[Mark, ...]
) -> None:
    truth = _assess(_payment(paid_msat), amount_msat=1_234_567)
    assert truth.state is InvoiceState.PAID
    assert (truth.rounding_msat, truth.credit_msat, truth.marks) == (
        rounding_msat,
        credit_msat,
        marks,
    )


def test_a_rail_with_fractions_rounds_nothing() -> None:
    truth = _assess(_payment(1_235_000, whole_sats=False), amount_msat=1_234_567)
    assert (truth.rounding_msat, truth.credit_msat, truth.marks) == (0, 433, (Mark.OVERPAID,))


FACTS = st.builds(
    PaymentFact,
    amount_msat=st.integers(1, 10_000_000),
    arrived_at=st.integers(EXPIRES_AT - 2, EXPIRES_AT + 2),
    confirmations=st.integers(0, 3),
    confirmations_required=st.integers(0, 3),
    sight_ok=st.booleans(),
    mature=st.booleans(),
    removed=st.booleans(),
    whole_sats=st.booleans(),
)


@given(
    st.lists(FACTS, max_size=5),
    st.integers(1, 10_000_000),
    st.integers(EXPIRES_AT - 2, EXPIRES_AT + 3),
)
def test_no_msat_is_lost_or_counted_twice(
    payments: list[PaymentFact], amount_msat: int, now: int
) -> None:
    truth = assess(amount_msat, EXPIRES_AT, payments, now)
    settled_msat = sum(p.amount_msat for p in payments if p.settled)
    assert truth.settled_msat == settled_msat <= truth.received_msat
    if truth.state is InvoiceState.PAID:
        assert settled_msat == amount_msat + truth.rounding_msat + truth.credit_msat
    if truth.state is InvoiceState.EXPIRED:
        assert truth.credit_msat == settled_msat
        assert now > EXPIRES_AT
    if truth.state in (InvoiceState.OPEN, InvoiceState.SEEN):
        assert truth.credit_msat == 0
    assert 0 <= truth.rounding_msat < 1_000
    assert (truth.missing_msat == 0) == (truth.state in (InvoiceState.PAID, InvoiceState.SEEN))


@given(st.lists(FACTS, max_size=4), st.integers(1, 10_000_000))
def test_the_order_of_payments_means_nothing(payments: list[PaymentFact], amount_msat: int) -> None:
    answers = {
        assess(amount_msat, EXPIRES_AT, order, AFTER) for order in itertools.permutations(payments)
    }
    assert len(answers) == 1


@given(st.lists(FACTS, max_size=4), st.integers(1, 10_000_000))
def test_time_alone_only_closes_what_was_open(
    payments: list[PaymentFact], amount_msat: int
) -> None:
    before = assess(amount_msat, EXPIRES_AT, payments, EXPIRES_AT)
    after = assess(amount_msat, EXPIRES_AT, payments, AFTER)
    if before.state is InvoiceState.OPEN:
        assert after.state is InvoiceState.EXPIRED
    else:
        assert before == after
