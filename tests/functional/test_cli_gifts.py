"""Gifts from the command line: links at the operator's cost."""

import re
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from bitcache_server import wiring
from bitcache_server.domain.errors import LightningUnreachable
from bitcache_server.ledger import chart
from bitcache_server.ledger.balances import balance
from bitcache_server.models.payouts import Payout
from bitcache_server.rails.base import Rail
from bitcache_server.rails.lightning.scripted import ScriptedBackend
from bitcache_server.settings import Settings
from tests.support.cli import Cli, write_config
from tests.support.lightning_world import make_lightning_rail, scripted_backend
from tests.support.world import MovableClock


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def node(clock: MovableClock) -> ScriptedBackend:
    return scripted_backend(clock)


@pytest.fixture
def cli(
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    clock: MovableClock,
    node: ScriptedBackend,
) -> Cli:
    def rails(settings: Settings, *_: object) -> dict[str, Rail]:
        return {"lightning": make_lightning_rail(node, settings, clock)}

    monkeypatch.setattr(wiring, "_rails", rails)
    return Cli(write_config(tmp_path, database_url=database_url, public_url="https://pay.example"))


def test_links_are_made_shown_once_and_paid_by_the_promotion_account(
    cli: Cli, session: Session
) -> None:
    gifts = cli.ask("gift", "create", "1000", "--count", "3", "--expires", "14d")["gifts"]
    assert len({gift["url"] for gift in gifts}) == 3
    for gift in gifts:
        assert gift["url"].startswith("https://pay.example/gift/")
        assert gift["amount_msat"] == 1_000_000
        payout = session.get_one(Payout, gift["payout"])
        assert (payout.state, payout.owner_account) == ("offered", chart.PROMOTION)
    assert balance(session, chart.PROMOTION) == -3 * 1_010_000
    session.rollback()
    listed = cli.ask("payout", "list", "--state", "offered")["payouts"]
    assert {one["id"] for one in listed} == {gift["payout"] for gift in gifts}
    cancelled = cli.ask("payout", "cancel", gifts[0]["payout"])
    assert (cancelled["state"], cancelled["address"]) == ("cancelled", "")
    assert balance(session, chart.PROMOTION) == -2 * 1_010_000
    session.rollback()
    assert cli.ask("ledger", "audit")["findings"] == []


def test_what_people_see(cli: Cli) -> None:
    shown = cli.run("gift", "create", "500")
    assert shown.exit_code == 0
    assert "https://pay.example/gift/" in shown.stdout
    [payout] = cli.ask("payout", "list", "--state", "offered")["payouts"]
    described = cli.run("payout", "show", payout["id"]).stdout
    assert re.search(r"^to +whoever claims the link \(lightning\)$", described, re.M)
    assert re.search(r"^fee reserve +5 sats$", described, re.M)
    assert "promotion account" in cli.run("gift", "create", "--help").stdout


def test_a_gift_that_works_at_once_has_no_remark(cli: Cli) -> None:
    document = cli.ask("gift", "create", "1000", "--count", "2")
    assert [gift["state"] for gift in document["gifts"]] == ["offered"] * 2
    assert document["notes"] == []


def test_a_large_gift_says_what_it_waits_for(cli: Cli) -> None:
    document = cli.ask("gift", "create", "5000000")
    assert document["gifts"][0]["state"] == "approval"
    approval, operators = document["notes"]
    assert approval.startswith("1 link pays nothing before 2 operators have approved")
    assert operators == "So far 0 operators are known here: `bitcache operator add NAME`."
    for name in ("ada", "grace"):
        cli.ask("operator", "add", name)
    plain = cli.run("gift", "create", "5000000").stdout
    assert "approval" in plain
    assert "payout approve" in plain
    assert "operator add" not in plain


def test_a_gift_that_the_node_cannot_pay_says_so(cli: Cli, node: ScriptedBackend) -> None:
    node.set_funds(2_019_999, None)
    [note] = cli.ask("gift", "create", "1000", "--count", "2")["notes"]
    assert "can send 2,019.999 sats; with the fee reserve this takes 2,020 sats" in note
    node.set_funds(2_020_000, None)
    assert cli.ask("gift", "create", "1000", "--count", "2")["notes"] == []
    node.fail_with(LightningUnreachable("Nothing listens at the node's address."))
    [note] = cli.ask("gift", "create", "1000")["notes"]
    assert "not known now: Nothing listens" in note


def test_wrong_calls(cli: Cli) -> None:
    for words in (["0"], ["x"], ["5", "--count", "1001"], ["5", "--expires", "soon"]):
        assert cli.run("gift", "create", *words).exit_code == 2
    assert cli.refuse("gift", "create", "5", "--expires", "400d")[0] == "invalid_request"
    assert cli.refuse("gift", "create", "20000000000")[0] == "payout_limit"
