"""What LNbits' backend does beyond the contract: kills, two calls at once, its own oddities."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bitcache_server.domain.errors import (
    LightningPermission,
    LightningRejected,
    LightningUnreachable,
    LightningWrongNetwork,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning import lnbits as lnbits_backend
from bitcache_server.rails.lightning.backend import BackendSettings, InvoiceOrder, PayOrder
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.lnbits import LnbitsBackend
from tests.contract.lightning_worlds.lnbits import NETWORK, LnbitsWorld
from tests.support.lnbits import Lnbits

ORDER = InvoiceOrder("in_1", 50_000, "memo", "what it is for", 600)
WAIT_S = 60.0


@pytest.fixture
def lnbits_world(lnbits: Lnbits) -> Iterator[LnbitsWorld]:
    world = LnbitsWorld(lnbits)
    yield world
    world.close()


@pytest.fixture
def payout(lnbits_world: LnbitsWorld) -> Callable[[], PayOrder]:
    """Return orders to pay a fresh invoice of the stranger's."""

    def make(max_fee_msat: int = 5_000) -> PayOrder:
        invoice = decode(lnbits_world.foreign_invoice(20_000), NETWORK)
        return PayOrder(invoice.bolt11, invoice.payment_hash, 20_000, max_fee_msat, WAIT_S)

    return make


def test_a_settlement_before_a_kill_is_reported_after_it(
    lnbits: Lnbits, lnbits_world: LnbitsWorld
) -> None:
    backend = lnbits_world.backend
    cursor = backend.settlements(None, 0).cursor
    issued = backend.create_invoice(ORDER)
    lnbits_world.pay(issued)
    lnbits.kill()
    with pytest.raises(LightningUnreachable):
        backend.settlements(cursor, 0)
    lnbits.start()

    page = backend.settlements(cursor, WAIT_S)

    assert [one.payment_hash for one in page.settled] == [issued.payment_hash]
    assert backend.settlements(page.cursor, 0).settled == ()


def test_a_kill_between_payment_and_answer_pays_once(
    lnbits: Lnbits, lnbits_world: LnbitsWorld, payout: Callable[[], PayOrder]
) -> None:
    order, backend = payout(), lnbits_world.backend
    lnbits_world.lose_next_answer()
    # The answer got lost, and so it was asked for.
    assert backend.pay(order).outcome is Outcome.SETTLED
    lnbits.kill()
    asked = backend.lookup_payment(order.payment_hash)
    assert (asked.outcome, asked.missing) == (Outcome.UNKNOWN, False)
    assert backend.pay(order).outcome is Outcome.UNKNOWN
    lnbits.start()

    assert backend.pay(order).outcome is Outcome.SETTLED
    assert lnbits_world.received_msat(order.bolt11) == [20_000]


def test_two_calls_at_once_pay_once(
    lnbits_world: LnbitsWorld, payout: Callable[[], PayOrder]
) -> None:
    order = payout()
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(lnbits_world.backend.pay, [order] * 4))

    assert Outcome.FAILED not in {one.outcome for one in sent}
    assert lnbits_world.backend.lookup_payment(order.payment_hash).outcome is Outcome.SETTLED
    assert lnbits_world.received_msat(order.bolt11) == [20_000]


def test_a_fee_that_lnbits_may_exceed_is_refused_before_anything_is_paid(
    lnbits_world: LnbitsWorld, payout: Callable[[int], PayOrder]
) -> None:
    order = payout(1_999)

    sent = lnbits_world.backend.pay(order)

    assert sent.outcome is Outcome.FAILED
    assert "2000 msat" in sent.detail
    assert lnbits_world.received_msat(order.bolt11) == []


def test_an_invoice_that_the_wallet_paid_itself_is_settled(lnbits_world: LnbitsWorld) -> None:
    backend = lnbits_world.backend
    cursor = backend.settlements(None, 0).cursor
    issued = backend.create_invoice(ORDER)
    order = PayOrder(issued.bolt11, issued.payment_hash, ORDER.amount_msat, 5_000, WAIT_S)

    assert backend.pay(order).outcome is Outcome.SETTLED
    status = backend.lookup_invoice(issued.payment_hash)
    assert (status.outcome, status.amount_msat) == (Outcome.SETTLED, ORDER.amount_msat)
    assert len(backend.settlements(cursor, WAIT_S).settled) == 1


def test_many_settlements_come_in_pages_and_none_is_left_out(
    lnbits_world: LnbitsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lnbits_backend, "_PAGE", 2)
    backend = lnbits_world.backend
    cursor = backend.settlements(None, 0).cursor
    issued = [backend.create_invoice(ORDER) for _ in range(5)]
    for invoice in issued:
        lnbits_world.pay(invoice)

    page = backend.settlements(cursor, WAIT_S)

    assert {one.payment_hash for one in page.settled} == {one.payment_hash for one in issued}
    # The cursor was not stored: all of them once more.
    assert len(backend.settlements(cursor, 0).settled) == len(issued)


def test_a_cursor_of_another_backend_begins_now(lnbits_world: LnbitsWorld) -> None:
    lnbits_world.pay(lnbits_world.backend.create_invoice(ORDER))
    page = lnbits_world.backend.settlements("17", WAIT_S)
    assert page.settled == ()
    assert lnbits_world.backend.settlements(page.cursor, 0).settled == ()


def test_fractions_of_a_sat_are_refused_not_rounded(lnbits_world: LnbitsWorld) -> None:
    with pytest.raises(LightningRejected, match="whole sats"):
        lnbits_world.backend.create_invoice(InvoiceOrder("in_2", 1_500, "", "", 60))


def test_the_doctor_names_an_invoice_key_in_place_of_the_admin_key(
    lnbits_world: LnbitsWorld,
) -> None:
    key, _ = lnbits_world.secrets
    backend = LnbitsBackend(BackendSettings(lnbits_world.url, key, key, "", 5, False))
    with pytest.raises(LightningPermission, match="admin key"):
        backend.check(NETWORK)
    backend.close()


def test_the_doctor_sees_the_network_by_the_last_invoice(lnbits_world: LnbitsWorld) -> None:
    assert "LNbits, wallet 'ours'" in lnbits_world.backend.check(NETWORK)
    with pytest.raises(LightningWrongNetwork, match="mainnet"):
        lnbits_world.backend.check("regtest")
