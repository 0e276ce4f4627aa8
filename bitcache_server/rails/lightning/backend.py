"""The contract of a Lightning backend: what a node, a wallet or a service must do for us.

A backend is a thin translation of one API. It holds no state that must survive, may be
used by several threads at once, and connects with its first call. The amounts are msat,
the times Unix seconds. ``tests/contract/lightning`` plays the same suite over every backend.

Secrets never stand in an error, a log line or a ``repr``.
"""

from dataclasses import dataclass
from typing import Protocol

from bitcache_server.domain.outcome import Outcome


@dataclass(frozen=True)
class Abilities:
    """What a backend can do. The rail asks before it promises anything to a reader."""

    exact_msat: bool
    """Takes amounts to the msat; otherwise the rail rounds up to the sat."""
    description_hash: bool
    """Commits to a long description by its hash (BOLT 11, ``h``); otherwise the memo stands."""
    pays: bool
    """Was given a secret that may send money."""
    fee_limit: bool
    """Refuses a route above the fee limit; otherwise the fee is only known afterwards."""
    pushes: bool
    """Reports settlements by itself; otherwise ``settlements`` asks again and again."""
    lists_pending: bool = True
    """Surely knows a payment while it is under way; otherwise ``missing`` frees its money only
    when no network would still carry it."""


@dataclass(frozen=True)
class InvoiceOrder:
    """An invoice that somebody is to be shown."""

    label: str
    """Our invoice id; a backend that keeps labels must take the same one twice."""
    amount_msat: int
    memo: str
    """Short, for people: what wallets show."""
    description: str
    """What the payment is for, to the letter; the invoice commits to its SHA-256."""
    expires_in_s: int


@dataclass(frozen=True)
class IssuedInvoice:
    """What the node made of an order."""

    bolt11: str
    payment_hash: str
    """64 hexadecimal digits; what all other calls name it by."""


@dataclass(frozen=True)
class InvoiceStatus:
    """What the node knows of an invoice of ours."""

    outcome: Outcome
    """PENDING: open, or held and not settled. SETTLED: ours. FAILED: expired or cancelled
    at the node, nothing can come any more. UNKNOWN: the node has no such invoice."""
    amount_msat: int
    """What arrived; 0 before."""
    settled_at: int
    """0 before."""
    preimage: str
    """64 hexadecimal digits once settled; empty where the backend does not tell."""


@dataclass(frozen=True)
class Settled:
    """An invoice of ours that was paid."""

    payment_hash: str
    amount_msat: int
    settled_at: int
    preimage: str


@dataclass(frozen=True)
class SettledPage:
    """Settlements since a cursor, oldest first, and the cursor to go on from.

    The same settlement may come twice; none may be left out.
    """

    settled: tuple[Settled, ...]
    cursor: str


@dataclass(frozen=True)
class PayOrder:
    """An invoice of somebody else's that is to be paid."""

    bolt11: str
    payment_hash: str
    amount_msat: int
    """What the payee gets; for an invoice without an amount the node is told this one."""
    max_fee_msat: int
    wait_s: float
    """How long to wait for the end; later the answer is PENDING or UNKNOWN."""


@dataclass(frozen=True)
class Sent:
    """What became of a payment that we make."""

    outcome: Outcome
    """SETTLED with preimage and fee. FAILED: the node says that it is over and the money is
    back. PENDING: under way. UNKNOWN: no clear answer, or the node has no such payment."""
    fee_msat: int
    preimage: str
    detail: str
    """For people: no route, the fee limit, too little money, what the node said."""
    missing: bool = False
    """With UNKNOWN: the node answered, and has no such payment. Never set where the answer
    is not clear: an expired invoice that is missing was not paid, and its money goes back.
    With FAILED: it says so, and of a payment that it does not list, which proves little."""


@dataclass(frozen=True)
class Funds:
    """What the node could move now, and what is ours in it."""

    spendable_msat: int
    receivable_msat: int | None
    """Inbound room for one invoice; None where the backend does not tell."""
    held_msat: int
    """Everything on our side of all channels, as far as the node tells: the reserve that a
    channel keeps back too, and channels whose peer is away or that are being closed."""


@dataclass(frozen=True, repr=False)
class BackendSettings:
    """What a backend may need of the settings. It says itself what it cannot do without."""

    url: str
    """``https://host:port``, or the whole connection text of a wallet (NIP-47)."""
    secret: str
    """May create and read invoices: a macaroon in hex, a rune, an API key, a password."""
    payout_secret: str
    """May also pay; empty where nothing is paid out, or where ``secret`` may do both."""
    certificate: str
    """PEM of the node's own certificate; empty for one that the system trusts."""
    timeout_s: float
    allow_fake: bool
    """Never in production."""


class LightningBackend(Protocol):
    """One node, wallet or service."""

    @property
    def name(self) -> str:
        """Return the name in the settings: ``lnd``, ``cln``, ``electrum`` …"""

    @property
    def abilities(self) -> Abilities:
        """Return what it can do. Asks nobody."""

    def create_invoice(self, order: InvoiceOrder) -> IssuedInvoice:
        """Make an invoice. Raises RailError; a second call makes another invoice."""

    def lookup_invoice(self, payment_hash: str) -> InvoiceStatus:
        """Ask about an invoice of ours. Raises RailError when there is no answer."""

    def settlements(self, cursor: str | None, wait_s: float) -> SettledPage:
        """Return what was settled after the cursor, waiting up to ``wait_s`` for the first.

        Without a cursor it begins now: what was settled before is not reported. Raises
        RailError; the caller then asks again with the cursor that it stored.
        """

    def pay(self, order: PayOrder) -> Sent:
        """Pay, or say what became of it; a payment hash is never paid twice.

        Never raises: what is not clear is UNKNOWN. A preimage that does not belong to the
        payment hash is UNKNOWN too, for then somebody lies.
        """

    def lookup_payment(self, payment_hash: str) -> Sent:
        """Ask about a payment of ours. Never raises."""

    def funds(self) -> Funds:
        """Return balance and inbound room.

        Raises RailError; LightningPermission where the secret may sell and not ask for it.
        """

    def check(self, network: str) -> str:
        """Return a line that says who answers, for the doctor.

        Raises the RailError that names what is wrong: LightningUnreachable,
        LightningUnauthorized, LightningPermission, LightningCertificate,
        LightningWrongNetwork.
        """

    def close(self) -> None:
        """End connections and threads; a later call may open them again."""
