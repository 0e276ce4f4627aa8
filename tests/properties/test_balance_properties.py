"""Readers top up, claim and spend while the chain does what it likes: nobody gains or loses."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, multiple, rule, run_state_machine_as_test
from sqlalchemy import select

from bitcache_server.domain.errors import InsufficientBalance, InvalidRequest, NoCredit
from bitcache_server.models.sales import Invoice
from bitcache_server.services.once import in_transaction
from bitcache_server.services.settle_invoice import settle_invoice
from bitcache_server.services.unlock_item import UnlockOrder, unlock_item
from tests.properties.test_invoice_properties import STEPS, Shop
from tests.support.databases import Databases
from tests.support.readers import Reader, stored_invoice, target_of
from tests.support.shops import transfers
from tests.support.world import Purchase

READERS = 2


class Balances(Shop):
    """A shop whose readers have wallets as well."""

    top_ups = Bundle("top_ups")

    @initialize()
    def open_wallets(self) -> None:
        self.readers = [Reader(self.world) for _ in range(READERS)]

    @rule(target=top_ups, number=st.integers(0, READERS - 1))
    def top_up(self, number: int) -> object:
        try:
            return self.readers[number].top_up(20_000)
        except InvalidRequest:
            # Three codes that nobody has paid yet are enough.
            return multiple()

    @rule(
        target=Shop.payments,
        invoice_id=top_ups,
        amount_sat=st.sampled_from([1, 5_000, 20_000, 50_000]),
        mined=st.booleans(),
    )
    def pay_in(self, invoice_id: str, amount_sat: int, mined: bool) -> str:
        amount_msat = amount_sat * 1_000
        reference = self.world.rail.pay(target_of(self.world, invoice_id), amount_msat)
        self.lasting[reference] = amount_msat
        if mined:
            self.world.rail.confirm()
        self.watch()
        return reference

    @rule(purchase=Shop.purchases, number=st.integers(0, READERS - 1))
    def claim(self, purchase: Purchase, number: int) -> None:
        before_msat = self.readers[number].own_msat
        credit_msat = stored_invoice(self.world, purchase.id).credit_msat
        try:
            moved_msat = self.readers[number].claim(purchase)
        except NoCredit:
            moved_msat = 0
        assert moved_msat in (0, credit_msat)
        assert self.readers[number].own_msat == before_msat + moved_msat
        self._prove()

    @rule(number=st.integers(0, READERS - 1), item=st.integers(0, 1))
    def spend(self, number: int, item: int) -> None:
        world, reader = self.world, self.readers[number]
        order = UnlockOrder(reader.wallet_id, self.items[item], None)
        try:
            unlocked = unlock_item(world.deps, world.session, order)
        except InsufficientBalance:
            return
        booked = unlocked.outcome == "booked"
        assert unlocked.balance_msat == (reader.own_msat if booked else None)
        self._prove()

    @rule()
    def settle_all_again(self) -> None:
        world = self.world
        before = transfers(world)
        ids = list(world.session.scalars(select(Invoice.id).order_by(Invoice.id)))
        world.session.rollback()
        for invoice_id in ids:
            in_transaction(
                world.session,
                lambda one=invoice_id: settle_invoice(world.deps, world.session, one),  # type: ignore[misc]  # bound now
            )
        assert transfers(world) == before

    @rule(purchase=Shop.purchases)
    def claim_and_read(self, purchase: Purchase) -> None:
        answer = self.world.claim(purchase)
        if answer.status_code == 200:
            grant = answer.get_json()["grant"]
            opened = self.world.get(f"/v1/content/{purchase.invoice['item']}", grant)
            assert opened.status_code == 200
            return
        assert answer.get_json()["code"] == "invoice_not_paid"
        row = stored_invoice(self.world, purchase.id)
        # Paid and not sold is only what was moved to a balance.
        assert row.state != "paid" or row.claimed_msat > 0


def test_nobody_gains_or_loses(databases: Databases) -> None:
    machine = type("Machine", (Balances,), {"databases": databases, "revoke": True})
    run_state_machine_as_test(
        machine,
        settings=settings(
            settings.get_profile(settings.get_current_profile_name()),
            max_examples=8,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
        ),
    )
