"""Electrum in a real network: bcoin, ElectrumX and two wallets with a channel between them."""

from collections.abc import Sequence

import pytest

from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import BackendSettings, IssuedInvoice
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.electrum import ElectrumBackend
from demo.regtest.electrum_daemon import wait_for
from demo.regtest.lightning import LightningNetwork
from tests.contract.lightning_worlds.base import NETWORK, Fault, LightningWorld
from tests.support.lightning_network import proxy_to
from tests.support.rpc_proxy import Fault as ProxyFault

TIMEOUT_S = 3.0
SHORT_TIMEOUT_S = 0.3
#: Everything that a wallet would listen for on this port is refused.
NOBODY = "http://127.0.0.1:9"


class ElectrumWorld(LightningWorld):
    """The merchant's wallet is ours, the reader's is the stranger's."""

    pays_any_amount = False
    # It takes payments after the expiry, routes cost nothing between two, and it has one
    # password for everything and no TLS of its own. A real wallet does not lie.
    faults = frozenset(
        {
            Fault.RESTART,
            Fault.NO_ROUTE,
            Fault.HANGING,
            Fault.LOST_ANSWER,
            Fault.SILENT,
            Fault.GARBAGE,
            Fault.WRONG_SECRET,
        }
    )

    def __init__(self, network: LightningNetwork) -> None:
        self._network = network
        self._ours, self._stranger = network.merchant, network.reader
        self._proxy = proxy_to(self._ours)
        self.secrets = [self._ours.user_password, self._ours.user_password.partition(":")[2]]
        self._opened: list[ElectrumBackend] = []
        self.backend = self._backend()

    @classmethod
    def create(cls, request: pytest.FixtureRequest) -> "ElectrumWorld":
        return cls(request.getfixturevalue("lightning_network"))

    def pay(self, issued: IssuedInvoice) -> None:
        self._stranger.pay(issued.bolt11)
        wait_for(lambda: self._ours.payments(issued.payment_hash), "the payment arrives")

    def foreign_invoice(self, amount_msat: int | None) -> str:
        return self._stranger.invoice((amount_msat or 0) // 1000)

    def received_msat(self, bolt11: str) -> Sequence[int]:
        lines = self._stranger.payments(decode(bolt11, NETWORK).payment_hash)
        return [int(line["amount_msat"]) for line in lines]

    def without_connection(self) -> ElectrumBackend:
        return self._backend(url=NOBODY)

    def restart(self) -> None:
        self._network.kill("merchant")
        self._network.start("merchant")
        self._network.wait_until_ready()

    def unpayable_invoice(self, amount_msat: int) -> str:
        """Let the stranger be away; there is nobody else to go through."""
        invoice = self._stranger.invoice(amount_msat // 1000)
        self._network.kill("reader")
        wait_for(lambda: not self._ours.has_channel(), "the stranger is gone")
        return invoice

    def hang_next_payment(self) -> None:
        self._stranger.hold()

    def release(self, bolt11: str, outcome: Outcome) -> None:
        self._stranger.refuse(outcome is Outcome.FAILED)
        self._stranger.hold(False)
        wait_for(lambda: not self._ours.in_flight_sat(), "the payment ends")

    def lose_next_answer(self) -> None:
        self._proxy.fault, self._proxy.only = ProxyFault.DIE_IN_ANSWER, "lnpay"

    def fall_silent(self) -> None:
        self.backend = self._backend(timeout_s=SHORT_TIMEOUT_S)
        self._proxy.fault, self._proxy.only = ProxyFault.SLOW, ""

    def talk_nonsense(self) -> None:
        self._proxy.fault, self._proxy.only = ProxyFault.HTML, ""

    def wrong_secret(self) -> ElectrumBackend:
        return self._backend(secret="bitcache:wrong")

    def close(self) -> None:
        for backend in self._opened:
            backend.close()
        self._proxy.go_away()
        if self._stranger.pid is None:
            self._network.start("reader")
        self._stranger.hold(False)
        self._stranger.refuse(False)
        self._network.wait_until_ready()

    def _backend(
        self, url: str = "", secret: str = "", timeout_s: float = TIMEOUT_S
    ) -> ElectrumBackend:
        settings = BackendSettings(
            url=url or f"http://127.0.0.1:{self._proxy.port}",
            secret=secret or self._ours.user_password,
            payout_secret="",
            certificate="",
            timeout_s=timeout_s,
            allow_fake=False,
        )
        self._opened.append(ElectrumBackend(settings))
        return self._opened[-1]
