"""Random histories of the ledger against a model that is a dictionary of balances."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AllowanceExceeded,
    AlreadyReversed,
    BitcacheError,
    IdempotencyConflict,
    InsufficientBalance,
    NoCredit,
    PriceChanged,
    PurchaseEnded,
    UnknownTransfer,
)
from bitcache_server.ledger import chart, recipes
from bitcache_server.ledger.audit import audit
from bitcache_server.ledger.balances import balance, checkpoint
from bitcache_server.ledger.journal import reverse
from bitcache_server.ledger.order import Spend
from bitcache_server.ledger.parts import Part
from bitcache_server.ledger.spend import Outcome, SpendResult, spend
from bitcache_server.models.ledger import Grant
from bitcache_server.models.session import read_transaction, write_transaction
from tests.support.books import NOW, open_allowance, open_wallet, order, parts_of
from tests.support.databases import ENGINES, Databases, open_engine

WALLETS = ("wa_1", "wa_2")
PER_ITEM_MSAT, PER_DAY_MSAT = 9, 19
"""The limits of the one allowance that each wallet gives."""
HOUR_S, DAY_S = 3_600, 86_400
RAIL = "onchain"
SIGHT, CLEARING = chart.unconfirmed(RAIL), chart.clearing(RAIL)

# Few values, so that a history often meets a balance exactly, or misses it by one.
amounts = st.sampled_from([10, 9, 1])
invoice_ids = st.sampled_from(["in_1", "in_1", "in_2"])
merchant_ids = st.sampled_from(["me_1", "me_2"])
wallet_ids = st.sampled_from(WALLETS)
sources = st.sampled_from([SIGHT, CLEARING, "merchant:me_1"])


@dataclass
class Booked:
    """A group that may be taken back: what it moved, from where to where."""

    owner_id: str
    group_id: str
    moves: list[tuple[str, str, int]]
    reversed: bool = False
    expires_at: int | None = None


def three_parts(amount: int, percent: int) -> tuple[Part, ...]:
    """Return a price of which a co-author gets one msat, if it is that dear."""
    commission = amount * percent // 100
    if amount - commission < 2:
        return parts_of(amount, commission)
    first, *rest = parts_of(amount - 1, commission)
    return (first, Part("merchant:me_3", 1), *rest)


class LedgerMachine(RuleBasedStateMachine):
    """Does the same to the real ledger and to ``self.held`` and compares them."""

    databases: Databases
    engine_name: str

    receipts = Bundle("receipts")
    sales = Bundle("sales")
    purchases = Bundle("purchases")

    def __init__(self) -> None:
        super().__init__()
        self.resources = ExitStack()
        url = self.resources.enter_context(self.databases.fresh(self.engine_name))
        engine = open_engine(url)
        self.resources.callback(engine.dispose)
        self.session = self.resources.enter_context(Session(engine))
        self.held: Counter[str] = Counter()
        self.touched: set[str] = set()
        self.lost: Counter[str] = Counter()
        self.now = NOW
        self.keys: dict[tuple[str, str | None], tuple[str, str]] = {}
        self.bought: dict[tuple[str, str], Booked] = {}
        self.revisions: Counter[tuple[str, str]] = Counter()
        self.allowed: dict[str, tuple[int, int]] = dict.fromkeys(WALLETS, (0, 0))
        for wallet_id in WALLETS:
            open_wallet(self.session, wallet_id)
            open_allowance(
                self.session,
                wallet_id=wallet_id,
                per_item_msat=PER_ITEM_MSAT,
                per_day_msat=PER_DAY_MSAT,
                expires_at=NOW + 1_000 * DAY_S,
            )

    def compare(self, accounts: set[str]) -> None:
        with read_transaction(self.session):
            real = {account: balance(self.session, account) for account in accounts}
        assert real == {account: self.held[account] for account in accounts}

    def teardown(self) -> None:
        try:
            self.compare(set(self.held))
            assert sum(self.held.values()) == 0
            assert audit(self.session).findings == []
        finally:
            self.resources.close()

    # The model

    def move(self, from_account: str, to_account: str, amount: int) -> None:
        self.touched |= {from_account, to_account}
        self.held[from_account] -= amount
        self.held[to_account] += amount

    def take_back(self, booked: Booked) -> None:
        booked.reversed = True
        for from_account, to_account, amount in booked.moves:
            self.move(to_account, from_account, amount)

    def settle_loss(self, invoice_id: str) -> None:
        """The operator lacks exactly what the invoice lacks."""
        account = chart.invoice(invoice_id)
        missing = max(-self.held[account], -self.lost[invoice_id])
        if self.held[account] >= 0:
            missing = -min(self.held[account], self.lost[invoice_id])
        self.move(chart.LOSS, account, missing)
        self.lost[invoice_id] += missing

    @contextmanager
    def write(self, refusal: type[BitcacheError] | None = None) -> Iterator[Session]:
        """Open a write transaction that must end in the refusal, if there is one."""
        with ExitStack() as stack:
            if refusal:
                stack.enter_context(pytest.raises(refusal))
            stack.enter_context(write_transaction(self.session))
            yield self.session

    # What can happen

    @rule(target=receipts, invoice_id=invoice_ids, source=sources, amount=amounts)
    def receive(self, invoice_id: str, source: str, amount: int) -> Booked:
        with self.write() as session:
            group = recipes.receive(session, invoice_id, source, amount, NOW)
        booked = Booked(invoice_id, group, [(source, chart.invoice(invoice_id), amount)])
        self.move(*booked.moves[0])
        self.settle_loss(invoice_id)
        return booked

    @rule(receipt=receipts)
    def confirm(self, receipt: Booked) -> None:
        source, _, amount = receipt.moves[0]
        if receipt.reversed or len(receipt.moves) > 1:
            return
        with self.write(UnknownTransfer if source != SIGHT else None) as session:
            recipes.confirm_sight(session, receipt.owner_id, receipt.group_id, NOW)
        if source == SIGHT:
            receipt.moves.append((CLEARING, SIGHT, amount))
            self.move(*receipt.moves[-1])

    @rule(receipt=receipts)
    def payment_vanishes(self, receipt: Booked) -> None:
        with self.write(AlreadyReversed if receipt.reversed else None) as session:
            recipes.unreceive(session, receipt.owner_id, receipt.group_id, NOW)
        if not receipt.reversed:
            self.take_back(receipt)
            self.settle_loss(receipt.owner_id)

    @rule(
        target=sales,
        invoice_id=invoice_ids,
        merchant_id=merchant_ids,
        amount=amounts,
        percent=st.sampled_from([0, 10, 100]),
        rounding=st.integers(0, 1),
    )
    def sell(
        self, invoice_id: str, merchant_id: str, amount: int, percent: int, rounding: int
    ) -> Booked:
        payer, commission = chart.invoice(invoice_id), amount * percent // 100
        affordable = self.held[payer] >= amount + rounding
        group = ""
        with self.write(None if affordable else NoCredit) as session:
            group = recipes.sell(
                session,
                invoice_id,
                parts_of(amount, commission, merchant_id),
                rounding_msat=rounding,
                now=NOW,
            )
        moves = [
            (payer, chart.merchant(merchant_id), amount - commission),
            (payer, chart.COMMISSION, commission),
            (payer, chart.ROUNDING, rounding),
        ]
        booked = Booked(invoice_id, group, moves, reversed=not affordable)
        for part in moves if affordable else []:
            self.move(*part)
        return booked

    @rule(sale=sales)
    def sale_is_taken_back(self, sale: Booked) -> None:
        refusal = AlreadyReversed if sale.reversed else None
        with self.write(refusal if sale.group_id else UnknownTransfer) as session:
            recipes.unsell(session, sale.owner_id, sale.group_id, NOW)
        if not sale.reversed:
            self.take_back(sale)
            self.settle_loss(sale.owner_id)

    @rule(invoice_id=invoice_ids, wallet_id=wallet_ids, amount=amounts)
    def claim(self, invoice_id: str, wallet_id: str, amount: int) -> None:
        payer = chart.invoice(invoice_id)
        affordable = self.held[payer] >= amount
        with self.write(None if affordable else NoCredit) as session:
            recipes.claim_credit(session, invoice_id, wallet_id, amount, NOW)
        if affordable:
            self.move(payer, chart.wallet(wallet_id), amount)

    @rule(wallet_id=wallet_ids, amount=amounts)
    def gift(self, wallet_id: str, amount: int) -> None:
        with self.write() as session:
            recipes.give_starter_credit(session, wallet_id, amount, NOW)
        self.move(chart.PROMOTION, chart.gift(wallet_id), amount)

    @rule(seconds=st.sampled_from([HOUR_S, DAY_S, -DAY_S]))
    def clock_jumps(self, seconds: int) -> None:
        self.now += seconds

    @rule(
        target=purchases,
        key=st.sampled_from(["a", "b", None, None]),
        wallet_id=wallet_ids,
        item_id=st.sampled_from(["it_1", "it_2"]),
        amount=amounts,
        percent=st.sampled_from([0, 10, 100]),
        hours=st.sampled_from([None, 2]),
        allowed=st.booleans(),
        max_msat=st.sampled_from([None, 9]),
    )
    def buy(
        self,
        key: str | None,
        wallet_id: str,
        item_id: str,
        amount: int,
        percent: int,
        hours: int | None,
        allowed: bool,
        max_msat: int | None,
    ) -> Booked:
        wanted = order(
            key,
            wallet_id=wallet_id,
            item_id=item_id,
            parts=three_parts(amount, percent),
            expires_at=self.now + hours * HOUR_S if hours else None,
            now=self.now,
            allowance_id="al_1" if allowed else None,
            max_msat=max_msat,
        )
        expected = self.expected(wanted)
        if not isinstance(expected, Outcome):
            with pytest.raises(expected):
                spend(self.session, wanted)
            return Booked(wallet_id, "", [], reversed=True)
        result = spend(self.session, wanted)
        assert result.outcome is expected
        if expected is Outcome.BOOKED:
            self.bought[wallet_id, item_id] = self.paid(wanted, result)
        self.compare_result(wanted, result)
        return self.bought[wallet_id, item_id]

    def expected(self, wanted: Spend) -> Outcome | type[BitcacheError]:
        wallet_id, item_id, price_msat = wanted.wallet_id, wanted.item_id, wanted.price_msat
        earlier = self.keys.get((wallet_id, wanted.idempotency_key))
        if earlier and earlier[0] != item_id:
            return IdempotencyConflict
        grant = self.bought.get((wallet_id, item_id))
        if grant and not grant.reversed and (not grant.expires_at or grant.expires_at > self.now):
            same = earlier is not None and earlier[1] == grant.group_id
            return Outcome.REPLAYED if same else Outcome.OWNED
        if earlier:
            return PurchaseEnded
        if wanted.max_msat is not None and price_msat > wanted.max_msat:
            return PriceChanged
        if wanted.allowance_id:
            spent_msat = self.spent_today(wallet_id)
            if price_msat > PER_ITEM_MSAT or spent_msat + price_msat > PER_DAY_MSAT:
                return AllowanceExceeded
        if self.held[chart.wallet(wallet_id)] + self.held[chart.gift(wallet_id)] < price_msat:
            return InsufficientBalance
        return Outcome.BOOKED

    def spent_today(self, wallet_id: str) -> int:
        day, spent_msat = self.allowed[wallet_id]
        return spent_msat if day >= self.now // DAY_S else 0

    def paid(self, wanted: Spend, result: SpendResult) -> Booked:
        wallet_id = wanted.wallet_id
        payers = [chart.gift(wallet_id), chart.wallet(wallet_id)]
        moves = []
        for part in wanted.parts:
            for _ in range(part.amount_msat):
                # Msat by msat, so slowly that it cannot be wrong.
                payer = payers[0] if self.held[payers[0]] > 0 else payers[1]
                moves.append((payer, part.account, 1))
                self.move(*moves[-1])
        if wanted.allowance_id:
            spent_msat = self.spent_today(wallet_id) + wanted.price_msat
            day = max(self.allowed[wallet_id][0], self.now // DAY_S)
            self.allowed[wallet_id] = (day, spent_msat)
        if wanted.idempotency_key:
            self.keys[wallet_id, wanted.idempotency_key] = (wanted.item_id, result.group_id)
        self.revisions[wallet_id, wanted.item_id] += 1
        return Booked(wallet_id, result.group_id, moves, expires_at=wanted.expires_at)

    def compare_result(self, wanted: Spend, result: SpendResult) -> None:
        wallet_id, item_id = wanted.wallet_id, wanted.item_id
        grant = self.bought[wallet_id, item_id]
        assert (result.group_id, result.expires_at) == (grant.group_id, grant.expires_at)
        assert result.revision == self.revisions[wallet_id, item_id]
        assert (result.balance_msat, result.gift_msat) == (
            self.held[chart.wallet(wallet_id)],
            self.held[chart.gift(wallet_id)],
        )

    @rule(purchase=purchases)
    def refund(self, purchase: Booked) -> None:
        if not purchase.group_id:
            return
        with self.write(AlreadyReversed if purchase.reversed else None) as session:
            reverse(session, purchase.group_id, owner_id=purchase.owner_id, now=NOW)
            revoke = update(Grant).where(Grant.group_id == purchase.group_id)
            session.execute(revoke.values(revoked_at=self.now))
        if not purchase.reversed:
            self.take_back(purchase)

    @rule(invoice_id=invoice_ids, wallet_id=wallet_ids, amount=amounts)
    def something_fails_halfway(self, invoice_id: str, wallet_id: str, amount: int) -> None:
        with self.write(StopHere) as session:
            recipes.receive(session, invoice_id, CLEARING, amount, NOW)
            recipes.claim_credit(session, invoice_id, wallet_id, 1, NOW)
            raise StopHere

    @rule()
    def take_checkpoint(self) -> None:
        checkpoint(self.session, NOW)

    # What always holds

    @invariant()
    def what_changed_is_as_in_the_model(self) -> None:
        self.compare(self.touched or {chart.COMMISSION})
        self.touched = set()

    @invariant()
    def nobody_is_overdrawn(self) -> None:
        guarded = [name for name in self.held if name.startswith(("wallet:", "gift:", "invoice:"))]
        assert all(self.held[name] >= 0 for name in guarded)


class StopHere(BitcacheError):
    """What a test raises where something else would fail."""

    code = "stop_here"
    title = "Stopped by the test"


@pytest.mark.parametrize("engine_name", ENGINES)
def test_no_history_upsets_the_books(databases: Databases, engine_name: str) -> None:
    machine = type(
        "Machine", (LedgerMachine,), {"databases": databases, "engine_name": engine_name}
    )
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            derandomize=True,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
