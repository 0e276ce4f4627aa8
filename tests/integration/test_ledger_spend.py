"""One suite over both ways to spend: SQL function and SQLite transaction."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    BitcacheError,
    IdempotencyConflict,
    InsufficientBalance,
    PriceChanged,
    PurchaseEnded,
    UnknownWallet,
)
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import reverse
from bitcache_server.ledger.order import Spend
from bitcache_server.ledger.parts import Part
from bitcache_server.ledger.spend import Outcome, spend
from bitcache_server.models.ledger import Grant, IdempotencyKey, Transfer, Wallet
from bitcache_server.models.session import write_transaction
from tests.support.books import (
    NOW,
    PRICE_MSAT,
    assert_clean,
    balances_of,
    count_rows,
    open_wallet,
    order,
    parts_of,
)
from tests.support.databases import Databases, open_engine


def refund(session: Session, group_id: str) -> None:
    with write_transaction(session):
        reverse(session, group_id, owner_id="wa_1", now=NOW)
        revoke = update(Grant).where(Grant.owner_id == "wa_1", Grant.group_id == group_id)
        session.execute(revoke.values(revoked_at=NOW))


def booked(session: Session, group_id: str) -> list[tuple[str, str, str, int]]:
    rows = session.scalars(
        select(Transfer).where(Transfer.group_id == group_id).order_by(Transfer.id)
    ).all()
    assert {(r.owner_id, r.created_at, r.reverses_id) for r in rows} == {("wa_1", NOW, None)}
    found = [(r.kind, r.from_account, r.to_account, r.amount_msat) for r in rows]
    session.rollback()
    return found


def test_a_spend_moves_money_and_gives_a_grant(session: Session) -> None:
    open_wallet(session, balance_msat=12_000)

    result = spend(session, order(expires_at=NOW + 60))

    assert (result.outcome, result.revision) == (Outcome.BOOKED, 1)
    assert (result.balance_msat, result.gift_msat) == (7_000, 0)
    assert (result.price_msat, result.charged_msat) == (PRICE_MSAT, PRICE_MSAT)
    assert (result.issued_at, result.expires_at) == (NOW, NOW + 60)
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
    assert booked(session, result.group_id) == [
        ("sale", "wallet:wa_1", "merchant:me_1", 4_950),
        ("commission", "wallet:wa_1", "commission", 50),
    ]


@pytest.mark.parametrize("commission_msat", [0, 1, PRICE_MSAT])
def test_a_part_of_zero_is_left_out(session: Session, commission_msat: int) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT)
    result = spend(session, order(commission_msat=commission_msat))
    assert len(booked(session, result.group_id)) == (2 if commission_msat == 1 else 1)
    assert balances_of(session, "merchant:me_1", "commission") == (
        PRICE_MSAT - commission_msat,
        commission_msat,
    )
    assert_clean(session)


def test_every_payee_gets_their_part(session: Session) -> None:
    open_wallet(session, balance_msat=100)
    parts = (
        Part("merchant:me_1", 50),
        Part("merchant:me_2", 30),
        Part("merchant:me_3", 19),
        Part("commission", 1),
    )
    result = spend(session, order(parts=parts))
    assert booked(session, result.group_id) == [
        ("sale", "wallet:wa_1", "merchant:me_1", 50),
        ("sale", "wallet:wa_1", "merchant:me_2", 30),
        ("sale", "wallet:wa_1", "merchant:me_3", 19),
        ("commission", "wallet:wa_1", "commission", 1),
    ]
    assert result.price_msat == 100
    assert_clean(session)


# Starter credit


@pytest.mark.parametrize(
    ("gift_msat", "lines"),
    [
        (0, [("wallet", "merchant:me_1", 50), ("wallet", "merchant:me_2", 40),
             ("wallet", "commission", 10)]),
        (20, [("gift", "merchant:me_1", 20), ("wallet", "merchant:me_1", 30),
              ("wallet", "merchant:me_2", 40), ("wallet", "commission", 10)]),
        (50, [("gift", "merchant:me_1", 50), ("wallet", "merchant:me_2", 40),
              ("wallet", "commission", 10)]),
        (95, [("gift", "merchant:me_1", 50), ("gift", "merchant:me_2", 40),
              ("gift", "commission", 5), ("wallet", "commission", 5)]),
        (100, [("gift", "merchant:me_1", 50), ("gift", "merchant:me_2", 40),
               ("gift", "commission", 10)]),
        (101, [("gift", "merchant:me_1", 50), ("gift", "merchant:me_2", 40),
               ("gift", "commission", 10)]),
    ],
)  # fmt: skip
def test_starter_credit_goes_first(
    session: Session, gift_msat: int, lines: list[tuple[str, str, int]]
) -> None:
    open_wallet(session, balance_msat=100, gift_msat=gift_msat)
    parts = (Part("merchant:me_1", 50), Part("merchant:me_2", 40), Part("commission", 10))
    result = spend(session, order(parts=parts))
    from_gift_msat = min(gift_msat, 100)
    assert (result.gift_msat, result.balance_msat) == (gift_msat - from_gift_msat, from_gift_msat)
    assert balances_of(session, "gift:wa_1", "wallet:wa_1") == (
        result.gift_msat,
        result.balance_msat,
    )
    assert [
        (source.removesuffix(":wa_1"), to, msat)
        for _, source, to, msat in booked(session, result.group_id)
    ] == lines
    assert_clean(session)


def test_starter_credit_and_own_money_together_may_be_just_enough(session: Session) -> None:
    open_wallet(session, balance_msat=2_000, gift_msat=3_000)
    with pytest.raises(InsufficientBalance):
        spend(session, order("dear", amount_msat=5_001))
    result = spend(session, order())
    assert (result.balance_msat, result.gift_msat) == (0, 0)
    refund(session, result.group_id)
    # What was a gift is a gift again.
    assert balances_of(session, "gift:wa_1", "wallet:wa_1") == (3_000, 2_000)
    assert_clean(session)


# Money


def test_the_whole_balance_can_be_spent_and_not_one_msat_more(session: Session) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT)
    assert spend(session, order("a")).balance_msat == 0
    with pytest.raises(InsufficientBalance):
        spend(session, order("b", item_id="it_2", amount_msat=1, commission_msat=0))
    assert_clean(session)


def test_nothing_is_kept_of_a_spend_without_money_and_its_key_is_free(session: Session) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT - 1)
    before = count_rows(session)
    with pytest.raises(InsufficientBalance):
        spend(session, order())
    assert count_rows(session) == before

    result = spend(session, order(amount_msat=PRICE_MSAT - 1))
    assert (result.balance_msat, result.outcome) == (0, Outcome.BOOKED)


@pytest.mark.parametrize("max_msat", [0, PRICE_MSAT - 1])
def test_no_more_is_paid_than_was_shown(session: Session, max_msat: int) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT)
    with pytest.raises(PriceChanged):
        spend(session, order(max_msat=max_msat))
    assert spend(session, order(max_msat=PRICE_MSAT)).outcome is Outcome.BOOKED
    # Who has it already is not asked for the new price.
    assert spend(session, order(None, max_msat=max_msat)).outcome is Outcome.OWNED


@pytest.mark.parametrize("closed", [True, False])
def test_a_wallet_that_is_not_there_spends_nothing(session: Session, closed: bool) -> None:
    if closed:
        open_wallet(session, balance_msat=PRICE_MSAT)
        with write_transaction(session):
            session.get_one(Wallet, "wa_1").closed_at = NOW
    before = count_rows(session)
    with pytest.raises(UnknownWallet):
        spend(session, order())
    assert count_rows(session) == before


# Once


def test_the_same_key_and_request_give_the_same_answer(session: Session) -> None:
    open_wallet(session, balance_msat=12_000)
    first = spend(session, order())
    rows = count_rows(session)

    # Our own price, parts, expiry, limits and clock may have changed in between.
    again = spend(
        session,
        order(amount_msat=9_999, commission_msat=99, expires_at=NOW + 5, now=NOW + 9, max_msat=1),
    )

    assert again == replace(first, outcome=Outcome.REPLAYED)
    assert again.charged_msat == PRICE_MSAT
    assert count_rows(session) == rows
    assert balances_of(session, "wallet:wa_1") == (7_000,)


@pytest.mark.parametrize("key", [None, "key-2"])
def test_what_the_wallet_holds_is_not_sold_again(session: Session, key: str | None) -> None:
    open_wallet(session, balance_msat=12_000)
    first = spend(session, order())
    rows = count_rows(session)
    again = spend(session, order(key, amount_msat=9_999, now=NOW + 9))
    assert again == replace(first, outcome=Outcome.OWNED)
    assert again.charged_msat == 0
    # The key of a request that bought nothing is not kept.
    assert count_rows(session) == rows


def test_what_the_wallet_holds_needs_no_money(session: Session) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT)
    first = spend(session, order())
    assert spend(session, order()) == replace(first, outcome=Outcome.REPLAYED)
    assert spend(session, order(None)) == replace(first, outcome=Outcome.OWNED)


def test_without_a_key_a_purchase_that_is_over_is_made_anew(session: Session) -> None:
    open_wallet(session, balance_msat=12_000)
    first = spend(session, order(None, expires_at=NOW + 60))
    assert spend(session, order(None, now=NOW + 59)).outcome is Outcome.OWNED
    second = spend(session, order(None, now=NOW + 60, expires_at=NOW + 120))
    assert (second.outcome, second.revision, second.balance_msat) == (Outcome.BOOKED, 2, 2_000)
    assert second.group_id != first.group_id
    assert count_rows(session).keys == 0
    assert_clean(session)


def test_a_key_whose_purchase_is_over_buys_nothing_anew(session: Session) -> None:
    open_wallet(session, balance_msat=12_000)
    spend(session, order(expires_at=NOW + 60))
    with pytest.raises(PurchaseEnded):
        spend(session, order(now=NOW + 60))
    assert balances_of(session, "wallet:wa_1") == (7_000,)
    renewed = spend(session, order("key-2", now=NOW + 60))
    assert renewed.revision == 2
    # The first key did not pay for what there is now.
    again = spend(session, order(now=NOW + 61))
    assert (again.outcome, again.group_id) == (Outcome.OWNED, renewed.group_id)
    assert spend(session, order("key-2", now=NOW + 61)).outcome is Outcome.REPLAYED


def test_a_key_whose_purchase_was_given_back_buys_nothing_anew(session: Session) -> None:
    open_wallet(session, balance_msat=PRICE_MSAT)
    refund(session, spend(session, order()).group_id)
    with pytest.raises(PurchaseEnded):
        spend(session, order())
    assert balances_of(session, "wallet:wa_1", "merchant:me_1") == (PRICE_MSAT, 0)
    again = spend(session, order(None))
    assert (again.outcome, again.revision) == (Outcome.BOOKED, 2)
    assert_clean(session)


@pytest.mark.parametrize("other", [order(item_id="it_2"), order(site_id="st_2")])
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
    assert spend(session, order(wallet_id="wa_2")).outcome is Outcome.BOOKED
    assert balances_of(session, "merchant:me_1") == (9_900,)


# Orders


@pytest.mark.parametrize(
    "wrong",
    [
        {"parts": ()},
        {"amount_msat": 0, "commission_msat": 0},
        {"parts": (Part("merchant:me_1", -1),)},
        {"parts": (Part("merchant:me_1", 0),)},
        {"parts": (Part("merchant:me_1", 1), Part("merchant:me_1", 1))},
        {"parts": (Part("wallet:wa_2", 1),)},
        {"parts": (Part(chart.PROMOTION, 1),)},
        {"amount_msat": 2**62},
        {"wallet_id": "wa 1"},
        {"merchant_id": ""},
        {"auto": True},
    ],
)
def test_an_impossible_order_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"spent|part|paid|chart"):
        order(**wrong)


@pytest.mark.parametrize("key", ["", "x" * 256, "new\nline", "ключ"])
def test_an_impossible_key_is_refused(key: str) -> None:
    with pytest.raises(BitcacheError, match="idempotency key"):
        order(key)


def test_the_price_is_the_sum_of_the_parts() -> None:
    assert order(parts=(*parts_of(40, 4), Part("merchant:me_2", 2))).price_msat == 42


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
            spend(session, order("warm-up", item_id="it_2"))
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
