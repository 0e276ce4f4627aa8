"""The proof of solvency: made from all balances, found again leaf by leaf, kept twice."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select, text

from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.models.solvency import SolvencyNode, SolvencyReport
from bitcache_server.services import solvency
from bitcache_server.services.books import owed_besides_wallets_msat
from bitcache_server.services.reconcile import reconcile
from bitcache_server.services.solvency import (
    newest_report,
    proof_of,
    publish,
    publish_due,
    report_view,
    verify_report,
)
from tests.support.api import assert_problem
from tests.support.books import open_wallet
from tests.support.payouts import earn, withdraw
from tests.support.shops import assert_nothing_lost
from tests.support.wallet_browser import Reader
from tests.support.world import World
from tests.unit.test_merkle_sum import root_by_hand


@pytest.fixture
def shop(world: World) -> Iterator[World]:
    yield world
    assert_nothing_lost(world)


def fill(world: World, count: int) -> dict[str, int]:
    """Open wallets with 1,000 msat, 2,000 msat, … and some starter credit."""
    held = {}
    for number in range(1, count + 1):
        wallet_id = open_wallet(world.session, f"wa_{number}", 1_000 * number, 7 * (number % 3))
        held[wallet_id] = 1_000 * number + 7 * (number % 3)
    return held


def published(world: World) -> SolvencyReport:
    world.session.rollback()
    report = publish(world.deps, world.session)
    assert report is not None
    return report


def count(world: World, model: type[SolvencyReport] | type[SolvencyNode]) -> int:
    found = world.session.execute(select(func.count()).select_from(model)).scalar_one()
    world.session.rollback()
    return found


@pytest.mark.parametrize("wallets", [1, 2, 3, 7])
def test_each_wallet_finds_its_balance_in_the_total(
    shop: World, wallets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solvency, "CHUNK", 4)
    held = fill(shop, wallets)
    report = published(shop)
    assert (report.leaves, report.total_msat) == (wallets, sum(held.values()))
    for wallet_id, held_msat in held.items():
        proof = proof_of(shop.session, wallet_id).model_dump()
        assert (proof["wallet"], proof["sum_msat"]) == (wallet_id, str(held_msat))
        assert root_by_hand(proof) == (report.root_hash, report.total_msat)
    verdict = verify_report(shop.session, report)
    assert verdict.problems == ()
    assert verdict.nodes == count(shop, SolvencyNode)


def test_nothing_is_published_without_wallets(shop: World) -> None:
    assert publish(shop.deps, shop.session) is None
    assert count(shop, SolvencyReport) == 0


def test_deleted_wallets_are_left_out(shop: World) -> None:
    fill(shop, 3)
    with write_transaction(shop.session):
        shop.session.add(Wallet(id="wa_9", balance_msat=0, gift_msat=0, created_at=1, closed_at=2))
    assert published(shop).leaves == 3


def test_neither_order_nor_nonce_is_ever_used_again(shop: World) -> None:
    """Two reports laid side by side do not show whose balance changed."""
    fill(shop, 12)

    def leaves() -> dict[str, tuple[int, str]]:
        report = published(shop)
        rows = shop.session.scalars(
            select(SolvencyNode).where(SolvencyNode.report_id == report.id, SolvencyNode.level == 0)
        )
        return {str(row.wallet_id): (row.position, str(row.nonce)) for row in rows}

    first, second = leaves(), leaves()
    assert first.keys() == second.keys()
    # By chance they are alike once in 479,001,600 runs.
    assert {w: p for w, (p, _) in first.items()} != {w: p for w, (p, _) in second.items()}
    nonces = {nonce for _, nonce in (*first.values(), *second.values())}
    assert len(nonces) == 24
    assert {len(nonce) for nonce in nonces} == {64}


def test_the_last_two_reports_are_kept(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solvency, "CHUNK", 4)
    fill(shop, 9)
    ids = []
    for _ in range(4):
        ids.append(published(shop).id)
        shop.clock.pass_time(1)
    kept = set(shop.session.scalars(select(SolvencyReport.id)))
    assert kept == set(ids[-2:])
    assert set(shop.session.scalars(select(SolvencyNode.report_id).distinct())) == kept
    assert newest_report(shop.session).id == ids[-1]


def test_a_report_that_died_half_way_is_never_shown_and_cleaned_up_later(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(shop, 9)
    first = published(shop).id

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    shop.clock.pass_time(5)
    monkeypatch.setattr(solvency, "_finish", dies)
    with pytest.raises(KeyboardInterrupt):
        publish(shop.deps, shop.session)
    monkeypatch.undo()
    assert newest_report(shop.session).id == first
    assert count(shop, SolvencyReport) == 2
    published(shop)
    # Perhaps another process is still at it.
    assert count(shop, SolvencyReport) == 3
    shop.clock.pass_time(solvency.ABANDONED_AFTER_S + 1)
    published(shop)
    assert count(shop, SolvencyReport) == 2
    assert (
        count(shop, SolvencyNode)
        == 2 * verify_report(shop.session, newest_report(shop.session)).nodes
    )


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE solvency_nodes SET sum_msat = sum_msat + 1 WHERE wallet_id = 'wa_3'", "Level 0"),
        ("UPDATE solvency_nodes SET sum_msat = -1 WHERE wallet_id = 'wa_3'", "Level 0 is damaged"),
        ("UPDATE solvency_nodes SET nonce = 'x' WHERE wallet_id = 'wa_3'", "Level 0 is damaged"),
        ("UPDATE solvency_nodes SET wallet_id = 'wa_x' WHERE wallet_id = 'wa_3'", "Level 0"),
        ("DELETE FROM solvency_nodes WHERE level = 0 AND position = 2", "Level 1"),
        ("UPDATE solvency_nodes SET sum_msat = sum_msat - 1 WHERE level = 2", "Level 2"),
        ("UPDATE solvency_reports SET total_msat = total_msat - 1", "The root is not"),
        ("UPDATE solvency_reports SET root_hash = 'ab'", "The root is not"),
    ],
)
def test_a_stored_node_that_was_changed_is_found(shop: World, statement: str, words: str) -> None:
    fill(shop, 5)
    published(shop)
    with write_transaction(shop.session):
        shop.session.execute(text(statement))
    shop.session.expire_all()
    problems = verify_report(shop.session, newest_report(shop.session)).problems
    assert problems
    assert any(problem.startswith(words) for problem in problems), problems


def test_it_says_what_is_owed_besides_and_what_is_held(shop: World) -> None:
    fill(shop, 3)
    open_wallet(shop.session, "wa_rich", 90_000_000)
    assert published(shop).held_msat is None
    shop.rail.fund(500_000_000)
    shop.pay(shop.buy(), 5_000_000)
    shop.mine()
    shop.pay(shop.buy(), 1_234_000)
    shop.mine()
    earn(shop, 8_000)
    withdraw(shop, 20_000, wallet_id="wa_rich")
    reconcile(shop.deps, shop.session, shop.rail)
    report = report_view(published(shop))
    fee_msat = 141_000
    # The merchant's sales, less commission; the credit of an invoice; the payout under way.
    assert report.others_msat == (4_950_000 + 8_000) + 1_234_000 + (20_000_000 + fee_msat)
    assert report.held_msat == 500_000_000 + 5_000_000 + 1_234_000
    shop.clock.pass_time(solvency.FRESH_INTERVALS * shop.deps.settings.reconcile_every_s + 1)
    assert published(shop).held_msat is None


def test_a_merchant_who_owes_us_lessens_nobodys_claim(shop: World) -> None:
    earn(shop, 10_000)
    with write_transaction(shop.session):
        debt = Entry(Kind.RECEIPT, chart.merchant("me_debtor"), chart.COMMISSION, 700)
        post(shop.session, [debt], owner_id="me_debtor", now=1)
    assert owed_besides_wallets_msat(shop.session) == 10_000
    shop.session.rollback()


def test_the_job_publishes_when_it_is_time_also_after_the_clock_was_put_back(shop: World) -> None:
    every_s = shop.deps.settings.solvency_every_s
    fill(shop, 2)

    def run() -> tuple[int, int]:
        publish_due(shop.deps, shop.session)
        newest = newest_report(shop.session)
        return newest.created_at, count(shop, SolvencyReport)

    first, _ = run()
    shop.clock.pass_time(every_s - 1)
    assert run() == (first, 1)
    shop.clock.pass_time(1)
    assert run() == (first + every_s, 2)
    shop.clock.pass_time(-10 * every_s)
    # Those from the future are forgotten, or they would stay the newest.
    assert run() == (first - 9 * every_s, 1)


def test_a_reader_gets_the_own_leaf_and_no_other(shop: World) -> None:
    fill(shop, 4)
    reader, newcomer, stranger = Reader(shop), Reader(shop), Reader(shop)
    wallet_id = reader.open_wallet()
    published(shop)
    newcomer.open_wallet()
    answer = reader.get("/wallet/solvency/proof")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    proof = json.loads(answer.text)
    assert (proof["wallet"], proof["sum_msat"]) == (wallet_id, "0")
    assert root_by_hand(proof)[0] == newest_report(shop.session).root_hash
    others = {f"wa_{n}" for n in range(1, 5)}
    assert not [wallet for wallet in others if f'"{wallet}"' in answer.text]
    assert_problem(newcomer.get("/wallet/solvency/proof"), 404, "not_found")
    assert_problem(stranger.get("/wallet/solvency/proof"), 401, "sign_in_required")


def test_the_page_shows_the_figures_to_everybody_and_the_check_to_readers(shop: World) -> None:
    reader, stranger = Reader(shop), Reader(shop)
    assert "No proof was published yet" in stranger.get("/wallet/solvency").text
    reader.open_wallet()
    fill(shop, 4)
    root_hash = published(shop).root_hash
    for browser, checks in ((reader, True), (stranger, False)):
        page = browser.get("/wallet/solvency")
        assert page.status_code == 200
        assert root_hash in page.text
        assert ('id="check"' in page.text) == checks
        assert ("solvency_page.js" in page.text) == checks
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
