"""What the worlds of all recorded nodes have in common."""

from collections.abc import Sequence
from typing import ClassVar

import pytest

from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import (
    BackendSettings,
    IssuedInvoice,
    LightningBackend,
)
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.registry import make_backend
from tests.contract.lightning_worlds.base import NETWORK, Fault, LightningWorld
from tests.contract.lightning_worlds.recorded import Certificate, RecordedNode

TIMEOUT_S = 10.0
#: For a node of which nothing is to be heard, so that it is given up soon.
SHORT_TIMEOUT_S = 0.3


class RecordedWorld(LightningWorld):
    """A recorded node; the stranger is its scripted memory."""

    faults = frozenset(Fault)
    node_class: ClassVar[type[RecordedNode]]

    def __init__(self, node: RecordedNode) -> None:
        self.node = node
        self.secrets = (node.invoice_secret, node.payout_secret, node.narrow_secret)
        self._backends: list[LightningBackend] = []
        self.backend = self.connect()

    @classmethod
    def create(cls, request: pytest.FixtureRequest) -> "RecordedWorld":
        return cls(cls.node_class(request.getfixturevalue("tmp_path")))

    def connect(
        self,
        *,
        url: str = "",
        secret: str = "",
        payout_secret: str | None = None,
        certificate: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> LightningBackend:
        """Return a backend; what is not given is as it should be."""
        node = self.node
        settings = BackendSettings(
            url=url or node.url,
            secret=secret or node.invoice_secret,
            payout_secret=node.payout_secret if payout_secret is None else payout_secret,
            certificate=certificate or (node.certificate.pem if node.tls else ""),
            timeout_s=timeout_s,
            allow_fake=False,
        )
        backend = make_backend(node.backend, settings)
        self._backends.append(backend)
        return backend

    def pay(self, issued: IssuedInvoice) -> None:
        self.node.node.pay(issued.payment_hash)

    def foreign_invoice(self, amount_msat: int | None) -> str:
        return self.node.node.foreign_invoice(amount_msat)

    def received_msat(self, bolt11: str) -> Sequence[int]:
        return self.node.node.delivered_msat(decode(bolt11, NETWORK).payment_hash)

    def without_connection(self) -> LightningBackend:
        self.node.stop()
        return self.connect()

    def close(self) -> None:
        for backend in self._backends:
            backend.close()
        self.node.stop()

    def let_expire(self, issued: IssuedInvoice) -> None:
        self.node.clock.now += self.shortest_expiry_s + 1

    def restart(self) -> None:
        self.node.stop()
        self.node.start()

    def unpayable_invoice(self, amount_msat: int) -> str:
        invoice = self.node.node.foreign_invoice(amount_msat)
        self.node.mood.unroutable.add(invoice)
        return invoice

    def charge(self, fee_msat: int) -> None:
        self.node.mood.fee_msat = fee_msat

    def hang_next_payment(self) -> None:
        self.node.node.plan_payment(Outcome.PENDING)

    def release(self, bolt11: str, outcome: Outcome) -> None:
        self.node.node.finish(decode(bolt11, NETWORK).payment_hash, outcome)

    def lose_next_answer(self) -> None:
        self.node.mood.losing_answer = True

    def lie_next(self) -> None:
        self.node.mood.lying = True

    def fall_silent(self) -> None:
        self.node.mood.silent = True
        self.backend = self.connect(timeout_s=SHORT_TIMEOUT_S)

    def talk_nonsense(self) -> None:
        self.node.mood.nonsense = True

    def wrong_secret(self) -> LightningBackend:
        return self.connect(secret=self.node.unknown_secret)

    def narrow_secret(self) -> LightningBackend:
        return self.connect(secret=self.node.narrow_secret)

    def wrong_certificate(self) -> LightningBackend:
        return self.connect(certificate=Certificate.make().pem)

    def without_payout_secret(self) -> LightningBackend:
        return self.connect(payout_secret="")

    def keep_back(self, amount_msat: int) -> None:
        funds = self.node.node.funds()
        held_msat = funds.held_msat + amount_msat
        self.node.node.set_funds(funds.spendable_msat, funds.receivable_msat, held_msat)
