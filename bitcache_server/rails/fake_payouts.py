"""The paying side of the fake rail, with a switch for each thing that can go wrong."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from bitcache_server.domain.errors import AddressInvalid, PayoutLimit, PayoutsUnavailable
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import PayoutLookup, PayoutOrder, PreparedPayout
from bitcache_server.rails.fake_chain import FakeChain, FakeTx, txid_of

FEE_RATE_MSAT_PER_VB = 1_000
DUST_MSAT = 546_000
DEFAULT_CONFLICT_CONFIRMATIONS = 6
#: A transaction without its payees, and one payee.
_FRAME_VB = 110
_PAYEE_VB = 31
_SENT = "the node did not have it; it was sent"
_DESTINATION = re.compile(r"(?i:fake):([0-9A-Za-z_-]{1,80})")


class FakePayouts(FakeChain):
    """A wallet that holds what a test puts into it; each payout spends a coin of its own."""

    def __init__(
        self,
        allow: bool = False,
        conflict_confirmations: int = DEFAULT_CONFLICT_CONFIRMATIONS,
    ) -> None:
        super().__init__(allow)
        self._conflict_confirmations = conflict_confirmations
        self._funds_msat = 0
        self._swept: set[str] = set()
        self._prepared: dict[str, FakeTx] = {}
        self._refusal = ""
        self._loses_answers = False

    # What a test tells it. A payout is dropped with ``lose``, mined with ``confirm``.

    def fund(self, amount_msat: int) -> None:
        """Put money into the wallet, or take some out if it is negative."""
        self._funds_msat += amount_msat

    def sweep(self, reference: str, *, into_wallet: bool = True) -> None:
        """Spend a payment that readers made: into the wallet, or away."""
        [amount_msat] = [
            tx.outputs[int(reference.partition(":")[2])][1]
            for tx in self._all_txs()
            if tx.txid == txid_of(reference)
        ]
        self._swept.add(reference)
        self.fund(amount_msat if into_wallet else 0)

    def refuse_payouts(self, reason: str = "min relay fee not met") -> None:
        """Send nothing from now on: the node refuses. An empty reason ends that."""
        self._refusal = reason

    def lose_answers(self, on: bool = True) -> None:
        """Send payouts, but let the answer get lost on the way back."""
        self._loses_answers = on

    def bump(self, reference: str, extra_fee_msat: int = 5_000) -> str:
        """Replace an unconfirmed payout by one that pays the same and a higher fee."""
        old = self._mempool.pop(txid_of(reference))
        txid = self._next_hash("tx")
        wallet_msat = old.wallet_msat + extra_fee_msat
        self._mempool[txid] = replace(old, txid=txid, wallet_msat=wallet_msat)
        return txid

    def spend_otherwise(self, reference: str, outputs: Sequence[tuple[str, int]] = ()) -> str:
        """Spend the coin of a payout, sent or not, in another transaction; return its id.

        It waits in the mempool; ``confirm`` makes it deep. Without ``outputs`` the
        money comes back to the wallet, less the fee.
        """
        payout = self._prepared[txid_of(reference)]
        self._mempool.pop(payout.txid, None)
        paid_msat = sum(amount_msat for _, amount_msat in outputs)
        tx = FakeTx(
            self._next_hash("tx"),
            tuple(outputs),
            coin=payout.coin,
            wallet_msat=paid_msat + _fee_msat(1),
        )
        self._mempool[tx.txid] = tx
        return tx.txid

    # The rail.

    def check_destination(self, destination: str) -> str:
        """Return ``fake:name`` in lower case; nothing else can be paid."""
        if match := _DESTINATION.fullmatch(destination.strip()):
            return f"fake:{match[1].lower()}"
        raise AddressInvalid("That is no address of the fake network; it looks like fake:ada.")

    @property
    def payouts_together(self) -> int | None:
        """Return None: one transaction pays as many as there are."""
        return None

    def payout_fee_msat(self, destination: str, amount_msat: int) -> int:
        """Return what a transaction with this payee alone costs."""
        self._check()
        self.check_destination(destination)
        return _fee_msat(1)

    def prepare_payout(self, orders: Sequence[PayoutOrder]) -> PreparedPayout:
        """Make a transaction that takes the money from the wallet when it is sent."""
        self._check()
        for order in orders:
            if order.amount_msat < DUST_MSAT or order.amount_msat % MSAT_PER_SAT:
                raise PayoutLimit(f"{format_sat(order.amount_msat)} cannot be sent.")
        outputs = tuple((self.check_destination(o.destination), o.amount_msat) for o in orders)
        amount_msat = sum(amount_msat for _, amount_msat in outputs)
        fee_msat = _fee_msat(len(outputs))
        if amount_msat + fee_msat > self._wallet_msat():
            raise PayoutsUnavailable(
                f"The wallet holds {format_sat(self._wallet_msat())}; the payout needs"
                f" {format_sat(amount_msat + fee_msat)}."
            )
        txid, coin = self._next_hash("tx"), self._next_hash("coin")
        tx = FakeTx(txid, outputs, coin=coin, wallet_msat=amount_msat + fee_msat)
        self._prepared[txid] = tx
        return _prepared(tx, amount_msat)

    def send_payout(self, prepared: PreparedPayout) -> Outcome:
        """Put the transaction into the mempool, unless a switch is set."""
        if self._failure is not None:
            return Outcome.UNKNOWN
        refusal = self._send(_tx(prepared))
        if refusal or self._loses_answers:
            return Outcome.UNKNOWN
        return Outcome.SETTLED if self._confirmations(_tx(prepared).txid) else Outcome.PENDING

    def lookup_payout(self, prepared: PreparedPayout) -> PayoutLookup:
        """Answer from memory; a lost payout is sent again."""
        if self._failure is not None:
            return PayoutLookup(Outcome.UNKNOWN, prepared, 0, self._failure.detail)
        tx = _tx(prepared)
        spender = self._spender(tx)
        if spender is None:
            if refusal := self._send(tx):
                return PayoutLookup(Outcome.UNKNOWN, prepared, 0, f"the node refuses: {refusal}")
            return PayoutLookup(Outcome.PENDING, _prepared(tx, prepared.amount_msat), 0, _SENT)
        confirmations = self._confirmations(spender.txid)
        if Counter(tx.outputs) <= Counter(spender.outputs):
            outcome = Outcome.SETTLED if confirmations else Outcome.PENDING
            fee_msat = spender.wallet_msat - prepared.amount_msat
            carrier = replace(prepared, reference=spender.txid, fee_msat=fee_msat)
            return PayoutLookup(outcome, carrier, confirmations, "in the chain or mempool")
        failed = confirmations >= self._conflict_confirmations
        outcome = Outcome.FAILED if failed else Outcome.UNKNOWN
        return PayoutLookup(outcome, prepared, confirmations, f"{spender.txid} took its coin")

    def held_msat(self, references: Sequence[str]) -> int:
        """Return the wallet's money and what the references still hold."""
        self._check()
        outputs = {
            f"{tx.txid}:{index}": amount_msat
            for tx in self._all_txs()
            for index, (_, amount_msat) in enumerate(tx.outputs)
        }
        unspent = set(references) - self._swept
        return self._wallet_msat() + sum(outputs.get(reference, 0) for reference in unspent)

    def _wallet_msat(self) -> int:
        return self._funds_msat - sum(tx.wallet_msat for tx in self._all_txs())

    def _spender(self, payout: FakeTx) -> FakeTx | None:
        """Return the transaction that spends the payout's coin; it may be itself."""
        for tx in self._all_txs():
            if tx.coin == payout.coin:
                return tx
        return None

    def _send(self, tx: FakeTx) -> str:
        """Send if the node lets it; return why not. What is out already is no refusal."""
        spender = self._spender(tx)
        if spender is not None:
            return "" if spender.txid == tx.txid else "its coin is spent"
        if not self._refusal:
            self._mempool[tx.txid] = tx
        return self._refusal


def _fee_msat(payees: int) -> int:
    return (_FRAME_VB + _PAYEE_VB * payees) * FEE_RATE_MSAT_PER_VB


def _prepared(tx: FakeTx, amount_msat: int) -> PreparedPayout:
    raw = {"txid": tx.txid, "coin": tx.coin, "wallet_msat": tx.wallet_msat, "outputs": tx.outputs}
    return PreparedPayout(tx.txid, json.dumps(raw), amount_msat, tx.wallet_msat - amount_msat)


def _tx(prepared: PreparedPayout) -> FakeTx:
    raw = json.loads(prepared.raw)
    outputs = tuple((target, amount_msat) for target, amount_msat in raw["outputs"])
    return FakeTx(raw["txid"], outputs, coin=raw["coin"], wallet_msat=raw["wallet_msat"])
