"""Whatever happens in whatever order: the books balance and every invoice tells the truth."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from bitcache_server.domain.outcome import Outcome
from bitcache_server.extensions import db
from bitcache_server.ledger import chart
from bitcache_server.models.sales import Payment
from bitcache_server.rails.base import Observation
from tests.support.databases import Databases
from tests.support.shops import assert_nothing_lost, held, opened_world, sell_at
from tests.support.world import Purchase, World

#: Opens on sight, and after one block.
PRICES_SAT = (4_000, 20_000)
STEPS = 50
#: More than this many blocks never fall to a reorganisation at once.
MAX_DEPTH = 3
PATIENCE: dict[str, Any] = {"rail_stale_after_s": 10**8, "rate_max_age_s": 10**8}


class Shop(RuleBasedStateMachine):
    """Readers, miners, thieves and power cuts."""

    purchases = Bundle("purchases")
    payments = Bundle("payments")

    databases: ClassVar[Databases]
    revoke: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        url = self._stack.enter_context(self.databases.fresh("sqlite"))
        chosen: dict[str, Any] = {"revoke_on_reorg": self.revoke, **PATIENCE}
        self.world: World = self._stack.enter_context(opened_world(folder, url, **chosen))
        self.lasting: dict[str, int] = {}
        """What was paid and not double spent, in msat by reference."""
        self.replaceable: set[str] = set()
        self.items: list[str] = []

    @initialize()
    def stock(self) -> None:
        self.items = [sell_at(self.world, price) for price in PRICES_SAT]
        self.world.rail.confirm(MAX_DEPTH)
        self.world.watch()

    @rule(target=purchases, number=st.integers(0, len(PRICES_SAT) - 1))
    def buy(self, number: int) -> Purchase:
        return self.world.buy(self.items[number])

    @rule(
        target=payments,
        purchase=purchases,
        percent=st.sampled_from([30, 70, 100, 100, 100, 150]),
        replaceable=st.booleans(),
        noticed=st.sampled_from(["not yet", "in the mempool", "in a block"]),
    )
    def pay(self, purchase: Purchase, percent: int, replaceable: bool, noticed: str) -> str:
        amount_msat = purchase.invoice["amount_msat"] * percent // 100
        reason = "it may be replaced" if replaceable else ""
        reference = self.world.rail.pay(self.world.target_of(purchase), amount_msat, reason)
        self.lasting[reference] = amount_msat
        if replaceable:
            self.replaceable.add(reference)
        if noticed == "in a block":
            self.world.rail.confirm()
        if noticed != "not yet":
            self.watch()
        return reference

    @rule(target=payments, one=purchases, two=purchases)
    def pay_two_at_once(self, one: Purchase, two: Purchase) -> object:
        outputs = [(self.world.target_of(p), p.invoice["amount_msat"]) for p in (one, two)]
        references = self.world.rail.pay_many(outputs)
        self.lasting |= {ref: msat for ref, (_, msat) in zip(references, outputs, strict=True)}
        # One of them is enough for the thief: a transaction goes as a whole.
        return multiple(references[0])

    @rule(blocks=st.integers(1, 3))
    def mine(self, blocks: int) -> None:
        self.world.rail.confirm(blocks)

    @rule(blocks=st.integers(1, MAX_DEPTH), noticed=st.booleans())
    def reorganise(self, blocks: int, noticed: bool) -> None:
        self.world.rail.reorg(blocks)
        if noticed:
            self.watch()

    @rule(reference=consumes(payments))
    def double_spend(self, reference: str) -> None:
        if not self._waits(reference):
            return
        self.world.rail.double_spend(reference)
        txid = reference.partition(":")[0]
        self.lasting = {r: m for r, m in self.lasting.items() if not r.startswith(txid)}

    @rule(reference=payments)
    def forget(self, reference: str) -> None:
        if reference in self.replaceable:
            return  # sent again, this rail no longer knows that it was
        known = self.world.session.scalar(select(Payment).where(Payment.reference == reference))
        self.world.session.rollback()
        if known is not None and self._waits(reference):
            self.world.rail.lose(reference)

    def _waits(self, reference: str) -> bool:
        asked = Observation("fake", reference, "", 1, None, True, "", 0, raw="")
        return self.world.rail.lookup(asked).outcome is Outcome.PENDING

    @rule()
    def watch(self) -> None:
        self.world.watch()
        waiting = [reference for reference in self.replaceable if self._waits(reference)]
        query = select(Payment.reference).where(Payment.reference.in_(waiting), Payment.settled)
        assert self.world.session.scalars(query).all() == []
        self._prove()

    @rule()
    def check(self) -> None:
        self.world.check_unconfirmed()
        self._prove()

    @rule(seconds=st.sampled_from([60, 500, 901]))
    def wait(self, seconds: int) -> None:
        self.world.expire(seconds)
        self._prove()

    @rule(purchase=purchases, late=st.booleans())
    def redeem(self, purchase: Purchase, late: bool) -> None:
        if late:
            self.world.expire(901)
            self.pay(purchase=purchase, percent=100, replaceable=False, noticed="in the mempool")
        body = {"verifier": purchase.verifier}
        answer = self.world.post(f"/v1/invoices/{purchase.id}/redeem", body)
        assert answer.status_code == 200 or answer.get_json()["code"] == "no_credit"
        self._prove()

    @rule(purchase=purchases)
    def claim_and_read(self, purchase: Purchase) -> None:
        answer = self.world.claim(purchase)
        if answer.status_code != 200:
            assert answer.get_json()["code"] == "invoice_not_paid"
            assert self.world.read(purchase)["state"] != "paid"
            return
        grant = answer.get_json()["grant"]
        opened = self.world.get(f"/v1/content/{purchase.invoice['item']}", grant)
        assert opened.status_code == 200

    @rule()
    def restart(self) -> None:
        self.world.rail.forget_mempool()
        db.session.remove()
        db.engine.dispose()

    def _prove(self) -> None:
        """Check everything; called wherever the database has changed."""
        assert_nothing_lost(self.world)
        # Only what stands for the outside world may be negative.
        for account in (chart.merchant(self.world.merchant_id), chart.COMMISSION, chart.ROUNDING):
            assert held(self.world, account) >= 0
        assert held(self.world, chart.LOSS) <= 0

    def teardown(self) -> None:
        try:
            self._all_money_arrives()
        finally:
            self._stack.close()

    def _all_money_arrives(self) -> None:
        """Let the dust settle: what was paid and not stolen is booked, once, and nothing else."""
        world = self.world
        world.watch()
        world.check_unconfirmed()
        world.rail.confirm(MAX_DEPTH)
        world.watch()
        world.check_unconfirmed()
        assert_nothing_lost(world)
        rows = world.session.scalars(select(Payment)).all()
        counted = {row.reference: row.amount_msat for row in rows if row.settled}
        world.session.rollback()
        assert counted == self.lasting
        assert held(world, chart.clearing("fake")) == -sum(self.lasting.values())
        assert held(world, chart.unconfirmed("fake")) == 0


def _run(databases: Databases, *, revoke: bool, examples: int) -> None:
    machine = type("Machine", (Shop,), {"databases": databases, "revoke": revoke})
    run_state_machine_as_test(
        machine,
        settings=settings(
            settings.get_profile(settings.get_current_profile_name()),
            max_examples=examples,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_nothing_is_lost_when_grants_are_revoked(databases: Databases) -> None:
    _run(databases, revoke=True, examples=20)


def test_nothing_is_lost_when_grants_stay(databases: Databases) -> None:
    _run(databases, revoke=False, examples=8)
