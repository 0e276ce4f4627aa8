"""Spends that are sent together: each as if it were alone, and nobody waits for a stranger."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AllowanceExceeded,
    BitcacheError,
    InsufficientBalance,
    StorageBusy,
    UnknownWallet,
)
from bitcache_server.ledger import recipes
from bitcache_server.ledger.order import Spend
from bitcache_server.ledger.spend import Outcome, SpendResult, spend, spend_together
from bitcache_server.models import session as sessions
from bitcache_server.models.session import write_transaction
from bitcache_server.services import spend_queue
from bitcache_server.services.spend_queue import SpendQueue
from tests.support.books import (
    NOW,
    PRICE_MSAT,
    assert_clean,
    balances_of,
    count_rows,
    open_allowance,
    open_wallet,
    order,
)
from tests.support.databases import Databases, open_engine

READERS = 24


@pytest.fixture
def engine(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Return an engine on a fresh PostgreSQL database; nobody gives up on a busy machine."""
    monkeypatch.setattr(sessions, "LOCK_TIMEOUT_MS", 60_000)
    with databases.fresh("postgresql") as url:
        made = open_engine(url)
        yield made
        made.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """Return one open session on it."""
    with Session(engine) as opened:
        yield opened
        assert_clean(opened)


def queue_on(engine: Engine) -> SpendQueue:
    def alone(wanted: Spend) -> SpendResult:
        with Session(engine) as own:
            return spend(own, wanted)

    return SpendQueue(engine, alone)


def outcome_of(work: Callable[[], SpendResult]) -> str:
    try:
        return work().outcome.value
    except BitcacheError as error:
        return error.code


def in_threads(queue: SpendQueue, orders: list[Spend]) -> list[str]:
    barrier = threading.Barrier(len(orders))

    def click(wanted: Spend) -> str:
        barrier.wait(30)
        return outcome_of(lambda: queue.spend(wanted))

    with ThreadPoolExecutor(len(orders)) as pool:
        return list(pool.map(click, orders))


@contextmanager
def statement_counter(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    sizes: list[int] = []

    def counting(connection: object, orders: list[Spend]) -> object:
        sizes.append(len(orders))
        return spend_together(connection, orders)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(spend_queue, "spend_together", counting)
    yield sizes


def test_each_order_of_a_statement_has_an_answer_of_its_own(
    engine: Engine, session: Session
) -> None:
    open_wallet(session, "wa_1", 12_000, gift_msat=3_000)
    open_wallet(session, "wa_2", PRICE_MSAT - 1)
    open_wallet(session, "wa_3", 50_000)
    open_allowance(session, wallet_id="wa_3", per_item_msat=PRICE_MSAT, per_day_msat=PRICE_MSAT)
    orders = [
        order("a"),
        order("a"),
        order(None),
        order("b", item_id="it_2", expires_at=NOW + 9),
        order(None, item_id="it_3", amount_msat=5_001),
        order(wallet_id="wa_2"),
        order(wallet_id="wa_none"),
        order(None, wallet_id="wa_3", allowance_id="al_1"),
        order(None, wallet_id="wa_3", item_id="it_2", allowance_id="al_1"),
        order("a", item_id="it_9"),
    ]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        answers = spend_together(connection, orders)
    codes = [a.code if isinstance(a, BitcacheError) else a.outcome.value for a in answers]
    assert codes == [
        "booked", "replayed", "owned", "booked", "insufficient_balance", "insufficient_balance",
        # A wallet that is not there looks like one in use; alone it shows.
        "storage_busy", "booked", "allowance_exceeded", "idempotency_conflict",
    ]  # fmt: skip
    first, same, _, other = answers[:4]
    assert isinstance(first, SpendResult)
    assert isinstance(same, SpendResult)
    assert isinstance(other, SpendResult)
    assert (first.balance_msat, first.gift_msat) == (10_000, 0)
    assert (same.group_id, other.balance_msat, other.expires_at) == (
        first.group_id, 5_000, NOW + 9,
    )  # fmt: skip
    assert balances_of(session, "merchant:me_1", "commission") == (3 * 4_950, 3 * 50)


def test_strangers_share_a_statement(
    engine: Engine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(READERS):
        open_wallet(session, f"wa_{number}", PRICE_MSAT)
    with statement_counter(monkeypatch) as sizes:
        queue = queue_on(engine)
        orders = [order(None, wallet_id=f"wa_{number}") for number in range(READERS)]
        assert in_threads(queue, orders) == ["booked"] * READERS
        assert in_threads(queue, orders) == ["owned"] * READERS
    assert sum(sizes) == 2 * READERS
    assert max(sizes) > 1
    assert count_rows(session).grants == READERS


def test_clicks_of_one_reader_share_a_statement_too(
    engine: Engine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Those of the next statement wait for the wallet in turns.
    monkeypatch.setattr(spend_queue, "BUSY_PATIENCE_S", 60.0)
    open_wallet(session, balance_msat=5 * PRICE_MSAT)
    queue = queue_on(engine)
    same = in_threads(queue, [order(None)] * READERS)
    assert sorted(same) == ["booked"] + ["owned"] * (READERS - 1)
    items = [order(None, item_id=f"it_{number}") for number in range(2, 2 + READERS)]
    answers = in_threads(queue, items)
    assert answers.count("booked") == 4
    assert answers.count("insufficient_balance") == READERS - 4
    assert balances_of(session, "wallet:wa_1") == (0,)


def test_refusals_are_those_of_a_single_spend(engine: Engine, session: Session) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT - 1)
    open_allowance(session, per_item_msat=1)
    queue = queue_on(engine)
    with pytest.raises(InsufficientBalance):
        queue.spend(order())
    with pytest.raises(AllowanceExceeded, match="one item"):
        queue.spend(order(allowance_id="al_1"))
    with pytest.raises(UnknownWallet):
        queue.spend(order(wallet_id="wa_none"))
    assert queue.spend(order(amount_msat=PRICE_MSAT - 1)).outcome is Outcome.BOOKED


def test_a_wallet_in_use_holds_up_no_stranger(engine: Engine, session: Session) -> None:
    for number in range(1, 9):
        open_wallet(session, f"wa_{number}", 2 * PRICE_MSAT)
    queue = queue_on(engine)
    answers: list[str] = []
    with Session(engine) as holder:
        with write_transaction(holder):
            recipes.give_starter_credit(holder, "wa_1", 1, NOW)
            blocked = [
                threading.Thread(
                    target=lambda n=n: answers.append(
                        outcome_of(lambda: queue.spend(order(None, item_id=f"it_{n}")))
                    )
                )
                for n in range(2)
            ]
            for thread in blocked:
                thread.start()
            for number in range(2, 9):
                assert queue.spend(order(None, wallet_id=f"wa_{number}")).revision == 1
            assert answers == []
        for thread in blocked:
            thread.join(60)
    assert answers == ["booked", "booked"]
    assert balances_of(session, "gift:wa_1", "wallet:wa_1") == (0, 1)


def test_not_every_thread_waits_for_a_wallet_in_use(
    engine: Engine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spend_queue, "MAX_ALONE", 1)
    open_wallet(session, balance_msat=10 * PRICE_MSAT)
    queue = queue_on(engine)
    answers: list[str] = []
    with Session(engine) as holder:
        with write_transaction(holder):
            recipes.give_starter_credit(holder, "wa_1", 1, NOW)
            waiting = threading.Thread(
                target=lambda: answers.append(outcome_of(lambda: queue.spend(order(None))))
            )
            waiting.start()
            _until_somebody_waits(session)
            with pytest.raises(StorageBusy):
                queue.spend(order(None, item_id="it_2"))
        waiting.join(60)
    assert answers == ["booked"]


def _until_somebody_waits(session: Session) -> None:
    ends_at = time.monotonic() + 60
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while not session.execute(text(query)).scalar_one():
        session.rollback()
        assert time.monotonic() < ends_at
        time.sleep(0.01)
    session.rollback()


def test_one_order_that_breaks_a_statement_spoils_no_other(
    engine: Engine, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database itself refuses this grant, and with it the whole statement."""
    for number in range(8):
        open_wallet(session, f"wa_{number}", PRICE_MSAT)
    with write_transaction(session):
        session.execute(text("ALTER TABLE grants ADD CHECK (item_id <> 'it_cursed')"))
    # Alone they take turns, and a turn may take long.
    monkeypatch.setattr(spend_queue, "PATIENCE_S", 60.0)
    with statement_counter(monkeypatch) as sizes:
        queue = queue_on(engine)
        with Session(engine) as holder, write_transaction(holder):
            # Everything gathers behind the first two statements, which wait for this lock.
            holder.execute(text("LOCK TABLE grants IN ACCESS EXCLUSIVE MODE"))
            with ThreadPoolExecutor(8) as pool:
                done = [
                    pool.submit(_try, queue, f"wa_{n}", "it_cursed" if n == 7 else "it_1")
                    for n in range(8)
                ]
                _until_somebody_waits(session)
                while sum(sizes) + len(queue._together._waiting) < len(done):
                    time.sleep(0.01)
                holder.rollback()
                answers = [future.result(60) for future in done]
    assert answers == ["booked"] * 7 + ["IntegrityError"]
    assert max(sizes) > 1
    assert balances_of(session, "wallet:wa_7", "wallet:wa_6") == (PRICE_MSAT, 0)


def _try(queue: SpendQueue, wallet_id: str, item_id: str) -> str:
    try:
        return queue.spend(order(None, wallet_id=wallet_id, item_id=item_id)).outcome.value
    except Exception as error:
        return type(error).__name__


def test_a_broken_connection_is_replaced(engine: Engine, session: Session) -> None:
    open_wallet(session, balance_msat=3 * PRICE_MSAT)
    queue = queue_on(engine)
    queue.spend(order(None))
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    session.execute(text(end + " WHERE datname = current_database() AND pid <> pg_backend_pid()"))
    session.rollback()
    assert queue.spend(order(None, item_id="it_2")).outcome is Outcome.BOOKED
    assert queue.spend(order(None, item_id="it_3")).balance_msat == 0
