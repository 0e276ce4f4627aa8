"""Posting, taking back, and what each recipe books."""

from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AlreadyReversed,
    InsufficientBalance,
    NoCredit,
    UnknownTransfer,
    UnknownWallet,
)
from bitcache_server.ledger import chart, recipes
from bitcache_server.ledger.journal import Entry, Kind, post, reverse
from bitcache_server.ledger.parts import Part
from bitcache_server.models.ledger import Transfer
from bitcache_server.models.session import write_transaction
from tests.support.books import (
    NOW,
    assert_clean,
    balances_of,
    count_rows,
    open_wallet,
    parts_of,
)

INVOICE = chart.invoice("in_1")
MERCHANT = chart.merchant("me_1")
CLEARING = chart.clearing("onchain")
SIGHT = chart.unconfirmed("onchain")


def receive(session: Session, amount_msat: int, source: str = CLEARING) -> str:
    with write_transaction(session):
        return recipes.receive(session, "in_1", source, amount_msat, NOW)


def sell(session: Session, amount: int = 5_000, commission: int = 50, rounding: int = 0) -> str:
    with write_transaction(session):
        return recipes.sell(
            session,
            "in_1",
            parts_of(amount, commission),
            rounding_msat=rounding,
            now=NOW,
        )


def unreceive(session: Session, group: str) -> str:
    with write_transaction(session):
        return recipes.unreceive(session, "in_1", group, NOW)


def unsell(session: Session, group: str) -> str:
    with write_transaction(session):
        return recipes.unsell(session, "in_1", group, NOW)


# Posting


def test_money_moves_inside_a_write_transaction_only(session: Session) -> None:
    entry = Entry(Kind.RECEIPT, CLEARING, INVOICE, 1)
    with pytest.raises(RuntimeError, match="write_transaction"):
        post(session, [entry], owner_id="in_1", now=NOW)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(Kind.RECEIPT, CLEARING, INVOICE, 0),
        Entry(Kind.RECEIPT, CLEARING, INVOICE, -1),
        Entry(Kind.RECEIPT, CLEARING, INVOICE, 21_000_000 * 10**11 + 1),
        Entry(Kind.RECEIPT, CLEARING, CLEARING, 1),
        Entry(Kind.RECEIPT, "treasury", INVOICE, 1),
        Entry(Kind.RECEIPT, CLEARING, "invoice:", 1),
    ],
)
def test_an_impossible_entry_books_nothing_of_the_posting(session: Session, entry: Entry) -> None:
    good = Entry(Kind.RECEIPT, CLEARING, INVOICE, 1)
    with pytest.raises(ValueError, match=r"transferred|itself|chart"), write_transaction(session):
        post(session, [good, entry], owner_id="in_1", now=NOW)
    assert count_rows(session).transfers == 0


def test_an_empty_posting_is_refused(session: Session) -> None:
    with pytest.raises(ValueError, match="at least one"), write_transaction(session):
        post(session, [], owner_id="in_1", now=NOW)


def test_a_posting_that_fails_in_the_middle_leaves_nothing(session: Session) -> None:
    open_wallet(session, balance_msat=10)
    entries = [
        Entry(Kind.GIFT, chart.PROMOTION, "wallet:wa_1", 5),
        Entry(Kind.SALE, "wallet:wa_1", MERCHANT, 16),
    ]
    with pytest.raises(InsufficientBalance), write_transaction(session):
        post(session, entries, owner_id="wa_1", now=NOW)
    assert count_rows(session).transfers == 1
    assert balances_of(session, "wallet:wa_1", MERCHANT, chart.PROMOTION) == (10, 0, 0)


@pytest.mark.parametrize("to_wallet", [True, False])
def test_a_wallet_that_is_not_there_is_no_account(session: Session, to_wallet: bool) -> None:
    pair = (chart.PROMOTION, "wallet:wa_none") if to_wallet else ("wallet:wa_none", MERCHANT)
    with pytest.raises(UnknownWallet), write_transaction(session):
        post(session, [Entry(Kind.GIFT, *pair, 1)], owner_id="wa_none", now=NOW)
    assert count_rows(session).transfers == 0


def test_ids_grow_in_the_order_of_the_entries(session: Session) -> None:
    with write_transaction(session):
        first = post(
            session, [Entry(Kind.RECEIPT, CLEARING, INVOICE, n) for n in (3, 1, 2)],
            owner_id="in_1", now=NOW,
        )  # fmt: skip
        second = post(session, [Entry(Kind.LOSS, chart.LOSS, INVOICE, 9)], owner_id="x", now=NOW)
    ids = [*first.transfer_ids, *second.transfer_ids]
    assert ids == sorted(set(ids))
    rows = session.execute(select(Transfer.id, Transfer.amount_msat).order_by(Transfer.id))
    assert [tuple(row) for row in rows] == list(zip(ids, [3, 1, 2, 9], strict=True))


# Taking back


def test_a_reversal_names_what_it_takes_back_and_can_be_booked_once(session: Session) -> None:
    group = receive(session, 5_000)
    with write_transaction(session):
        posting = reverse(session, group, owner_id="in_1", now=NOW + 1)
    row = session.scalars(select(Transfer).where(Transfer.group_id == posting.group_id)).one()
    original = session.scalars(select(Transfer).where(Transfer.group_id == group)).one()
    assert (row.kind, row.reverses_id, row.created_at) == ("reversal", original.id, NOW + 1)
    assert (row.from_account, row.to_account, row.amount_msat) == (INVOICE, CLEARING, 5_000)
    with pytest.raises(AlreadyReversed), write_transaction(session):
        reverse(session, group, owner_id="in_1", now=NOW)
    with pytest.raises(UnknownTransfer), write_transaction(session):
        reverse(session, posting.group_id, owner_id="in_1", now=NOW)
    assert_clean(session)


def test_a_group_belongs_to_its_owner(session: Session) -> None:
    group = receive(session, 5_000)
    with pytest.raises(UnknownTransfer), write_transaction(session):
        reverse(session, group, owner_id="in_2", now=NOW)


def test_the_database_itself_refuses_a_second_reversal(session: Session) -> None:
    group = receive(session, 5_000)
    unreceive(session, group)
    original = session.scalars(select(Transfer.id).where(Transfer.group_id == group)).one()
    twice = Entry(Kind.REVERSAL, INVOICE, CLEARING, 5_000, original)
    with pytest.raises(IntegrityError), write_transaction(session):
        post(session, [twice], owner_id="in_1", now=NOW)
    assert count_rows(session).transfers == 2


def test_money_that_left_a_wallet_comes_back_to_it(session: Session) -> None:
    open_wallet(session, balance_msat=100)
    with write_transaction(session):
        entries = [
            Entry(part.kind, "wallet:wa_1", part.account, part.amount_msat)
            for part in parts_of(60, 6)
        ]
        group = post(session, entries, owner_id="wa_1", now=NOW).group_id
    with write_transaction(session):
        reverse(session, group, owner_id="wa_1", now=NOW)
    assert balances_of(session, "wallet:wa_1", MERCHANT, chart.COMMISSION) == (100, 0, 0)
    assert_clean(session)


# Recipes


@pytest.mark.parametrize(
    ("amount", "commission", "rounding"),
    [(5_000, 50, 0), (4_999, 49, 1), (1, 0, 999), (7, 7, 0), (101, 1, 899)],
)
def test_the_parts_of_a_sale_add_up(
    session: Session, amount: int, commission: int, rounding: int
) -> None:
    receive(session, amount + rounding)
    sell(session, amount, commission, rounding)
    assert balances_of(session, INVOICE, MERCHANT, chart.COMMISSION, chart.ROUNDING) == (
        0,
        amount - commission,
        commission,
        rounding,
    )
    assert_clean(session)


def test_co_authors_and_operator_share_a_sale(session: Session) -> None:
    receive(session, 100)
    parts = (Part(MERCHANT, 60), Part(chart.merchant("me_2"), 30), Part(chart.COMMISSION, 10))
    with write_transaction(session):
        group = recipes.sell(session, "in_1", parts, rounding_msat=0, now=NOW)
    rows = session.scalars(
        select(Transfer).where(Transfer.group_id == group).order_by(Transfer.id)
    ).all()
    assert [(row.kind, row.to_account, row.amount_msat) for row in rows] == [
        ("sale", MERCHANT, 60),
        ("sale", "merchant:me_2", 30),
        ("commission", "commission", 10),
    ]
    assert_clean(session)


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ((), "cannot be spent"),
        ((Part(MERCHANT, 0),), "zero"),
        ((Part(MERCHANT, 5), Part(MERCHANT, 5)), "two parts"),
        ((Part(chart.PROMOTION, 5),), "merchants and the operator"),
        ((Part("wallet:wa_1", 5),), "merchants and the operator"),
        ((Part("treasury", 5),), "chart"),
        ((Part(MERCHANT, 21_000_000 * 10**11), Part(chart.COMMISSION, 1)), "cannot be spent"),
    ],
)
def test_what_is_no_price_is_not_sold(
    session: Session, parts: tuple[Part, ...], complaint: str
) -> None:
    receive(session, 5_000)
    with pytest.raises(ValueError, match=complaint), write_transaction(session):
        recipes.sell(session, "in_1", parts, rounding_msat=0, now=NOW)
    assert count_rows(session).transfers == 1


def test_a_merchant_who_was_paid_directly_owes_the_commission(session: Session) -> None:
    receive(session, 5_000, MERCHANT)
    sell(session)
    assert balances_of(session, MERCHANT, chart.COMMISSION, INVOICE) == (-50, 50, 0)


def test_nothing_is_sold_that_was_not_received(session: Session) -> None:
    receive(session, 4_999)
    with pytest.raises(NoCredit):
        sell(session)
    with pytest.raises(NoCredit), write_transaction(session):
        recipes.claim_credit(session, "in_1", "wa_1", 5_000, NOW)
    assert balances_of(session, INVOICE, MERCHANT) == (4_999, 0)


def test_money_on_sight_is_confirmed_later(session: Session) -> None:
    group = receive(session, 5_000, SIGHT)
    sell(session)
    assert balances_of(session, SIGHT, CLEARING) == (-5_000, 0)
    with write_transaction(session):
        assert recipes.confirm_sight(session, "in_1", group, NOW) == group
    assert balances_of(session, SIGHT, CLEARING) == (0, -5_000)
    assert_clean(session)


def test_only_money_on_sight_can_be_confirmed(session: Session) -> None:
    confirmed = receive(session, 5_000)
    for group in (confirmed, "gr_none"):
        with pytest.raises(UnknownTransfer), write_transaction(session):
            recipes.confirm_sight(session, "in_1", group, NOW)


def test_a_vanished_payment_takes_its_confirmation_with_it(session: Session) -> None:
    group = receive(session, 5_000, SIGHT)
    with write_transaction(session):
        recipes.confirm_sight(session, "in_1", group, NOW)
    unreceive(session, group)
    assert balances_of(session, INVOICE, SIGHT, CLEARING, chart.LOSS) == (0, 0, 0, 0)
    assert_clean(session)


def test_what_was_sold_for_a_vanished_payment_is_the_operators_loss(session: Session) -> None:
    group = receive(session, 5_000, SIGHT)
    sell(session)
    unreceive(session, group)
    assert balances_of(session, INVOICE, SIGHT, MERCHANT, chart.LOSS) == (0, 0, 4_950, -5_000)
    assert_clean(session)


def test_only_what_is_missing_is_lost(session: Session) -> None:
    first = receive(session, 5_000)
    receive(session, 3_000)
    sell(session)
    unreceive(session, first)
    assert balances_of(session, INVOICE, chart.LOSS) == (0, -2_000)


def test_money_that_comes_after_all_makes_up_for_the_loss_first(session: Session) -> None:
    group = receive(session, 5_000)
    sell(session)
    unreceive(session, group)
    again = receive(session, 6_000)
    assert balances_of(session, INVOICE, chart.LOSS, CLEARING) == (1_000, 0, -6_000)
    unreceive(session, again)
    assert balances_of(session, INVOICE, chart.LOSS, CLEARING) == (0, -5_000, 0)
    assert_clean(session)


@pytest.mark.parametrize("sale_first", [True, False])
def test_a_sale_and_its_payment_are_taken_back_in_any_order(
    session: Session, sale_first: bool
) -> None:
    received, sold = receive(session, 5_001, SIGHT), sell(session, 5_000, 50, 1)
    for step in (0, 1) if sale_first else (1, 0):
        if step == 0:
            unsell(session, sold)
        else:
            unreceive(session, received)
    accounts: Any = (INVOICE, MERCHANT, chart.COMMISSION, chart.ROUNDING, SIGHT, chart.LOSS)
    assert balances_of(session, *accounts) == (0, 0, 0, 0, 0, 0)
    assert_clean(session)


def test_a_sale_that_was_taken_back_can_be_made_again(session: Session) -> None:
    receive(session, 5_000)
    unsell(session, sell(session))
    sell(session)
    assert balances_of(session, INVOICE, MERCHANT) == (0, 4_950)


def test_a_reader_claims_what_is_left(session: Session) -> None:
    open_wallet(session)
    group = receive(session, 5_000)
    with write_transaction(session):
        recipes.claim_credit(session, "in_1", "wa_1", 5_000, NOW)
    assert balances_of(session, INVOICE, "wallet:wa_1") == (0, 5_000)
    unreceive(session, group)
    assert balances_of(session, "wallet:wa_1", chart.LOSS) == (5_000, -5_000)
    assert_clean(session)


def test_starter_credit_is_the_operators_cost(session: Session) -> None:
    open_wallet(session)
    with write_transaction(session):
        recipes.give_starter_credit(session, "wa_1", 300, NOW)
    assert balances_of(session, "gift:wa_1", "wallet:wa_1", chart.PROMOTION) == (300, 0, -300)
    with pytest.raises(UnknownWallet), write_transaction(session):
        recipes.give_starter_credit(session, "wa_none", 300, NOW)


# What the database itself guards

CHANGES = [
    "UPDATE transfers SET amount_msat = amount_msat + 1",
    "UPDATE transfers SET created_at = 0 WHERE owner_id = 'in_1'",
    "DELETE FROM transfers",
    "DELETE FROM transfers WHERE owner_id = 'in_1'",
]


def refused(session: Session, statement: str) -> None:
    with (
        pytest.raises(IntegrityError, match="never changed or removed"),
        write_transaction(session),
    ):
        session.execute(text(statement))


@pytest.mark.parametrize("statement", CHANGES)
def test_the_database_refuses_to_change_a_transfer(session: Session, statement: str) -> None:
    receive(session, 5_000)
    before = [tuple(row) for row in session.execute(text("SELECT * FROM transfers"))]
    refused(session, statement)
    assert [tuple(row) for row in session.execute(text("SELECT * FROM transfers"))] == before


def test_the_database_refuses_to_empty_or_replace_transfers(session: Session) -> None:
    receive(session, 5_000)
    if session.get_bind().dialect.name == "postgresql":
        refused(session, "TRUNCATE transfers")
    else:
        refused(session, "INSERT OR REPLACE INTO transfers SELECT * FROM transfers")
    assert balances_of(session, INVOICE) == (5_000,)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO transfers VALUES ('x', 99, 'sale', 'a', 'b', 0, 'g', NULL, 1)",
        "INSERT INTO transfers VALUES ('x', 99, 'sale', 'a', 'a', 1, 'g', NULL, 1)",
        "UPDATE wallets SET balance_msat = -1",
        "UPDATE wallets SET balance_msat = balance_msat - 11",
        "UPDATE wallets SET gift_msat = gift_msat - 1",
    ],
)
def test_the_database_refuses_impossible_money(session: Session, statement: str) -> None:
    open_wallet(session, balance_msat=10)
    with pytest.raises(IntegrityError), write_transaction(session):
        session.execute(text(statement))
    assert_clean(session)
