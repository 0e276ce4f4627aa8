"""Strangers' servers that hang: how many threads they get, and whose."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bitcache_server import netguard, wiring
from bitcache_server.app import THREADS
from bitcache_server.domain.errors import AddressInvalid, LnurlUnreachable
from bitcache_server.netguard import MOST_LOOK_UPS
from bitcache_server.rails.base import PaymentRequest
from bitcache_server.rails.lightning.gate import MOST_INSIDE
from bitcache_server.rails.lightning.lnurl_client import LnurlClient
from bitcache_server.rails.lightning.rail import LightningRail
from bitcache_server.rails.lightning.safe_http import NamesBusy, check_public_host
from bitcache_server.services.strangers import MOST_WAITING, place_to_wait
from tests.support.lnurl_provider import lnurl_provider, saying
from tests.support.strangers import everybody_waits, slow_names
from tests.support.world import make_settings


def test_those_who_wait_for_strangers_and_for_our_node_leave_threads_to_others() -> None:
    assert THREADS - MOST_WAITING - MOST_INSIDE >= 2


def test_a_place_is_given_back_however_the_wait_ended() -> None:
    def fail() -> None:
        with place_to_wait() as has_place:
            assert has_place
            raise LnurlUnreachable

    for _ in range(MOST_WAITING + 1):
        with pytest.raises(LnurlUnreachable):
            fail()
    with everybody_waits():
        for _ in range(2):
            with place_to_wait() as has_place:
                assert not has_place
    with place_to_wait() as has_place:
        assert has_place


def _rail(folder: Path) -> LightningRail:
    settings = make_settings(
        folder,
        rails=["lightning"],
        network="regtest",
        lightning_backend="scripted",
        lnurl_timeout_s=30,
    )
    rail = wiring.build(settings).rail("lightning")
    assert isinstance(rail, LightningRail)
    return rail


def test_payees_whose_names_hang_keep_no_sale_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netguard, "LOOK_UP_WAIT_S", 0.0)
    rail = _rail(tmp_path)

    def ask(number: int) -> str:
        with pytest.raises(AddressInvalid) as caught:
            rail.try_destination(f"jane@n{number}.slow.test", 1_000)
        return caught.value.detail

    with (
        lnurl_provider("localhost") as provider,
        ThreadPoolExecutor(MOST_LOOK_UPS) as readers,
        slow_names(monkeypatch) as slow,
    ):
        asking = [readers.submit(ask, number) for number in range(MOST_LOOK_UPS)]
        for _ in asking:
            assert slow.begun.acquire(timeout=60)
        provider.answers["/verify/1"] = saying('{"status": "OK", "settled": false}')
        sale = PaymentRequest(
            "lightning", "", "00" * 32, 1_000, check_url=f"http://{provider.host}/verify/1"
        )
        assert rail.check_request(sale) is None
        assert [path for _, path in provider.asked] == ["/verify/1"]
        # One more payee is not asked, and not refused for what others do.
        rail.try_destination(provider.address, 1_000)
        assert len(provider.asked) == 1
        slow.over.set()
        assert all("no server with the name" in one.result() for one in asking)


def test_a_look_up_keeps_its_thread_longer_than_its_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(netguard, "LOOK_UP_WAIT_S", 0.0)
    client = LnurlClient(0.02, allow_local=True)
    with slow_names(monkeypatch) as slow:
        for number in range(MOST_LOOK_UPS):
            with pytest.raises(LnurlUnreachable, match=r"0\.02 s"):
                client.pay_terms(f"jane@n{number}.slow.test")
            assert slow.begun.acquire(timeout=60)
        with pytest.raises(NamesBusy):
            client.pay_terms("jane@other.slow.test")
        assert not slow.begun.acquire(blocking=False)
        slow.over.set()
        monkeypatch.setattr(netguard, "LOOK_UP_WAIT_S", 60.0)
        with pytest.raises(LnurlUnreachable) as caught:
            client.pay_terms("jane@other.slow.test")
        assert not isinstance(caught.value, NamesBusy)


def test_a_relay_whose_name_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def ask() -> None:
        with pytest.raises(LnurlUnreachable, match=r"relay\.slow\.test was not found within 0\.02"):
            check_public_host("relay.slow.test", 443, allow_local=False, timeout_s=0.02)
        ended.set()

    with slow_names(monkeypatch) as slow, ThreadPoolExecutor(1) as readers:
        asking = readers.submit(ask)
        assert slow.begun.acquire(timeout=60)
        # The look-up still hangs.
        assert ended.wait(30)
        asking.result()
