"""Opening an account and getting back into it, in a real Chromium with a virtual authenticator."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from demo.passkeys import Passkeys
from tests.e2e.wall import PATIENCE_MS, axe_violations, watched
from tests.e2e.wallet_server import served_world
from tests.support.account_browser import OPEN, PASSWORD
from tests.support.databases import Databases
from tests.support.shops import assert_nothing_lost
from tests.support.world import World

NARROW = 320


@pytest.fixture
def world(databases: Databases, tmp_path: Path) -> Iterator[World]:
    with databases.fresh("sqlite") as url, served_world(url, tmp_path, **OPEN) as served:
        yield served
        assert_nothing_lost(served)


@contextmanager
def device(browser: Browser, scripts: bool = True) -> Iterator[BrowserContext]:
    """Give a browser that knows nobody, as narrow as phones are."""
    context = browser.new_context(
        java_script_enabled=scripts, viewport={"width": NARROW, "height": 640}
    )
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


def expect_good(page: Page) -> None:
    """Fail for what somebody with a screen reader or a small phone could not use."""
    assert axe_violations(page, "body") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW


def fill_in(page: Page, login: str) -> None:
    page.get_by_label("Name to sign in with, or e-mail address").fill(login)
    page.get_by_label("Your name, as others see it").fill("Ada Lovelace")
    page.get_by_label("Name of your shop or site").fill("Engines")


def test_a_passkey_opens_an_account_and_gets_back_into_it(browser: Browser, world: World) -> None:
    url = world.deps.settings.public_url
    with device(browser) as phone:
        page, problems = watched(phone)
        Passkeys(page)
        page.goto(f"{url}/account/sign-up")
        expect_good(page)
        # What is missing is asked for before the browser asks for a finger.
        page.get_by_role("button", name="Continue with a passkey").click()
        expect(page.get_by_label("Name to sign in with")).to_be_focused()
        fill_in(page, "ada")
        page.get_by_role("button", name="Continue with a passkey").click()
        expect(page).to_have_url(re.compile("/dashboard/me_"))
        page.goto(f"{url}/account/security")
        expect_good(page)
        page.get_by_role("button", name="Sign out of this browser").click()
        expect_good(page)
        page.get_by_role("button", name="Sign in with a passkey").click()
        expect(page).to_have_url(re.compile("/dashboard/me_"))
        # A name that is taken is said beside the button.
        page.goto(f"{url}/account/sign-up")
        fill_in(page, "ADA")
        page.get_by_role("button", name="Continue with a passkey").click()
        expect(page.get_by_role("status")).to_contain_text("This name is taken")
        world.clock.pass_time(601)
        page.goto(f"{url}/account/security")
        page.get_by_role("link", name="Confirm that it is me").click()
        expect_good(page)
        page.get_by_role("button", name="Use a passkey").click()
        expect(page.get_by_role("button", name="Add a passkey")).to_be_visible()
        assert problems == []


def test_password_and_one_time_password_without_scripts(browser: Browser, world: World) -> None:
    url = world.deps.settings.public_url
    with device(browser, scripts=False) as plain:
        page = plain.new_page()
        page.goto(f"{url}/account/sign-up")
        expect(page.get_by_role("button", name="Continue with a passkey")).to_have_count(0)
        fill_in(page, "ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Continue with a password").click()
        expect(page).to_have_url(re.compile("/dashboard/me_"))
        page.goto(f"{url}/account/security")
        page.get_by_role("button", name="Set up an app").click()
        page.get_by_text("The secret as text").click()
        app = pyotp.TOTP(page.locator("pre.code").inner_text())
        page.get_by_label("Code from your app").fill(app.at(world.clock()))
        page.get_by_role("button", name="Turn them on").click()
        expect(page.get_by_text("One-time passwords are on.")).to_be_visible()
        page.get_by_role("button", name="Sign out of this browser").click()
        page.get_by_label("Name or e-mail address").fill("ada")
        page.get_by_label("Password").fill("wrong password")
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("is wrong")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        world.clock.pass_time(30)
        page.get_by_label("Code from your app").fill(app.at(world.clock()))
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(re.compile("/dashboard/me_"))
