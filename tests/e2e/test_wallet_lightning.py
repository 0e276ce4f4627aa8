"""Signing in with a Lightning wallet in a real browser, with and without scripts."""

import secrets
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import lnurl
import pytest
from lnurl.helpers import lnurlauth_signature
from playwright.sync_api import Browser, BrowserContext, Page, expect

from demo.checking import keep_still
from tests.e2e.wall import PATIENCE_MS, axe_violations
from tests.e2e.wallet_server import served_world
from tests.support.databases import Databases
from tests.support.shops import assert_nothing_lost
from tests.support.world import World

WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture
def shop(databases: Databases, tmp_path: Path) -> Iterator[World]:
    with (
        databases.fresh("sqlite") as url,
        served_world(url, tmp_path, limit_recoveries_per_address="99/minute") as world,
    ):
        yield world
        assert_nothing_lost(world)


class Phone:
    """A Lightning wallet that reads the code from a page and calls our server."""

    def __init__(self) -> None:
        self.secret = secrets.token_bytes(32)

    def scan(self, page: Page) -> None:
        code = page.get_by_role("link", name="Open in wallet").get_attribute("href") or ""
        assert code.startswith("lightning:LNURL1")
        url = str(lnurl.decode(code.removeprefix("lightning:")).url)
        k1 = url.partition("k1=")[2].partition("&")[0]
        key, signature = lnurlauth_signature(k1, self.secret)
        with urllib.request.urlopen(f"{url}&sig={signature}&key={key}") as answer:
            assert answer.read() == b'{"status": "OK"}'


def looks_right(page: Page) -> None:
    """Check a page at 320 px in the dark and in the light."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        assert not page.evaluate(WIDE)
        assert axe_violations(page, "body") == []


def visitor(browser: Browser, **options: object) -> BrowserContext:
    shape = {"viewport": {"width": 320, "height": 690}, **options}
    context = browser.new_context(**shape)  # type: ignore[arg-type]  # any of its options
    context.set_default_timeout(PATIENCE_MS)
    return context


def test_open_a_balance_and_come_back_with_the_same_wallet(browser: Browser, shop: World) -> None:
    home, phone = shop.deps.settings.public_url, Phone()
    with visitor(browser) as context:
        page = context.new_page()
        page.goto(f"{home}/wallet/sign-in")
        looks_right(page)
        page.get_by_role("button", name="Sign in with a Lightning wallet").click()
        expect(page.get_by_alt_text("QR code to sign with a Lightning wallet")).to_be_visible()
        keep_still(page)
        looks_right(page)
        page.reload()
        phone.scan(page)
        # The page finds out by itself.
        page.get_by_role("button", name="Open a new balance with it").wait_for()
        looks_right(page)
        page.get_by_role("button", name="Open a new balance with it").click()
        page.wait_for_url(f"{home}/wallet")
        page.goto(f"{home}/wallet/security")
        expect(page.get_by_role("heading", name="Lightning wallets")).to_be_visible()
        expect(page.get_by_role("button", name="Remove the Lightning wallet")).to_be_visible()
        looks_right(page)
        shop.clock.pass_time(301)
        page.goto(f"{home}/wallet/confirm")
        looks_right(page)
        page.get_by_role("button", name="Confirm with your Lightning wallet").click()
        phone.scan(page)
        page.get_by_role("button", name="Confirm", exact=True).click()
        expect(page.get_by_role("button", name="Add a Lightning wallet")).to_be_visible()
    with visitor(browser, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{home}/wallet/sign-in")
        page.get_by_role("button", name="Sign in with a Lightning wallet").click()
        phone.scan(page)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url(f"{home}/wallet")
        page.goto(f"{home}/wallet/security")
        expect(page.get_by_role("button", name="Remove the Lightning wallet")).to_be_visible()
