"""What an allowance lets through, on both ways to spend."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AllowanceExceeded,
    AllowanceExpired,
    AllowanceRevoked,
    BitcacheError,
    InsufficientBalance,
    PriceChanged,
    UnknownAllowance,
)
from bitcache_server.ledger.spend import Outcome, SpendResult, spend
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import Allowance
from tests.support.books import (
    NOW,
    assert_clean,
    balances_of,
    count_rows,
    open_allowance,
    open_wallet,
    order,
)

DAY_S = 86_400


def buy(session: Session, amount_msat: int, item_id: str, **changed: Any) -> SpendResult:
    values = {"allowance_id": "al_1", "commission_msat": 0, **changed}
    return spend(session, order(None, amount_msat=amount_msat, item_id=item_id, **values))


def spent(session: Session) -> tuple[int, int]:
    session.rollback()
    allowance = session.get_one(Allowance, ("wa_1", "al_1"))
    found = (allowance.day, allowance.spent_msat)
    session.rollback()
    return found


def refused(
    session: Session, error: type[BitcacheError], amount_msat: int, item_id: str, **changed: Any
) -> str:
    before = count_rows(session), spent(session), balances_of(session, "wallet:wa_1")
    with pytest.raises(error) as caught:
        buy(session, amount_msat, item_id, **changed)
    assert (count_rows(session), spent(session), balances_of(session, "wallet:wa_1")) == before
    return caught.value.detail


@pytest.fixture
def ready(session: Session) -> Session:
    """Return a session on a rich wallet that allows 10,000 msat an item, 20,000 a day."""
    open_wallet(session, balance_msat=1_000_000)
    open_allowance(session)
    return session


def test_one_item_may_cost_the_limit_and_not_one_msat_more(ready: Session) -> None:
    assert "one item" in refused(ready, AllowanceExceeded, 10_001, "it_1")
    assert buy(ready, 10_000, "it_1").outcome is Outcome.BOOKED
    assert spent(ready) == (NOW // DAY_S, 10_000)
    assert_clean(ready)


def test_a_day_may_cost_the_limit_and_not_one_msat_more(ready: Session) -> None:
    buy(ready, 10_000, "it_1")
    buy(ready, 9_999, "it_2")
    assert "day" in refused(ready, AllowanceExceeded, 2, "it_3")
    assert buy(ready, 1, "it_3").outcome is Outcome.BOOKED
    refused(ready, AllowanceExceeded, 1, "it_4")
    # On our own pages the reader pays without these limits.
    assert buy(ready, 50_000, "it_4", allowance_id=None).outcome is Outcome.BOOKED
    assert spent(ready) == (NOW // DAY_S, 20_000)
    assert_clean(ready)


def test_the_next_utc_day_is_new(ready: Session) -> None:
    buy(ready, 10_000, "it_1")
    buy(ready, 10_000, "it_2")
    midnight = (NOW // DAY_S + 1) * DAY_S
    refused(ready, AllowanceExceeded, 1, "it_3", now=midnight - 1)
    assert buy(ready, 10_000, "it_3", now=midnight).outcome is Outcome.BOOKED
    assert spent(ready) == (midnight // DAY_S, 10_000)


def test_a_clock_that_jumps_back_opens_no_day_anew(ready: Session) -> None:
    tomorrow = NOW + DAY_S
    buy(ready, 10_000, "it_1", now=tomorrow)
    buy(ready, 9_000, "it_2", now=NOW)
    refused(ready, AllowanceExceeded, 1_001, "it_3", now=NOW)
    refused(ready, AllowanceExceeded, 1_001, "it_3", now=tomorrow)
    assert spent(ready) == (tomorrow // DAY_S, 19_000)
    assert buy(ready, 1_001, "it_3", now=tomorrow + DAY_S).outcome is Outcome.BOOKED


def test_what_is_held_already_counts_for_nothing(ready: Session) -> None:
    buy(ready, 10_000, "it_1")
    buy(ready, 10_000, "it_2")
    # Neither the day's limit nor today's price matters for what was paid for.
    again = buy(ready, 99_000, "it_1")
    assert (again.outcome, again.price_msat, again.charged_msat) == (Outcome.OWNED, 10_000, 0)
    assert spent(ready) == (NOW // DAY_S, 20_000)


def test_without_a_click_only_what_was_allowed_for_that(session: Session) -> None:
    open_wallet(session, balance_msat=1_000_000)
    open_allowance(session, auto_msat=3_000)
    assert "click" in refused(session, AllowanceExceeded, 3_001, "it_1", auto=True)
    assert buy(session, 3_001, "it_1").outcome is Outcome.BOOKED
    assert buy(session, 3_000, "it_2", auto=True).outcome is Outcome.BOOKED
    # What is held opens without a click at any price.
    assert buy(session, 3_001, "it_1", auto=True).outcome is Outcome.OWNED
    assert_clean(session)


def test_by_default_nothing_is_paid_without_a_click(ready: Session) -> None:
    refused(ready, AllowanceExceeded, 1, "it_1", auto=True)


def test_it_ends_at_its_time(session: Session) -> None:
    open_wallet(session, balance_msat=1_000_000)
    open_allowance(session, expires_at=NOW + 60)
    assert buy(session, 5, "it_1", now=NOW + 59).outcome is Outcome.BOOKED
    refused(session, AllowanceExpired, 5, "it_2", now=NOW + 60)
    # Not even what is held is given out to the page any more.
    refused(session, AllowanceExpired, 5, "it_1", now=NOW + 60)


def test_it_dies_when_it_is_revoked(ready: Session) -> None:
    buy(ready, 5, "it_1")
    with write_transaction(ready):
        ready.get_one(Allowance, ("wa_1", "al_1")).revoked_at = NOW
    refused(ready, AllowanceRevoked, 5, "it_2")
    refused(ready, AllowanceRevoked, 5, "it_1")


@pytest.mark.parametrize(
    "changed",
    [{"allowance_id": "al_none"}, {"site_id": "st_2"}, {"wallet_id": "wa_2"}],
)
def test_another_sites_or_wallets_allowance_is_unknown(
    ready: Session, changed: dict[str, str]
) -> None:
    open_wallet(ready, "wa_2", 1_000_000)
    refused(ready, UnknownAllowance, 5, "it_1", **changed)


def test_the_limits_are_looked_at_before_the_money(session: Session) -> None:
    open_wallet(session, balance_msat=5)
    open_allowance(session, auto_msat=10_000)
    refused(session, PriceChanged, 99_000, "it_1", max_msat=98_999)
    refused(session, AllowanceExceeded, 99_000, "it_1", max_msat=99_000)
    refused(session, InsufficientBalance, 6, "it_1", auto=True)
    assert buy(session, 5, "it_1", auto=True).balance_msat == 0
    assert_clean(session)
