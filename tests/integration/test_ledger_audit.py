"""The audit finds each kind of damage, and finds nothing in sound books."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bitcache_server.ledger.audit import AuditReport, audit
from bitcache_server.ledger.audit_book_checks import BOOK_CHECKS
from bitcache_server.ledger.audit_checks import CHECKS
from bitcache_server.ledger.audit_sum_checks import SUM_CHECKS
from bitcache_server.models.session import write_transaction
from tests.support.damage import TRANSFER, full_books, without_guards


@pytest.fixture
def books(session: Session) -> Session:
    """Return a session on books in which everything happened once."""
    full_books(session)
    return session


def damage(session: Session, *statements: str) -> AuditReport:
    with write_transaction(session):
        for statement in statements:
            session.execute(text(statement))
    return audit(session)


def codes(report: AuditReport) -> set[str]:
    return {finding.code for finding in report.findings}


def test_sound_books_are_clean(books: Session) -> None:
    steps: list[tuple[str, int, int]] = []
    report = audit(books, lambda *step: steps.append(step))
    assert report.findings == []
    assert report.clean
    assert report.counts["transfers"] == 41
    assert (report.counts["wallets"], report.counts["grants"]) == (2, 5)
    assert report.counts["checkpoints"] > 4
    assert [number for _, number, _ in steps] == list(range(1, steps[0][2] + 1))
    assert len({code for code, _, _ in steps}) == len(steps) > len(CHECKS)


def test_empty_books_are_clean(session: Session) -> None:
    report = audit(session)
    assert report.clean
    assert set(report.counts.values()) == {0}


def test_a_changed_balance_is_found(books: Session) -> None:
    report = damage(books, "UPDATE wallets SET balance_msat = balance_msat + 1 WHERE id = 'wa_1'")
    assert codes(report) == {"wallet_differs", "sum_not_zero"}
    by_code = {finding.code: finding for finding in report.findings}
    assert by_code["wallet_differs"].subject == "wa_1"
    assert "together are 1 msat" in by_code["sum_not_zero"].words
    assert not report.clean


def test_changed_starter_credit_is_found(books: Session) -> None:
    report = damage(books, "UPDATE wallets SET gift_msat = gift_msat + 7 WHERE id = 'wa_1'")
    assert codes(report) == {"gift_differs", "sum_not_zero"}


def test_own_money_that_became_starter_credit_is_found(books: Session) -> None:
    """The sum stays the same, yet it could be withdrawn no more."""
    swap = "SET gift_msat = gift_msat + 5, balance_msat = balance_msat - 5 WHERE id = 'wa_1'"
    assert codes(damage(books, f"UPDATE wallets {swap}")) == {"gift_differs", "wallet_differs"}


def test_a_wallet_that_was_never_filled_is_found(books: Session) -> None:
    insert = (
        "INSERT INTO wallets (id, balance_msat, gift_msat, created_at) VALUES ('wa_9', 7, 0, 1)"
    )
    assert codes(damage(books, insert)) == {"wallet_differs", "sum_not_zero"}


def test_a_wallet_that_is_gone_is_found(books: Session) -> None:
    report = damage(books, "DELETE FROM wallets WHERE id = 'wa_1'")
    assert codes(report) == {"wallet_missing", "sum_not_zero"}
    assert {f.subject for f in report.findings} == {"all accounts", "wallet:wa_1", "gift:wa_1"}


def test_a_wrong_checkpoint_is_found_and_the_later_ones_too(books: Session) -> None:
    report = damage(
        books,
        "INSERT INTO balance_checkpoints (account, through_id, balance_msat, created_at)"
        " VALUES ('commission', 1, 5, 1)",
    )
    assert codes(report) == {"checkpoint_differs"}
    assert {finding.subject for finding in report.findings} == {"commission"}


ONE_ROW = {
    "unknown_account": "('x', {id}, 'sale', 'treasury', 'commission', 1, 'g', NULL, 1)",
    "invoice_negative": "('in_9', {id}, 'sale', 'invoice:in_9', 'commission', 1, 'g', NULL, 1)",
    "payout_negative": "('me_1', {id}, 'payout', 'payout:po_9', 'loss', 1, 'g', NULL, 1)",
    "payout_missing": "('me_1', {id}, 'reserve', 'merchant:me_1', 'payout:po_9', 1, 'g', NULL, 1)",
    "payout_differs": "('me_1', {id}, 'reserve', 'merchant:me_1', 'payout:po_1', 1, 'g', NULL, 1)",
    "wallet_missing": "('wa_9', {id}, 'sale', 'commission', 'wallet:wa_9', 1, 'g', NULL, 1)",
    "reversal_differs": "('in_1', {id}, 'x', 'invoice:in_1', 'loss', 1, 'g', 999, 1)",
    "receipt_unknown": "('in_2', {id}, 'receipt', 'suspense', 'invoice:in_2', 1, 'g', NULL, 1)",
    "payout_booked_otherwise": "('me_1', {id}, 'release', 'payout:po_2', 'merchant:me_1', 1,"
    " 'g', NULL, 1)",
    "batch_fee_differs": "('pb_1', {id}, 'network_fee', 'network_fees', 'clearing:onchain',"
    " 1, 'g', NULL, 1)",
    "claimed_differs": "('in_2', {id}, 'top_up', 'suspense', 'invoice:in_2', 1, 'g', NULL, 1)",
    "gift_not_booked": "('wa_1', {id}, 'gift', 'promotion', 'gift:wa_1', 9, 'g', NULL, 1)",
}


@pytest.mark.parametrize("code", sorted(ONE_ROW))
def test_a_false_transfer_is_found(books: Session, code: str) -> None:
    newest = books.execute(text("SELECT max(id) FROM transfers")).scalar_one()
    report = damage(books, TRANSFER + ONE_ROW[code].format(id=newest + 1))
    assert code in codes(report)


CHANGED_ROWS = {
    "claimed_differs": "UPDATE invoices SET claimed_msat = claimed_msat - 1 WHERE id = 'in_2'",
    "credit_not_backed": "UPDATE invoices SET credit_msat = 1 WHERE id = 'in_2'",
    "receipt_differs": "UPDATE payments SET amount_msat = amount_msat + 1",
    "gift_not_booked": "UPDATE gifts SET amount_msat = amount_msat - 1",
    "gift_days_differ": "UPDATE gift_days SET given_msat = given_msat + 1",
    "payout_differs": "UPDATE payouts SET state = 'settled' WHERE id = 'po_1'",
    "payout_booked_otherwise": "UPDATE payouts SET state = 'cancelled' WHERE id = 'po_2'",
    "batch_fee_differs": "UPDATE payout_batches SET fee_msat = fee_msat + 1",
    "receipt_unknown": "UPDATE payments SET receipt_group = NULL",
    "refund_differs": "UPDATE refunds SET amount_msat = amount_msat + 1",
    "refund_grant_alive": "UPDATE grants SET revoked_at = NULL",
    "closed_wallet_holds": "UPDATE wallets SET closed_at = 1 WHERE id = 'wa_1'",
    "price_differs": "UPDATE grants SET price_msat = price_msat + 1 WHERE item_id = 'it_1'",
}


@pytest.mark.parametrize("code", sorted(CHANGED_ROWS))
def test_a_changed_row_is_found(books: Session, code: str) -> None:
    assert code in codes(damage(books, CHANGED_ROWS[code]))


def test_a_settled_payout_that_still_holds_money_is_found(books: Session) -> None:
    report = damage(books, "UPDATE payouts SET state = 'settled' WHERE id = 'po_1'")
    assert codes(report) == {"payout_differs", "payout_booked_otherwise"}
    [finding] = [found for found in report.findings if found.code == "payout_differs"]
    assert finding.words == "The payout is settled, so it should hold 0 msat; it holds 2100 msat."


@pytest.mark.parametrize(
    ("payout_id", "state"), [("po_2", "cancelled"), ("po_2", "rejected"), ("po_3", "settled")]
)
def test_a_payout_that_ended_otherwise_than_booked_is_found(
    books: Session, payout_id: str, state: str
) -> None:
    """Its account is empty either way, so only the reason tells."""
    report = damage(books, f"UPDATE payouts SET state = '{state}' WHERE id = '{payout_id}'")
    assert codes(report) == {"payout_booked_otherwise"}
    [finding] = report.findings
    assert (finding.subject, f"The payout is {state};" in finding.words) == (payout_id, True)


def test_an_unused_fee_that_never_went_back_is_found(books: Session) -> None:
    report = damage(books, "UPDATE payouts SET fee_returned_msat = 1 WHERE id = 'po_2'")
    assert codes(report) == {"payout_booked_otherwise"}
    assert report.findings[0].words.endswith("and 0 msat of the fee that was not used.")


def test_a_fee_of_the_network_that_was_never_booked_is_found(books: Session) -> None:
    insert = (
        "INSERT INTO payout_batches (id, rail, reference, raw, amount_msat, fee_msat, state,"
        " detail, created_at) VALUES ('pb_2', 'onchain', 'cc', '', 1, 70, 'settled', '', 1)"
    )
    [finding] = damage(books, insert).findings
    assert (finding.code, finding.subject) == ("batch_fee_differs", "pb_2")
    assert finding.words.endswith("the network took 70 msat; booked are 0 msat.")


def test_a_transaction_that_pays_for_two_batches_is_found(books: Session) -> None:
    """The database refuses it, so its guard must go first."""
    copy = (
        "INSERT INTO payout_batches (id, rail, reference, raw, amount_msat, fee_msat, state,"
        " detail, created_at) SELECT 'pb_2', rail, reference, raw, 0, 0, 'sent', '', 1"
        " FROM payout_batches"
    )
    with pytest.raises(IntegrityError):
        damage(books, copy)
    report = damage(books, "DROP INDEX uq_payout_batches_reference", copy)
    assert codes(report) == {"batch_reference_twice"}


@pytest.mark.parametrize(
    ("from_account", "to_account", "amount"),
    [("me", "payer", "4950 + 1"), ("payer", "me", "4950"), ("commission", "payer", "4950")],
)
def test_a_reversal_that_is_no_mirror_is_found(
    books: Session, from_account: str, to_account: str, amount: str
) -> None:
    names = {"me": "merchant:me_1", "payer": "suspense", "commission": "commission"}
    sale = "SELECT min(id) FROM transfers WHERE kind = 'sale' AND owner_id = 'wa_1'"
    report = damage(
        books,
        TRANSFER + f"('wa_1', (SELECT max(id) + 1 FROM transfers), 'reversal',"
        f" '{names[from_account]}', '{names[to_account]}', {amount}, 'g', ({sale}), 1)",
    )
    assert codes(report) == {"reversal_differs"}


@pytest.mark.parametrize(
    ("kind", "payer", "payee"),
    [
        ("commission", "suspense", "commission"),
        ("commission", "invoice:in_2", "commission"),
        ("sale", "invoice:in_1", "merchant:me_1"),
        ("sale", "invoice:in_1", "commission"),
        ("sale", "invoice:in_1", "loss"),
    ],
)
def test_a_sale_that_is_paid_by_another_or_twice_or_to_nobody_is_found(
    books: Session, kind: str, payer: str, payee: str
) -> None:
    group = "SELECT min(group_id) FROM transfers WHERE kind = 'rounding'"
    report = damage(
        books,
        TRANSFER + f"('in_1', (SELECT max(id) + 1 FROM transfers), '{kind}', '{payer}',"
        f" '{payee}', 1, ({group}), NULL, 1)",
    )
    assert "sale_split" in codes(report)


def test_a_transfer_that_was_removed_by_force_is_found(books: Session) -> None:
    """Whoever owns the database can drop its guards; the audit still sees it."""
    without_guards(books)
    sale = "(SELECT min(id) FROM transfers WHERE kind = 'sale' AND from_account = 'wallet:wa_1')"
    report = damage(books, f"DELETE FROM transfers WHERE id = {sale}")
    assert {"wallet_differs", "sum_not_zero", "price_differs", "checkpoint_differs"} <= codes(
        report
    )
    if books.get_bind().dialect.name == "sqlite":
        assert "transfer_missing" in codes(report)


def test_an_id_that_was_used_twice_is_found(books: Session) -> None:
    report = damage(books, TRANSFER + "('x', 1, 'x', 'suspense', 'loss', 1, 'g', NULL, 1)")
    assert "id_twice" in codes(report)


@pytest.mark.parametrize(
    ("column", "code"), [("balance_msat", "wallet_negative"), ("gift_msat", "gift_negative")]
)
def test_a_negative_wallet_is_found(books: Session, column: str, code: str) -> None:
    """The database refuses it, so its guard must go first."""
    guard = f"ck_wallets_{column.removesuffix('_msat')}_not_negative"
    if books.get_bind().dialect.name == "sqlite":
        steps = ["PRAGMA ignore_check_constraints = ON"]
    else:
        steps = [f"ALTER TABLE wallets DROP CONSTRAINT {guard}"]
    report = damage(books, *steps, f"UPDATE wallets SET {column} = -1")
    assert code in codes(report)


def test_every_check_has_its_own_code() -> None:
    assert len({check.code for check in CHECKS}) == len(CHECKS)


def test_every_check_was_seen_to_fail() -> None:
    shown = {
        *ONE_ROW, *CHANGED_ROWS, "wallet_differs", "gift_differs", "sum_not_zero", "id_twice",
        "checkpoint_differs", "sale_split", "wallet_negative", "gift_negative",
        "batch_reference_twice",
    }  # fmt: skip
    # Those of the book of sales and of its sums fail in tests/functional/test_sales_book.py.
    elsewhere = {check.code for check in (*BOOK_CHECKS, *SUM_CHECKS)}
    assert {check.code for check in CHECKS} - elsewhere <= shown
