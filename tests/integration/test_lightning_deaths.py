"""Every program of the network dies at its worst moments: no payment is lost or told twice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demo.regtest.electrum_daemon import wait_for
from demo.regtest.lightning import LightningNetwork, LightningNetworkError
from tests.support.databases import Databases
from tests.support.network_shop import (
    PRICE_SAT,
    NetworkShop,
    bolt11_of,
    hash_of,
    opened_network_shop,
    started_again,
)
from tests.support.payouts import assert_payouts_sound
from tests.support.shops import payment_count, read_anew
from tests.support.world import Purchase, World

CHAIN = pytest.mark.parametrize("name", ["electrumx", "node"])


class Mortal:
    """The network, and which of its programs are dead."""

    def __init__(self, network: LightningNetwork) -> None:
        self.network = network
        self.merchant, self.reader = network.merchant, network.reader
        self._dead: list[str] = []

    def kill(self, name: str) -> None:
        """End a program with SIGKILL."""
        self.network.kill(name)
        self._dead.append(name)

    def restart(self, name: str) -> None:
        """End a program and start it again, whatever it finds."""
        self.kill(name)
        self.network.start(name)
        self._dead.remove(name)

    def revive(self) -> None:
        """Start what is dead, the node first, and return when all know each other again."""
        of_chain = {"node", "electrumx"} & {*self._dead}
        for name in sorted(self._dead, key=["node", "electrumx", "merchant", "reader"].index):
            self.network.start(name)
        self._dead.clear()
        self.network.wait_until_ready()
        if of_chain:
            self.network.node.mine(1)
            height = int(self.network.node.rpc.getblockcount())
            for daemon in (self.merchant, self.reader):
                daemon.wait_until_synchronized(height)


@pytest.fixture
def mortal(lightning_network: LightningNetwork) -> Iterator[Mortal]:
    """Return the network, and leave it as it was found."""
    made = Mortal(lightning_network)
    yield made
    made.revive()
    made.merchant.hold(False)


@pytest.fixture
def shop(tmp_path: Path, databases: Databases, mortal: Mortal) -> Iterator[NetworkShop]:
    with (
        databases.fresh("sqlite") as url,
        opened_network_shop(tmp_path, url, mortal.merchant) as made,
    ):
        yield made
        assert_payouts_sound(made)


def _assert_paid_once(shop: World, *purchases: Purchase) -> None:
    assert [read_anew(shop, one)["state"] for one in purchases] == ["paid"] * len(purchases)
    assert payment_count(shop) == len(purchases)


@CHAIN
def test_the_chain_dies_while_the_payment_hangs(
    shop: NetworkShop, mortal: Mortal, name: str
) -> None:
    purchase = shop.buy()
    mortal.merchant.hold()
    with ThreadPoolExecutor(1) as pool:
        paying = pool.submit(mortal.reader.pay, bolt11_of(purchase))
        wait_for(mortal.reader.in_flight_sat, "the payment is on its way")
        mortal.kill(name)
        assert shop.settle(0) == 0
        assert read_anew(shop, purchase)["state"] == "open"
        mortal.merchant.hold(False)
        assert paying.result()
    assert shop.settle() == 1
    _assert_paid_once(shop, purchase)
    mortal.revive()
    assert shop.settle(0) == 0
    assert mortal.merchant.has_channel()


@CHAIN
def test_the_chain_dies_between_payment_and_answer(
    shop: NetworkShop, mortal: Mortal, name: str
) -> None:
    """So does our own server, and the wallet with it: all come back without the chain."""
    purchases = [shop.buy(), shop.buy()]
    for purchase in purchases:
        mortal.reader.pay(bolt11_of(purchase))
    mortal.kill(name)
    mortal.restart("merchant")
    with started_again(shop) as again:
        assert again.settle() == 2
        _assert_paid_once(again, *purchases)
        mortal.revive()
        assert again.settle(0) == 0


def test_the_readers_wallet_dies_between_invoice_and_payment(
    shop: NetworkShop, mortal: Mortal
) -> None:
    purchase = shop.buy()
    mortal.kill("reader")
    assert shop.settle(0) == 0
    assert read_anew(shop, purchase)["state"] == "open"
    mortal.revive()
    mortal.reader.pay(bolt11_of(purchase))
    assert shop.settle() == 1
    _assert_paid_once(shop, purchase)


def test_the_readers_wallet_dies_between_payment_and_answer(
    shop: NetworkShop, mortal: Mortal
) -> None:
    purchase = shop.buy()
    mortal.reader.pay(bolt11_of(purchase))
    mortal.kill("reader")
    assert shop.settle() == 1
    _assert_paid_once(shop, purchase)
    mortal.revive()
    # It knows what it paid, and cannot pay it again.
    [line] = mortal.reader.payments(hash_of(purchase))
    assert line["amount_msat"] == -PRICE_SAT * 1000
    with pytest.raises(LightningNetworkError):
        mortal.reader.pay(bolt11_of(purchase))
    assert shop.settle(0) == 0
    _assert_paid_once(shop, purchase)
