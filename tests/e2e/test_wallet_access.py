"""The wallet's pages for everybody: screen reader, keyboard, 320 px, dark, without scripts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from demo.checking import keep_still
from tests.e2e.wall import axe_violations
from tests.e2e.wallet_shop import Shown, open_shown, signed_in, wallet_shop
from tests.support.databases import Databases
from tests.support.shops import assert_nothing_lost
from tests.support.world import World

NAMES = (
    "welcome", "home", "home-new", "purchases", "purchases-none", "purchases-refused",
    "receipt", "sites", "sites-none", "top-up", "top-up-stranger", "top-up-wrong",
    "top-up-part", "top-up-seen", "top-up-paid", "top-up-waiting", "claim", "claim-wrong",
    "withdraw", "withdraw-too-little", "withdraw-wrong", "withdraw-review",
    "withdraw-confirm", "account", "account-rest", "security", "error", "checkout-balance",
    "checkout-too-little", "checkout-gift", "checkout-owned", "checkout-read",
    "checkout-file",
)  # fmt: skip


@pytest.fixture(scope="module")
def shop(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, dict[str, Shown]]]:
    folder: Path = tmp_path_factory.mktemp("shop")
    with databases.fresh("sqlite") as url, wallet_shop(url, folder) as (world, pages):
        assert set(pages) == set(NAMES)
        yield world, pages
        assert_nothing_lost(world)


@pytest.mark.parametrize("name", NAMES)
def test_every_page_is_accessible_and_fits_320_px(
    browser: Browser, shop: tuple[World, dict[str, Shown]], name: str
) -> None:
    world, pages = shop
    context = signed_in(
        browser,
        world,
        pages[name].reader,
        viewport={"width": 320, "height": 690},
        color_scheme="dark" if NAMES.index(name) % 2 else "light",
    )
    # A page that loads itself again would do so under the eyes of axe.
    context.route("**/wallet/top-up/in_*", hold_still)
    page = open_shown(context, world, pages[name])
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(wide)
    assert axe_violations(page, "body") == []
    assert page.locator("h1").count() == 1
    context.close()


def hold_still(route: Route) -> None:
    answer = route.fetch()
    html = answer.text().replace('http-equiv="refresh"', 'name="was-refresh"')
    route.fulfill(response=answer, body=html)


def test_without_scripts_a_reader_tops_up_and_reads(
    browser: Browser, shop: tuple[World, dict[str, Shown]]
) -> None:
    world, _ = shop
    url = world.deps.settings.public_url
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/wallet")
    page.get_by_role("link", name="Top up with bitcoin").click()
    page.get_by_role("button", name="5,000 sats", exact=True).click()
    expect(page.get_by_role("heading", name="Scan and pay")).to_be_visible()
    keep_still(page)
    assert page.get_by_role("img").evaluate("image => image.complete && image.naturalWidth > 0")
    address = page.locator("dd code").last.inner_text()
    page.reload()
    expect(page.get_by_role("heading", name="Scan and pay")).to_be_visible()
    pay_to(world, address, 5_000_000)
    # The page looks again by itself.
    paid = page.get_by_role("heading", name="5,000 sats are in your balance")
    expect(paid).to_be_visible()
    page.goto(f"{url}/pay/{world.article_id}")
    page.get_by_role("button", name="Pay from your balance").click()
    expect(page.get_by_text("The locked part")).to_be_visible()
    page.get_by_role("link", name="Your purchases").click()
    expect(page.get_by_role("link", name="On engines", exact=True)).to_be_visible()
    context.close()


def pay_to(world: World, address: str, amount_msat: int) -> None:
    """Pay a destination as it is shown to people."""
    from sqlalchemy import select

    from bitcache_server.models.sales import Address

    query = select(Address.target).where(Address.destination == address)
    target = world.session.scalars(query).one()
    world.session.rollback()
    world.rail.pay(target, amount_msat)
    world.mine()


def test_the_keyboard_skips_the_navigation(
    browser: Browser, shop: tuple[World, dict[str, Shown]]
) -> None:
    world, pages = shop
    context = signed_in(browser, world, pages["home"].reader)
    page = open_shown(context, world, pages["home"])
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#main$"))
    expect(page.get_by_role("link", name="Balance")).to_have_attribute("aria-current", "page")
    context.close()


def test_the_gift_is_taken_on_the_wallets_page(
    browser: Browser, shop: tuple[World, dict[str, Shown]]
) -> None:
    world, _ = shop
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{world.deps.settings.public_url}/wallet")
    page.get_by_role("button", name="Take the gift").click()
    expect(page.get_by_role("heading", name="Your balance")).to_be_visible()
    expect(page.locator(".balance")).to_have_text("2,000 sats")
    assert page.get_by_role("button", name="Take the gift").count() == 0
    context.close()
