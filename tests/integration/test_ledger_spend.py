"""One suite over both ways to spend: SQL function and SQLite transaction."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    BitcacheError,
    CreditRestricted,
    IdempotencyConflict,
    InsufficientBalance,
    UnknownWallet,
)
from bitcache_server.ledger.spend import Spend, spend
from bitcache_server.models.ledger import Grant, IdempotencyKey, Transfer
from bitcache_server.models.session import write_transaction
from tests.support.books import (
    NOW,
    PRICE_MSAT,
    Counts,
    assert_clean,
    balances_of,
    count_rows,
    open_wallet,
    order,
)
from tests.support.databases import Databases, open_engine


def test_a_spend_moves_money_and_gives_a_grant(session: Session) -> None:
    open_wallet(session, balance_msat=12_000)

    result = spend(session, order(expires_at=NOW + 60))

    assert (result.balance_msat, result.revision, result.replayed) == (7_000, 1, False)
    assert result.expires_at == NOW + 60
    accounts = ("wallet:wa_1", "merchant:me_1", "commission")
    assert balances_of(session, *accounts) == (7_000, 4_950, 50)
    grant = session.get_one(Grant, ("wa_1", "it_1", 1))
    assert (grant.price_msat, grant.group_id) == (PRICE_MSAT, result.group_id)
    assert (grant.site_id, grant.issued_at, grant.expires_at) == ("st_1", NOW, NOW + 60)
    assert grant.revoked_at is None
    assert_clean(session)


def test_a_spend_books_what_it_says(session: Session) -> None:
    open_wallet(session, balance_msat=12_000)
    result = spend(session, order())
    rows = session.scalars(
        select(Transfer).where(Transfer.group_id == result.group_id).order_by(Transfer.id)
    ).all()
    booked = [(r.id, r.owner_id, r.kind, r.from_account, r.to_account, r.amount_msat) for r in rows]
    sale, commission = result.transfer_ids
    assert booked == [
        (sale, "wa_1", "sale", "wallet:wa_1", "merchant:me_1", 4_950),
        (commission, "wa_1", "commission", "wallet:wa_1", "commission", 50),
    ]
    assert {(r.created_at, r.reverses_id) for r in rows} == {(NOW, None)}


@pytest.mark.parametrize(("commission_msat", "parts"), [(0, 1), (1, 2), (PRICE_MSAT, 1)])
def test_a_part_of_zero_is_left_out(session: Session, commission_msat: int, parts: int) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT)
    result = spend(session, order(commission_msat=commission_msat))
    assert len(result.transfer_ids) == parts
    assert balances_of(session, "merchant:me_1", "commission") == (
        PRICE_MSAT - commission_msat,
        commission_msat,
    )
    assert_clean(session)


def test_the_whole_balance_can_be_spent_and_not_one_msat_more(session: Session) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT)
    assert spend(session, order("a")).balance_msat == 0
    with pytest.raises(InsufficientBalance):
        spend(session, order("b", amount_msat=1, commission_msat=0))


def test_nothing_is_kept_of_a_spend_without_money_and_its_key_is_free(session: Session) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT - 1)
    before = count_rows(session)
    with pytest.raises(InsufficientBalance):
        spend(session, order())
    assert count_rows(session) == before

    result = spend(session, order(amount_msat=PRICE_MSAT - 1))
    assert (result.balance_msat, result.replayed) == (0, False)


def test_the_same_key_and_request_give_the_same_answer(session: Session) -> None:
    open_wallet(session, balance_msat=12_000)
    first = spend(session, order())
    rows = count_rows(session)

    # Our own commission, expiry and clock may have changed in between.
    again = spend(session, order(commission_msat=99, expires_at=NOW + 5, now=NOW + 9))

    assert again == replace(first, replayed=True)
    assert count_rows(session) == rows
    assert balances_of(session, "wallet:wa_1") == (7_000,)


def test_a_replay_needs_no_money(session: Session) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT)
    first = spend(session, order())
    assert spend(session, order()) == replace(first, replayed=True)


@pytest.mark.parametrize(
    "other",
    [
        order(amount_msat=PRICE_MSAT + 1),
        order(item_id="it_2"),
        order(merchant_id="me_2"),
    ],
)
def test_the_same_key_with_another_request_is_refused(session: Session, other: Spend) -> None:
    open_wallet(session, balance_msat=20_000)
    spend(session, order())
    before = count_rows(session)
    with pytest.raises(IdempotencyConflict):
        spend(session, other)
    assert count_rows(session) == before


def test_two_wallets_may_use_the_same_key(session: Session) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT)
    open_wallet(session, "wa_2", PRICE_MSAT)
    spend(session, order())
    assert spend(session, order(wallet_id="wa_2")).replayed is False
    assert balances_of(session, "merchant:me_1") == (9_900,)


def test_each_purchase_of_an_item_is_a_new_revision(session: Session) -> None:
    open_wallet(session, balance_msat=30_000)
    revisions = [spend(session, order(f"key-{n}")).revision for n in range(3)]
    other = spend(session, order("other", item_id="it_2")).revision
    assert (revisions, other) == ([1, 2, 3], 1)


def test_credit_of_one_merchant_buys_from_no_other(session: Session) -> None:
    open_wallet(session, balance_msat=12_000, only_merchant_id="me_1")
    before = count_rows(session)
    with pytest.raises(CreditRestricted):
        spend(session, order("a", merchant_id="me_2"))
    assert count_rows(session) == before
    assert spend(session, order("a")).balance_msat == 7_000


def test_a_wallet_that_is_not_there_spends_nothing(session: Session) -> None:
    with pytest.raises(UnknownWallet):
        spend(session, order(wallet_id="wa_none"))
    assert count_rows(session) == Counts(0, 0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_msat": 0},
        {"amount_msat": -1},
        {"commission_msat": -1},
        {"commission_msat": PRICE_MSAT + 1},
        {"amount_msat": 2**62},
        {"wallet_id": "wa 1"},
        {"merchant_id": ""},
    ],
)
def test_an_impossible_order_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"spent|commission|chart"):
        order(**wrong)


@pytest.mark.parametrize("key", ["", "x" * 256, "new\nline", "ключ"])
def test_an_impossible_key_is_refused(key: str) -> None:
    with pytest.raises(BitcacheError, match="idempotency key"):
        order(key)


def test_a_spend_is_a_transaction_of_its_own(session: Session) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT)
    with (
        pytest.raises(RuntimeError, match="open already"),
        write_transaction(session),
    ):
        spend(session, order())
    assert count_rows(session).keys == 0


def test_the_answer_is_stored_beside_its_effect(session: Session) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT)
    spend(session, order())
    row = session.get_one(IdempotencyKey, ("wa_1", "key-1"))
    assert row.request_hash == order().request_hash()
    assert row.created_at == NOW


def test_on_postgresql_a_spend_is_one_round_trip(databases: Databases, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with databases.fresh("postgresql") as url:
        engine = open_engine(url)
        with Session(engine) as session:
            open_wallet(session, balance_msat=20_000)
            spend(session, order("warm-up"))
            raw = session.connection().connection.driver_connection
            assert raw is not None
            session.rollback()
            with trace.open("wb") as output:
                raw.pgconn.trace(output.fileno())
                spend(session, order("measured"))
                raw.pgconn.untrace()
        engine.dispose()
    sent = [line.split("\t") for line in trace.read_text().splitlines()]
    requests = [fields for fields in sent if "F" in fields and {"Sync", "Query"} & set(fields)]
    assert len(requests) == 1, trace.read_text()
