"""Nostr Wallet Connect as a world: a relay, and a wallet service over a wallet of LNbits."""

import time
from collections.abc import Sequence

import pytest

from bitcache_server.rails.lightning.backend import BackendSettings, IssuedInvoice
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.nwc import NwcBackend
from tests.contract.lightning_worlds.base import Fault, LightningWorld
from tests.contract.lightning_worlds.lnbits import MUCH_SAT, NETWORK, far_away_invoice
from tests.support.lnbits import Lnbits
from tests.support.nwc_wallet import NwcWallet

#: Some tests wait for it to the end; a busy machine needs some of it.
TIMEOUT_S = 4.0
_RECEIVING = ("make_invoice", "lookup_invoice", "list_transactions", "get_info", "get_balance")


class NwcWorld(LightningWorld):
    """A wallet that keeps to NIP-47; the stranger has another wallet of the same LNbits."""

    network = NETWORK
    pays_any_amount = False
    shortest_expiry_s = 1
    faults = frozenset(
        {
            Fault.EXPIRY,
            Fault.RESTART,
            Fault.NO_ROUTE,
            Fault.LOST_ANSWER,
            Fault.LYING_PREIMAGE,
            Fault.SILENT,
            Fault.WRONG_SECRET,
            Fault.NARROW_SECRET,
            Fault.NO_PAYOUT_SECRET,
        }
    )

    def __init__(self, lnbits: Lnbits) -> None:
        self._lnbits = lnbits
        self._stranger = lnbits.wallet("stranger", MUCH_SAT)
        self.service = NwcWallet(lnbits, lnbits.wallet("ours", MUCH_SAT)).start()
        receiving, paying = self.service.connection(*_RECEIVING), self.service.connection()
        self.secrets = tuple(text.partition("secret=")[2] for text in (receiving, paying))
        self._opened: list[NwcBackend] = []
        self.backend: NwcBackend = self._backend(receiving, paying)

    @classmethod
    def create(cls, request: pytest.FixtureRequest) -> "NwcWorld":
        return cls(request.getfixturevalue("lnbits"))

    def pay(self, issued: IssuedInvoice) -> None:
        self._lnbits.pay(self._stranger, issued.bolt11)

    def foreign_invoice(self, amount_msat: int | None) -> str:
        if amount_msat is None:
            return far_away_invoice(0)  # LNbits makes none itself
        return str(self._lnbits.invoice(self._stranger, amount_msat // 1000)["bolt11"])

    def received_msat(self, bolt11: str) -> Sequence[int]:
        query = f"payment_hash={decode(bolt11, NETWORK).payment_hash}&status=success"
        return [one["amount"] for one in self._lnbits.payments(self._stranger, query)]

    def without_connection(self) -> NwcBackend:
        nowhere = self.service.connection().replace(self.service.relay, "ws://127.0.0.1:9")
        return self._backend(nowhere, nowhere)

    def let_expire(self, issued: IssuedInvoice) -> None:
        while time.time() <= decode(issued.bolt11, NETWORK).expires_at:
            time.sleep(0.1)

    def restart(self) -> None:
        """Take the relay away and bring it back, which is how a wallet goes off line."""
        self.service.stop_relay()
        self.service.start_relay()

    def unpayable_invoice(self, amount_msat: int) -> str:
        return far_away_invoice(amount_msat)

    def lose_next_answer(self) -> None:
        self.service.loses_next.add("pay_invoice")

    def lie_next(self) -> None:
        self.service.lies = True

    def fall_silent(self) -> None:
        self.service.silent = True

    def wrong_secret(self) -> NwcBackend:
        unknown = self.service.foreign_connection()
        return self._backend(unknown, unknown)

    def narrow_secret(self) -> NwcBackend:
        narrow = self.service.connection("get_info", "get_balance")
        return self._backend(narrow, narrow)

    def without_payout_secret(self) -> NwcBackend:
        return self._backend(self.service.connection(*_RECEIVING), "")

    def close(self) -> None:
        for backend in self._opened:
            backend.close()
        self.service.stop()

    def _backend(self, receiving: str, paying: str) -> NwcBackend:
        backend = NwcBackend(BackendSettings(receiving, "", paying, "", TIMEOUT_S, False))
        self._opened.append(backend)
        return backend
