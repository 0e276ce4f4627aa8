"""Ending, holding and letting go of payouts from the command line, on both engines."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from bitcache_server import wiring
from bitcache_server.domain.clock import Clock
from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import Rail
from bitcache_server.rails.lightning.lnurl_client import LnurlClient, LnurlInvoice
from bitcache_server.rails.lightning.scripted import ScriptedBackend
from bitcache_server.services.merchant_payouts import set_payout_terms
from bitcache_server.settings import Settings
from tests.support.cli import Cli, write_config
from tests.support.lightning_world import make_lightning_rail, scripted_backend
from tests.support.world import MovableClock


class Jane(LnurlClient):
    """An address whose invoices a node of a test can pay."""

    def __init__(self, node: ScriptedBackend) -> None:
        super().__init__(1, allow_local=False)
        self.node = node

    def request_invoice(
        self, address: str, amount_msat: int, network: str, comment: str = ""
    ) -> LnurlInvoice:
        """Return an honest invoice; asks nobody."""
        return LnurlInvoice(self.node.foreign_invoice(amount_msat), "", "")


@pytest.fixture
def node() -> ScriptedBackend:
    return scripted_backend(MovableClock())


@pytest.fixture
def rails(node: ScriptedBackend, monkeypatch: pytest.MonkeyPatch) -> dict[str, Rail]:
    """Return the rails that every command of the test meets, as if it were one network."""
    made: dict[str, Rail] = {}

    def build(settings: Settings, clock: Clock, *_: object) -> dict[str, Rail]:
        if not made:
            made["lightning"] = make_lightning_rail(node, settings, node.clock, Jane(node))
        return made

    monkeypatch.setattr(wiring, "_rails", build)
    return made


@pytest.fixture
def cli(tmp_path: Path, database_url: str, rails: dict[str, Rail]) -> Cli:
    assert rails == {}
    values = {"database_url": database_url, "rails": ["lightning"]}
    return Cli(write_config(tmp_path, lightning_backend="scripted", **values))


@pytest.fixture
def merchant_id(cli: Cli, session: Session, rails: dict[str, Rail], tmp_path: Path) -> str:
    """Return a merchant with 100,000 sat and a Lightning address."""
    made = str(cli.ask("merchant", "add", "--name", "Jane")["id"])
    with write_transaction(session):
        entry = Entry(Kind.DEPOSIT, chart.OPENING, chart.merchant(made), 100_000_000)
        post(session, [entry], owner_id=made, now=0)
    settings = Settings(environment="test", secret_key="k" * 48, data_dir=tmp_path)
    deps = wiring.build(settings, rails=rails, rate_sources=())
    set_payout_terms(deps, session, made, address="jane@wallet.example")
    return made


def _operators(cli: Cli) -> dict[str, str]:
    return {name: cli.ask("operator", "add", name)["secret"] for name in ("ada", "bob")}


def _codes(cli: Cli) -> Sequence[str]:
    findings = cli.ask("doctor", exit_code=1)["findings"]
    return [finding["code"] for finding in findings if finding["name"] == "payouts"]


def test_two_people_end_what_no_node_knows(
    cli: Cli, merchant_id: str, node: ScriptedBackend
) -> None:
    secrets = _operators(cli)
    payout_id = cli.ask("payout", "request", merchant_id, "--sat", "30000")["id"]
    node.plan_payment(Outcome.PENDING)
    assert cli.ask("payout", "run-now")["signed"] == 1
    failed = ("payout", "resolve", payout_id, "--failed", "--reason", "It never left.", "--as")
    assert cli.refuse(*failed, "ada", stdin=secrets["ada"])[0] == "payout_known"
    node.forget(cli.ask("payout", "show", payout_id)["transaction"])
    assert cli.refuse(*failed, "ada", stdin="wrong")[0] == "approval_refused"
    assert cli.ask(*failed, "ada", stdin=secrets["ada"])["state"] == "sending"
    shown = cli.run("payout", "show", payout_id).stdout
    assert "failed, by ada" in shown
    assert "It never left." in shown
    ended = cli.ask(*failed, "bob", stdin=secrets["bob"])
    assert (ended["state"], [word["operator"] for word in ended["words"]]) == (
        "failed",
        ["ada", "bob"],
    )
    assert _codes(cli) == ["ok"]
    note = ("payout", "take-note", payout_id, "--as", "ada")
    assert cli.refuse(*note, stdin=secrets["ada"])[0] == "payout_not_waiting"
    assert cli.ask("ledger", "audit")["clean"]


def test_a_preimage_that_does_not_fit(cli: Cli, merchant_id: str, node: ScriptedBackend) -> None:
    secrets = _operators(cli)
    payout_id = cli.ask("payout", "request", merchant_id, "--sat", "30000")["id"]
    node.plan_payment(Outcome.PENDING)
    cli.ask("payout", "run-now")
    paid = ("payout", "resolve", payout_id, "--as", "ada", "--settled")
    refused = cli.refuse(*paid, "--preimage", "ab" * 32, stdin=secrets["ada"])
    assert refused[0] == "preimage_wrong"
    assert cli.run("payout", "resolve", payout_id, "--as", "ada").exit_code == 2
    assert cli.run(*paid, "--fee-msat", "-1").exit_code == 2


def test_after_a_restored_backup(cli: Cli, merchant_id: str) -> None:
    secrets = _operators(cli)
    asked = [
        cli.ask("payout", "request", merchant_id, "--sat", amount)["id"]
        for amount in ("30000", "20000")
    ]
    assert cli.run("payout", "restored").stdout.startswith("2 payouts are held.")
    assert cli.ask("payout", "run-now")["signed"] == 0
    assert "may have been paid since" in cli.run("payout", "list").stdout
    assert _codes(cli) == ["payouts_held"]
    for payout_id, words in zip(
        asked,
        (
            ("release",),
            ("resolve", "--settled", "--reason", "Paid.", "--transaction", "cd" * 32),
        ),
        strict=True,
    ):
        for name in ("ada", "bob")[: len(words)]:
            call = ("payout", words[0], payout_id, "--as", name, *words[1:])
            cli.ask(*call, stdin=secrets[name])
    assert cli.ask("payout", "run-now")["signed"] == 1
    settled = cli.ask("payout", "list", "--state", "settled")["payouts"]
    assert {one["id"] for one in settled} == set(asked)
    assert cli.ask("ledger", "audit")["clean"]


def test_an_operator_cancels_what_may_have_been_paid(cli: Cli, merchant_id: str) -> None:
    secret = _operators(cli)["ada"]
    assert "what merchants are paid next" in cli.run("payout", "restored").stdout
    asked = cli.ask("payout", "request", merchant_id, "--sat", "30000")["id"]
    assert "the merchant may have been paid this" in cli.run("payout", "list").stdout
    cancel = ("payout", "cancel", asked)
    assert cli.refuse(*cancel)[0] == "approval_refused"
    assert cli.refuse(*cancel, "--as", "ada", stdin="wrong")[0] == "approval_refused"
    assert cli.ask(*cancel, "--as", "ada", stdin=secret)["state"] == "cancelled"
    assert cli.ask("merchant", "show", merchant_id)["balance_msat"] == 100_000_000
    again = cli.ask("payout", "request", merchant_id, "--sat", "30000")["id"]
    cli.ask("payout", "release", again, "--as", "ada", stdin=secret)
    cli.ask("payout", "request", merchant_id, "--sat", "20000")
    assert cli.ask("payout", "run-now")["signed"] == 2
    assert cli.ask("ledger", "audit")["clean"]
