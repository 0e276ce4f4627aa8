"""The scripted backend: what a test may tell it. The contract itself is in tests/contract."""

import bolt11
import pytest
from bech32 import CHARSET, bech32_encode

from bitcache_server.domain.errors import ConfigurationError, LightningUnreachable
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import (
    BackendSettings,
    Funds,
    InvoiceOrder,
    IssuedInvoice,
    PayOrder,
)
from bitcache_server.rails.lightning.decoding import decode, preimage_fits
from bitcache_server.rails.lightning.invoice_making import Wording
from bitcache_server.rails.lightning.registry import make_backend
from bitcache_server.rails.lightning.scripted import ScriptedBackend

NOW = 1_800_000_000


def _settings(allow_fake: bool = True) -> BackendSettings:
    return BackendSettings("", "", "", "", 5.0, allow_fake)


def _backend() -> ScriptedBackend:
    return ScriptedBackend(_settings(), lambda: NOW)


def _invoice(backend: ScriptedBackend, amount_msat: int = 50_000) -> IssuedInvoice:
    return backend.create_invoice(InvoiceOrder("in_1", amount_msat, "tea", "a cup of tea", 600))


def _order(bolt11: str, amount_msat: int = 20_000) -> PayOrder:
    return PayOrder(bolt11, decode(bolt11, "regtest").payment_hash, amount_msat, 1_000, 1.0)


def test_it_refuses_unless_allowed() -> None:
    with pytest.raises(ConfigurationError, match="for tests"):
        make_backend("scripted", _settings(allow_fake=False))
    assert make_backend("scripted", _settings()).name == "scripted"
    with pytest.raises(ConfigurationError, match="no Lightning backend 'paper'"):
        make_backend("paper", _settings())


def test_nothing_is_paid_by_itself() -> None:
    backend = _backend()
    cursor = backend.settlements(None, 0).cursor
    issued = _invoice(backend)
    assert backend.lookup_invoice(issued.payment_hash).outcome is Outcome.PENDING
    assert backend.settlements(cursor, 0).settled == ()


@pytest.mark.parametrize("by", ["bolt11", "payment_hash"])
def test_a_test_pays_by_text_or_by_hash_what_it_likes(by: str) -> None:
    backend = _backend()
    issued = _invoice(backend)
    backend.pay(getattr(issued, by), amount_msat=51_000, settled_at=NOW - 5)
    [settled] = backend.settlements("0", 0).settled
    assert (settled.amount_msat, settled.settled_at) == (51_000, NOW - 5)
    assert preimage_fits(settled.preimage, issued.payment_hash)
    with pytest.raises(ValueError, match="once"):
        backend.pay(issued.payment_hash)


def test_a_settlement_is_reported_again() -> None:
    backend = _backend()
    issued = _invoice(backend)
    with pytest.raises(ValueError, match="not paid"):
        backend.repeat(issued.payment_hash)
    backend.pay(issued.payment_hash)
    backend.repeat(issued.payment_hash)
    first, second = backend.settlements("0", 0).settled
    assert first == second


def test_held_cancelled_and_forgotten_invoices() -> None:
    backend = _backend()
    held, cancelled, forgotten = (_invoice(backend).payment_hash for _ in range(3))
    backend.hold(held)
    backend.clock = lambda: NOW + 601
    backend.cancel(cancelled)
    backend.forget(forgotten)
    outcomes = [backend.lookup_invoice(h).outcome for h in (held, cancelled, forgotten)]
    assert outcomes == [Outcome.PENDING, Outcome.FAILED, Outcome.UNKNOWN]


def test_a_failure_lasts_until_it_is_taken_back() -> None:
    backend = _backend()
    issued = _invoice(backend)
    backend.fail_with(LightningUnreachable("the cable is out"))
    for question in (
        lambda: _invoice(backend),
        lambda: backend.lookup_invoice(issued.payment_hash),
        lambda: backend.settlements("0", 60),
        lambda: backend.funds(),
        lambda: backend.check("regtest"),
    ):
        with pytest.raises(LightningUnreachable):
            question()
    order = _order(backend.foreign_invoice(20_000))
    assert backend.pay(order).outcome is Outcome.UNKNOWN
    assert backend.lookup_payment(order.payment_hash).outcome is Outcome.UNKNOWN
    backend.fail_with(None)
    assert backend.pay(order).outcome is Outcome.SETTLED


def test_a_planned_payment_hangs_until_it_is_finished() -> None:
    backend = _backend()
    order = _order(backend.foreign_invoice(20_000, expires_in_s=60, memo="lunch"))
    assert decode(order.bolt11, "regtest").memo == "lunch"
    backend.plan_payment(Outcome.PENDING, detail="stuck")
    assert backend.pay(order).outcome is Outcome.PENDING
    assert backend.pay(order).detail == "stuck"
    backend.finish(order.payment_hash, Outcome.SETTLED, fee_msat=7)
    sent = backend.lookup_payment(order.payment_hash)
    assert (sent.outcome, sent.fee_msat) == (Outcome.SETTLED, 7)
    assert backend.pay(order) == sent


def test_an_answer_that_got_lost_is_found_by_asking() -> None:
    backend = _backend()
    order = _order(backend.foreign_invoice(None))
    backend.plan_payment(Outcome.UNKNOWN)
    assert backend.pay(order).outcome is Outcome.UNKNOWN
    assert backend.lookup_payment(order.payment_hash).outcome is Outcome.PENDING


def test_a_failed_payment_may_be_tried_again() -> None:
    backend = _backend()
    order = _order(backend.foreign_invoice(20_000))
    backend.plan_payment(Outcome.SETTLED, fee_msat=1_001)
    assert "fee limit" in backend.pay(order).detail
    backend.set_funds(20_000, None)
    backend.plan_payment(Outcome.SETTLED, fee_msat=1)
    assert "Too little" in backend.pay(order).detail
    assert backend.funds() == Funds(20_000, None, 20_000)
    assert backend.pay(order).outcome is Outcome.SETTLED


def test_one_pays_another_and_the_proof_fits() -> None:
    payer, payee = _backend(), _backend()
    issued = _invoice(payee)
    sent = payer.pay(_order(issued.bolt11, 50_000))
    assert sent.outcome is Outcome.SETTLED
    assert preimage_fits(sent.preimage, issued.payment_hash)


def test_its_own_invoice_is_settled_once_by_its_own_payment() -> None:
    backend = _backend()
    issued = _invoice(backend)
    assert backend.pay(_order(issued.bolt11, 50_000)).outcome is Outcome.SETTLED
    assert backend.lookup_invoice(issued.payment_hash).amount_msat == 50_000
    paid = _invoice(backend)
    backend.pay(paid.payment_hash)
    assert backend.pay(_order(paid.bolt11, 50_000)).outcome is Outcome.FAILED


def test_the_switches_take_abilities_away() -> None:
    backend = _backend()
    backend.exact_msat = backend.description_hash = False
    assert not backend.abilities.exact_msat
    assert not backend.abilities.description_hash
    found = decode(_invoice(backend, 50_001).bolt11, "regtest")
    assert (found.amount_msat, found.memo, found.description_hash) == (51_000, "tea", None)


def test_its_invoices_are_all_that_the_specification_wants() -> None:
    backend = _backend()
    for amount_msat in (1, 50_000, 123_456_789_000):
        text = _invoice(backend, amount_msat).bolt11
        found = bolt11.decode(text, strict=True)
        assert found.min_final_cltv_expiry == 18
        assert found.features is not None
        assert found.features.readable == {
            "var_onion_optin": "required",
            "payment_secret": "required",
        }
        assert found.signature is not None
        assert found.signature.verify(str(found.payee))
        # What the library writes of it is the same, letter for letter.
        assert bolt11.encode(found) == text


@pytest.mark.parametrize("amount_msat", [0, 1, 50_000, 2_100_000_000_000])
@pytest.mark.parametrize("memo_bytes", [0, 1, 150, 639])
def test_invoices_of_all_lengths_are_as_the_library_writes_them(
    amount_msat: int, memo_bytes: int
) -> None:
    text = _backend().add_invoice(Wording(amount_msat, "x" * memo_bytes, "", 600)).bolt11
    read = bolt11.decode(text)
    assert (read.description, read.amount_msat or 0) == ("x" * memo_bytes, amount_msat)
    assert (read.date, read.expiry) == (NOW, 600)
    prefix, _, rest = text.rpartition("1")
    assert bech32_encode(prefix, [CHARSET.index(letter) for letter in rest[:-6]]) == text
