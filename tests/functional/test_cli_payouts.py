"""Payouts and operators from the command line, on both engines."""

import re
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from bitcache_server import wiring
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.fake import FakeRail
from bitcache_server.services.merchant_payouts import set_payout_terms
from bitcache_server.settings import Settings
from tests.support.cli import Cli, write_config


@pytest.fixture
def rail(monkeypatch: pytest.MonkeyPatch) -> FakeRail:
    """Return the rail that every command of the test meets, as if it were one network."""
    made = FakeRail(allow=True)
    made.fund(1_000_000_000)
    monkeypatch.setattr(wiring, "_rails", lambda *_: {"fake": made})
    return made


@pytest.fixture
def cli(tmp_path: Path, database_url: str, rail: FakeRail) -> Cli:
    assert rail.name == "fake"
    values = {"database_url": database_url, "rails": ["fake"], "payout_approval_above_sat": 40_000}
    values["payout_confirmations"] = 1
    return Cli(write_config(tmp_path, **values))


@pytest.fixture
def merchant_id(cli: Cli, session: Session, rail: FakeRail, tmp_path: Path) -> str:
    """Return a merchant with 100,000 sat and an address."""
    made = str(cli.ask("merchant", "add", "--name", "Jane")["id"])
    with write_transaction(session):
        entry = Entry(Kind.DEPOSIT, chart.OPENING, chart.merchant(made), 100_000_000)
        post(session, [entry], owner_id=made, now=0)
    settings = Settings(environment="test", secret_key="k" * 48, data_dir=tmp_path)
    deps = wiring.build(settings, rails={"fake": rail}, rate_sources=())
    set_payout_terms(deps, session, made, address="fake:jane")
    return made


def test_from_the_request_to_the_chain(cli: Cli, merchant_id: str, rail: FakeRail) -> None:
    asked = cli.ask("payout", "request", merchant_id, "--sat", "30000")
    assert (asked["state"], asked["owner"]) == ("waiting", f"merchant:{merchant_id}")
    assert cli.ask("payout", "run-now")["signed"] == 1
    [listed] = cli.ask("payout", "list")["payouts"]
    assert (listed["id"], listed["state"]) == (asked["id"], "sending")
    rail.confirm()
    assert cli.ask("payout", "run-now") == {"signed": 0, "payouts": []}
    assert cli.ask("payout", "list")["payouts"] == []
    [settled] = cli.ask("payout", "list", "--state", "settled")["payouts"]
    assert settled == cli.ask("payout", "show", asked["id"])
    assert settled["transaction"] == listed["transaction"]
    assert cli.ask("ledger", "audit")["clean"]


def test_what_people_see(cli: Cli, merchant_id: str, rail: FakeRail) -> None:
    rail.fund(-1_000_000_000)
    asked = cli.ask("payout", "request", merchant_id, "--sat", "30000")["id"]
    sent = cli.run("payout", "run-now")
    assert sent.exit_code == 0
    assert "0 payouts were signed" in sent.stdout
    assert "The wallet holds 0 sats" in sent.stdout
    shown = cli.run("payout", "show", asked).stdout
    for line in ("state        waiting", "amount       30,000 sats", "network fee  141 sats"):
        assert line in shown
    assert "The wallet holds 0 sats" in cli.run("payout", "list").stdout
    doctor = cli.ask("doctor", exit_code=1)
    [finding] = [f for f in doctor["findings"] if f["name"] == "payouts"]
    assert finding["code"] == "payouts_waiting"
    taken_back = cli.run("payout", "cancel", asked, "--reason", "Never mind.").stdout
    assert "Never mind." in taken_back
    assert cli.run("payout", "list").stdout == "(none)\n"
    assert cli.refuse("payout", "cancel", asked)[0] == "payout_not_waiting"


def test_a_refused_transaction_is_set_aside(cli: Cli, merchant_id: str, rail: FakeRail) -> None:
    rail.refuse_payouts("bad-txns")
    first, second = (
        cli.ask("payout", "request", merchant_id, "--sat", amount)["id"]
        for amount in ("20000", "10000")
    )
    assert cli.refuse("payout", "set-aside", first)[0] == "payout_not_waiting"
    assert cli.ask("payout", "run-now")["signed"] == 2
    third = cli.ask("payout", "request", merchant_id, "--sat", "5000")["id"]
    assert cli.ask("payout", "run-now")["signed"] == 0
    aside = cli.ask("payout", "set-aside", second)
    assert (aside["state"], aside["reason"]) == ("sending", "the node refuses: bad-txns")
    assert cli.ask("payout", "run-now")["signed"] == 1
    rail.refuse_payouts("")
    cli.ask("payout", "run-now")
    rail.confirm()
    cli.ask("payout", "run-now")
    settled = cli.ask("payout", "list", "--state", "settled")["payouts"]
    assert {one["id"] for one in settled} == {first, second, third}
    assert cli.ask("ledger", "audit")["clean"]


def test_pages_of_the_list(cli: Cli, merchant_id: str) -> None:
    asked = {cli.ask("payout", "request", merchant_id, "--sat", "5000")["id"] for _ in range(3)}
    first = cli.ask("payout", "list", "--limit", "2")
    second = cli.ask("payout", "list", "--limit", "2", "--cursor", first["next_cursor"])
    assert {p["id"] for p in (*first["payouts"], *second["payouts"])} == asked
    assert second["next_cursor"] is None
    assert first["next_cursor"] in cli.run("payout", "list", "--limit", "2").stderr


def test_two_people_approve(cli: Cli, merchant_id: str) -> None:
    secrets = {name: cli.ask("operator", "add", name)["secret"] for name in ("ada", "bob")}
    printed = cli.run("operator", "add", "eve").stdout
    match = re.search(r"shown only now: (bcop_\S{43})$", printed, re.MULTILINE)
    assert match is not None
    asked = cli.ask("payout", "request", merchant_id)["id"]

    def approve(name: str, secret: str) -> list[str]:
        done = cli.ask("payout", "approve", asked, "--as", name, stdin=secret + "\n")
        return [done["state"], *done["approvals"]]

    assert approve("ada", secrets["ada"]) == ["approval", "ada"]
    for name, secret in (("ada", secrets["ada"]), ("bob", secrets["ada"]), ("bob", "")):
        words = ("payout", "approve", asked, "--as", name)
        assert cli.refuse(*words, stdin=secret)[0] == "approval_refused"
    assert cli.ask("operator", "remove", "eve")["removed_at"] is not None
    words = ("payout", "approve", asked, "--as", "eve")
    assert cli.refuse(*words, stdin=match[1])[0] == "approval_refused"
    state, *names = approve("bob", secrets["bob"])
    assert (state, set(names)) == ("waiting", {"ada", "bob"})
    listed = cli.run("operator", "list").stdout
    assert all(name in listed for name in ("ada", "bob", "eve"))
    assert all(secret not in listed for secret in secrets.values())
    assert cli.refuse("operator", "add", "eve")[0] == "invalid_request"


def test_one_person_rejects(cli: Cli, merchant_id: str) -> None:
    secret = cli.ask("operator", "add", "ada")["secret"]
    asked = cli.ask("payout", "request", merchant_id)["id"]
    words = ("payout", "reject", asked, "--as", "ada", "--reason", "Who is this?")
    assert cli.ask(*words, stdin=secret)["reason"] == "Rejected by ada: Who is this?"
    assert cli.ask("merchant", "show", merchant_id)["balance_msat"] == 100_000_000
    assert cli.refuse(*words, stdin=secret)[0] == "payout_not_waiting"


def test_wrong_calls(cli: Cli, merchant_id: str) -> None:
    assert cli.refuse("payout", "show", "po_none")[0] == "unknown_payout"
    assert cli.refuse("payout", "request", "me_none")[0] == "unknown_merchant"
    assert cli.refuse("payout", "request", merchant_id, "--sat", "4999")[0] == "payout_limit"
    assert cli.refuse("operator", "remove", "nobody")[0] == "invalid_request"
    assert cli.run("payout", "approve", "po_none").exit_code == 2
    assert cli.run("payout", "list", "--state", "odd").exit_code == 2
