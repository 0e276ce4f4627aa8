"""The contract of a rail: ask for a payment, watch, look one up, pay out, report health.

There are two kinds. A chain rail is watched block by block, and what it saw may be taken
back; a stream rail reports settlements that are final. Both hold no state that must
survive: the caller stores the cursor that each step carries, in the same transaction as
what the step brought, and hands it back after a restart. ``tests/contract`` runs the same
suite over every rail.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bitcache_server.domain.outcome import Outcome


@dataclass(frozen=True)
class PaymentOrder:
    """What the caller wants to be paid."""

    invoice_id: str
    amount_msat: int
    expires_at: int
    account: str
    """Who receives: for on-chain the descriptor, for Lightning the merchant's own Lightning
    address or nothing for the operator's node. Checked when it was stored."""
    index: int
    """For on-chain the derivation index; the caller never gives one out twice."""
    memo: str = ""
    """Short, for people: a wallet may show it."""
    description: str = ""
    """What is paid for, to the letter; a Lightning invoice commits to its hash."""


@dataclass(frozen=True)
class PaymentRequest:
    """What the payer is shown."""

    rail: str
    destination: str
    """The address (on-chain) or the invoice (Lightning, BOLT 11)."""
    target: str
    """What observations of payments to this request carry: the script in hex (on-chain),
    the payment hash (Lightning)."""
    amount_msat: int
    """What must arrive: for on-chain whole sats, rounded up."""
    description: str = ""
    """The text that the invoice commits to; empty where it carries a memo."""
    check_url: str = ""
    """Where settlement is asked for (LUD-21), when somebody else's node receives."""


@dataclass(frozen=True)
class BlockRef:
    """A block of the best chain as the rail saw it."""

    height: int
    hash: str
    time: int
    """The header's time; it may be off by two hours (BIP 113 has the background)."""


@dataclass(frozen=True)
class Observation:
    """Money that a rail saw. ``reference`` is unique per rail for ever."""

    rail: str
    reference: str
    """For on-chain the outpoint, ``txid:vout``."""
    target: str
    amount_msat: int
    block: BlockRef | None
    """None while the transaction waits in the mempool."""
    sight_ok: bool
    """May be trusted unconfirmed: final, a fair fee, no replacement signalled."""
    sight_reason: str
    """Why not, for people; empty when ``sight_ok``."""
    spendable_at_height: int
    """For a coinbase output the height from which it counts (100 deep), otherwise 0."""
    raw: str
    """The raw transaction in hex, so that it can be sent again; may be empty."""


@dataclass(frozen=True)
class BlockConnected:
    """The next block of the best chain with the observations in it."""

    block: BlockRef
    previous_hash: str
    observations: tuple[Observation, ...]


@dataclass(frozen=True)
class BlockDisconnected:
    """The block at the tip left the best chain; ``previous_hash`` is the new tip."""

    height: int
    hash: str
    previous_hash: str


@dataclass(frozen=True)
class MempoolSeen:
    """Observations of unconfirmed payments that are new to this process."""

    observations: tuple[Observation, ...]


Step = BlockConnected | BlockDisconnected | MempoolSeen


@dataclass(frozen=True)
class Cursor:
    """Where the last stored step left off."""

    height: int
    hash: str


#: Given script targets, return those that the caller waits for. Called once a
#: block (or in chunks), so that the cost is the block's and not the invoices'.
Matcher = Callable[[Sequence[str]], Set[str]]


@dataclass(frozen=True)
class Lookup:
    """The answer to a question about one known payment."""

    outcome: Outcome
    """SETTLED: in the best chain. PENDING: in the mempool. FAILED: a conflicting
    transaction took its place. UNKNOWN: the node cannot tell now."""
    block: BlockRef | None
    detail: str


@dataclass(frozen=True)
class RailHealth:
    """What a rail says of itself. ``code`` is an error code, or ``ok``."""

    ok: bool
    code: str
    detail: str
    tip_height: int
    fee_rate_msat_per_vb: int
    """What a transaction should pay to confirm soon; 0 where that has no meaning."""
    receivable_msat: int | None = None
    """The largest amount that can arrive now; None where that has no bound or is not known."""


@dataclass(frozen=True)
class Settlement:
    """Money that arrived for good. ``reference`` is unique per rail for ever."""

    rail: str
    reference: str
    """The payment hash."""
    target: str
    """The request's target: the payment hash."""
    amount_msat: int
    settled_at: int
    proof: str
    """The preimage in hex; empty where nobody tells it."""


@dataclass(frozen=True)
class SettlementPage:
    """Settlements after a cursor, oldest first, and the cursor to go on from."""

    settlements: tuple[Settlement, ...]
    cursor: str


@dataclass(frozen=True)
class PayoutOrder:
    """One payee of a payout."""

    payout_id: str
    destination: str
    """In the normal form of ``check_destination``."""
    amount_msat: int
    """What arrives; for on-chain whole sats."""
    max_fee_msat: int | None = None
    """What was put aside for routing; None: as much as ``payout_fee_msat`` says."""


@dataclass(frozen=True)
class PreparedPayout:
    """Money that is ready to leave: sending it again never pays twice."""

    reference: str
    """For on-chain the transaction id."""
    raw: str
    """For on-chain the signed transaction in hex."""
    amount_msat: int
    """What all payees get together."""
    fee_msat: int
    """What the network takes on top; for Lightning at most, until it is settled."""


@dataclass(frozen=True)
class PayoutLookup:
    """What became of a payout."""

    outcome: Outcome
    """SETTLED: in the best chain, ``confirmations`` deep. PENDING: in the mempool.
    FAILED: its coins were spent otherwise, ``confirmations`` deep, and the payees got
    nothing by that; for Lightning, the node gave up for good. UNKNOWN: nobody can
    tell now; the money keeps its place.
    A reorganisation can take SETTLED back, as ``confirmations`` says."""
    carrier: PreparedPayout
    """The transaction that pays: when it was replaced by one that pays the same, that one's
    ``reference`` and ``fee_msat``. Its ``raw`` stays what was prepared, and so both can be
    asked about, and sent."""
    confirmations: int
    """``FINAL`` where nothing can be taken back."""
    detail: str
    missing: bool = False
    """Over Lightning the node never heard of it: with UNKNOWN it may be sent again; with FAILED
    it refused the call, or the invoice has expired since."""
    refused: bool = False
    """With ``missing``: this process heard it refuse the call."""


#: Deeper than anybody asks for: what cannot be taken back.
FINAL = 1_000_000_000


class Rail(Protocol):
    """One way to be paid and to pay."""

    @property
    def name(self) -> str:
        """Return the stable name: ``onchain``, ``lightning``, ``fake``."""

    def check_account(self, account: str) -> str:
        """Return the account in its normal form.

        Raises DescriptorInvalid or PrivateKeyRefused, in words a merchant understands.
        """

    def create_request(self, order: PaymentOrder) -> PaymentRequest:
        """Return what the payer must be shown. Same order, same answer."""

    def health(self) -> RailHealth:
        """Return the state of the rail. Never raises."""

    def check_destination(self, destination: str) -> str:
        """Return where money can be sent in its normal form.

        Raises AddressInvalid in words a reader understands: another network, a typing
        error, a kind of destination that this rail cannot pay.
        """

    @property
    def payouts_together(self) -> int | None:
        """Return how many payouts one transaction carries at most; None for no bound.

        One means that nothing is gained by waiting for others.
        """

    def payout_fee_msat(self, destination: str, amount_msat: int) -> int:
        """Return what the payee is charged for a payout of its own now, rounded up.

        For on-chain: fee rate * (110 + the output's virtual bytes), whole sats. That is
        one coin, the payee and change; a batch costs less for each. For Lightning: the
        reserve for routing, of which the unused part comes back. Raises AddressInvalid,
        RailError.
        """

    def prepare_payout(self, orders: Sequence[PayoutOrder]) -> PreparedPayout:
        """Make and sign one transaction for all orders, and send nothing.

        The caller stores the answer before it sends it. Nothing else may be prepared
        until it was sent or given up: both would use the same coins. Orders to one
        destination may be sent as one amount. Raises PayoutsUnavailable when there is too
        little money, PayoutLimit for an amount that the network does not carry (below the
        dust limit, fractions of a sat), AddressInvalid, RailError.
        """

    def send_payout(self, prepared: PreparedPayout) -> Outcome:
        """Send, or send again: PENDING or SETTLED when it is out.

        FAILED never comes from here: a refusal of the node may pass, so it is UNKNOWN,
        as is everything that goes wrong on the way. ``lookup_payout`` tells.
        """

    def lookup_payout(self, prepared: PreparedPayout) -> PayoutLookup:
        """Ask what became of a payout, and send it where the node does not have it.

        So it is only for payouts that were stored and are meant to leave. A failure of the
        node is UNKNOWN; no RailError leaves.
        """

    def held_msat(self, references: Sequence[str]) -> int:
        """Return what this rail holds for us now, unconfirmed money included.

        ``references`` are payments to accounts that are not the paying wallet's own,
        for on-chain outpoints; those that are spent count nothing. Raises RailError.
        """


@runtime_checkable
class ChainRail(Rail, Protocol):
    """A rail with blocks: what was seen waits for confirmations, and may be taken back."""

    def watch(
        self, cursor: Cursor | None, match: Matcher, with_mempool: bool = True
    ) -> Iterator[Step]:
        """Yield all steps from the cursor to now, oldest first, then stop.

        With no cursor the watch begins at the present tip: it yields one
        BlockConnected for the tip, so that there is a cursor to store. Blocks that
        left the best chain come first, as BlockDisconnected from the old tip down
        to the common ancestor. Raises RailError; steps already yielded stay valid.
        """

    def forget_mempool(self) -> None:
        """Report every unconfirmed payment anew at the next watch."""

    def lookup(self, observation: Observation) -> Lookup:
        """Ask about a payment seen before; send it again where the node lost it."""


@runtime_checkable
class StreamRail(Rail, Protocol):
    """A rail whose settlements are final."""

    def settlements(self, cursor: str | None, wait_s: float) -> SettlementPage:
        """Return what was settled after the cursor, waiting up to ``wait_s`` for the first.

        Without a cursor it begins now. The same settlement may come twice, none is left
        out. Raises RailError; the caller asks again with the cursor that it stored.
        """

    def check_request(self, request: PaymentRequest) -> Settlement | None:
        """Ask whether a request was paid; None while it was not.

        For what the stream does not bring: a request whose money goes to somebody else's
        node (``check_url``), and a doubt about one of ours. Raises RailError.
        """
