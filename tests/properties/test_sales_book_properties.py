"""After any history the book of sales says what the ledger says, read in any pieces."""

from types import SimpleNamespace
from typing import cast
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from pydantic import SecretStr
from sqlalchemy import func, select, update

from bitcache_server.models.ledger import Transfer
from bitcache_server.models.sales_book import Sale, SaleCursor
from bitcache_server.models.session import write_transaction
from bitcache_server.services import sales_book as job
from bitcache_server.services.deps import Deps
from tests.properties.test_ledger_machine import LedgerMachine
from tests.support.books import NOW
from tests.support.databases import ENGINES, Databases

MERCHANTS = ("me_1", "me_2", "me_3")


def deps() -> Deps:
    """Return as much of the outside as the job needs."""
    settings = SimpleNamespace(secret_key=SecretStr("test-" * 8))
    return cast(Deps, SimpleNamespace(settings=settings, clock=lambda: NOW))


class BookMachine(LedgerMachine):
    """Reads the ledger into the book now and then, in steps of few ids, and begins anew."""

    @rule(ids=st.integers(1, 7))
    def write_book(self, ids: int) -> None:
        with patch.object(job, "BATCH_IDS", ids):
            while job.sales_book(deps(), self.session):
                pass
        self.compare_book()

    @rule()
    def begin_the_book_anew(self) -> None:
        with write_transaction(self.session):
            self.session.execute(update(SaleCursor).values(through_id=0))

    def compare_book(self) -> None:
        for merchant_id in MERCHANTS:
            assert self.by_the_book(merchant_id) == self.by_the_ledger(merchant_id)
        self.session.rollback()

    def by_the_book(self, merchant_id: str) -> int:
        query = select(func.coalesce(func.sum(Sale.net_msat), 0))
        query = query.where(Sale.merchant_id == merchant_id, Sale.state == "paid")
        return int(self.session.execute(query).scalar_one())

    def by_the_ledger(self, merchant_id: str) -> int:
        account = f"merchant:{merchant_id}"
        total = select(func.coalesce(func.sum(Transfer.amount_msat), 0))
        sold = total.where(Transfer.kind == "sale", Transfer.to_account == account)
        back = total.where(Transfer.kind == "reversal", Transfer.from_account == account)
        return int(self.session.scalar(sold) or 0) - int(self.session.scalar(back) or 0)

    def teardown(self) -> None:
        try:
            self.write_book(500)
        finally:
            # It audits the ledger, and the book with it.
            super().teardown()


@pytest.mark.parametrize("engine_name", ENGINES)
def test_the_book_says_what_the_ledger_says(databases: Databases, engine_name: str) -> None:
    machine = type("Machine", (BookMachine,), {"databases": databases, "engine_name": engine_name})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            derandomize=True,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
