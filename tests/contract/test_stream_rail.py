"""What every rail with final settlements must do: over a scripted node, and a real network."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import pytest

from bitcache_server.domain.clock import Clock
from bitcache_server.rails.base import PaymentOrder, PaymentRequest, StreamRail
from bitcache_server.rails.lightning.backend import LightningBackend
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.lnurl_client import LnurlClient
from bitcache_server.rails.lightning.rail import LightningRail
from bitcache_server.rails.lightning.scripted import ScriptedBackend
from demo.regtest.electrum_daemon import wait_for
from demo.regtest.lightning import LightningNetwork
from tests.contract.lightning_worlds.base import NETWORK
from tests.contract.lightning_worlds.base import Clock as MovableClock
from tests.contract.lightning_worlds.scripted import SETTINGS
from tests.support.lightning_network import electrum_backend

WAIT_S = 20.0
PRICE_MSAT = 50_000
SHORT_S = 2


class StreamWorld(ABC):
    """A rail, and somebody who pays its requests."""

    takes_fractions: ClassVar[bool]
    """Whether an amount stays as it is to the msat, or becomes whole sats."""

    def __init__(self, backend: LightningBackend, clock: Clock) -> None:
        self.backend, self.clock = backend, clock
        self.rail: StreamRail = LightningRail(
            backend=backend,
            lnurl=LnurlClient(timeout_s=1, allow_local=True),
            network=NETWORK,
            fee_ppm=10_000,
            fee_min_msat=5_000,
            pay_wait_s=WAIT_S,
            clock=clock,
        )

    def ask(self, amount_msat: int = PRICE_MSAT, lasts_s: int = 600) -> PaymentRequest:
        """Return a request for a purchase."""
        order = PaymentOrder(
            invoice_id="in_1",
            amount_msat=amount_msat,
            expires_at=self.clock() + lasts_s,
            account="",
            index=0,
            memo="An article · The Site",
            description='{"invoice":"in_1"}',
        )
        return self.rail.create_request(order)

    @abstractmethod
    def pay(self, request: PaymentRequest) -> None:
        """Pay a request; return when the node has the money."""

    @abstractmethod
    def outlive(self, request: PaymentRequest) -> None:
        """Return when the request has expired."""

    @abstractmethod
    def lock_up(self) -> None:
        """Let nothing of ours be able to move."""

    @abstractmethod
    def close(self) -> None:
        """Leave everything as it was found."""


class ScriptedStream(StreamWorld):
    """Nothing leaves the process."""

    takes_fractions = True

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._movable = MovableClock()
        self._node = ScriptedBackend(SETTINGS, self._movable)
        super().__init__(self._node, self._movable)

    def pay(self, request: PaymentRequest) -> None:
        self._node.pay(request.target)
        funds = self._node.funds()
        self._node.set_funds(funds.spendable_msat + request.amount_msat, funds.receivable_msat)

    def outlive(self, request: PaymentRequest) -> None:
        self._movable.now = decode(request.destination, NETWORK).expires_at

    def lock_up(self) -> None:
        self._node.set_funds(0, 0, self._node.funds().held_msat)

    def close(self) -> None:
        self._node.close()


class WholeSatStream(ScriptedStream):
    """A node that knows no fractions of a sat."""

    takes_fractions = False

    def __init__(self, request: pytest.FixtureRequest) -> None:
        super().__init__(request)
        self._node.exact_msat = False


class ElectrumStream(StreamWorld):
    """Two Electrum wallets with a channel; the merchant's is ours, the reader's pays."""

    takes_fractions = False

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._network: LightningNetwork = request.getfixturevalue("lightning_network")
        super().__init__(electrum_backend(self._network.merchant), lambda: int(time.time()))

    def pay(self, request: PaymentRequest) -> None:
        self._network.reader.pay(request.destination)
        ours = self._network.merchant
        wait_for(lambda: ours.payments(request.target), "the payment arrives")

    def outlive(self, request: PaymentRequest) -> None:
        ends_at = decode(request.destination, NETWORK).expires_at
        wait_for(lambda: self.clock() >= ends_at, "the invoice expires")

    def lock_up(self) -> None:
        self._network.kill("reader")
        wait_for(lambda: not self._network.merchant.has_channel(), "the peer is gone")

    def close(self) -> None:
        self.backend.close()
        if self._network.reader.pid is None:
            self._network.start("reader")
        self._network.wait_until_ready()


@pytest.fixture(params=[ScriptedStream, WholeSatStream, ElectrumStream])
def world(request: pytest.FixtureRequest) -> Iterator[StreamWorld]:
    made = request.param(request)
    yield made
    made.close()


def test_a_payment_is_reported_once_and_to_the_millisatoshi(world: StreamWorld) -> None:
    start = world.rail.settlements(None, 0)
    assert start.settlements == ()
    request, other = world.ask(), world.ask()
    world.pay(request)
    page = world.rail.settlements(start.cursor, WAIT_S)
    [seen] = page.settlements
    assert (seen.rail, seen.target, seen.amount_msat) == ("lightning", request.target, PRICE_MSAT)
    # What a payment is known by here must be another one for each payment.
    assert seen.reference == request.target != other.target
    assert abs(seen.settled_at - world.clock()) <= 60
    assert world.rail.settlements(page.cursor, 0).settlements == ()
    # Whoever did not store the page gets it again, and then what came since.
    world.pay(other)
    again = world.rail.settlements(start.cursor, WAIT_S).settlements
    assert {one.target for one in again} == {request.target, other.target}
    [later] = world.rail.settlements(page.cursor, WAIT_S).settlements
    assert later.target == other.target


def test_the_place_in_another_nodes_stream_is_no_place_here(world: StreamWorld) -> None:
    request = world.ask()
    world.pay(request)
    page = world.rail.settlements("nodeflix:0", 0)
    assert page.settlements == ()
    other = world.ask()
    world.pay(other)
    [seen] = world.rail.settlements(page.cursor, WAIT_S).settlements
    assert seen.target == other.target


def test_a_request_says_whether_it_was_paid(world: StreamWorld) -> None:
    request, expired = world.ask(), world.ask(lasts_s=SHORT_S)
    assert world.rail.check_request(request) is None
    world.pay(request)
    seen = world.rail.check_request(request)
    assert seen is not None
    assert (seen.rail, seen.reference, seen.target) == ("lightning", request.target, request.target)
    assert seen.amount_msat == PRICE_MSAT
    world.outlive(expired)
    assert world.rail.check_request(expired) is None


def test_a_request_asks_for_the_price_or_the_next_whole_sat(world: StreamWorld) -> None:
    request = world.ask(PRICE_MSAT + 1)
    wanted_msat = PRICE_MSAT + (1 if world.takes_fractions else 1_000)
    assert request.amount_msat == wanted_msat
    assert decode(request.destination, NETWORK).amount_msat == wanted_msat
    assert decode(request.destination, NETWORK).payment_hash == request.target
    assert request.check_url == ""


def test_the_rail_is_well_and_says_what_it_can_receive(world: StreamWorld) -> None:
    health = world.rail.health()
    assert (health.ok, health.code) == (True, "ok")
    assert health.receivable_msat is not None
    assert health.receivable_msat >= PRICE_MSAT


def test_what_arrived_is_held_whether_it_can_move_or_not(world: StreamWorld) -> None:
    before_msat = world.rail.held_msat([])
    world.pay(world.ask())
    assert world.rail.held_msat([]) == before_msat + PRICE_MSAT
    world.lock_up()
    assert world.backend.funds().spendable_msat == 0
    assert world.rail.held_msat([]) == before_msat + PRICE_MSAT
