"""A reader's own browser works out whether their balance is in the published total."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import text

from bitcache_server.ledger import chart, recipes
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.models.session import write_transaction
from bitcache_server.services.reconcile import book_deposit, reconcile
from bitcache_server.services.solvency import newest_report, publish
from bitcache_server.services.wallets import create_wallet, open_session
from tests.e2e.wall import axe_violations, watched
from tests.e2e.wallet_server import served_world
from tests.support.books import open_wallet
from tests.support.databases import Databases
from tests.support.shops import assert_nothing_lost
from tests.support.world import World


@pytest.fixture
def world(databases: Databases, tmp_path: Path) -> Iterator[World]:
    """Return a server with readers and a float, but without a proof yet."""
    with databases.fresh("sqlite") as url, served_world(url, tmp_path) as served:
        for number in range(1, 12):
            open_wallet(served.session, f"wa_{number}", 1_234_567 * number, 5_000)
        served.rail.fund(200_000_000)
        with write_transaction(served.session):
            book_deposit(served.deps, served.session, "fake", 200_000_000)
        reconcile(served.deps, served.session, served.rail)
        yield served
        assert_nothing_lost(served)


@contextmanager
def device(browser: Browser, cookie: str = "", **options: object) -> Iterator[BrowserContext]:
    """Give a browser that holds a wallet, as narrow as phones are."""
    shape = {"viewport": {"width": 320, "height": 640}, **options}
    context = browser.new_context(**shape)  # type: ignore[arg-type]  # any of its options
    if cookie:
        context.add_cookies(
            [{"name": "bitcache_wallet", "value": cookie, "domain": "localhost", "path": "/"}]
        )
    yield context
    context.close()


def sign_in(world: World) -> str:
    """Open a wallet with 1,500.7 sats of its own and 50 as a gift; return its cookie."""
    deps, session = world.deps, world.session
    with write_transaction(session):
        wallet_id = create_wallet(deps, session).id
        entry = Entry(Kind.TOP_UP, chart.OPENING, chart.wallet(wallet_id), 1_500_700)
        post(session, [entry], owner_id=wallet_id, now=world.clock())
        recipes.give_starter_credit(session, wallet_id, 50_000, world.clock())
        return open_session(deps, session, wallet_id, "Test", verified=False)


def publish_now(world: World) -> str:
    """Publish a proof and return its root."""
    report = publish(world.deps, world.session)
    assert report is not None
    root_hash = report.root_hash
    world.session.rollback()
    return root_hash


def damage(world: World, statement: str) -> None:
    with write_transaction(world.session):
        world.session.execute(text(statement))


def check(world: World, page: Page) -> str:
    """Open the page, press the button and return what the page then says."""
    page.goto(f"{world.deps.settings.public_url}/wallet/solvency")
    page.get_by_role("button", name="Check my balance").click()
    result = page.get_by_role("status")
    expect(result).to_be_visible()
    return result.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_reader_checks_the_own_balance(browser: Browser, world: World, scheme: str) -> None:
    cookie, root_hash = sign_in(world), publish_now(world)
    with device(browser, cookie, color_scheme=scheme) as phone:
        page, problems = watched(phone)
        assert check(world, page) == (
            "Right: your 1,550.7 sats are in the published total of 83,087.122 sats."
        )
        expect(page.locator("#facts")).to_contain_text(root_hash)
        assert axe_violations(page, "body") == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        assert problems == []


# A statement damages every level: the wallet's place is random, and an odd one has no
# neighbour on some of them.
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE solvency_nodes SET sum_msat = sum_msat + 1", "not lead to"),
        ("UPDATE solvency_nodes SET hash = '{}'".format("ab" * 32), "not lead to"),
        ("UPDATE solvency_nodes SET sum_msat = 0", "not lead to"),
        ("UPDATE solvency_nodes SET sum_msat = -sum_msat", "no whole number"),
        ("UPDATE solvency_reports SET total_msat = total_msat - 1", "total is not the one"),
        ("UPDATE solvency_reports SET root_hash = '{}'".format("00" * 32), "not lead to"),
    ],
)
def test_a_server_that_cheats_is_caught(
    browser: Browser, world: World, statement: str, words: str
) -> None:
    cookie = sign_in(world)
    publish_now(world)
    damage(world, statement)
    with device(browser, cookie) as phone:
        page, _ = watched(phone)
        assert words in check(world, page)
        expect(page.locator("#facts")).to_be_hidden()
        assert page.locator("#result.failed").count() == 1


def test_a_wallet_that_is_newer_than_the_proof_is_told_so(browser: Browser, world: World) -> None:
    publish_now(world)
    with device(browser, sign_in(world)) as phone:
        page, _ = watched(phone)
        assert "newer than the last proof" in check(world, page)


def test_a_browser_without_scripts_gets_the_proof_itself(browser: Browser, world: World) -> None:
    cookie, _ = sign_in(world), publish_now(world)
    with device(browser, cookie, java_script_enabled=False) as phone:
        page = phone.new_page()
        page.goto(f"{world.deps.settings.public_url}/wallet/solvency")
        expect(page.get_by_role("button", name="Check my balance")).to_have_count(0)
        page.get_by_role("link", name="your part of the proof").click()
        expect(page.locator("body")).to_contain_text('"sum_msat":"1550700"')


def test_a_stranger_sees_the_figures(browser: Browser, world: World) -> None:
    root_hash = publish_now(world)
    with device(browser) as phone:
        page, problems = watched(phone)
        page.goto(f"{world.deps.settings.public_url}/wallet/solvency")
        expect(page.get_by_text(root_hash)).to_be_visible()
        expect(page.get_by_text("200,000 sats")).to_be_visible()
        expect(page.get_by_role("button")).to_have_count(0)
        assert axe_violations(page, "body") == []
        assert problems == []
    assert newest_report(world.session).held_msat == 200_000_000
    world.session.rollback()
