"""Every Lightning backend pays once, and never calls failed what may still be paid."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.decoding import preimage_fits
from tests.contract.lightning.play import (
    EVERYWHERE,
    NOWHERE,
    OPEN,
    end_of,
    order_of,
    payment,
    played_on,
)
from tests.contract.lightning_worlds.base import PAYOUT_MSAT, PRICE_MSAT, Fault, LightningWorld


@EVERYWHERE
def test_a_payment_settles_with_preimage_and_fee(world: LightningWorld) -> None:
    order = payment(world.foreign_invoice(PAYOUT_MSAT))
    sent = world.backend.pay(order)
    assert sent.outcome is Outcome.SETTLED, sent.detail
    assert preimage_fits(sent.preimage, order.payment_hash)
    assert 0 <= sent.fee_msat <= order.max_fee_msat
    assert list(world.received_msat(order.bolt11)) == [PAYOUT_MSAT]
    found = world.backend.lookup_payment(order.payment_hash)
    assert (found.outcome, found.preimage) == (Outcome.SETTLED, sent.preimage)
    assert found.fee_msat == sent.fee_msat


@EVERYWHERE
def test_an_invoice_without_an_amount_is_paid_with_the_orders_or_refused(
    world: LightningWorld,
) -> None:
    order = payment(world.foreign_invoice(None), amount_msat=21_000)
    sent = world.backend.pay(order)
    expected = Outcome.SETTLED if world.pays_any_amount else Outcome.FAILED
    assert sent.outcome is expected, sent.detail
    assert list(world.received_msat(order.bolt11)) == ([21_000] if world.pays_any_amount else [])


@EVERYWHERE
def test_paying_twice_pays_once(world: LightningWorld) -> None:
    order = payment(world.foreign_invoice(PAYOUT_MSAT))
    first, second = world.backend.pay(order), world.backend.pay(order)
    assert (first.outcome, second.outcome) == (Outcome.SETTLED, Outcome.SETTLED)
    assert second.preimage == first.preimage
    assert list(world.received_msat(order.bolt11)) == [PAYOUT_MSAT]


@EVERYWHERE
def test_paying_twice_at_once_pays_once(world: LightningWorld) -> None:
    order = payment(world.foreign_invoice(PAYOUT_MSAT))
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(world.backend.pay, [order, order]))
    assert Outcome.FAILED not in {sent.outcome for sent in answers}
    assert end_of(world, order.payment_hash).outcome is Outcome.SETTLED
    assert list(world.received_msat(order.bolt11)) == [PAYOUT_MSAT]


@played_on(Fault.NO_ROUTE)
def test_no_route_is_a_failure(world: LightningWorld) -> None:
    order = payment(world.unpayable_invoice(PAYOUT_MSAT))
    sent = world.backend.pay(order)
    assert sent.outcome is Outcome.FAILED
    assert sent.detail
    assert world.backend.lookup_payment(order.payment_hash).outcome is not Outcome.SETTLED


@played_on(Fault.FEES)
def test_a_fee_is_told(world: LightningWorld) -> None:
    world.charge(1_000)
    order = payment(world.foreign_invoice(PAYOUT_MSAT), max_fee_msat=1_000)
    assert world.backend.pay(order).fee_msat == 1_000
    assert world.backend.lookup_payment(order.payment_hash).fee_msat == 1_000


@played_on(Fault.FEES)
def test_a_fee_above_the_limit_fails_where_there_is_a_limit(world: LightningWorld) -> None:
    world.charge(5_000)
    order = payment(world.foreign_invoice(PAYOUT_MSAT), max_fee_msat=4_000)
    sent = world.backend.pay(order)
    limited = world.backend.abilities.fee_limit
    expected = (Outcome.FAILED, 0) if limited else (Outcome.SETTLED, 5_000)
    assert (sent.outcome, sent.fee_msat) == expected
    assert list(world.received_msat(order.bolt11)) == ([] if limited else [PAYOUT_MSAT])


@played_on(Fault.HANGING)
@pytest.mark.parametrize("outcome", [Outcome.SETTLED, Outcome.FAILED])
def test_a_payment_that_hangs_is_neither_until_it_ends(
    world: LightningWorld, outcome: Outcome
) -> None:
    order = payment(world.foreign_invoice(PAYOUT_MSAT), wait_s=0.2)
    world.hang_next_payment()
    assert world.backend.pay(order).outcome in OPEN
    assert world.backend.lookup_payment(order.payment_hash).outcome in OPEN
    assert world.backend.pay(order).outcome in OPEN
    world.release(order.bolt11, outcome)
    sent = end_of(world, order.payment_hash)
    assert sent.outcome is outcome
    settled = outcome is Outcome.SETTLED
    assert preimage_fits(sent.preimage, order.payment_hash) is settled
    assert list(world.received_msat(order.bolt11)) == ([PAYOUT_MSAT] if settled else [])


@played_on(Fault.LOST_ANSWER)
def test_a_lost_answer_is_no_failure_and_is_found_by_asking(world: LightningWorld) -> None:
    order = payment(world.foreign_invoice(PAYOUT_MSAT))
    world.lose_next_answer()
    assert world.backend.pay(order).outcome is not Outcome.FAILED
    assert end_of(world, order.payment_hash).outcome is Outcome.SETTLED
    assert world.backend.pay(order).outcome is Outcome.SETTLED
    assert list(world.received_msat(order.bolt11)) == [PAYOUT_MSAT]


@played_on(Fault.RESTART)
def test_a_payment_is_known_after_a_restart(world: LightningWorld) -> None:
    order = payment(world.foreign_invoice(PAYOUT_MSAT))
    world.backend.pay(order)
    world.restart()
    assert end_of(world, order.payment_hash).outcome is Outcome.SETTLED
    assert world.backend.pay(order).outcome is Outcome.SETTLED
    assert list(world.received_msat(order.bolt11)) == [PAYOUT_MSAT]


@EVERYWHERE
def test_a_payment_that_was_never_made_is_unknown(world: LightningWorld) -> None:
    sent = world.backend.lookup_payment(NOWHERE)
    assert (sent.outcome, sent.fee_msat, sent.preimage) == (Outcome.UNKNOWN, 0, "")


@played_on(Fault.LYING_PREIMAGE)
def test_a_preimage_that_does_not_fit_is_unknown(world: LightningWorld) -> None:
    order = payment(world.foreign_invoice(PAYOUT_MSAT))
    world.lie_next()
    for sent in (world.backend.pay(order), world.backend.lookup_payment(order.payment_hash)):
        assert (sent.outcome, sent.preimage) == (Outcome.UNKNOWN, "")
        assert "preimage" in sent.detail


@played_on(Fault.NO_PAYOUT_SECRET)
def test_without_a_secret_that_may_pay_nothing_leaves(world: LightningWorld) -> None:
    backend = world.without_payout_secret()
    assert not backend.abilities.pays
    assert world.backend.abilities.pays
    order = payment(world.foreign_invoice(PAYOUT_MSAT))
    assert backend.pay(order).outcome is Outcome.UNKNOWN
    assert list(world.received_msat(order.bolt11)) == []
    assert backend.create_invoice(order_of()).payment_hash
    assert backend.check(world.network)


@EVERYWHERE
def test_funds_are_told(world: LightningWorld) -> None:
    funds = world.backend.funds()
    assert funds.spendable_msat >= PAYOUT_MSAT
    assert funds.receivable_msat is None or funds.receivable_msat >= PRICE_MSAT
    assert funds.held_msat >= funds.spendable_msat


@played_on(Fault.KEPT_BACK)
def test_what_cannot_move_now_is_ours_all_the_same(world: LightningWorld) -> None:
    before = world.backend.funds()
    world.keep_back(7_000_000)
    after = world.backend.funds()
    assert after.spendable_msat == before.spendable_msat
    assert after.held_msat == before.held_msat + 7_000_000
