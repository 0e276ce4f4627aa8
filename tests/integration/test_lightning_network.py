"""Real payments over a real channel, in and out, while the programs that carry them die."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bitcache_server.domain.errors import (
    LightningRejected,
    LightningUnauthorized,
    LightningUnreachable,
    LightningWrongNetwork,
    NoInboundRoom,
    RailError,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.rails.lightning.backend import InvoiceOrder, PayOrder
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.electrum import ElectrumBackend
from bitcache_server.services.payout_singles import SENDING_S
from demo.regtest.electrum_daemon import wait_for
from demo.regtest.lightning import LightningNetwork, LightningNetworkError
from tests.support.books import open_wallet
from tests.support.databases import Databases
from tests.support.lightning_network import electrum_backend, electrum_settings, proxy_to
from tests.support.network_shop import (
    PRICE_SAT,
    WATCH_S,
    NetworkShop,
    bolt11_of,
    hash_of,
    opened_network_shop,
    started_again,
)
from tests.support.payouts import assert_payouts_sound, states, withdraw
from tests.support.rpc_proxy import Fault
from tests.support.shops import held, payment_count, read_anew, sell_at
from tests.support.world import Purchase, World

BALANCE_MSAT = 50_000_000
PAYOUT_SAT = 2_000
#: Less than the channel holds, more than can move through it.
TOO_MUCH_SAT = 9_000_000
RESERVE_SAT = 20


@pytest.fixture
def network(lightning_network: LightningNetwork) -> Iterator[LightningNetwork]:
    """Return the network, and leave it as it was found."""
    yield lightning_network
    for daemon in (lightning_network.merchant, lightning_network.reader):
        if daemon.pid is None:
            lightning_network.start(daemon.name)
        daemon.hold(False)
        daemon.refuse(False)
    lightning_network.wait_until_ready()


@pytest.fixture
def sqlite_url(databases: Databases) -> Iterator[str]:
    """Return an empty database: what the wallets do is the same with either engine."""
    with databases.fresh("sqlite") as url:
        yield url


@pytest.fixture
def shop(tmp_path: Path, sqlite_url: str, network: LightningNetwork) -> Iterator[NetworkShop]:
    with opened_network_shop(tmp_path, sqlite_url, network.merchant) as made:
        yield made
        assert_payouts_sound(made)


@pytest.fixture
def backend(network: LightningNetwork) -> Iterator[ElectrumBackend]:
    made = electrum_backend(network.merchant)
    yield made
    made.close()


def _come_back(network: LightningNetwork, name: str) -> None:
    network.kill(name)
    network.start(name)
    network.wait_until_ready()


def _state(shop: World, purchase: Purchase) -> str:
    return str(read_anew(shop, purchase)["state"])


@contextmanager
def _held_payment(network: LightningNetwork, bolt11: str) -> Iterator[None]:
    """Let the reader pay while the merchant's wallet keeps what arrives in the air."""
    network.merchant.hold()
    with ThreadPoolExecutor(1) as pool:
        paying = pool.submit(network.reader.pay, bolt11)
        wait_for(network.reader.in_flight_sat, "the payment is on its way")
        yield
        # Whether its call got an answer is not what these tests are about.
        paying.exception()


# In: a payment is booked once, whatever happens around it.


def test_a_reader_pays_and_reads(shop: NetworkShop, network: LightningNetwork) -> None:
    purchase = shop.buy()
    invoice = decode(bolt11_of(purchase), "regtest")
    assert (invoice.amount_msat, invoice.payment_hash) == (PRICE_SAT * 1000, hash_of(purchase))
    assert invoice.memo == "On engines · Ada's blog"
    preimage = network.reader.pay(invoice.bolt11)
    assert shop.settle() == 1
    assert _state(shop, purchase) == "paid"
    [payment] = shop.read(purchase)["payments"]
    assert payment["reference"] == hash_of(purchase)
    assert shop.get(f"/v1/content/{shop.article_id}", shop.grant(purchase)).status_code == 200
    assert held(shop, chart.clearing("lightning")) == -PRICE_SAT * 1000
    assert shop.settle(0) == 0
    assert network.merchant.payments(hash_of(purchase))[0]["preimage"] == preimage


def test_killed_between_invoice_and_payment(shop: NetworkShop, network: LightningNetwork) -> None:
    purchase = shop.buy()
    network.kill("merchant")
    with pytest.raises(LightningNetworkError):
        network.reader.pay(bolt11_of(purchase))
    with pytest.raises(LightningUnreachable):
        shop.settle()
    network.start("merchant")
    network.wait_until_ready()
    assert shop.settle(0) == 0
    network.reader.pay(bolt11_of(purchase))
    assert shop.settle() == 1
    assert _state(shop, purchase) == "paid"


def test_killed_between_payment_and_answer(shop: NetworkShop, network: LightningNetwork) -> None:
    purchases = [shop.buy(), shop.buy()]
    for purchase in purchases:
        network.reader.pay(bolt11_of(purchase))
    _come_back(network, "merchant")
    with started_again(shop) as again:
        assert again.settle() == 2
        assert [_state(again, purchase) for purchase in purchases] == ["paid", "paid"]
        assert again.settle(0) == 0
        assert payment_count(again) == 2


def test_killed_while_the_payment_hangs(shop: NetworkShop, network: LightningNetwork) -> None:
    purchase = shop.buy()
    with _held_payment(network, bolt11_of(purchase)):
        assert shop.settle(0) == 0
        _come_back(network, "merchant")
    assert shop.settle() == 1
    assert _state(shop, purchase) == "paid"


def test_the_readers_wallet_dies_while_it_pays(
    shop: NetworkShop, network: LightningNetwork
) -> None:
    purchase = shop.buy()
    with _held_payment(network, bolt11_of(purchase)):
        network.kill("reader")
    assert shop.settle(0) == 0
    assert _state(shop, purchase) == "open"
    network.start("reader")
    network.merchant.hold(False)
    network.wait_until_ready()
    assert shop.settle() == 1
    assert _state(shop, purchase) == "paid"
    [line] = network.reader.payments(hash_of(purchase))
    assert line["amount_msat"] == -PRICE_SAT * 1000


def test_a_waiting_watch_says_that_the_wallet_died_and_goes_on(
    backend: ElectrumBackend, network: LightningNetwork
) -> None:
    cursor = backend.settlements(None, 0).cursor
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(backend.settlements, cursor, 60)
        network.kill("merchant")
        assert isinstance(waiting.exception(120), LightningUnreachable)
    network.start("merchant")
    network.wait_until_ready()
    invoices = [network.merchant.invoice(sat) for sat in (11, 12)]
    for invoice in invoices:
        network.reader.pay(invoice)
    settled = backend.settlements(cursor, WATCH_S).settled
    assert [one.amount_msat for one in settled] == [11_000, 12_000]


@pytest.mark.parametrize("name", ["electrumx", "node"])
def test_payments_go_on_without_the_chain(
    shop: NetworkShop, network: LightningNetwork, name: str
) -> None:
    network.kill(name)
    try:
        purchase = shop.buy()
        network.reader.pay(bolt11_of(purchase))
        assert shop.settle() == 1
        assert _state(shop, purchase) == "paid"
    finally:
        network.start(name)
    network.node.mine(1)
    height = int(network.node.rpc.getblockcount())
    for daemon in (network.merchant, network.reader):
        daemon.wait_until_synchronized(height)


def test_pages_are_served_and_the_reader_is_told_when_the_wallet_is_down(
    shop: NetworkShop, network: LightningNetwork
) -> None:
    network.kill("merchant")
    shop.ask_how_it_is()
    assert shop.get(f"/v1/items/{shop.article_id}").status_code == 200
    waiting = shop.buy(rail=None)
    answer = shop.post(f"/v1/invoices/{waiting.id}/requests", {"rail": "lightning"})
    assert (answer.status_code, answer.get_json()["code"]) == (503, "lightning_unreachable")
    assert shop.read(waiting)["requests"] == []
    network.start("merchant")
    network.wait_until_ready()
    answer = shop.post(f"/v1/invoices/{waiting.id}/requests", {"rail": "lightning"})
    assert answer.status_code == 200
    network.reader.pay(str(answer.get_json()["requests"][0]["bolt11"]))
    assert shop.settle() == 1
    assert _state(shop, waiting) == "paid"


def test_more_than_can_arrive_is_said_before_the_reader_tries(
    shop: NetworkShop, network: LightningNetwork, backend: ElectrumBackend
) -> None:
    before = len(network.merchant.call("list_requests"))
    verifier_only = {"item": sell_at(shop, TOO_MUCH_SAT), "challenge": "A" * 43}
    answer = shop.post("/v1/invoices", {**verifier_only, "rail": "lightning"})
    assert answer.get_json()["code"] == "no_inbound_room"
    # The room may shrink after it was asked for: then the wallet itself says so.
    with pytest.raises(NoInboundRoom):
        backend.create_invoice(InvoiceOrder("in_1", TOO_MUCH_SAT * 1000, "", "", 600))
    assert len(network.merchant.call("list_requests")) == before


# Out: reserved until the wallet is sure, never paid twice.


@pytest.fixture
def till(shop: NetworkShop) -> NetworkShop:
    """Return the shop with a reader who has a balance."""
    open_wallet(shop.session, "wa_1", BALANCE_MSAT)
    return shop


def _withdraw(till: NetworkShop, invoice: str) -> str:
    return withdraw(till, None, address=invoice)


def _arrived(network: LightningNetwork, invoice: str) -> list[int]:
    lines = network.reader.payments(decode(invoice, "regtest").payment_hash)
    return [int(line["amount_msat"]) for line in lines]


def _balance_after(fee_msat: int = 0, *, paid: bool = True) -> int:
    return BALANCE_MSAT - (PAYOUT_SAT * 1000 + fee_msat if paid else 0)


def _pay_out_until(till: NetworkShop, payout_id: str, state: str) -> None:
    def reached() -> bool:
        till.pay_out()
        return states(till, payout_id) == [state]

    wait_for(reached, f"the payout is {state}")


def test_a_withdrawal_arrives_and_the_unused_fee_comes_back(
    till: NetworkShop, network: LightningNetwork
) -> None:
    invoice = network.reader.invoice(PAYOUT_SAT)
    payout_id = _withdraw(till, invoice)
    assert held(till, chart.wallet("wa_1")) == _balance_after(RESERVE_SAT * 1000)
    assert till.pay_out() == 1
    assert states(till, payout_id) == ["settled"]
    assert _arrived(network, invoice) == [PAYOUT_SAT * 1000]
    assert held(till, chart.wallet("wa_1")) == _balance_after()


@pytest.mark.parametrize("arrives", [True, False])
def test_the_paying_wallet_dies_in_the_middle(
    till: NetworkShop, network: LightningNetwork, arrives: bool
) -> None:
    invoice = network.reader.invoice(PAYOUT_SAT)
    payout_id = _withdraw(till, invoice)
    network.reader.hold()
    with ThreadPoolExecutor(1) as pool:
        # Its call is cut off, as the wallet's half of the payment is.
        sending = pool.submit(_in_own_context, till, till.pay_out)
        wait_for(network.merchant.in_flight_sat, "the payment is on its way")
        network.kill("merchant")
        sending.exception()
    for _ in range(2):
        till.pay_out()
        assert states(till, payout_id) == ["sending"]
    _come_back(network, "merchant")
    with started_again(till) as again:
        again.pay_out()
        assert states(again, payout_id) == ["sending"]
        assert held(again, chart.wallet("wa_1")) == _balance_after(RESERVE_SAT * 1000)
        network.reader.refuse(not arrives)
        network.reader.hold(False)
        _pay_out_until(again, payout_id, "settled" if arrives else "failed")
    assert _arrived(network, invoice) == ([PAYOUT_SAT * 1000] if arrives else [])
    assert held(till, chart.wallet("wa_1")) == _balance_after(paid=arrives)


@pytest.mark.parametrize(
    ("fault", "sendings"), [(Fault.DIE_IN_ANSWER, 1), (Fault.DIE_BEFORE_ANSWER, 2)]
)
def test_a_call_or_an_answer_that_gets_lost_pays_once(
    tmp_path: Path, sqlite_url: str, network: LightningNetwork, fault: Fault, sendings: int
) -> None:
    invoice = network.reader.invoice(PAYOUT_SAT)
    with (
        proxy_to(network.merchant) as proxy,
        opened_network_shop(
            tmp_path, sqlite_url, network.merchant, f"http://127.0.0.1:{proxy.port}"
        ) as till,
    ):
        open_wallet(till.session, "wa_1", BALANCE_MSAT)
        payout_id = _withdraw(till, invoice)
        proxy.fault, proxy.only = fault, "lnpay"
        till.pay_out()
        proxy.fault = Fault.NONE
        # Until then the first call may still get through.
        till.clock.pass_time(SENDING_S)
        _pay_out_until(till, payout_id, "settled")
        till.pay_out()
        assert proxy.calls["lnpay"] == sendings
        assert_payouts_sound(till)
    assert _arrived(network, invoice) == [PAYOUT_SAT * 1000]


def test_a_wallet_that_is_down_pays_later(till: NetworkShop, network: LightningNetwork) -> None:
    invoice = network.reader.invoice(PAYOUT_SAT)
    payout_id = _withdraw(till, invoice)
    network.kill("merchant")
    with pytest.raises(LightningUnreachable):
        till.pay_out()
    assert states(till, payout_id) == ["waiting"]
    network.start("merchant")
    # Its peer is not back yet, so there is nothing that it could send.
    till.pay_out()
    network.wait_until_ready()
    _pay_out_until(till, payout_id, "settled")
    assert _arrived(network, invoice) == [PAYOUT_SAT * 1000]


def _order(invoice: str) -> PayOrder:
    payment_hash = decode(invoice, "regtest").payment_hash
    return PayOrder(invoice, payment_hash, PAYOUT_SAT * 1000, RESERVE_SAT * 1000, wait_s=30)


def test_a_wallet_that_is_told_twice_at_once_pays_once(network: LightningNetwork) -> None:
    # Electrum itself would pay each of them.
    order = _order(network.reader.invoice(PAYOUT_SAT))
    backends = [electrum_backend(network.merchant) for _ in range(4)]
    start = threading.Barrier(len(backends))

    def pay(backend: ElectrumBackend) -> Outcome:
        start.wait()
        return backend.pay(order).outcome

    with ThreadPoolExecutor(len(backends)) as pool:
        outcomes = set(pool.map(pay, backends))
    assert outcomes == {Outcome.SETTLED, Outcome.PENDING}
    assert {b.lookup_payment(order.payment_hash).outcome for b in backends} == {Outcome.SETTLED}
    for backend in backends:
        backend.close()
    assert _arrived(network, order.bolt11) == [PAYOUT_SAT * 1000]


def test_two_servers_pay_a_withdrawal_once(till: NetworkShop, network: LightningNetwork) -> None:
    invoice = network.reader.invoice(PAYOUT_SAT)
    payout_id = _withdraw(till, invoice)
    with started_again(till) as other, ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(_in_own_context, shop, shop.pay_out) for shop in (till, other)]
        for run in runs:
            run.result()
    _pay_out_until(till, payout_id, "settled")
    assert _arrived(network, invoice) == [PAYOUT_SAT * 1000]


def test_a_call_that_was_given_up_and_gets_through_later_pays_once(
    backend: ElectrumBackend, network: LightningNetwork
) -> None:
    order = _order(network.reader.invoice(PAYOUT_SAT))
    user, _, password = network.merchant.user_password.partition(":")
    body = {"id": 1, "method": "lnpay", "params": {"invoice": order.bolt11}}
    with ThreadPoolExecutor(1) as pool:
        with network.merchant.frozen():
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(network.merchant.url, json=body, auth=(user, password), timeout=0.5)
            again = pool.submit(backend.pay, order)
        assert again.result().outcome in (Outcome.SETTLED, Outcome.PENDING)
    wait_for(lambda: _arrived(network, order.bolt11), "the payment arrives")
    wait_for(lambda: not network.merchant.in_flight_sat(), "nothing is under way")
    assert backend.lookup_payment(order.payment_hash).outcome is Outcome.SETTLED
    assert _arrived(network, order.bolt11) == [PAYOUT_SAT * 1000]


def test_no_route_is_over_at_once_and_may_be_tried_again(
    backend: ElectrumBackend, network: LightningNetwork
) -> None:
    invoice = network.reader.invoice(PAYOUT_SAT)
    order = _order(invoice)
    network.kill("reader")
    wait_for(lambda: not network.merchant.has_channel(), "the reader is gone")
    sent = backend.pay(order)
    assert (sent.outcome, sent.detail) == (Outcome.FAILED, "There is no route.")
    assert backend.lookup_payment(order.payment_hash).outcome is Outcome.FAILED
    # Whoever was not there cannot be so sure while the channel's other side is away.
    stranger = electrum_backend(network.merchant)
    assert stranger.lookup_payment(order.payment_hash).outcome is Outcome.PENDING
    network.start("reader")
    network.wait_until_ready()
    assert stranger.lookup_payment(order.payment_hash).outcome is Outcome.FAILED
    stranger.close()
    assert backend.pay(order).outcome is Outcome.SETTLED
    assert _arrived(network, invoice) == [PAYOUT_SAT * 1000]


def test_what_electrum_cannot_do_is_refused_before_it_is_asked(
    backend: ElectrumBackend, network: LightningNetwork
) -> None:
    open_amount, fixed, own = (
        network.reader.invoice(0),
        network.reader.invoice(PAYOUT_SAT),
        network.merchant.invoice(PAYOUT_SAT),
    )
    cases = [
        (open_amount, PAYOUT_SAT, RESERVE_SAT, "without an amount"),
        (fixed, PAYOUT_SAT + 1, RESERVE_SAT + 1, "another amount"),
        (fixed, PAYOUT_SAT, RESERVE_SAT - 1, "the limit is 19 sats"),
        (own, PAYOUT_SAT, RESERVE_SAT, "our own"),
    ]
    for invoice, sat, fee_sat, words in cases:
        payment_hash = decode(invoice, "regtest").payment_hash
        sent = backend.pay(PayOrder(invoice, payment_hash, sat * 1000, fee_sat * 1000, 10))
        assert sent.outcome is Outcome.FAILED
        assert words in sent.detail
    assert _arrived(network, fixed) == []


# What the doctor says.


def test_the_doctor_names_what_is_wrong(
    backend: ElectrumBackend, network: LightningNetwork
) -> None:
    assert "1 of 1 channels" in backend.check("regtest")
    with pytest.raises(LightningWrongNetwork, match="regtest"):
        backend.check("mainnet")
    faults: list[tuple[str, str, type[RailError]]] = [
        ("", "bitcache:wrong", LightningUnauthorized),
        ("http://127.0.0.1:9", "", LightningUnreachable),
    ]
    for url, secret, error in faults:
        wrong = ElectrumBackend(electrum_settings(network.merchant, url=url, secret=secret))
        with pytest.raises(error) as caught:
            wrong.check("regtest")
        assert network.merchant.user_password not in str(caught.value)
        wrong.close()


def test_a_closed_wallet_is_opened(backend: ElectrumBackend, network: LightningNetwork) -> None:
    network.merchant.call("close_wallet")
    assert "Electrum 4" in backend.check("regtest")
    network.wait_until_ready()


def test_invoices_with_an_address_of_the_chain_are_not_made(network: LightningNetwork) -> None:
    backend = electrum_backend(network.merchant)
    order = InvoiceOrder("in_1", 1_000, "memo", "", 600)
    network.merchant.call("setconfig", key="bolt11_fallback", value="true")
    calls: list[Callable[[], object]] = [
        lambda: backend.check("regtest"),
        lambda: backend.create_invoice(order),
    ]
    try:
        for call in calls:
            with pytest.raises(LightningRejected, match="setconfig bolt11_fallback false"):
                call()
    finally:
        network.merchant.call("setconfig", key="bolt11_fallback", value="false")
    assert backend.create_invoice(order).bolt11.startswith("lnbcrt10n1")
    backend.close()


def _in_own_context(till: NetworkShop, work: Callable[[], object]) -> None:
    with till.app.app_context():
        work()
