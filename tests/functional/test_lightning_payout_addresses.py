"""Payouts to Lightning addresses: whoever answers there may be broken, or an enemy."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event

import pytest

from bitcache_server.domain.errors import LnurlUnreachable
from bitcache_server.domain.outcome import Outcome
from bitcache_server.domain.payout_state import RETRY_AFTER_S
from bitcache_server.ledger import chart
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.lnurl_client import LnurlClient
from bitcache_server.services.merchant_payouts import schedule_payouts, set_payout_terms
from bitcache_server.services.payout_approvals import cancel_payout
from bitcache_server.services.payout_singles import MOST_IN_VAIN
from bitcache_server.services.withdraw import take_back
from tests.support.books import open_wallet
from tests.support.lightning_payouts import address_shop, pay_out, recorded_payments, withdraw_to
from tests.support.lightning_world import LightningWorld
from tests.support.lnurl_provider import Answer, Provider, lnurl_provider, saying
from tests.support.payouts import batches, earn, payout_of, states
from tests.support.shops import held

BALANCE_MSAT = 100_000_000
AMOUNT_SAT = 20_000


@pytest.fixture
def jane() -> Iterator[Provider]:
    with lnurl_provider() as provider:
        yield provider


@pytest.fixture
def timeout_s(request: pytest.FixtureRequest) -> float:
    """How long an address may take; a test that waits for that sets it."""
    return float(getattr(request, "param", 10))


@pytest.fixture
def shop(
    tmp_path: Path, database_url: str, jane: Provider, timeout_s: float
) -> Iterator[LightningWorld]:
    with address_shop(tmp_path, database_url, jane, timeout_s, BALANCE_MSAT) as world:
        yield world


def _own(shop: LightningWorld) -> int:
    return held(shop, chart.wallet("wa_1"))


def test_the_address_is_asked_for_an_invoice_when_it_is_paid(
    shop: LightningWorld, jane: Provider
) -> None:
    payout_id = withdraw_to(shop, f"lightning:{jane.address}", AMOUNT_SAT)
    assert jane.asked == []
    assert payout_of(shop, payout_id).destination == jane.address
    shop.lightning.plan_payment(Outcome.SETTLED, fee_msat=700)
    assert pay_out(shop) == 1
    assert states(shop, payout_id) == ["settled"]
    [batch] = batches(shop)
    assert jane.node.lookup_invoice(batch.reference).outcome is Outcome.PENDING, "it is jane's"
    assert _own(shop) == BALANCE_MSAT - 20_000_700


def test_a_merchant_is_paid_at_an_address_on_schedule(shop: LightningWorld, jane: Provider) -> None:
    set_payout_terms(shop.deps, shop.session, shop.merchant_id, address=jane.address, every_s=3_600)
    earn(shop, 10_100_000)
    assert schedule_payouts(shop.deps, shop.session) == 1
    pay_out(shop)
    assert held(shop, chart.clearing("lightning")) == 10_000_000
    assert held(shop, chart.merchant(shop.merchant_id)) == 100_000


def test_a_failed_payment_is_tried_again_with_new_invoices_and_then_given_up(
    shop: LightningWorld, jane: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    with recorded_payments(shop, monkeypatch) as orders:
        for number, wait_s in enumerate(RETRY_AFTER_S, 1):
            shop.lightning.plan_payment(Outcome.FAILED, detail="No route.")
            assert pay_out(shop) == 1
            assert payout_of(shop, payout_id).reason == "The payment failed: No route."
            assert states(shop, payout_id) == ["waiting"]
            shop.clock.pass_time(wait_s - 1)
            assert pay_out(shop) == 0
            shop.clock.pass_time(1)
            assert len(orders) == number
        shop.lightning.plan_payment(Outcome.FAILED, detail="No route.")
        pay_out(shop)
        assert len({order.payment_hash for order in orders}) == len(RETRY_AFTER_S) + 1
    assert states(shop, payout_id) == ["failed"]
    assert _own(shop) == BALANCE_MSAT
    assert [batch.state for batch in batches(shop)] == ["failed"] * (len(RETRY_AFTER_S) + 1)


def test_a_later_try_that_works_is_the_end(shop: LightningWorld, jane: Provider) -> None:
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    shop.lightning.plan_payment(Outcome.FAILED)
    pay_out(shop)
    shop.clock.pass_time(RETRY_AFTER_S[0])
    assert pay_out(shop) == 1
    settled = payout_of(shop, payout_id)
    assert (settled.state, settled.reason) == ("settled", "")


def test_between_two_tries_it_can_be_taken_back(shop: LightningWorld, jane: Provider) -> None:
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    shop.lightning.plan_payment(Outcome.FAILED)
    pay_out(shop)
    with write_transaction(shop.session):
        cancel_payout(shop.deps, shop.session, payout_id)
    shop.clock.pass_time(RETRY_AFTER_S[0])
    assert pay_out(shop) == 0
    assert _own(shop) == BALANCE_MSAT


def test_a_clock_that_was_put_back_holds_no_try_up(shop: LightningWorld, jane: Provider) -> None:
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    shop.lightning.plan_payment(Outcome.FAILED)
    pay_out(shop)
    shop.clock.pass_time(-1_000_000)
    assert pay_out(shop) == 1
    assert states(shop, payout_id) == ["settled"]


def _other_amount(jane: Provider, shop: LightningWorld) -> Answer:
    return saying({"pr": shop.lightning.foreign_invoice(AMOUNT_SAT * 1_000 + 1), "routes": []})


def _no_amount(jane: Provider, shop: LightningWorld) -> Answer:
    return saying({"pr": shop.lightning.foreign_invoice(None), "routes": []})


def _expired(jane: Provider, shop: LightningWorld) -> Answer:
    invoice = shop.lightning.foreign_invoice(AMOUNT_SAT * 1_000, expires_in_s=1)
    return saying({"pr": invoice, "routes": []})


def _junk(jane: Provider, shop: LightningWorld) -> Answer:
    return saying({"pr": "lnbcrt200u1pjunk", "routes": []})


def _refusal(jane: Provider, shop: LightningWorld) -> Answer:
    return saying({"status": "ERROR", "reason": "Jane is away"})


def _redirect(jane: Provider, shop: LightningWorld) -> Answer:
    return saying("", 302, Location="http://169.254.169.254/latest/meta-data/")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_other_amount, "another amount"),
        (_no_amount, "another amount"),
        (_expired, "expired"),
        (_junk, "of no use"),
        (_refusal, "Jane is away"),
        (_redirect, ""),
    ],
)
def test_what_an_address_must_not_answer_is_never_paid(
    shop: LightningWorld,
    jane: Provider,
    monkeypatch: pytest.MonkeyPatch,
    answer: object,
    words: str,
) -> None:
    assert callable(answer)
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    jane.answers["/callback"] = answer(jane, shop)
    with recorded_payments(shop, monkeypatch) as orders:
        for wait_s in (*RETRY_AFTER_S, 0):
            assert states(shop, payout_id) == ["waiting"]
            assert pay_out(shop) == 0
            assert words in payout_of(shop, payout_id).reason
            shop.clock.pass_time(wait_s)
        assert orders == []
    assert states(shop, payout_id) == ["failed"]
    assert _own(shop) == BALANCE_MSAT


def test_a_callback_to_an_internal_address_is_not_followed(
    shop: LightningWorld, jane: Provider
) -> None:
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    jane.terms["callback"] = "https://10.0.0.1/callback"
    assert pay_out(shop) == 0
    assert states(shop, payout_id) == ["waiting"]
    assert "internal address" in payout_of(shop, payout_id).reason
    assert [path for _, path in jane.asked] == ["/.well-known/lnurlp/jane"]


@pytest.mark.parametrize("timeout_s", [0.2], indirect=True)
def test_an_address_that_never_answers_holds_up_no_other(
    shop: LightningWorld, jane: Provider
) -> None:
    over = Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        over.wait()

    jane.answers["/.well-known/lnurlp/jane"] = silent
    asked = withdraw_to(shop, jane.address, AMOUNT_SAT)
    other = withdraw_to(shop, shop.lightning.foreign_invoice(1_000_000), key="other")
    try:
        assert pay_out(shop) == 1
    finally:
        over.set()
    assert states(shop, asked, other) == ["waiting", "settled"]
    assert payout_of(shop, asked).reason != ""


def test_many_payouts_to_a_silent_address_do_not_stop_the_others(
    shop: LightningWorld, jane: Provider
) -> None:
    """Each costs us the time limit, so one reader's are not asked for one after the other."""
    open_wallet(shop.session, "wa_2", balance_msat=BALANCE_MSAT)
    jane.answers["/.well-known/lnurlp/jane"] = saying({"status": "ERROR", "reason": "No"})
    bad = [withdraw_to(shop, jane.address, 10, key=f"bad-{number}") for number in range(3)]
    with lnurl_provider() as honest:
        honest.node.clock = shop.clock
        address = withdraw_to(shop, honest.address, 20, wallet_id="wa_2")
        invoice = withdraw_to(shop, shop.lightning.foreign_invoice(1_000_000), key="invoice")
        assert pay_out(shop) == 2
    assert states(shop, address, invoice) == ["settled", "settled"]
    assert len(jane.asked) == 1
    pay_out(shop)
    pay_out(shop)
    assert len(jane.asked) == 3
    assert all(payout_of(shop, payout_id).reason for payout_id in bad)


def test_an_amount_that_the_address_does_not_take(shop: LightningWorld, jane: Provider) -> None:
    jane.terms["minSendable"] = 50_000_000
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    pay_out(shop)
    assert "takes 50,000 sats to 100,000 sats" in payout_of(shop, payout_id).reason


def test_addresses_that_give_nothing_hold_up_no_pass(
    shop: LightningWorld, jane: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may take as long as is allowed; so a pass asks a few, and the next one others."""
    asked: list[str] = []

    def give_nothing(_self: LnurlClient, address: str, *_args: object, **_more: object) -> None:
        asked.append(address)
        raise LnurlUnreachable("It gave no answer in time.")

    monkeypatch.setattr(LnurlClient, "request_invoice", give_nothing)
    wallets = [f"wa_far_{n}" for n in range(MOST_IN_VAIN + 2)]
    for wallet_id in wallets:
        open_wallet(shop.session, wallet_id, 20_000)
        withdraw_to(shop, jane.address, 1, wallet_id=wallet_id, key=wallet_id)
    pay_out(shop)
    assert len(asked) == MOST_IN_VAIN
    pay_out(shop)
    assert len(asked) == len(wallets)
    pay_out(shop)
    assert len(asked) == len(wallets)


def test_asking_anew_is_no_way_around_the_wait(
    shop: LightningWorld, jane: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    shop.lightning.plan_payment(Outcome.FAILED)
    pay_out(shop)
    with write_transaction(shop.session):
        take_back(shop.deps, shop.session, "wa_1", payout_id)
    again = withdraw_to(shop, jane.address, AMOUNT_SAT, key="again")
    assert pay_out(shop) == 0
    shop.clock.pass_time(RETRY_AFTER_S[0])
    assert pay_out(shop) == 1
    assert payout_of(shop, again).state == "settled"
