"""The audit finds each kind of damage, and finds nothing in sound books."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from bitcache_server.ledger import chart, recipes
from bitcache_server.ledger.audit import _CHECKS, AuditReport, audit
from bitcache_server.ledger.balances import checkpoint
from bitcache_server.ledger.spend import spend
from bitcache_server.models.session import write_transaction
from tests.support.books import NOW, open_wallet, order

TRANSFER = (
    "INSERT INTO transfers (owner_id, id, kind, from_account, to_account, amount_msat,"
    " group_id, reverses_id, created_at) VALUES "
)


@pytest.fixture
def books(session: Session) -> Session:
    """Return a session on books in which everything happened once."""
    open_wallet(session, balance_msat=50_000)
    spend(session, order("a"))
    with write_transaction(session):
        group = recipes.receive(session, "in_1", chart.unconfirmed("onchain"), 5_500, NOW)
        recipes.confirm_sight(session, "in_1", group, NOW)
        recipes.sell(
            session,
            "in_1",
            "me_1",
            amount_msat=4_900,
            commission_msat=49,
            rounding_msat=100,
            now=NOW,
        )
        recipes.claim_credit(session, "in_1", "wa_1", 500, NOW)
    checkpoint(session, NOW)
    with write_transaction(session):
        recipes.unreceive(session, "in_1", group, NOW)
    spend(session, order("b"))
    checkpoint(session, NOW)
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
    assert report.counts["transfers"] == 14
    assert (report.counts["wallets"], report.counts["grants"]) == (1, 2)
    assert report.counts["checkpoints"] > 4
    assert [number for _, number, _ in steps] == list(range(1, steps[0][2] + 1))
    assert len({code for code, _, _ in steps}) == len(steps) > len(_CHECKS)


def test_empty_books_are_clean(session: Session) -> None:
    report = audit(session)
    assert report.clean
    assert set(report.counts.values()) == {0}


def test_a_changed_balance_is_found(books: Session) -> None:
    report = damage(books, "UPDATE wallets SET balance_msat = balance_msat + 1")
    assert codes(report) == {"wallet_differs", "sum_not_zero"}
    by_code = {finding.code: finding for finding in report.findings}
    assert by_code["wallet_differs"].subject == "wa_1"
    assert "40501 msat" in by_code["wallet_differs"].words
    assert "40500 msat" in by_code["wallet_differs"].words
    assert "together are 1 msat" in by_code["sum_not_zero"].words
    assert not report.clean


def test_a_wallet_that_was_never_filled_is_found(books: Session) -> None:
    insert = "INSERT INTO wallets (id, balance_msat, created_at) VALUES ('wa_2', 7, 1)"
    assert codes(damage(books, insert)) == {"wallet_differs", "sum_not_zero"}


def test_a_wallet_that_is_gone_is_found(books: Session) -> None:
    report = damage(books, "DELETE FROM wallets")
    assert codes(report) == {"wallet_missing", "sum_not_zero"}


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
    "wallet_missing": "('wa_9', {id}, 'sale', 'commission', 'wallet:wa_9', 1, 'g', NULL, 1)",
    "reversal_differs": "('in_1', {id}, 'x', 'invoice:in_1', 'loss', 1, 'g', 999, 1)",
}


@pytest.mark.parametrize("code", sorted(ONE_ROW))
def test_a_false_transfer_is_found(books: Session, code: str) -> None:
    newest = books.execute(text("SELECT max(id) FROM transfers")).scalar_one()
    report = damage(books, TRANSFER + ONE_ROW[code].format(id=newest + 1))
    assert code in codes(report)


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


def test_a_price_that_does_not_add_up_is_found(books: Session) -> None:
    report = damage(books, "UPDATE grants SET price_msat = price_msat + 1 WHERE revision = 1")
    assert codes(report) == {"price_differs"}
    assert "5001 msat; booked are 5000 msat" in report.findings[0].words


@pytest.mark.parametrize(("kind", "payer"), [("commission", "suspense"), ("sale", "invoice:in_1")])
def test_a_sale_from_two_accounts_or_booked_twice_is_found(
    books: Session, kind: str, payer: str
) -> None:
    group = "SELECT min(group_id) FROM transfers WHERE kind = 'rounding'"
    report = damage(
        books,
        TRANSFER + f"('in_1', (SELECT max(id) + 1 FROM transfers), '{kind}', '{payer}',"
        f" 'merchant:me_1', 1, ({group}), NULL, 1)",
    )
    assert "sale_split" in codes(report)


def test_a_transfer_that_was_removed_by_force_is_found(books: Session) -> None:
    """Whoever owns the database can drop its guards; the audit still sees it."""
    sale = "(SELECT min(id) FROM transfers WHERE kind = 'sale')"
    if books.get_bind().dialect.name == "sqlite":
        guard = "DROP TRIGGER transfers_no_delete"
    else:
        guard = "ALTER TABLE transfers DISABLE TRIGGER USER"
    report = damage(books, guard, f"DELETE FROM transfers WHERE id = {sale}")
    assert {"wallet_differs", "sum_not_zero", "price_differs", "checkpoint_differs"} <= codes(
        report
    )
    if books.get_bind().dialect.name == "sqlite":
        assert "transfer_missing" in codes(report)


def test_an_id_that_was_used_twice_is_found(books: Session) -> None:
    report = damage(books, TRANSFER + "('x', 1, 'x', 'suspense', 'loss', 1, 'g', NULL, 1)")
    assert "id_twice" in codes(report)


def test_a_negative_wallet_is_found(books: Session) -> None:
    """The database refuses it, so its guard must go first."""
    if books.get_bind().dialect.name == "sqlite":
        steps = ["PRAGMA ignore_check_constraints = ON"]
    else:
        steps = ["ALTER TABLE wallets DROP CONSTRAINT ck_wallets_balance_not_negative"]
    report = damage(books, *steps, "UPDATE wallets SET balance_msat = -1")
    assert "wallet_negative" in codes(report)


def test_every_check_has_its_own_code() -> None:
    assert len({check.code for check in _CHECKS}) == len(_CHECKS)
