"""Whatever a node answers, in whatever order and however late: nobody is paid twice or robbed.

The node is honest about what it knows, but its answers get lost, calls reach it late, and it
takes no fee limit: what a route costs above the reserve is the operator's, to the msat.
"""

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from bitcache_server.domain.errors import LinkClaimed, PayoutNotWaiting, UnknownLink
from bitcache_server.domain.outcome import Outcome
from bitcache_server.domain.payout_state import OPEN_STATES, PayoutState
from bitcache_server.ledger import chart
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PayoutOrder, PreparedPayout
from bitcache_server.rails.lightning.backend import PayOrder, Sent
from bitcache_server.rails.lightning.lnurl_client import LnurlClient, LnurlInvoice
from bitcache_server.services.payout_approvals import cancel_payout
from bitcache_server.services.payout_singles import SENDING_S
from bitcache_server.services.withdraw_claims import claim, claim_terms
from bitcache_server.services.withdraw_links import create_link, expire_links
from tests.support.books import open_wallet
from tests.support.databases import Databases
from tests.support.lightning_payouts import pay_out, withdraw_to
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.payouts import assert_payouts_sound
from tests.support.shops import held

BALANCE_MSAT = 900_000_000
AMOUNT_MSAT = 1_000_000
RESERVE_MSAT = 10_000
ABOVE_MSAT = RESERVE_MSAT + 2_345
STEPS = 40
#: They are no subject here: whatever is asked for is tried.
LIMITS: dict[str, Any] = {
    "withdrawal_max_sat_per_day": 10**6,
    "lightning_open_payouts_per_wallet": 10**6,
}
LOST = Sent(Outcome.UNKNOWN, 0, "", "The answer got lost.")
MOODS = ("honest", "late", "call lost", "answer lost", "deaf", "killed before", "killed after")
GIVEN_BACK = (PayoutState.FAILED, PayoutState.CANCELLED, PayoutState.REJECTED)


class Killed(BaseException):
    """The process ends here."""


class Addresses(LnurlClient):
    """Gives a new invoice whenever an address is asked."""

    world: LightningWorld

    def __init__(self) -> None:
        super().__init__(1, allow_local=False)

    def request_invoice(
        self, address: str, amount_msat: int, network: str, comment: str = ""
    ) -> LnurlInvoice:
        """Return an honest invoice; asks nobody."""
        return LnurlInvoice(self.world.lightning.foreign_invoice(amount_msat), "", "")


class Node(RuleBasedStateMachine):
    """Readers who withdraw, a network that loses things, and processes that die."""

    payouts = Bundle("payouts")
    links = Bundle("links")
    databases: ClassVar[Databases]

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        url = self._stack.enter_context(self.databases.fresh("sqlite"))
        addresses = Addresses()
        self.world = self._stack.enter_context(
            opened_lightning_world(folder, url, lnurl=addresses, **LIMITS)
        )
        addresses.world = self.world
        self.mood = "honest"
        self.late: list[PayOrder] = []
        """What was told to the node and has not got there yet."""
        self.owner_of: dict[str, str] = {}
        """Whose payout each payment hash was prepared for."""
        self.number = 0

    @initialize()
    def open(self) -> None:
        world = self.world
        open_wallet(world.session, balance_msat=BALANCE_MSAT)
        pay, self.ask = world.lightning.pay, world.lightning.lookup_payment

        def pay_at_any_fee(order: PayOrder) -> Sent:
            return pay(replace(order, max_fee_msat=BALANCE_MSAT))

        self.pay = pay_at_any_fee
        world.lightning.pay = self._pay  # type: ignore[method-assign, assignment]
        world.lightning.lookup_payment = self._ask  # type: ignore[method-assign]
        rail = world.lightning_rail
        prepare, send = rail.prepare_payout, rail.send_payout

        def prepared(orders: list[PayoutOrder]) -> PreparedPayout:
            made = prepare(orders)
            self.owner_of.setdefault(made.reference, orders[0].payout_id)
            return made

        def sent(one: PreparedPayout) -> Outcome:
            if self.mood == "killed before":
                raise Killed
            outcome = send(one)
            if self.mood == "killed after":
                raise Killed
            return outcome

        rail.prepare_payout, rail.send_payout = prepared, sent  # type: ignore[method-assign, assignment]

    def _pay(self, order: PayOrder) -> Sent:
        if self.mood == "late":
            self.late.append(order)
            return LOST
        if self.mood == "call lost":
            return LOST
        answer = self.pay(order)
        return LOST if self.mood == "answer lost" else answer

    def _ask(self, payment_hash: str) -> Sent:
        return LOST if self.mood in ("answer lost", "deaf") else self.ask(payment_hash)

    @rule(target=payouts, to=st.sampled_from(["invoice", "short", "address"]))
    def withdraw(self, to: str) -> str:
        return self._withdraw(to)

    def _withdraw(self, to: str) -> str:
        self.number += 1
        lifetime_s = 600 if to == "short" else 86_400
        destination = (
            "ada@wallet.example"
            if to == "address"
            else self.world.lightning.foreign_invoice(AMOUNT_MSAT, lifetime_s)
        )
        return withdraw_to(self.world, destination, 1_000, key=str(self.number))

    @rule(
        target=payouts,
        to=st.sampled_from(["invoice", "short", "address"]),
        mood=st.sampled_from(MOODS),
        outcome=st.sampled_from(list(Outcome)),
    )
    def withdraw_at_a_bad_moment(self, to: str, mood: str, outcome: Outcome) -> str:
        payout_id = self._withdraw(to)
        self._run(mood, [(outcome, 1)])
        return payout_id

    @rule(target=links)
    def make_link(self) -> str:
        self.number += 1
        world = self.world
        made = create_link(
            world.deps,
            world.session,
            "wa_1",
            amount_sat=1_000,
            fee_msat=RESERVE_MSAT,
            lifetime_s=86_400,
            idempotency_key=str(self.number),
        )
        return made.secret

    @rule(target=payouts, secret=links)
    def claim(self, secret: str) -> object:
        world = self.world
        invoice = world.lightning.foreign_invoice(AMOUNT_MSAT, 900)
        try:
            k1 = claim_terms(world.deps, world.session, secret).k1
            claim(world.deps, world.session, secret, k1, invoice)
        except (LinkClaimed, UnknownLink):
            world.session.rollback()
            return multiple()
        query = select(Payout.id).where(Payout.destination == invoice)
        return str(world.session.scalars(query).one())

    @rule(
        mood=st.sampled_from(MOODS),
        plans=st.lists(
            st.tuples(
                st.sampled_from(list(Outcome)), st.sampled_from([0, 1, RESERVE_MSAT, ABOVE_MSAT])
            ),
            max_size=3,
        ),
    )
    def run(self, mood: str, plans: list[tuple[Outcome, int]]) -> None:
        self._run(mood, plans)

    def _run(self, mood: str, plans: list[tuple[Outcome, int]]) -> None:
        for outcome, fee_msat in plans:
            self.world.lightning.plan_payment(outcome, fee_msat)
        self.mood = mood
        try:
            pay_out(self.world)
        except Killed:
            self.world.session.rollback()
        finally:
            self.mood = "honest"

    @rule(which=st.integers(0, 5))
    def get_there_late(self, which: int) -> None:
        if self.late:
            self.pay(self.late.pop(which % len(self.late)))

    @rule(which=st.integers(0, 5), outcome=st.sampled_from([Outcome.SETTLED, Outcome.FAILED]))
    def finish(self, which: int, outcome: Outcome) -> None:
        hanging = [h for h in self.owner_of if self.ask(h).outcome is Outcome.PENDING]
        if hanging:
            self.world.lightning.finish(hanging[which % len(hanging)], outcome, 7)

    @rule(
        seconds=st.sampled_from([1, 61, SENDING_S - 1, SENDING_S, 3_600, 86_400]),
        arrive=st.booleans(),
    )
    def pass_time(self, seconds: int, arrive: bool) -> None:
        # No call takes as long as that.
        if seconds >= SENDING_S - 1 or (self.late and arrive):
            while self.late:
                order = self.late.pop()
                if arrive:
                    self.pay(order)
        if not self.late:
            self.world.clock.pass_time(seconds)

    @rule(payout_id=payouts)
    def cancel(self, payout_id: str) -> None:
        try:
            with write_transaction(self.world.session):
                cancel_payout(self.world.deps, self.world.session, payout_id)
        except PayoutNotWaiting:
            pass

    @rule()
    def expire(self) -> None:
        expire_links(self.world.deps, self.world.session)

    @invariant()
    def nobody_is_paid_twice_or_robbed(self) -> None:
        paid = self._paid()
        session = self.world.session
        session.rollback()
        for payout in session.scalars(select(Payout)):
            hashes = [h for h, owner in self.owner_of.items() if owner == payout.id]
            settled = [h for h in hashes if h in paid]
            assert len(settled) <= 1
            if payout.state in GIVEN_BACK:
                assert settled == []
                assert not any(self.ask(h).outcome is Outcome.PENDING for h in hashes)
            elif payout.state == PayoutState.SETTLED:
                assert len(settled) == 1
        session.rollback()

    def _paid(self) -> dict[str, int]:
        """Return the fees that the node's payments took, by payment hash."""
        answers = {h: self.ask(h) for h in self.owner_of}
        return {h: a.fee_msat for h, a in answers.items() if a.outcome is Outcome.SETTLED}

    def teardown(self) -> None:
        with self._stack:
            if not hasattr(self, "pay"):
                return
            self._end()
            fees = self._paid().values()
            paid_msat, borne = len(fees) * AMOUNT_MSAT, [min(fee, RESERVE_MSAT) for fee in fees]
            world = self.world
            assert held(world, chart.clearing("lightning")) == paid_msat + sum(fees)
            assert held(world, chart.wallet("wa_1")) == BALANCE_MSAT - paid_msat - sum(borne)
            assert held(world, chart.NETWORK_FEES) == sum(borne) - sum(fees)
            assert_payouts_sound(self.world)

    def _end(self) -> None:
        """Let everything come to its end, well or badly."""
        for _ in range(12):
            self.pass_time(86_400, arrive=True)
            for payment_hash in self.owner_of:
                if self.ask(payment_hash).outcome is Outcome.PENDING:
                    self.world.lightning.finish(payment_hash, Outcome.SETTLED)
            pay_out(self.world)
            expire_links(self.world.deps, self.world.session)
        self.nobody_is_paid_twice_or_robbed()
        states = set(self.world.session.scalars(select(Payout.state)))
        self.world.session.rollback()
        assert not states & set(OPEN_STATES)


def test_whatever_the_node_answers(databases: Databases) -> None:
    Node.databases = databases
    run_state_machine_as_test(
        Node,
        settings=settings(
            max_examples=25,
            stateful_step_count=STEPS,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
