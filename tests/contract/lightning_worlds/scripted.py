"""The scripted backend as a world: it is its own stranger."""

from collections.abc import Sequence

import pytest

from bitcache_server.domain.errors import LightningRejected, LightningUnreachable
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import BackendSettings, IssuedInvoice, PayOrder, Sent
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.scripted import ScriptedBackend
from tests.contract.lightning_worlds.base import NETWORK, Clock, Fault, LightningWorld

SETTINGS = BackendSettings("", "", "", "", timeout_s=1.0, allow_fake=True)


class _Charging(ScriptedBackend):
    """Every route costs the same."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(SETTINGS, clock)
        self.fee_msat = 0

    def pay(
        self, what: PayOrder | str, amount_msat: int | None = None, settled_at: int | None = None
    ) -> Sent:
        if isinstance(what, PayOrder) and self.fee_msat:
            self.plan_payment(Outcome.SETTLED, self.fee_msat)
        return super().pay(what, amount_msat, settled_at)


class ScriptedWorld(LightningWorld):
    """Nothing leaves the process."""

    faults = frozenset(
        {
            Fault.EXPIRY,
            Fault.RESTART,
            Fault.NO_ROUTE,
            Fault.FEES,
            Fault.HANGING,
            Fault.LOST_ANSWER,
            Fault.SILENT,
            Fault.GARBAGE,
            Fault.KEPT_BACK,
        }
    )

    def __init__(self) -> None:
        self.clock = Clock()
        self.backend: _Charging = _Charging(self.clock)

    @classmethod
    def create(cls, request: pytest.FixtureRequest) -> "ScriptedWorld":
        return cls()

    def pay(self, issued: IssuedInvoice) -> None:
        self.backend.pay(issued.payment_hash)

    def foreign_invoice(self, amount_msat: int | None) -> str:
        return self.backend.foreign_invoice(amount_msat)

    def received_msat(self, bolt11: str) -> Sequence[int]:
        return self.backend.delivered_msat(decode(bolt11, NETWORK).payment_hash)

    def without_connection(self) -> ScriptedBackend:
        lonely = ScriptedBackend(SETTINGS, self.clock)
        lonely.fail_with(LightningUnreachable("Nothing listens at the node's address."))
        return lonely

    def let_expire(self, issued: IssuedInvoice) -> None:
        self.clock.now += self.shortest_expiry_s + 1

    def restart(self) -> None:
        """Its memory is the node's, so nothing is lost."""
        self.backend.close()

    def unpayable_invoice(self, amount_msat: int) -> str:
        """Ask for more than the node has."""
        self.backend.set_funds(amount_msat - 1, None)
        return self.backend.foreign_invoice(amount_msat)

    def charge(self, fee_msat: int) -> None:
        self.backend.fee_msat = fee_msat

    def hang_next_payment(self) -> None:
        self.backend.plan_payment(Outcome.PENDING)

    def release(self, bolt11: str, outcome: Outcome) -> None:
        self.backend.finish(decode(bolt11, NETWORK).payment_hash, outcome)

    def lose_next_answer(self) -> None:
        self.backend.lose_next_answer()

    def fall_silent(self) -> None:
        self.backend.fail_with(LightningUnreachable("The node did not answer in time."))

    def talk_nonsense(self) -> None:
        self.backend.fail_with(LightningRejected("The node gave no JSON."))

    def close(self) -> None:
        """Nothing was started."""

    def keep_back(self, amount_msat: int) -> None:
        funds = self.backend.funds()
        held_msat = funds.held_msat + amount_msat
        self.backend.set_funds(funds.spendable_msat, funds.receivable_msat, held_msat)
