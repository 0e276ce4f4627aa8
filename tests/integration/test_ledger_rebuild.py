"""The deep audit rebuilds every balance and says after which transfer something differs."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from bitcache_server.ledger import rebuild as rebuild_module
from bitcache_server.ledger.balances import balance
from bitcache_server.ledger.rebuild import RebuildReport, rebuild
from bitcache_server.models.session import write_transaction
from tests.support.damage import TRANSFER, full_books, without_guards


@pytest.fixture
def books(session: Session) -> Session:
    """Return a session on books in which everything happened once, without their guards."""
    full_books(session)
    without_guards(session)
    return session


def run(session: Session, *statements: str) -> dict[str, tuple[str, int | None]]:
    """Damage the books and return subject and transfer of each code that is found."""
    with write_transaction(session):
        for statement in statements:
            session.execute(text(statement))
    report = rebuild(session)
    return {f.code: (f.subject, f.transfer_id) for f in report.findings}


def one(session: Session, query: str) -> int:
    found = int(session.execute(text(query)).scalar_one())
    session.rollback()
    return found


def test_sound_books_are_clean_in_chunks_of_any_size(
    books: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[RebuildReport] = []
    steps: list[tuple[int, int]] = []
    for chunk in (1, 2, 7, 20_000):
        monkeypatch.setattr(rebuild_module, "CHUNK", chunk)
        steps.clear()
        reports.append(rebuild(books, lambda *step: steps.append(step)))
        assert [at for at, _ in steps] == [*range(chunk, 41, chunk), 41]
    assert reports == [reports[0]] * 4
    report = reports[0]
    assert (report.findings, report.clean, report.first_transfer_id) == ([], True, None)
    assert report.transfers == 41
    assert report.checkpoints == one(books, "SELECT count(*) FROM balance_checkpoints")
    # Settled payouts, sold invoices and the deleted wallet are forgotten on the way.
    assert report.accounts < report.most_accounts < 20


def test_empty_books_are_clean(session: Session) -> None:
    report = rebuild(session)
    assert report.clean
    assert (report.transfers, report.accounts, report.checkpoints) == (0, 0, 0)


def test_it_agrees_with_what_the_ledger_says(books: Session) -> None:
    """The walk's own numbers, seen from outside: each stored figure is compared with them."""
    held = balance(books, "merchant:me_1")
    books.rollback()
    insert = "INSERT INTO balance_checkpoints (account, through_id, balance_msat, created_at)"
    assert run(books, f"{insert} VALUES ('merchant:me_1', 999, {held}, 1)") == {}
    wrong = f"{insert} VALUES ('merchant:me_1', 998, {held - 1}, 1)"
    assert run(books, wrong) == {"checkpoint_rebuilt": ("merchant:me_1", 998)}


@pytest.mark.parametrize(
    ("statement", "code", "subject", "account"),
    [
        (
            "UPDATE wallets SET balance_msat = balance_msat + 1 WHERE id = 'wa_1'",
            "wallet_rebuilt", "wallet:wa_1", "wallet:wa_1",
        ),
        (
            "UPDATE wallets SET gift_msat = gift_msat + 1 WHERE id = 'wa_1'",
            "gift_rebuilt", "gift:wa_1", "gift:wa_1",
        ),
        (
            "UPDATE payouts SET fee_msat = fee_msat + 1 WHERE id = 'po_1'",
            "payout_rebuilt", "payout:po_1", "payout:po_1",
        ),
        (
            "UPDATE payouts SET state = 'sending' WHERE id = 'po_2'",
            "payout_rebuilt", "payout:po_2", "payout:po_2",
        ),
    ],
)  # fmt: skip
def test_a_stored_figure_that_differs_is_found(
    books: Session, statement: str, code: str, subject: str, account: str
) -> None:
    newest = one(
        books,
        f"SELECT max(id) FROM transfers WHERE '{account}' IN (from_account, to_account)",
    )
    found = run(books, statement)
    assert found == {code: (subject, newest), "sum_rebuilt": ("all accounts", None)}


@pytest.mark.parametrize(
    ("statement", "subject"),
    [
        ("DELETE FROM wallets WHERE id = 'wa_1'", {"wallet:wa_1", "gift:wa_1"}),
        ("DELETE FROM payouts WHERE id = 'po_1'", {"payout:po_1"}),
    ],
)
def test_a_row_that_is_gone_is_found(books: Session, statement: str, subject: set[str]) -> None:
    with write_transaction(books):
        books.execute(text(statement))
    missing = {f.subject for f in rebuild(books).findings if f.code == "account_missing"}
    assert missing <= subject
    assert missing


def test_a_checkpoint_is_compared_at_its_own_transfer(books: Session) -> None:
    """A wrong checkpoint in the middle is named, and no later one is blamed for it."""
    first = one(books, "SELECT min(through_id) FROM balance_checkpoints")
    found = run(
        books,
        "UPDATE balance_checkpoints SET balance_msat = balance_msat + 5"
        f" WHERE account = 'commission' AND through_id = {first}",
    )
    assert found == {"checkpoint_rebuilt": ("commission", first)}


def test_a_changed_transfer_is_found_at_the_checkpoint_after_it(books: Session) -> None:
    """Its wallet differs as well; the checkpoint says where the books were still sound."""
    sale = one(
        books,
        "SELECT min(id) FROM transfers WHERE kind = 'sale' AND to_account = 'merchant:me_1'",
    )
    with write_transaction(books):
        books.execute(text(f"UPDATE transfers SET amount_msat = amount_msat - 1 WHERE id = {sale}"))
    report = rebuild(books)
    first = one(books, "SELECT min(through_id) FROM balance_checkpoints")
    assert {f.code for f in report.findings} == {
        "checkpoint_rebuilt", "gift_rebuilt", "sum_rebuilt",
    }  # fmt: skip
    assert report.first_transfer_id == first


def test_a_balance_below_zero_in_between_is_found_though_the_end_is_right(books: Session) -> None:
    """The sums all agree, so that only the order of booking tells."""
    newest = one(books, "SELECT max(id) FROM transfers")
    with write_transaction(books):
        for number, (source, target) in enumerate(
            [("wallet:wa_1", "suspense"), ("suspense", "wallet:wa_1")], start=1
        ):
            books.execute(
                text(
                    TRANSFER + f"('wa_1', {newest + number}, 'x', '{source}', '{target}',"
                    " 999999, 'g', NULL, 1)"
                )
            )
    report = rebuild(books)
    [finding] = report.findings
    assert (finding.code, finding.subject) == ("overdrawn", "wallet:wa_1")
    assert report.first_transfer_id == finding.transfer_id == newest + 1


@pytest.mark.parametrize(("later_s", "found"), [(0, set()), (1, {"overdrawn"})])
def test_an_invoice_may_fall_below_zero_only_within_one_moment(
    books: Session, later_s: int, found: set[str]
) -> None:
    """A payment that vanished is taken back first and made good by the next transfer."""
    newest = one(books, "SELECT max(id) FROM transfers")
    rows = [("invoice:in_7", "suspense", 50), ("suspense", "invoice:in_7", 50 + later_s)]
    statements = [
        TRANSFER + f"('in_7', {newest + n}, 'x', '{a}', '{b}', 5, 'g', NULL, {at})"
        for n, (a, b, at) in enumerate(rows, start=1)
    ]
    assert set(run(books, *statements)) == found


def test_an_invoice_that_stays_below_zero_is_found(books: Session) -> None:
    newest = one(books, "SELECT max(id) FROM transfers")
    row = TRANSFER + f"('in_7', {newest + 1}, 'x', 'invoice:in_7', 'loss', 5, 'g', NULL, 1)"
    assert run(books, row) == {"overdrawn": ("invoice:in_7", newest + 1)}


def test_an_unknown_account_is_found_once_at_its_first_transfer(books: Session) -> None:
    newest = one(books, "SELECT max(id) FROM transfers")
    rows = [
        TRANSFER + f"('x', {newest + n}, 'x', '{a}', '{b}', 5, 'g', NULL, 1)"
        for n, (a, b) in enumerate([("treasury", "loss"), ("loss", "treasury")] * 2, start=1)
    ]
    assert run(books, *rows) == {"unknown_account": ("treasury", newest + 1)}


def test_an_amount_below_zero_is_found(books: Session) -> None:
    """The database refuses it, so its guard must go first."""
    if books.get_bind().dialect.name == "sqlite":
        guard = "PRAGMA ignore_check_constraints = ON"
    else:
        guard = "ALTER TABLE transfers DROP CONSTRAINT ck_transfers_amount_positive"
    newest = one(books, "SELECT max(id) FROM transfers")
    row = TRANSFER + f"('x', {newest + 1}, 'x', 'suspense', 'loss', -5, 'g', NULL, 1)"
    assert run(books, guard, row) == {"amount_not_positive": (f"transfer {newest + 1}", newest + 1)}


def test_findings_of_one_code_are_limited_and_hide_no_other(books: Session) -> None:
    insert = "INSERT INTO balance_checkpoints (account, through_id, balance_msat, created_at)"
    many = [f"{insert} VALUES ('loss', {5000 + n}, 77, 1)" for n in range(150)]
    broken = "UPDATE wallets SET balance_msat = balance_msat + 1 WHERE id = 'wa_1'"
    with write_transaction(books):
        for statement in (*many, broken):
            books.execute(text(statement))
    codes = [f.code for f in rebuild(books).findings]
    assert codes.count("checkpoint_rebuilt") == 100
    assert codes.count("wallet_rebuilt") == 1


def test_it_sees_one_moment_while_others_book(books: Session) -> None:
    """What is booked between two chunks belongs to the next audit."""
    bind = books.get_bind()

    def book_meanwhile(at: int, _end: int) -> None:
        if at == 41:
            with Session(bind) as other, write_transaction(other):
                other.execute(
                    text("UPDATE wallets SET balance_msat = balance_msat + 1 WHERE id = 'wa_1'")
                )

    assert rebuild(books, book_meanwhile).clean
    assert not rebuild(books).clean
