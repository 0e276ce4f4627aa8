"""Invoices and the ledger from the command line, on both engines."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from bitcache_server import wiring
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.operations import ChainBlock
from bitcache_server.models.sales import Invoice, Payment, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.services.create_invoice import InvoiceOrder, create_invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.settle_invoice import settle_invoice
from bitcache_server.settings import load_settings
from tests.support.books import open_wallet
from tests.support.cli import Cli, write_config

CHALLENGE = "A" * 43


@pytest.fixture
def config(tmp_path: Path, database_url: str) -> Path:
    return write_config(tmp_path, database_url=database_url)


@pytest.fixture
def cli(config: Path) -> Cli:
    return Cli(config)


@pytest.fixture
def deps(config: Path, monkeypatch: pytest.MonkeyPatch) -> Deps:
    monkeypatch.setenv("BITCACHE_CONFIG", str(config))
    return wiring.build(load_settings())


@pytest.fixture
def site_id(cli: Cli) -> str:
    merchant = cli.ask("merchant", "add", "--name", "Jane")
    words = ["--merchant", merchant["id"], "--name", "B", "--origin", "https://jane.example"]
    return str(cli.ask("site", "add", *words)["id"])


@pytest.fixture
def order(cli: Cli, deps: Deps, session: Session, site_id: str) -> Callable[[], str]:
    """Return what orders a new invoice of 5000 sat and returns its id."""
    words = ["--site", site_id, "--title", "T", "--price", "5000", "--currency", "SAT"]
    item = cli.ask("item", "add", *words, "--article", "-", stdin="<p>x</p>")

    def _order() -> str:
        with write_transaction(session):
            return create_invoice(deps, session, InvoiceOrder(item["id"], CHALLENGE)).id

    return _order


@pytest.fixture
def paid(deps: Deps, session: Session, order: Callable[[], str]) -> str:
    """Return an invoice that was paid 7000 sat in block 10, which is too much."""
    invoice_id = order()
    request = RequestRow(
        invoice_id=invoice_id, rail="onchain", destination="bcrt1qexample", target="00",
        amount_msat=5_000_000, address_index=0, confirmations_required=1, created_at=0,
    )  # fmt: skip
    payment = Payment(
        rail="onchain", reference="aa:0", invoice_id=invoice_id, target="00", raw="",
        amount_msat=7_000_000, arrived_at=deps.clock(), block_hash="b", block_height=10,
        spendable_at_height=0, sight_ok=False, sight_reason="", removed=False, settled=False,
    )  # fmt: skip
    with write_transaction(session):
        session.add(ChainBlock(rail="onchain", height=10, hash="b", previous_hash="a"))
        session.add_all([request, payment])
        session.flush()
        settle_invoice(deps, session, invoice_id)
    return invoice_id


def test_an_open_invoice_shows_what_is_missing(cli: Cli, order: Callable[[], str]) -> None:
    shown = cli.ask("invoice", "show", order())
    assert (shown["state"], shown["missing_msat"]) == ("open", 5_000_000)
    assert shown["entries"] == shown["grants"] == shown["payments"] == []


def test_a_paid_invoice_shows_payments_grants_and_entries(cli: Cli, paid: str) -> None:
    shown = cli.ask("invoice", "show", paid)
    assert shown["state"] == "paid"
    assert shown["marks"] == ["overpaid"]
    assert [p["reference"] for p in shown["payments"]] == ["aa:0"]
    assert [g["price_msat"] for g in shown["grants"]] == [5_000_000]
    by_kind = {entry["kind"]: entry["amount_msat"] for entry in shown["entries"]}
    assert by_kind == {"receipt": 7_000_000, "sale": 4_950_000, "commission": 50_000}
    assert shown["credit_msat"] == 2_000_000
    plain = cli.run("invoice", "show", paid).stdout
    for words in ("paid overpaid", "aa:0", "7,000 sats", "4950000", "for ever"):
        assert words in plain


def test_money_that_bought_the_item_is_not_missing(
    cli: Cli, session: Session, order: Callable[[], str]
) -> None:
    invoice_id = order()
    assert "missing" in cli.run("invoice", "show", invoice_id).stdout
    with write_transaction(session):
        session.get_one(Invoice, invoice_id).redeemed_msat = 5_000_000
    plain = cli.run("invoice", "show", invoice_id).stdout
    assert re.search(r"^redeemed +5,000 sats$", plain, re.M)
    assert "missing" not in plain
    assert cli.ask("invoice", "show", invoice_id)["redeemed_msat"] == 5_000_000


@pytest.mark.parametrize(
    ("required", "shown"), [(0, "1 confirmation "), (1, "1 confirmation "), (3, "1 of 3 conf")]
)
def test_confirmations_are_counted_up_to_what_is_needed(
    cli: Cli, session: Session, paid: str, required: int, shown: str
) -> None:
    with write_transaction(session):
        session.get_one(RequestRow, (paid, "onchain")).confirmations_required = required
    plain = cli.run("invoice", "show", paid).stdout
    assert shown in f"{plain} ".replace("\n", " \n")
    assert "of 0" not in plain


def test_nothing_that_opens_anything_is_shown(cli: Cli, paid: str, site_id: str) -> None:
    for words in (["invoice", "show", paid], ["invoice", "list", "--site", site_id]):
        for output in (cli.run(*words).output, cli.run(*words, "--json").output):
            assert CHALLENGE not in output


def test_invoices_are_listed_newest_first_with_a_cursor(
    cli: Cli, order: Callable[[], str], site_id: str
) -> None:
    ids = {order() for _ in range(3)}
    first = cli.ask("invoice", "list", "--site", site_id, "--limit", "2")
    cursor = first["next_cursor"]
    rest = cli.ask("invoice", "list", "--site", site_id, "--cursor", cursor)
    assert {i["id"] for i in first["invoices"] + rest["invoices"]} == ids
    assert len(cli.run("invoice", "list", "--site", site_id).stdout.splitlines()) == 4


def test_balances_sum_up_to_zero(cli: Cli, paid: str) -> None:
    books = cli.ask("ledger", "balances")
    balances = {line["account"]: line["balance_msat"] for line in books["balances"]}
    merchant = next(name for name in balances if name.startswith("merchant:"))
    assert balances == {
        merchant: 4_950_000,
        "commission": 50_000,
        "clearing:onchain": -7_000_000,
        "all invoices": 2_000_000,
        "all payouts": 0,
        "all wallets": 0,
        "all gifts to readers": 0,
    }
    assert books["total_msat"] == 0
    stored = cli.ask("ledger", "checkpoint")
    assert stored["accounts"] == 3
    assert cli.ask("ledger", "balances") == books
    assert "4,950 sats (you owe them)" in cli.run(
        "merchant", "show", merchant.removeprefix("merchant:")
    ).stdout  # fmt: skip


def test_books_that_balance_are_clean(cli: Cli, paid: str) -> None:
    report = cli.ask("ledger", "audit")
    assert report["clean"] is True
    assert report["findings"] == []
    assert report["counts"]["transfers"] == 3
    assert "The books balance." in cli.run("ledger", "audit").stdout


def test_books_that_do_not_balance_exit_with_one(cli: Cli, paid: str, session: Session) -> None:
    with write_transaction(session):
        session.add(Wallet(id="wa_conjured", balance_msat=5, gift_msat=0, created_at=0))
    report = cli.ask("ledger", "audit", exit_code=1)
    assert report["clean"] is False
    assert {f["code"] for f in report["findings"]} == {"sum_not_zero", "wallet_differs"}
    plain = cli.run("ledger", "audit")
    assert plain.exit_code == 1
    assert "wallet_differs  wa_conjured: The wallet stores 5 msat" in plain.stdout
    assert "2 findings" in plain.stdout
    assert cli.ask("ledger", "balances")["total_msat"] == 5


def test_the_deep_audit_rebuilds_what_is_stored(cli: Cli, paid: str, session: Session) -> None:
    report = cli.ask("ledger", "audit", "--deep")
    assert report["clean"] is True
    assert report["rebuilt"] == {
        "transfers": 3, "checkpoints": 0, "accounts": 4, "first_transfer_id": None,
    }  # fmt: skip
    assert "Rebuilt 4 balances from 3 transfers" in cli.run("ledger", "audit", "--deep").stdout
    assert "rebuilt" not in cli.ask("ledger", "audit")
    cli.ask("ledger", "checkpoint")
    with write_transaction(session):
        session.execute(
            text(
                "INSERT INTO balance_checkpoints (account, through_id, balance_msat, created_at)"
                " VALUES ('commission', 2, 7, 1)"
            )
        )
    report = cli.ask("ledger", "audit", "--deep", exit_code=1)
    assert report["rebuilt"]["first_transfer_id"] == 2
    found = {f["code"]: f["transfer_id"] for f in report["findings"]}
    assert found == {"checkpoint_differs": None, "checkpoint_rebuilt": 2}
    plain = cli.run("ledger", "audit", "--deep")
    assert plain.exit_code == 1
    assert "The books first diverge at transfer 2." in plain.stdout


def test_progress_is_shown_on_a_terminal_only(
    cli: Cli, paid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Rebuilding" not in cli.run("ledger", "audit", "--deep").output
    monkeypatch.setattr("bitcache_server.cli.ledger.is_terminal", lambda: True)
    assert "Rebuilding" in cli.run("ledger", "audit", "--deep").output
    assert "Rebuilding" not in cli.run("ledger", "audit", "--deep", "--json").output


@pytest.fixture
def fake(tmp_path: Path, database_url: str) -> Cli:
    """Return commands of a server whose only rail is the fake one, which holds nothing."""
    return Cli(write_config(tmp_path, database_url=database_url, rails=["fake"], node_url=None))


def test_a_float_is_booked_and_missed(fake: Cli) -> None:
    [fine] = fake.ask("ledger", "reconcile")["rails"]
    assert (fine["rail"], fine["code"], fine["held_msat"]) == ("fake", "ok", 0)
    booked = fake.ask("ledger", "deposit", "fake", "2000")
    assert (booked["rail"], booked["amount_msat"]) == ("fake", 2_000_000)
    [short] = fake.ask("ledger", "reconcile", "--rail", "fake", exit_code=1)["rails"]
    assert (short["code"], short["booked_msat"], short["held_msat"]) == ("short", 2_000_000, 0)
    plain = fake.run("ledger", "reconcile")
    assert plain.exit_code == 1
    assert "short  The rail fake holds 0 sats; the books say 2,000 sats: 2,000 sats" in plain.stdout
    assert fake.refuse("ledger", "withdraw", "fake", "2001")[0] == "invalid_request"
    assert "taken out of fake" in fake.run("ledger", "withdraw", "fake", "2000").stdout
    assert fake.ask("ledger", "reconcile")["rails"][0]["code"] == "ok"
    assert fake.ask("ledger", "audit", "--deep")["clean"] is True
    assert fake.refuse("ledger", "deposit", "lightning", "5")[0] == "unknown_rail"
    assert fake.refuse("ledger", "reconcile", "--rail", "x")[0] == "unknown_rail"
    assert fake.run("ledger", "deposit", "fake", "0").exit_code == 2


def test_a_rail_that_does_not_answer_is_no_shortage(cli: Cli) -> None:
    [unknown] = cli.ask("ledger", "reconcile")["rails"]
    assert (unknown["rail"], unknown["code"]) == ("onchain", "unknown")


def test_the_proof_of_solvency_is_published_shown_and_verified(fake: Cli, session: Session) -> None:
    assert fake.refuse("ledger", "solvency")[0] == "not_found"
    open_wallet(session, balance_msat=5_000, gift_msat=250)
    open_wallet(session, "wa_2", balance_msat=1_000)
    fake.ask("ledger", "reconcile")
    made = fake.ask("ledger", "solvency", "--publish")
    assert (made["total_msat"], made["leaves"], made["held_msat"]) == (6_250, 2, 0)
    assert "problems" not in made
    assert fake.ask("ledger", "solvency", "--verify") == made | {"problems": []}
    plain = fake.run("ledger", "solvency", "--verify").stdout
    assert "6.25 sats" in plain
    assert "3 hashes are right." in plain
    with write_transaction(session):
        session.execute(text("UPDATE solvency_nodes SET sum_msat = 7 WHERE wallet_id = 'wa_1'"))
    assert fake.ask("ledger", "solvency", "--verify", exit_code=1)["problems"]
    assert fake.run("ledger", "solvency", "--verify").exit_code == 1
