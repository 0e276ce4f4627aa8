"""Many processes spend from one wallet at once."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.models.ledger import Grant
from tests.support.books import (
    COMMISSION_MSAT,
    PRICE_MSAT,
    Counts,
    assert_clean,
    attempt_spends,
    balances_of,
    count_rows,
    open_wallet,
    repeat_spend,
)
from tests.support.workers import CONTEXT

PROCESSES = 8
ATTEMPTS = 12
AFFORDABLE = 70
"""Of 96 attempts."""


@pytest.fixture(scope="module")
def workers() -> Iterator[ProcessPoolExecutor]:
    """Return processes that share nothing with this one, as web workers do."""
    with ProcessPoolExecutor(PROCESSES, mp_context=CONTEXT) as pool:
        yield pool


def test_a_wallet_is_never_overdrawn_and_no_transfer_is_lost(
    database_url: str, session: Session, workers: ProcessPoolExecutor
) -> None:
    open_wallet(session, balance_msat=AFFORDABLE * PRICE_MSAT + 1)
    before = count_rows(session)

    counts = [
        workers.submit(attempt_spends, database_url, worker, ATTEMPTS)
        for worker in range(PROCESSES)
    ]
    successes = sum(count.result(timeout=300) for count in counts)

    assert successes == AFFORDABLE
    after = count_rows(session)
    assert after == Counts(before.transfers + 2 * AFFORDABLE, AFFORDABLE, AFFORDABLE)
    assert balances_of(session, "wallet:wa_1", "merchant:me_1", "commission") == (
        1,
        AFFORDABLE * (PRICE_MSAT - COMMISSION_MSAT),
        AFFORDABLE * COMMISSION_MSAT,
    )
    assert session.scalar(select(func.max(Grant.revision))) == 1
    assert_clean(session)


@pytest.mark.parametrize(("key", "others"), [("the-key", "replayed"), (None, "owned")])
def test_one_item_for_many_processes_is_paid_once(
    database_url: str,
    session: Session,
    workers: ProcessPoolExecutor,
    key: str | None,
    others: str,
) -> None:
    open_wallet(session, balance_msat=100 * PRICE_MSAT)
    answers = [workers.submit(repeat_spend, database_url, key, 5) for _ in range(PROCESSES)]
    outcomes = [outcome for answer in answers for outcome in answer.result(timeout=300)]
    assert sorted(outcomes) == ["booked"] + [others] * (PROCESSES * 5 - 1)
    assert balances_of(session, "wallet:wa_1") == (99 * PRICE_MSAT,)
    assert count_rows(session) == Counts(transfers=3, grants=1, keys=1 if key else 0)
    assert_clean(session)
