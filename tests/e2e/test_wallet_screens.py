"""What Lightning adds to the pages, for everybody: screen reader, 320 px, light and dark."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.checking import keep_still
from tests.e2e.lightning_screens import lightning_screens, pay_top_up, top_up
from tests.e2e.wall import PATIENCE_MS, axe_violations
from tests.e2e.wallet_shop import Shown, open_shown, signed_in
from tests.support.databases import Databases
from tests.support.lightning_world import LightningWorld
from tests.support.readers import Reader
from tests.support.shops import assert_nothing_lost

NAMES = (
    "gift", "gift-maker", "gift-taken", "withdraw-link", "withdraw-scan", "withdraw-give",
    "withdraw-lightning", "connection-none", "connection", "top-up-both", "top-up-lightning",
    "top-up-still", "top-up-lightning-paid", "login", "login-add", "error-item",
    "error-invoice", "error-gift", "error-wallet", "error-form",
)  # fmt: skip
WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
Shop = tuple[LightningWorld, dict[str, Shown]]


@pytest.fixture(scope="module")
def shop(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("screens")
    with databases.fresh("sqlite") as url, lightning_screens(url, folder) as (world, pages):
        assert set(pages) == set(NAMES)
        yield world, pages
        assert_nothing_lost(world)


@pytest.fixture(params=NAMES)
def shown(browser: Browser, shop: Shop, request: pytest.FixtureRequest) -> Iterator[Page]:
    world, pages = shop
    one = pages[request.param]
    context = signed_in(browser, world, one.reader, viewport={"width": 320, "height": 690})
    page = open_shown(context, world, one)
    # A page that loads itself again would do so under the eyes of axe.
    keep_still(page)
    yield page
    context.close()


def test_every_page_is_accessible_and_fits_320_px(shown: Page) -> None:
    for scheme in ("light", "dark"):
        shown.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        assert not shown.evaluate(WIDE)
        assert axe_violations(shown, "body") == []
    assert shown.locator("h1").count() == 1
    # Where the wallet's navigation is, it says where in it the page is.
    navigation = shown.get_by_role("navigation", name="Wallet")
    assert navigation.locator("[aria-current=page]").count() == navigation.count()
    # Nobody is left at a page with no way on.
    assert shown.locator("main a[href], main button").count() > 0 or "taken" in shown.title()


def test_a_top_up_shows_at_once_what_has_arrived(browser: Browser, shop: Shop) -> None:
    world, _ = shop
    reader = Reader(world)
    invoice_id = top_up(world, reader)
    context = signed_in(browser, world, reader)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    with page.expect_response("**/news") as first:
        page.goto(f"{world.deps.settings.public_url}/wallet/top-up/{invoice_id}?next=/wallet/sites")
    assert first.value.status == 304
    expect(page.get_by_text("15 min left")).to_be_visible()
    # With scripts nothing loads the page again but what was heard.
    assert page.locator("meta[http-equiv=refresh]").count() == 0
    assert page.get_by_role("link", name="hold it still").count() == 0
    pay_top_up(world, invoice_id)
    expect(page.get_by_role("heading", name="20,000 sats are in your balance")).to_be_visible()
    page.get_by_role("link", name="Go on").click()
    expect(page).to_have_url(re.compile("/wallet/sites$"))
    context.close()


def test_a_page_without_scripts_can_be_held_still(browser: Browser, shop: Shop) -> None:
    world, pages = shop
    shown = pages["top-up-lightning"]
    context = signed_in(browser, world, shown.reader, java_script_enabled=False)
    page = open_shown(context, world, shown)
    assert page.locator("meta[http-equiv=refresh]").get_attribute("content") == "2"
    page.get_by_role("link", name="hold it still").click()
    expect(page.get_by_text("This page is held still")).to_be_visible()
    assert page.locator("meta[http-equiv=refresh]").count() == 0
    expect(page.locator("code.one")).to_contain_text("lnbc")
    page.get_by_role("link", name="Look for the payment").click()
    expect(page.get_by_role("link", name="hold it still")).to_be_visible()
    context.close()


def test_an_unknown_item_is_told_in_words_with_a_way_on(browser: Browser, shop: Shop) -> None:
    world, _ = shop
    page = browser.new_page()
    page.goto(f"{world.deps.settings.public_url}/pay/it_nope")
    expect(page.get_by_role("heading", name="This is not for sale here")).to_be_visible()
    assert "it_nope" not in page.locator("main").inner_text()
    page.get_by_role("link", name="What is this server?").click()
    expect(page.get_by_role("heading", name="This is a Bitcache server")).to_be_visible()
    page.close()
