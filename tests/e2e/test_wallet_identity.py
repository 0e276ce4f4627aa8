"""Gift, passkeys and recovery code in a real Chromium with a virtual authenticator."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from demo.passkeys import Passkeys
from tests.e2e.wall import PATIENCE_MS, axe_violations, watched
from tests.e2e.wallet_server import served_world
from tests.support.databases import Databases
from tests.support.shops import assert_nothing_lost
from tests.support.world import World


class Keys(Passkeys):
    """The authenticator of one browser, whose reader may say no."""

    def refuse(self) -> None:
        """Let the reader say no from now on."""
        self.cdp.send("WebAuthn.setUserVerified", {**self.id, "isUserVerified": False})
        self.cdp.send("WebAuthn.clearCredentials", self.id)


@pytest.fixture
def world(databases: Databases, tmp_path: Path) -> Iterator[World]:
    settings = {"gift_sat": 500, "gift_budget_sat_per_day": 5_000}
    with databases.fresh("sqlite") as url, served_world(url, tmp_path, **settings) as served:
        yield served
        assert_nothing_lost(served)


@contextmanager
def device(browser: Browser, scripts: bool = True) -> Iterator[BrowserContext]:
    """Give a browser that knows nobody, as narrow as phones are."""
    context = browser.new_context(
        java_script_enabled=scripts, viewport={"width": 320, "height": 640}
    )
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


def take_gift(world: World, page: Page) -> None:
    page.goto(f"{world.deps.settings.public_url}/wallet")
    page.get_by_role("button", name="Take the gift").click()
    expect(page.locator(".balance")).to_contain_text("500")


def open_security(world: World, page: Page) -> None:
    page.goto(f"{world.deps.settings.public_url}/wallet/security")
    expect(page.get_by_role("heading", name="Security")).to_be_visible()


def expect_good(page: Page) -> None:
    """Fail for what a reader with a screen reader or a small phone could not use."""
    assert axe_violations(page, "body") == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 320


def test_gift_passkey_and_a_second_device(browser: Browser, world: World) -> None:
    url = world.deps.settings.public_url
    with device(browser) as phone, device(browser) as laptop:
        page, problems = watched(phone)
        keys = Keys(page)
        take_gift(world, page)
        # The work was done; a wallet has one gift.
        expect(page.get_by_role("button", name="Take the gift")).to_have_count(0)
        open_security(world, page)
        expect_good(page)
        page.get_by_role("button", name="Add a passkey").click()
        expect(page.get_by_text("The passkey was added.")).to_be_visible()
        expect_good(page)
        page.get_by_role("button", name="Add a passkey").click()
        expect(page.get_by_text("has a passkey for this wallet already")).to_be_visible()

        other, more_problems = watched(laptop)
        their_keys = Keys(other)
        keys.synchronise_to(their_keys)
        other.goto(f"{url}/wallet/security")
        expect_good(other)
        other.get_by_role("button", name="Sign in with a passkey").click()
        expect(other.get_by_role("heading", name="Security")).to_be_visible()
        expect(other.get_by_text("500")).to_be_visible()
        # The laptop signs the phone out; the phone comes back with its own passkey.
        other.get_by_role("button", name="Sign out Chrome").click()
        expect(other.get_by_text("That browser is signed out.")).to_be_visible()
        page.goto(f"{url}/wallet/security")
        expect(page.get_by_role("heading", name="Sign in to your balance")).to_be_visible()
        # Real passkeys that are copied do not count. This one does, so that its counter
        # seems to go back once, which is what a stolen copy looks like.
        page.get_by_role("button", name="Sign in with a passkey").click()
        expect(page.get_by_role("status")).to_contain_text("The passkey was not accepted")
        expect_good(page)
        page.get_by_role("button", name="Sign in with a passkey").click()
        expect(page.get_by_role("heading", name="Security")).to_be_visible()
        assert problems == more_problems == []


def test_confirming_with_a_passkey(browser: Browser, world: World) -> None:
    with device(browser) as phone:
        page, problems = watched(phone)
        keys = Keys(page)
        take_gift(world, page)
        open_security(world, page)
        page.get_by_role("button", name="Add a passkey").click()
        expect(page.get_by_text("The passkey was added.")).to_be_visible()
        world.clock.pass_time(301)
        page.reload()
        expect(page.get_by_role("button", name="Add a passkey")).to_have_count(0)
        page.get_by_role("link", name="Confirm that it is me").click()
        expect_good(page)
        page.get_by_role("button", name="Use a passkey").click()
        expect(page.get_by_role("button", name="Make a recovery code")).to_be_visible()
        # Whoever cannot show it stays outside, and is told so where they look.
        world.clock.pass_time(301)
        keys.refuse()
        page.goto(f"{world.deps.settings.public_url}/wallet/confirm")
        page.get_by_role("button", name="Use a passkey").click()
        expect(page.get_by_role("status")).to_contain_text("No passkey was used")
        open_security(world, page)
        expect(page.get_by_role("link", name="Confirm that it is me")).to_be_visible()
        assert problems == []


def test_recovery_code_without_scripts(browser: Browser, world: World) -> None:
    url = world.deps.settings.public_url
    with device(browser) as phone, device(browser, scripts=False) as plain:
        page, problems = watched(phone)
        take_gift(world, page)
        open_security(world, page)
        page.get_by_role("button", name="Make a recovery code").click()
        code = page.locator(".secret code").inner_text()
        expect_good(page)
        # Going back and forth makes no other code.
        page.reload()
        expect(page.get_by_text("That form was sent before")).to_be_visible()
        other = plain.new_page()
        other.goto(f"{url}/wallet/security")
        expect(other.get_by_role("button", name="Sign in with a passkey")).to_have_count(0)
        other.get_by_label("Recovery code").fill("0000-nonsense")
        other.get_by_role("button", name="Sign in with the code").click()
        expect(other.get_by_role("alert")).to_contain_text("not valid")
        other.get_by_label("Recovery code").fill(f" {code.lower().replace('-', ' ')} ")
        other.get_by_role("button", name="Sign in with the code").click()
        expect(other.get_by_role("heading", name="Security")).to_be_visible()
        expect(other.get_by_text("500")).to_be_visible()
        assert problems == []


def test_two_tabs_take_one_gift(browser: Browser, world: World) -> None:
    with device(browser) as phone:
        tabs = [phone.new_page() for _ in range(2)]
        for tab in tabs:
            tab.goto(f"{world.deps.settings.public_url}/wallet")
        # Pressed in both before either is done.
        for tab in tabs:
            tab.evaluate("document.getElementById('gift').click()")
        expect(tabs[0].locator(".balance")).to_contain_text("500")
        expect(tabs[1].locator("#gift_failed")).to_contain_text("has had its gift")
        tabs[1].reload()
        expect(tabs[1].locator(".balance")).to_contain_text("500")
