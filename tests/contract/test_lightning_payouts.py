"""The paying half of the Lightning rail, over a scripted node: what each answer means."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from bitcache_server.domain.errors import (
    AddressInvalid,
    LightningUnreachable,
    LnurlForbidden,
    LnurlRefused,
    LnurlUnreachable,
    PayoutLimit,
    PayoutsUnavailable,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import FINAL, PayoutOrder, Rail, StreamRail
from bitcache_server.rails.lightning.backend import Abilities, Sent
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.lnurl_client import LnurlClient, LnurlInvoice
from bitcache_server.rails.lightning.payouts import LOST_AFTER_S, LightningPayouts
from bitcache_server.rails.lightning.rail import LightningRail
from bitcache_server.rails.lightning.scripted import ScriptedBackend
from tests.support.lightning_world import scripted_backend
from tests.support.world import MovableClock

MSAT = 10_000_000
RESERVE_MSAT = 100_000


class Addresses(LnurlClient):
    """Lightning addresses that answer what a test says."""

    def __init__(self) -> None:
        super().__init__(1, allow_local=False)
        self.answer: Callable[[int], str] = lambda _: ""

    def request_invoice(
        self, address: str, amount_msat: int, network: str, comment: str = ""
    ) -> LnurlInvoice:
        """Return an invoice without any of the real client's checks."""
        return LnurlInvoice(self.answer(amount_msat), "", "")


class Rig:
    """A rail with everything around it."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.node: ScriptedBackend = scripted_backend(self.clock)
        self.addresses = Addresses()
        self.rail = LightningRail(
            backend=self.node,
            lnurl=self.addresses,
            network="regtest",
            fee_ppm=10_000,
            fee_min_msat=5_000,
            pay_wait_s=1,
            clock=self.clock,
        )

    def order(self, destination: str, amount_msat: int = MSAT) -> PayoutOrder:
        """Return an order with the reserve that the rail asks for."""
        reserve_msat = self.rail.payout_fee_msat(destination, amount_msat)
        return PayoutOrder("po_1", destination, amount_msat, reserve_msat)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_it_is_a_rail_whose_payments_go_alone(rig: Rig) -> None:
    rail: Rail = rig.rail
    assert isinstance(rail, StreamRail)
    assert rail.payouts_together == 1


def test_the_normal_forms(rig: Rig) -> None:
    invoice = rig.node.foreign_invoice(MSAT)
    for text in (invoice, invoice.upper(), f" lightning:{invoice} ", f"LIGHTNING:{invoice}"):
        assert rig.rail.check_destination(text) == invoice
    for text in ("Ada@Pay.Example", "lightning:ada@pay.example"):
        assert rig.rail.check_destination(text) == "ada@pay.example"


@pytest.mark.parametrize(
    ("text", "is_meant"),
    [("bcrt1qnothing", False), ("", False), ("lnbcrt1junk", True), ("lnbc10n1junk", True)],
)
def test_it_says_whether_a_text_was_meant_for_it(rig: Rig, text: str, is_meant: bool) -> None:
    with pytest.raises(AddressInvalid) as refused:
        rig.rail.check_destination(text)
    assert refused.value.is_meant is is_meant


@pytest.mark.parametrize(
    ("amount_msat", "reserve_msat"),
    [(0, 5_000), (1, 5_000), (500_000, 5_000), (500_001, 5_001), (500_100, 5_001)],
)
def test_the_reserve_is_rounded_up(rig: Rig, amount_msat: int, reserve_msat: int) -> None:
    assert rig.rail.payout_fee_msat("ada@pay.example", amount_msat) == reserve_msat


def test_prepared_is_the_invoice_and_nothing_is_sent(rig: Rig) -> None:
    invoice = rig.node.foreign_invoice(MSAT)
    prepared = rig.rail.prepare_payout([rig.order(invoice)])
    decoded = decode(invoice, "regtest")
    assert (prepared.reference, prepared.raw) == (decoded.payment_hash, invoice)
    assert (prepared.amount_msat, prepared.fee_msat) == (MSAT, RESERVE_MSAT)
    found = rig.rail.lookup_payout(prepared)
    assert (found.outcome, found.missing) == (Outcome.UNKNOWN, True)


def test_the_reserve_of_the_order_is_the_limit(rig: Rig) -> None:
    """Whatever the settings say by now: more than that nobody has put aside."""
    order = replace(rig.order(rig.node.foreign_invoice(MSAT)), max_fee_msat=77)
    prepared = rig.rail.prepare_payout([order])
    assert prepared.fee_msat == 77
    rig.node.plan_payment(Outcome.SETTLED, fee_msat=78)
    assert rig.rail.send_payout(prepared) is Outcome.UNKNOWN
    assert rig.rail.lookup_payout(prepared).outcome is Outcome.FAILED


def test_the_invoice_of_an_address_is_over_exactly_the_amount(rig: Rig) -> None:
    rig.addresses.answer = rig.node.foreign_invoice
    prepared = rig.rail.prepare_payout([rig.order("ada@pay.example")])
    assert decode(prepared.raw, "regtest").amount_msat == MSAT


@pytest.mark.parametrize("other", [None, MSAT - 1, MSAT + 1])
def test_another_amount_of_an_address_is_refused_here_as_well(rig: Rig, other: int | None) -> None:
    rig.addresses.answer = lambda _: rig.node.foreign_invoice(other)
    with pytest.raises(AddressInvalid, match="another amount"):
        rig.rail.prepare_payout([rig.order("ada@pay.example")])


@pytest.mark.parametrize("error", [LnurlForbidden, LnurlRefused, LnurlUnreachable])
def test_what_is_wrong_with_an_address_is_no_fault_of_the_rail(
    rig: Rig, error: type[LnurlRefused]
) -> None:
    def refuse(_: int) -> str:
        raise error("Its words.")

    rig.addresses.answer = refuse
    with pytest.raises(AddressInvalid, match="Its words"):
        rig.rail.prepare_payout([rig.order("ada@pay.example")])


def test_what_cannot_be_prepared(rig: Rig) -> None:
    invoice = rig.node.foreign_invoice(MSAT, expires_in_s=100)
    order = rig.order(invoice)
    with pytest.raises(PayoutLimit):
        rig.rail.prepare_payout([order, order])
    with pytest.raises(AddressInvalid, match="another amount"):
        rig.rail.prepare_payout([rig.order(invoice, MSAT + 1)])
    rig.node.set_funds(MSAT + RESERVE_MSAT - 1, None)
    with pytest.raises(PayoutsUnavailable):
        rig.rail.prepare_payout([order])
    rig.node.fail_with(LightningUnreachable("down"))
    with pytest.raises(LightningUnreachable):
        rig.rail.prepare_payout([order])
    rig.clock.pass_time(71)
    with pytest.raises(AddressInvalid, match="expired"):
        rig.rail.prepare_payout([order])


@pytest.mark.parametrize(
    ("outcome", "sent"),
    [
        (Outcome.SETTLED, Outcome.SETTLED),
        (Outcome.PENDING, Outcome.PENDING),
        (Outcome.UNKNOWN, Outcome.UNKNOWN),
        (Outcome.FAILED, Outcome.UNKNOWN),
    ],
)
def test_sending_never_ends_a_payment_badly(rig: Rig, outcome: Outcome, sent: Outcome) -> None:
    prepared = rig.rail.prepare_payout([rig.order(rig.node.foreign_invoice(MSAT))])
    rig.node.plan_payment(outcome)
    assert rig.rail.send_payout(prepared) is sent


def test_the_end_is_final_and_says_the_fee(rig: Rig) -> None:
    prepared = rig.rail.prepare_payout([rig.order(rig.node.foreign_invoice(MSAT))])
    rig.node.plan_payment(Outcome.SETTLED, fee_msat=1_234)
    rig.rail.send_payout(prepared)
    found = rig.rail.lookup_payout(prepared)
    assert (found.outcome, found.confirmations) == (Outcome.SETTLED, FINAL)
    assert found.carrier == replace(prepared, fee_msat=1_234)


def test_sending_again_pays_once(rig: Rig) -> None:
    prepared = rig.rail.prepare_payout([rig.order(rig.node.foreign_invoice(MSAT))])
    rig.node.plan_payment(Outcome.UNKNOWN)
    assert rig.rail.send_payout(prepared) is Outcome.UNKNOWN
    assert rig.rail.send_payout(prepared) is Outcome.PENDING
    rig.node.finish(prepared.reference, Outcome.SETTLED)
    assert rig.rail.send_payout(prepared) is Outcome.SETTLED


def test_a_node_that_is_down_is_unknown_also_after_the_invoice_expired(rig: Rig) -> None:
    prepared = rig.rail.prepare_payout([rig.order(rig.node.foreign_invoice(MSAT))])
    rig.node.fail_with(LightningUnreachable("down"))
    rig.clock.pass_time(10**6)
    found = rig.rail.lookup_payout(prepared)
    assert (found.outcome, found.missing) == (Outcome.UNKNOWN, False)
    assert rig.rail.send_payout(prepared) is Outcome.UNKNOWN


def test_what_never_reached_the_node_is_lost_some_time_after_it_expired(rig: Rig) -> None:
    prepared = rig.rail.prepare_payout([rig.order(rig.node.foreign_invoice(MSAT))])
    rig.clock.pass_time(3_600 + LOST_AFTER_S - 1)
    assert rig.rail.lookup_payout(prepared).outcome is Outcome.UNKNOWN
    assert rig.rail.send_payout(prepared) is Outcome.UNKNOWN, "it has expired"
    rig.clock.pass_time(1)
    found = rig.rail.lookup_payout(prepared)
    assert (found.outcome, found.confirmations) == (Outcome.FAILED, FINAL)


@pytest.mark.parametrize("preimage", ["ab" * 32, "not hexadecimal", "AB"])
def test_a_preimage_that_does_not_fit_is_unknown(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, preimage: str
) -> None:
    prepared = rig.rail.prepare_payout([rig.order(rig.node.foreign_invoice(MSAT))])
    lie = Sent(Outcome.SETTLED, 0, preimage, "")
    monkeypatch.setattr(rig.node, "pay", lambda _: lie)
    monkeypatch.setattr(rig.node, "lookup_payment", lambda _: lie)
    assert rig.rail.send_payout(prepared) is Outcome.UNKNOWN
    rig.clock.pass_time(10**6)
    assert rig.rail.lookup_payout(prepared).outcome is Outcome.UNKNOWN


class ReadsOnly(ScriptedBackend):
    """A node whose secret may not pay."""

    @property
    def abilities(self) -> Abilities:
        """Return everything but paying."""
        return replace(super().abilities, pays=False)


@pytest.mark.parametrize("has_node", [True, False])
def test_without_leave_to_pay_nothing_leaves(rig: Rig, has_node: bool) -> None:
    node = scripted_backend(rig.clock)
    node.__class__ = ReadsOnly
    payouts = LightningPayouts(
        node if has_node else None, rig.addresses, "regtest", 10_000, 5_000, 1, rig.clock
    )
    assert payouts.payouts_together == 0
    invoice = rig.node.foreign_invoice(MSAT)
    with pytest.raises(AddressInvalid, match="does not pay over Lightning"):
        payouts.check_destination(invoice)
    with pytest.raises(PayoutsUnavailable):
        payouts.prepare_payout([rig.order(invoice)])
