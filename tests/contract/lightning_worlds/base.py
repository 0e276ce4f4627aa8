"""What each Lightning backend needs so that the contract can be played on it.

A world has a node that is ours, the backend that talks to it, and a stranger on the other
side of a channel. What cannot be brought about in a world (a real node does not lie) is
missing in its ``faults``; tests that need it are then not made for it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

import pytest

from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import IssuedInvoice, LightningBackend

NETWORK = "regtest"
PRICE_MSAT = 50_000
PAYOUT_MSAT = 20_000


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000

    def __call__(self) -> int:
        return self.now


class Fault(StrEnum):
    """Bad luck, and the method of the world that brings it about."""

    EXPIRY = "let_expire"
    RESTART = "restart"
    NO_ROUTE = "unpayable_invoice"
    FEES = "charge"
    HANGING = "hang_next_payment"
    LOST_ANSWER = "lose_next_answer"
    LYING_PREIMAGE = "lie_next"
    SILENT = "fall_silent"
    GARBAGE = "talk_nonsense"
    WRONG_SECRET = "wrong_secret"
    NARROW_SECRET = "narrow_secret"
    WRONG_CERTIFICATE = "wrong_certificate"
    NO_PAYOUT_SECRET = "without_payout_secret"
    KEPT_BACK = "keep_back"


class LightningWorld(ABC):
    """One backend and everything around it."""

    faults: ClassVar[frozenset[Fault]]
    """What can be brought about here; only those methods are ever called."""
    shortest_expiry_s: ClassVar[int] = 60
    """Of an invoice that ``let_expire`` is to outlive."""
    network: ClassVar[str] = NETWORK
    pays_any_amount: ClassVar[bool] = True
    """Of an invoice whose amount the payer chooses; otherwise nothing of it is paid."""
    backend: LightningBackend
    """With all its secrets: it may create invoices and pay."""
    secrets: Sequence[str] = ()
    """What must never be seen in an error, a log line or a ``repr``."""

    @classmethod
    @abstractmethod
    def create(cls, request: pytest.FixtureRequest) -> "LightningWorld":
        """Return a world in which nothing has happened yet.

        It may ask for session fixtures, which start real nodes once.
        """

    @abstractmethod
    def pay(self, issued: IssuedInvoice) -> None:
        """Let the stranger pay an invoice of ours; return when the node has the money."""

    @abstractmethod
    def foreign_invoice(self, amount_msat: int | None) -> str:
        """Return an invoice of the stranger's; with None the payer chooses the amount."""

    @abstractmethod
    def received_msat(self, bolt11: str) -> Sequence[int]:
        """Return every payment that the stranger got for an invoice; one at most is right."""

    @abstractmethod
    def without_connection(self) -> LightningBackend:
        """Return a backend whose address nobody listens at."""

    @abstractmethod
    def close(self) -> None:
        """End what was started for this world alone."""

    def let_expire(self, issued: IssuedInvoice) -> None:
        """Return when the invoice is over."""
        raise NotImplementedError

    def restart(self) -> None:
        """Kill the node and start it again. The backend object stays."""
        raise NotImplementedError

    def unpayable_invoice(self, amount_msat: int) -> str:
        """Return an invoice to which there is no route."""
        raise NotImplementedError

    def charge(self, fee_msat: int) -> None:
        """Let every route cost that much from now on."""
        raise NotImplementedError

    def hang_next_payment(self) -> None:
        """Let the next payment of ours get stuck on its way."""
        raise NotImplementedError

    def release(self, bolt11: str, outcome: Outcome) -> None:
        """Let a stuck payment end: SETTLED or FAILED. Return when the node knows."""
        raise NotImplementedError

    def lose_next_answer(self) -> None:
        """Let our next payment arrive, and its answer get lost."""
        raise NotImplementedError

    def lie_next(self) -> None:
        """Let the node claim our next payment with a preimage that does not fit."""
        raise NotImplementedError

    def fall_silent(self) -> None:
        """Take connections from now on and answer nothing."""
        raise NotImplementedError

    def talk_nonsense(self) -> None:
        """Answer everything with a web page from now on."""
        raise NotImplementedError

    def wrong_secret(self) -> LightningBackend:
        """Return a backend with a secret that the node does not know."""
        raise NotImplementedError

    def narrow_secret(self) -> LightningBackend:
        """Return a backend whose secret may not even create invoices."""
        raise NotImplementedError

    def wrong_certificate(self) -> LightningBackend:
        """Return a backend that expects another certificate than the node's."""
        raise NotImplementedError

    def without_payout_secret(self) -> LightningBackend:
        """Return a backend that was given the secret for invoices alone."""
        raise NotImplementedError

    def keep_back(self, amount_msat: int) -> None:
        """Give us that much more, where it cannot move now: a channel that opens, a reserve."""
        raise NotImplementedError
