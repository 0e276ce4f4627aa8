"""What Nostr Wallet Connect does beyond the contract: relays that go, wallets that lie."""

import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bitcache_server import wiring
from bitcache_server.domain.errors import (
    ConfigurationError,
    LightningPermission,
    LightningUnauthorized,
    LightningUnreachable,
    LightningWrongNetwork,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning import nwc as nwc_backend
from bitcache_server.rails.lightning.backend import (
    BackendSettings,
    InvoiceOrder,
    PayOrder,
    Settled,
)
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.nwc import NwcBackend
from bitcache_server.rails.lightning.rail import LightningRail
from bitcache_server.services.diagnose_lightning import check_lightning
from tests.contract.lightning_worlds.lnbits import MUCH_SAT, NETWORK
from tests.contract.lightning_worlds.nwc import NwcWorld
from tests.support.lnbits import Lnbits
from tests.support.nwc_wallet import NwcWallet, Refusal
from tests.support.world import make_settings

ORDER = InvoiceOrder("in_1", 50_000, "An article · The Site", "", 600)
WAIT_S = 60.0


@pytest.fixture
def nwc_world(lnbits: Lnbits) -> Iterator[NwcWorld]:
    world = NwcWorld(lnbits)
    yield world
    world.close()


@pytest.fixture
def payout(nwc_world: NwcWorld) -> Callable[[], PayOrder]:
    """Return orders to pay a fresh invoice of the stranger's."""

    def make(wait_s: float = WAIT_S) -> PayOrder:
        invoice = decode(nwc_world.foreign_invoice(20_000), NETWORK)
        return PayOrder(invoice.bolt11, invoice.payment_hash, 20_000, 5_000, wait_s)

    return make


def _one(backend: NwcBackend, cursor: str) -> tuple[list[Settled], str]:
    page = backend.settlements(cursor, WAIT_S)
    return list(page.settled), page.cursor


def test_what_the_wallet_pushes_comes_without_asking_and_once(
    nwc_world: NwcWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The list is read first, and then not for a while: longer than this takes anywhere.
    monkeypatch.setattr(nwc_backend, "_LIST_EVERY_S", 2 * WAIT_S)
    service, backend = nwc_world.service, nwc_world.backend
    service.repeats = 2
    cursor = backend.settlements(None, 0).cursor
    issued = backend.create_invoice(ORDER)
    cursor = backend.settlements(cursor, 0).cursor
    asked = service.asked.count("list_transactions")
    nwc_world.pay(issued)

    settled, cursor = _one(backend, cursor)

    assert [one.payment_hash for one in settled] == [issued.payment_hash]
    assert settled[0].amount_msat == ORDER.amount_msat
    assert service.asked.count("list_transactions") == asked
    assert backend.settlements(cursor, 1).settled == ()


def test_what_was_settled_while_the_relay_was_away_is_found_later(nwc_world: NwcWorld) -> None:
    service, backend = nwc_world.service, nwc_world.backend
    cursor = backend.settlements(None, 0).cursor
    issued = backend.create_invoice(ORDER)
    service.stop_relay()
    nwc_world.pay(issued)
    with pytest.raises(LightningUnreachable, match="relay cannot be reached"):
        backend.create_invoice(ORDER)
    service.start_relay()

    settled: list[Settled] = []
    while not settled:
        try:
            settled, cursor = _one(backend, cursor)
        except LightningUnreachable:
            continue  # as the caller does: again, with the cursor that it stored

    assert [one.payment_hash for one in settled] == [issued.payment_hash]


def test_a_wallet_without_notifications_is_read_often(
    nwc_world: NwcWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nwc_backend, "_PAGE", 2)
    nwc_world.service.pushes = False
    backend = nwc_world.backend
    cursor = backend.settlements(None, 0).cursor
    issued = [backend.create_invoice(ORDER) for _ in range(5)]
    for invoice in issued:
        nwc_world.pay(invoice)

    settled, cursor = _one(backend, cursor)

    assert {one.payment_hash for one in settled} == {one.payment_hash for one in issued}
    assert backend.settlements(cursor, 0).settled == ()


def test_a_page_that_was_not_stored_comes_again(nwc_world: NwcWorld) -> None:
    backend = nwc_world.backend
    cursor = backend.settlements(None, 0).cursor
    issued = backend.create_invoice(ORDER)
    nwc_world.pay(issued)
    assert len(_one(backend, cursor)[0]) == 1

    settled, _ = _one(backend, cursor)

    assert [one.payment_hash for one in settled] == [issued.payment_hash]


def test_an_old_wallet_speaks_nip_04(lnbits: Lnbits) -> None:
    service = NwcWallet(lnbits, lnbits.wallet("old", MUCH_SAT))
    service.nip04 = True
    with service:
        backend = NwcBackend(BackendSettings(service.connection(), "", "", "", 5, False))
        cursor = backend.settlements(None, 0).cursor
        issued = backend.create_invoice(ORDER)
        cursor = backend.settlements(cursor, 0).cursor
        lnbits.pay(lnbits.wallet("payer", MUCH_SAT), issued.bolt11)
        assert len(_one(backend, cursor)[0]) == 1
        backend.close()


def test_a_wallet_that_never_answers_a_payment_is_asked_again_not_paid_again(
    nwc_world: NwcWorld, payout: Callable[[float], PayOrder]
) -> None:
    order, backend = payout(1.0), nwc_world.backend
    nwc_world.lose_next_answer()
    assert backend.pay(order).outcome is Outcome.UNKNOWN
    ends_at = time.monotonic() + WAIT_S
    while not nwc_world.received_msat(order.bolt11):
        assert time.monotonic() < ends_at, "the wallet never paid"

    sent = backend.pay(replace(order, wait_s=WAIT_S))

    assert sent.outcome is Outcome.SETTLED
    assert nwc_world.service.asked.count("pay_invoice") == 1
    assert nwc_world.received_msat(order.bolt11) == [20_000]


def test_a_payment_that_the_wallet_calls_failed_after_it_was_made_is_settled(
    nwc_world: NwcWorld, payout: Callable[[], PayOrder]
) -> None:
    nwc_world.service.fails_after.add("pay_invoice")
    order = payout()
    assert nwc_world.backend.pay(order).outcome is Outcome.SETTLED
    assert nwc_world.received_msat(order.bolt11) == [20_000]


@pytest.mark.parametrize("code", ["INTERNAL", "OTHER", "RATE_LIMITED", "RESTRICTED", "NONSENSE"])
def test_an_error_that_says_nothing_of_the_money_frees_none(
    nwc_world: NwcWorld, payout: Callable[[], PayOrder], code: str
) -> None:
    nwc_world.service.refuses["pay_invoice"] = Refusal(code, "Something happened.")
    sent = nwc_world.backend.pay(payout())
    assert (sent.outcome, sent.missing) == (Outcome.UNKNOWN, False)
    assert sent.detail


@pytest.mark.parametrize("code", ["INSUFFICIENT_BALANCE", "QUOTA_EXCEEDED", "PAYMENT_FAILED"])
def test_a_payment_that_did_not_leave_has_failed(
    nwc_world: NwcWorld, payout: Callable[[], PayOrder], code: str
) -> None:
    nwc_world.service.refuses["pay_invoice"] = Refusal(code, "Too little.")
    sent = nwc_world.backend.pay(payout())
    assert sent.outcome is Outcome.FAILED
    assert "Too little." in sent.detail


def test_a_wallet_that_cannot_say_what_it_paid_is_not_told_to_pay(
    nwc_world: NwcWorld, payout: Callable[[], PayOrder]
) -> None:
    nwc_world.service.refuses["lookup_invoice"] = Refusal("NOT_IMPLEMENTED", "Never heard.")
    assert nwc_world.backend.pay(payout()).outcome is Outcome.UNKNOWN
    assert "pay_invoice" not in nwc_world.service.asked


def test_the_doctor_names_what_a_connection_may_not_do(nwc_world: NwcWorld) -> None:
    assert "test wallet" in nwc_world.backend.check(NETWORK)
    with pytest.raises(LightningWrongNetwork, match="mainnet"):
        nwc_world.backend.check("regtest")
    with pytest.raises(LightningPermission, match="lightning_url may not: list_transactions"):
        nwc_world.narrow_secret().check(NETWORK)
    nwc_world.service.revoke()
    with pytest.raises(LightningUnauthorized):
        nwc_world.backend.check(NETWORK)


def test_a_connection_that_may_not_ask_for_the_balance_sells_all_the_same(
    nwc_world: NwcWorld, tmp_path: Path
) -> None:
    narrow = nwc_world.service.connection("make_invoice", "lookup_invoice", "list_transactions")
    settings = make_settings(
        tmp_path, rails=["lightning"], network=NETWORK, lightning_backend="nwc",
        lightning_url=narrow,
    )  # fmt: skip
    deps = wiring.build(settings)
    rail = deps.rail("lightning")
    assert isinstance(rail, LightningRail)
    try:
        health = rail.health()
        assert (health.ok, health.code, health.receivable_msat) == (True, "ok", None)
        found = {finding.name: finding for finding in check_lightning(deps, None)}
        assert found["lightning"].level == "ok"
        assert "get_balance" in found["lightning"].found
        room = found["lightning room"]
        assert (room.level, room.code) == ("warning", "lightning_permission")
        # So the comparison of the books is unknown, and neither ok nor short.
        with pytest.raises(LightningPermission):
            rail.held_msat([])
    finally:
        assert rail.backend is not None
        rail.backend.close()


def test_a_connection_that_pays_must_tell_the_balance(nwc_world: NwcWorld) -> None:
    service = nwc_world.service
    paying = service.connection("pay_invoice", "lookup_invoice")
    settings = BackendSettings(service.connection(), "", paying, "", 5, False)
    backend = NwcBackend(settings)
    with pytest.raises(LightningPermission, match="payout_secret may not: get_balance"):
        backend.check(NETWORK)
    backend.close()


def test_a_relay_that_answers_for_a_wallet_that_does_not(nwc_world: NwcWorld) -> None:
    nwc_world.fall_silent()
    with pytest.raises(LightningUnreachable, match="wallet behind it does not"):
        nwc_world.backend.funds()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nostr+walletconnect://",
        "https://wallet.example",
        "nostr+walletconnect://zz?secret=ab12",
    ],
)
def test_a_text_that_is_no_connection_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        NwcBackend(BackendSettings(text, "", "", "", 5, False))
    assert "ab12" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match=r"pip install bitcache\[nwc\]"):
        NwcBackend(BackendSettings("nostr+walletconnect://00", "", "", "", 5, False))
