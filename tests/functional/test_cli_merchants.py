"""A merchant's terms, statement, co-authors and refunds from the command line."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from bitcache_server import wiring
from bitcache_server.ledger.audit import audit
from bitcache_server.services.deps import Deps
from bitcache_server.services.unlock_item import UnlockOrder, unlock_item
from bitcache_server.settings import load_settings
from tests.support.books import open_wallet
from tests.support.cli import Cli, account_key, write_config

OPERATORS = {"share_ppm": 10_000, "min_msat": 0, "max_msat": None, "own": False}
DEFAULTS = {
    "commission": OPERATORS,
    "refund_window_s": 0,
    "refunds_per_reader": 0,
    "payout_address": None,
    "payout_every_s": 0,
    "payout_threshold_msat": 0,
}
WALLET = "wa_reader"


@pytest.fixture
def cli(tmp_path: Path, database_url: str) -> Cli:
    return Cli(write_config(tmp_path, database_url=database_url, rails=["fake"], node_url=None))


@pytest.fixture
def deps(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Deps:
    monkeypatch.setenv("BITCACHE_CONFIG", str(cli.env["BITCACHE_CONFIG"]))
    return wiring.build(load_settings())


@pytest.fixture
def merchant_id(cli: Cli) -> str:
    return str(cli.ask("merchant", "add", "--name", "Jane")["id"])


@pytest.fixture
def item_id(cli: Cli, merchant_id: str) -> str:
    words = ["--merchant", merchant_id, "--name", "B", "--origin", "https://jane.example"]
    site_id = cli.ask("site", "add", *words)["id"]
    words = ["--site", site_id, "--title", "=Story", "--price", "500", "--currency", "SAT"]
    page = ["--url", "https://jane.example/story"]
    item = cli.ask("item", "add", *words, *page, "--article", "-", stdin="<p>x</p>")
    assert item["url"] == "https://jane.example/story"
    return str(item["id"])


@pytest.fixture
def buy(deps: Deps, session: Session, item_id: str) -> Callable[[], None]:
    """Return what buys the item from a wallet of 1,000 sat, opened at the first time."""

    def _buy() -> None:
        unlock_item(deps, session, UnlockOrder(WALLET, item_id, None))
        session.rollback()

    open_wallet(session, WALLET, 1_000_000)
    return _buy


def test_terms_of_a_new_merchant(cli: Cli, merchant_id: str) -> None:
    assert cli.ask("merchant", "terms", merchant_id) == {"id": merchant_id, **DEFAULTS}
    shown = cli.run("merchant", "terms", merchant_id).stdout
    assert "1 % (the usual)" in shown
    assert "not offered" in shown
    assert "on demand" in shown


def test_terms_are_changed_one_by_one(cli: Cli, merchant_id: str) -> None:
    words = ("merchant", "terms", merchant_id)
    cli.ask(*words, "--commission-ppm", "25000", "--commission-max-msat", "5000")
    cli.ask(*words, "--refund-window", "14d", "--refunds-per-reader", "3")
    cli.ask(*words, "--payout-address", "fake:jane", "--payout-every", "12h")
    found = cli.ask(*words, "--payout-threshold", "9000")
    assert found == {
        "id": merchant_id,
        "commission": {"share_ppm": 25_000, "min_msat": 0, "max_msat": 5_000, "own": True},
        "refund_window_s": 14 * 86_400,
        "refunds_per_reader": 3,
        "payout_address": "fake:jane",
        "payout_every_s": 43_200,
        "payout_threshold_msat": 9_000_000,
    }
    shown = cli.run("merchant", "show", merchant_id).stdout
    for words_of_terms in (
        "2.5 %, at most 5 sats",
        "within 14d, at most 3 in 30 days",
        "fake:jane",
        "every 12h from 9,000 sats",
    ):
        assert words_of_terms in shown
    assert cli.ask(*words, "--operator-commission")["commission"] == OPERATORS
    off = cli.ask(*words, "--payout-address", "", "--refund-window", "0")
    assert (off["payout_address"], off["refund_window_s"]) == (None, 0)
    assert cli.ask("merchant", "show", merchant_id)["refunds_per_reader"] == 3


@pytest.mark.parametrize(
    "words",
    [
        ["--commission-ppm", "1000001"],
        ["--commission-min-msat", "5"],
        ["--commission-ppm", "5", "--operator-commission"],
        ["--refund-window", "14"],
        ["--refund-window", "-1d"],
        ["--refunds-per-reader", "1001"],
        ["--payout-threshold", "-1"],
    ],
)
def test_terms_that_cannot_be_read(cli: Cli, merchant_id: str, words: list[str]) -> None:
    result = cli.run("merchant", "terms", merchant_id, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr
    assert cli.ask("merchant", "terms", merchant_id) == {"id": merchant_id, **DEFAULTS}


def test_terms_that_cannot_be(cli: Cli, merchant_id: str) -> None:
    words = ("merchant", "terms", merchant_id)
    bounds = ("--commission-ppm", "1", "--commission-min-msat", "2", "--commission-max-msat", "1")
    assert "below the smallest" in cli.refuse(*words, *bounds)[1]
    assert "365 days" in cli.refuse(*words, "--refund-window", "366d")[1]
    assert cli.refuse(*words, "--payout-address", "bc1qwrong")[0] == "address_invalid"
    assert cli.refuse("merchant", "terms", "me_x", "--refund-window", "1d")[0] == "unknown_merchant"
    assert cli.ask(*words) == {"id": merchant_id, **DEFAULTS}


def test_a_statement_as_text_and_as_json(
    cli: Cli, merchant_id: str, item_id: str, buy: Callable[[], None]
) -> None:
    assert cli.ask("merchant", "statement", merchant_id) == {"merchant": merchant_id, "lines": []}
    assert cli.run("merchant", "statement", merchant_id).stdout == "(none)\n"
    buy()
    [line] = cli.ask("merchant", "statement", merchant_id)["lines"]
    assert (line["kind"], line["amount_msat"], line["item_id"]) == ("sale", 495_000, item_id)
    assert line["holder"].startswith("ho_")
    shown = cli.run("merchant", "statement", merchant_id).stdout
    assert "495 sats" in shown
    assert WALLET not in shown


def test_a_statement_for_a_spreadsheet(
    cli: Cli, merchant_id: str, item_id: str, buy: Callable[[], None]
) -> None:
    buy()
    words = ("merchant", "statement", merchant_id, "--csv")
    [row] = csv.DictReader(io.StringIO(cli.run(*words).stdout))
    assert (row["kind"], row["amount_msat"], row["item"]) == ("sale", "495000", item_id)
    # A spreadsheet must not take a title for a formula.
    assert row["title"] == "'=Story"
    for times in (["--until", "2020-01-01"], ["--since", "2100-01-01T12:30:00"]):
        assert list(csv.DictReader(io.StringIO(cli.run(*words, *times).stdout))) == []
    since = cli.run(*words, "--since", "2020-01-01", "--until", "2100-01-01")
    assert len(since.stdout.splitlines()) == 2
    assert cli.run(*words, "--json").exit_code == 2
    assert cli.refuse("merchant", "statement", "me_x")[0] == "unknown_merchant"


def test_a_refund(
    cli: Cli, merchant_id: str, item_id: str, buy: Callable[[], None], session: Session
) -> None:
    buy()
    holder = cli.ask("merchant", "statement", merchant_id)["lines"][0]["holder"]
    done: dict[str, Any] = cli.ask("refund", holder, item_id)
    assert (done["holder"], done["item"], done["amount_msat"]) == (holder, item_id, 500_000)
    assert cli.refuse("refund", holder, item_id)[0] == "already_refunded"
    assert cli.refuse("refund", WALLET, item_id)[0] == "unknown_purchase"
    assert cli.refuse("refund", holder, "it_none")[0] == "unknown_item"
    buy()
    assert "Gave 500 sats back" in cli.run("refund", holder, item_id).stdout
    assert audit(session).findings == []


def test_co_authors(cli: Cli, merchant_id: str, item_id: str) -> None:
    bob, eve = (cli.ask("merchant", "add", "--name", name)["id"] for name in ("Bob", "Eve"))
    words = ("item", "split", item_id)
    assert cli.ask(*words) == {"id": item_id, "splits": []}
    found = cli.ask(*words, f"{bob}=30%", f"{eve}=12.5")
    shares = {split["merchant"]: split["share_ppm"] for split in found["splits"]}
    assert shares == {bob: 300_000, eve: 125_000}
    assert cli.ask(*words) == found
    assert "12.5 %" in cli.run(*words).stdout
    assert cli.ask(*words, "--clear")["splits"] == []
    assert cli.run(*words, f"{bob}=1%", "--clear").exit_code == 2


@pytest.mark.parametrize(
    "share", ["=5%", "BOB", "BOB=", "BOB=x%", "BOB=0.00001%", "BOB=NaN%", "BOB=Infinity",
              "BOB=0%", "BOB=-1%", "BOB=100.0001%", "me_none=5%", "OWN=5%"]
)  # fmt: skip
def test_shares_that_cannot_be(cli: Cli, merchant_id: str, item_id: str, share: str) -> None:
    bob = cli.ask("merchant", "add", "--name", "Bob")["id"]
    word = share.replace("BOB", bob).replace("OWN", merchant_id)
    assert cli.refuse("item", "split", item_id, word)[0] == "split_invalid"
    assert cli.refuse("item", "split", item_id, f"{bob}=1%", f"{bob}=2%")[0] == "split_invalid"
    assert cli.ask("item", "split", item_id)["splits"] == []


def test_a_page_elsewhere_and_a_merchant_with_a_wallet(tmp_path: Path, database_url: str) -> None:
    cli = Cli(write_config(tmp_path, database_url=database_url))
    jane = cli.ask("merchant", "add", "--name", "J", "--descriptor", f"wpkh({account_key()}/0/*)")
    words = ["--merchant", jane["id"], "--name", "B", "--origin", "https://jane.example"]
    site_id = cli.ask("site", "add", *words)["id"]
    add = ["item", "add", "--site", site_id, "--title", "T", "--price", "1", "--article", "-"]
    assert cli.refuse(*add, "--url", "https://evil.example/", stdin="x")[0] == "invalid_request"
    item_id = cli.ask(*add, "--url", "https://jane.example/t", stdin="x")["id"]
    assert "https://jane.example/t" in cli.run("item", "show", item_id).stdout
    bob = cli.ask("merchant", "add", "--name", "Bob")["id"]
    code, words_of_refusal = cli.refuse("item", "split", item_id, f"{bob}=5%")
    assert code == "split_invalid"
    assert "own wallet" in words_of_refusal
