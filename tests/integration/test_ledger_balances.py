"""Balances with and without checkpoints, also while others are writing."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import NoCredit, StorageBusy, UnknownWallet
from bitcache_server.ledger import balances, chart, recipes
from bitcache_server.ledger.balances import CheckpointReport, balance, checkpoint
from bitcache_server.ledger.spend import spend
from bitcache_server.models.ledger import BalanceCheckpoint, Transfer
from bitcache_server.models.session import AnySession, write_transaction
from tests.support.books import NOW, assert_clean, balances_of, open_wallet, order
from tests.support.databases import Databases, open_engine

CLEARING = chart.clearing("onchain")


def receive(session: Session, amount_msat: int, invoice_id: str = "in_1") -> str:
    with write_transaction(session):
        return recipes.receive(session, invoice_id, CLEARING, amount_msat, NOW)


def stored(session: Session) -> dict[str, int]:
    rows = session.scalars(select(BalanceCheckpoint).order_by(BalanceCheckpoint.through_id))
    found = {row.account: row.balance_msat for row in rows}
    session.rollback()
    return found


def test_accounts_that_nothing_happened_to_hold_nothing(session: Session) -> None:
    assert balances_of(session, "merchant:me_1", "commission", "invoice:in_1") == (0, 0, 0)
    with pytest.raises(UnknownWallet):
        balance(session, "wallet:wa_none")
    with pytest.raises(ValueError, match="chart"):
        balance(session, "treasury")


def test_a_checkpoint_of_nothing_stores_nothing(session: Session) -> None:
    assert checkpoint(session, NOW) == CheckpointReport(through_id=0, accounts=0)


def test_a_checkpoint_and_what_came_after_it_make_the_balance(session: Session) -> None:
    open_wallet(session, balance_msat=50_000)
    accounts = ("merchant:me_1", "commission", CLEARING, "invoice:in_1", "wallet:wa_1", "opening")
    spend(session, order("a", item_id="it_a"))
    receive(session, 700)
    before = balances_of(session, *accounts)

    first = checkpoint(session, NOW)
    assert balances_of(session, *accounts) == before == (4_950, 50, -700, 700, 45_000, -50_000)
    assert stored(session) == {
        "merchant:me_1": 4_950,
        "commission": 50,
        CLEARING: -700,
        "opening": -50_000,
    }

    spend(session, order("b", item_id="it_b"))
    assert balances_of(session, "merchant:me_1", CLEARING) == (9_900, -700)
    second = checkpoint(session, NOW)
    assert (first.accounts, second.accounts) == (4, 2)
    assert second.through_id > first.through_id
    assert stored(session) == {
        "merchant:me_1": 9_900,
        "commission": 100,
        CLEARING: -700,
        "opening": -50_000,
    }
    receive(session, 1)
    checkpoint(session, NOW)
    assert stored(session)[CLEARING] == -701
    assert_clean(session)


def test_a_checkpoint_without_news_stores_nothing(session: Session) -> None:
    receive(session, 700)
    through_id = checkpoint(session, NOW).through_id
    assert checkpoint(session, NOW) == CheckpointReport(through_id, 0)


def test_a_balance_reads_only_what_came_after_the_checkpoint(session: Session) -> None:
    """A wrong checkpoint shows in the balance: so it is what the balance starts from."""
    receive(session, 700)
    with write_transaction(session):
        newest = session.execute(select(func.max(Transfer.id))).scalar_one()
        session.add(
            BalanceCheckpoint(
                account=CLEARING, through_id=newest, balance_msat=-9_000, created_at=NOW
            )
        )
    receive(session, 5)
    assert balances_of(session, CLEARING) == (-9_005,)


def test_two_checkpoints_at_once_agree(new_session: Callable[[], Session]) -> None:
    with new_session() as session:
        for number in range(20):
            receive(session, 100, f"in_{number}")
    reports: list[CheckpointReport] = []

    def run() -> None:
        with new_session() as own:
            reports.append(checkpoint(own, NOW))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(reports) == 4
    with new_session() as session:
        assert stored(session) == {CLEARING: -2_000}
        assert_clean(session)


def test_a_checkpoint_cannot_be_bent(session: Session) -> None:
    receive(session, 700)
    checkpoint(session, NOW)
    with pytest.raises(Exception, match="never changed"), write_transaction(session):
        session.execute(text("UPDATE balance_checkpoints SET balance_msat = 0"))
    # A wrong one may be removed, because it can be worked out again.
    with write_transaction(session):
        session.execute(text("DELETE FROM balance_checkpoints"))
    checkpoint(session, NOW)
    assert stored(session) == {CLEARING: -700}


def test_a_checkpoint_waits_for_a_transfer_with_a_lower_id_that_commits_later(
    databases: Databases,
) -> None:
    """On PostgreSQL ids become visible out of order; SQLite has one writer at a time."""
    with databases.fresh("postgresql") as url:
        engine = open_engine(url)
        with Session(engine) as early, Session(engine) as late, Session(engine) as job:
            with write_transaction(early):
                recipes.receive(early, "in_1", CLEARING, 1_000, NOW)
                receive(late, 20, "in_2")
                with ThreadPoolExecutor(1) as pool:
                    waiting = pool.submit(checkpoint, job, NOW)
                    # However long it is given, it does not get past the open transaction.
                    with pytest.raises(TimeoutError):
                        waiting.result(0.5)
                    early.commit()
                    report = waiting.result(60)
            newest = late.execute(select(func.max(Transfer.id))).scalar_one()
            late.rollback()
            assert report.through_id == newest
            assert stored(job) == {CLEARING: -1_020}
            assert_clean(job)
        engine.dispose()


def test_a_checkpoint_makes_nobody_wait_and_gives_up_in_the_end(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    clock = SimpleNamespace(monotonic=lambda: seconds[0], sleep=time.sleep)
    monkeypatch.setattr(balances, "time", clock)
    asked, ask = threading.Semaphore(0), balances._writers

    def writers(session: AnySession) -> set[str]:
        found = ask(session)
        asked.release()
        return found

    monkeypatch.setattr(balances, "_writers", writers)
    with databases.fresh("postgresql") as url:
        engine = open_engine(url)
        with Session(engine) as stuck, Session(engine) as job, Session(engine) as reader:
            with write_transaction(stuck):
                recipes.receive(stuck, "in_1", CLEARING, 1_000, NOW)
                failures: list[StorageBusy] = []
                waiting = threading.Thread(target=_expect_busy, args=(job, failures))
                waiting.start()
                for _ in range(3):
                    assert asked.acquire(timeout=30), "it goes on looking"
                    receive(reader, 1, "in_2")
                assert waiting.is_alive()
                seconds[0] = balances.WRITER_PATIENCE_S + 1
                waiting.join(60)
                assert len(failures) == 1
            checkpoint(job, NOW)
            assert_clean(job)
            received = -stored(job)[CLEARING] - 1_000
            assert received == 3
        engine.dispose()


def _expect_busy(session: Session, failures: list[StorageBusy]) -> None:
    try:
        checkpoint(session, NOW)
    except StorageBusy as error:
        failures.append(error)


def fail_after_writing(session: Session) -> None:
    recipes.receive(session, "in_2", CLEARING, 1_000, NOW)
    recipes.claim_credit(session, "in_2", "wa_1", 1_001, NOW)


def test_a_transfer_that_was_rolled_back_holds_nothing_up(databases: Databases) -> None:
    with databases.fresh("postgresql") as url:
        engine = open_engine(url)
        with Session(engine) as session:
            receive(session, 5)
            with pytest.raises(NoCredit), write_transaction(session):
                fail_after_writing(session)
            receive(session, 7)
            assert checkpoint(session, NOW).accounts == 1
            assert stored(session) == {CLEARING: -12}
            assert_clean(session)
        engine.dispose()
