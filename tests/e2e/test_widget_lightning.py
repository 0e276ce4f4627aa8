"""Lightning in a real browser: codes that phones read, choices, and wallets in the browser."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from demo.checking import keep_still
from tests.e2e.api_double import ADDRESS, BOLT11, ApiDouble
from tests.e2e.browser_wallet import BrowserWallet
from tests.e2e.conftest import Opener
from tests.e2e.lightning_shop import LightningShop
from tests.e2e.wall import (
    ARTICLE,
    axe_violations,
    element,
    expect_view,
    wall,
)
from tests.support.databases import Databases

LOCKED = "The locked part"
PAID_WORDS = "an account book, kept in stone"
#: Below this a camera that is held at arm's length begins to fail (about half a millimetre).
MODULE_PX = 3
SMALL = {"width": 320, "height": 690}
UNIFIED = f"bitcoin:{ADDRESS}?amount=0.00005&lightning={BOLT11}"


@pytest.fixture
def double(double: ApiDouble) -> ApiDouble:
    double.offer_lightning(ARTICLE)
    return double


@pytest.fixture
def live(databases: Databases, tmp_path: Path) -> Iterator[LightningShop]:
    with databases.fresh("sqlite") as url:
        running = LightningShop(tmp_path, url)
        yield running
        running.stop()


def start(page: Page, double: ApiDouble, body: str = "") -> None:
    page.goto(double.page("a", body or element()))
    expect_view(page, "offer")


def ask(page: Page, double: ApiDouble) -> str:
    wall(page).get_by_role("button", name="Pay with bitcoin").click()
    expect_view(page, "waiting")
    return list(double.invoices)[-1]


def click_wallet(page: Page) -> None:
    wall(page).get_by_role("button", name="Pay with browser wallet").click()


def scanned(code: Locator) -> str:
    """Return what a phone reads from the screen, a margin of it included."""
    code.scroll_into_view_if_needed()
    assert code.evaluate("image => image.decode().then(() => true)")
    picture = Image.open(io.BytesIO(code.screenshot()))
    [found] = zxingcpp.read_barcodes(picture)
    return found.text


def module_px(code: Locator) -> float:
    """Return the width of one module on the screen, in CSS pixels."""
    script = """async image => {
      const svg = await (await fetch(image.src)).text();
      return image.getBoundingClientRect().width / Number(/viewBox="0 0 (\\d+)/.exec(svg)[1]);
    }"""
    return float(code.evaluate(script))


# -- the code, the link, the text -----------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("rest", [(), ("onchain",)], ids=["alone", "unified"])
def test_the_code_is_read_from_a_small_screen(
    opened: Opener, double: ApiDouble, scheme: str, rest: tuple[str, ...]
) -> None:
    double.offer_lightning(ARTICLE, *rest)
    page = opened(viewport=SMALL, color_scheme=scheme, device_scale_factor=2)
    start(page, double)
    ask(page, double)
    code = wall(page).get_by_role("img")
    # Capitals, where wallets take them: half the size.
    asked = double.view(double.only_invoice())
    expected = asked["unified"] or asked["requests"][0]
    assert scanned(code) == expected["qr_uri"]
    assert "LNBCRT50U" in expected["qr_uri"]
    assert module_px(code) >= MODULE_PX
    assert axe_violations(page) == []


def test_a_small_price_shows_lightning_alone(opened: Opener, double: ApiDouble) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    start(page, double)
    ask(page, double)
    shown = wall(page)
    expect(shown.get_by_role("group")).to_have_count(0)
    expect(shown).not_to_contain_text("On-chain")
    expect(shown.get_by_role("link", name="Open in wallet")).to_have_attribute(
        "href", f"lightning:{BOLT11}"
    )
    expect(shown.get_by_role("img")).to_have_attribute(
        "alt", "QR code of a Lightning invoice for 5,000 sats"
    )
    # Where the link opens the wrong app or none, there is the text.
    shown.get_by_role("button", name="Copy invoice").click()
    expect(shown.get_by_role("status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == BOLT11


def test_a_lightning_payment_opens_the_article(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    start(page, double)
    double.settle(ask(page, double))
    expect_view(page, "unlocked")
    expect(page.locator(".bitcache-content")).to_contain_text(PAID_WORDS)


def test_the_reader_picks_each_way_alone(opened: Opener, double: ApiDouble) -> None:
    double.offer_lightning(ARTICLE, "onchain")
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    start(page, double)
    invoice = ask(page, double)
    link = wall(page).get_by_role("link", name="Open in wallet")
    expect(link).to_have_attribute("href", UNIFIED)
    wall(page).get_by_role("button", name="Copy payment link").click()
    expect(wall(page).get_by_role("status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == UNIFIED
    ways = wall(page).get_by_role("group", name="How to pay")
    hrefs = {
        "Lightning": f"lightning:{BOLT11}",
        "On-chain": f"bitcoin:{ADDRESS}?amount=0.00005",
        "Both": UNIFIED,
    }
    for name, href in hrefs.items():
        button = ways.get_by_role("button", name=name)
        button.focus()
        page.keyboard.press("Enter")
        expect(button).to_have_attribute("aria-pressed", "true")
        # Who chose goes on from there.
        expect(button).to_be_focused()
        expect(link).to_have_attribute("href", href)
        expect(ways.locator("[aria-pressed=true]")).to_have_count(1)
        assert scanned(wall(page).get_by_role("img")).lower() == href.lower()
    ways.get_by_role("button", name="Lightning").click()
    # News of the invoice does not undo the choice.
    double.change(invoice, marks=["x"])
    expect(link).to_have_attribute("href", f"lightning:{BOLT11}")
    double.receive(invoice, 5_000, 0, 1)
    expect_view(page, "seen")


def test_after_a_part_on_chain_only_the_address_takes_the_rest(
    opened: Opener, double: ApiDouble
) -> None:
    double.offer_lightning(ARTICLE, "onchain")
    page = opened()
    start(page, double)
    double.receive(ask(page, double), 3_000)
    shown = expect_view(page, "underpaid")
    expect(shown.get_by_role("group")).to_have_count(0)
    expect(shown.locator("#wallet")).to_have_attribute("href", f"bitcoin:{ADDRESS}?amount=0.00002")


def test_an_invoice_that_expired_is_replaced(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    start(page, double)
    double.expire(ask(page, double))
    expect_view(page, "expired")
    wall(page).get_by_role("button", name="Get a new code").click()
    expect_view(page, "waiting")
    assert len(double.invoices) == 2
    double.settle(list(double.invoices)[-1])
    expect_view(page, "unlocked")


def test_a_node_without_room_is_put_into_words(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    start(page, double)
    double.errors["POST /v1/invoices"] = (503, "no_inbound_room")
    wall(page).locator("#main").click()
    expect(expect_view(page, "error")).to_contain_text("cannot receive so much over Lightning")
    double.errors["POST /v1/invoices"] = (503, "lightning_unreachable")
    wall(page).get_by_role("button", name="Try again").click()
    expect(expect_view(page, "error")).to_contain_text("paused")


def test_where_nothing_is_sold_over_lightning_none_of_it_is_loaded(
    opened: Opener, double: ApiDouble
) -> None:
    double.items[ARTICLE]["rails"] = ["onchain"]
    page = opened()
    wallet = BrowserWallet(page)
    start(page, double)
    ask(page, double)
    expect(wall(page).get_by_role("group")).to_have_count(0)
    loaded = [call for call in double.calls if re.search("lightning|provider|webln", call)]
    assert loaded == wallet.asked == []


@pytest.mark.parametrize(("lang", "direction"), [("ar", "rtl"), ("de", "ltr")])
def test_every_language_fits_320_px(
    opened: Opener, double: ApiDouble, lang: str, direction: str
) -> None:
    double.offer_lightning(ARTICLE, "onchain")
    page = opened(viewport=SMALL)
    BrowserWallet(page, answer="User rejected")
    page.goto(double.page("a", element(), lang=lang, direction=direction))
    wall(page).locator("#pay").wait_for()
    for id_ in ("main", "way_lightning", "way_onchain", "way_any"):
        wall(page).locator(f"#{id_}").click()
        # The wallet has refused by then, and is offered again.
        expect(expect_view(page, "waiting").locator("#main")).to_be_visible()
        assert axe_violations(page) == []
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
        # What is for wallets reads from left to right in every language.
        for code in wall(page).locator("code").all():
            assert code.evaluate("code => getComputedStyle(code).direction") == "ltr"
    assert axe_violations(page) == []


# -- a wallet in the browser ----------------------------------------------------------------


def test_one_click_pays_and_the_server_opens(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    wallet = BrowserWallet(page, lambda _: double.settle(double.only_invoice()))
    start(page, double)
    expect(wall(page).get_by_role("button", name="Pay with browser wallet")).to_be_visible()
    assert wallet.asked == []
    click_wallet(page)
    expect_view(page, "unlocked")
    assert wallet.asked == ["enable", BOLT11]


def test_a_wallet_that_lies_opens_nothing(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    wallet = BrowserWallet(page)
    start(page, double)
    click_wallet(page)
    shown = expect_view(page, "waiting")
    expect(shown.get_by_role("heading", name="Your wallet says it has paid")).to_be_focused()
    expect(wall(page).get_by_role("status")).to_contain_text("Your wallet says it has paid")
    assert PAID_WORDS not in page.content()
    assert double.count("POST /v1/invoices/") == 0
    # The reader may leave and come back, or scan after all; the wallet is not asked again.
    page.reload()
    expect(wall(page)).to_contain_text("Your wallet says it has paid")
    wall(page).get_by_role("button", name="Show the code again").press("Enter")
    expect(wall(page).get_by_role("img")).to_be_visible()
    expect(wall(page).get_by_role("button", name="browser wallet")).to_have_count(0)
    assert wallet.invoices == [BOLT11]
    double.settle(double.only_invoice())
    expect_view(page, "unlocked")


def test_a_reader_who_says_no_keeps_the_code(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    wallet = BrowserWallet(page, answer="User rejected")
    start(page, double)
    click_wallet(page)
    expect(wall(page)).to_contain_text("Your wallet has not paid.")
    expect(wall(page).get_by_role("status")).to_contain_text("Your wallet has not paid.")
    expect(wall(page).get_by_role("img")).to_be_visible()
    wallet.answer = "no route"
    click_wallet(page)
    expect(wall(page)).to_contain_text("Your wallet could not pay.")
    # The same invoice each time: whatever happens, it is paid once.
    assert wallet.invoices == [BOLT11, BOLT11]
    assert len(double.invoices) == 1


def test_a_wallet_that_hangs_leaves_the_code(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    page.clock.install()
    wallet = BrowserWallet(page, answer="hang")
    start(page, double)
    click_wallet(page)
    expect(wall(page)).to_contain_text("Go on in your wallet.")
    expect(wall(page).get_by_role("button", name="browser wallet")).to_have_count(0)
    page.clock.fast_forward(21_000)
    expect(wall(page)).to_contain_text("Your wallet does not answer.")
    expect(wall(page).get_by_role("img")).to_be_visible()
    double.settle(double.only_invoice())
    expect_view(page, "unlocked")
    assert wallet.invoices == [BOLT11]


def test_a_double_click_asks_the_wallet_once(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    wallet = BrowserWallet(page, lambda _: double.settle(double.only_invoice()))
    start(page, double)
    button = wall(page).get_by_role("button", name="Pay with browser wallet")
    button.evaluate("button => { button.click(); button.click() }")
    expect_view(page, "unlocked")
    assert wallet.invoices == [BOLT11]
    assert len(double.invoices) == 1


@pytest.mark.parametrize("event", ["webln:ready", "bc:connected", ""])
def test_a_wallet_that_the_site_connects_later_is_offered(
    opened: Opener, double: ApiDouble, event: str
) -> None:
    page = opened()
    wallet = BrowserWallet(page, lambda _: double.settle(double.only_invoice()), late=True)
    start(page, double)
    button = wall(page).get_by_role("button", name="Pay with browser wallet")
    expect(button).to_have_count(0)
    ask(page, double)
    # As Bitcoin Connect 2 tells it, or an extension, or (3 and later) nobody.
    tell = f"document.dispatchEvent(new Event('{event}'))" if event else ""
    page.evaluate(f"giveWallet(); {tell}")
    expect(button).to_be_visible()
    page.evaluate("delete window.webln; window.dispatchEvent(new Event('bc:disconnected'))")
    expect(button).to_have_count(0)
    page.evaluate("giveWallet()")
    button.click()
    expect_view(page, "unlocked")
    assert wallet.asked == ["enable", BOLT11]


def test_balance_then_browser_wallet_then_every_other(opened: Opener, double: ApiDouble) -> None:
    double.offer_lightning(ARTICLE, "onchain")
    double.offer_balance(ARTICLE)
    page = opened()
    BrowserWallet(page)
    start(page, double)
    wall(page).get_by_role("button", name="Pay with browser wallet").wait_for()
    names = wall(page).get_by_role("button").all_inner_texts()
    assert names[:3] == ["Read with one click", "Pay with browser wallet", "Pay with bitcoin"]


def test_the_keyboard_alone_pays_with_the_wallet(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    BrowserWallet(page, lambda _: double.settle(double.only_invoice()))
    page.goto(double.page("a", f'<a href="#x">before</a>{element()}'))
    wall(page).get_by_role("button", name="Pay with browser wallet").wait_for()
    page.locator("a").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect_view(page, "unlocked")
    expect(page.locator(".bitcache-content")).to_be_focused()


# -- the real server ------------------------------------------------------------------------


def test_the_browsers_wallet_opens_the_real_article(opened: Opener, live: LightningShop) -> None:
    page = opened()
    wallet = BrowserWallet(page, live.pay)
    page.goto(live.article())
    click_wallet(page)
    expect_view(page, "unlocked")
    expect(page.locator(".bitcache-content")).to_contain_text(LOCKED)
    assert len(wallet.invoices) == 1
    page.reload()
    expect_view(page, "unlocked")


def test_a_phone_scans_what_the_real_server_shows(opened: Opener, live: LightningShop) -> None:
    page = opened(viewport=SMALL, device_scale_factor=2)
    page.goto(live.article())
    wall(page).get_by_role("button", name="Pay with bitcoin").click()
    expect_view(page, "waiting")
    wall(page).get_by_role("button", name="Lightning", exact=True).click()
    code = wall(page).get_by_role("img")
    uri = scanned(code)
    assert uri.startswith("LIGHTNING:LNBCRT")
    assert module_px(code) >= MODULE_PX
    live.pay(uri.removeprefix("LIGHTNING:").lower())
    expect_view(page, "unlocked")
    expect(page.locator(".bitcache-content")).to_contain_text(LOCKED)


def test_the_hosted_checkout_needs_no_script(opened: Opener, live: LightningShop) -> None:
    page = opened(java_script_enabled=False, viewport=SMALL, device_scale_factor=2)
    page.goto(f"{live.origin}/pay/{live.world.article_id}")
    page.get_by_role("button", name="Pay with bitcoin").click()
    page.get_by_role("link", name="Lightning", exact=True).click()
    link = page.get_by_role("link", name="Open in wallet")
    expect(link).to_have_attribute("href", re.compile("^lightning:"))
    keep_still(page)
    uri = scanned(page.get_by_role("img"))
    bolt11 = uri.removeprefix("LIGHTNING:").lower()
    page.reload()
    expect(link).to_have_attribute("href", f"lightning:{bolt11}")
    expect(page.locator("code.one")).to_have_text(bolt11)
    live.pay(bolt11)
    # The page looks again by itself.
    expect(page.get_by_text(LOCKED)).to_be_visible()


def test_a_top_up_needs_no_script_and_counts_at_once(opened: Opener, live: LightningShop) -> None:
    page = opened(java_script_enabled=False)
    page.goto(f"{live.origin}/wallet/top-up")
    page.get_by_role("textbox").fill("6000")
    page.get_by_role("button", name="Show the code").click()
    page.get_by_role("link", name="Lightning", exact=True).click()
    link = page.get_by_role("link", name="Open in wallet")
    expect(link).to_have_attribute("href", re.compile("^lightning:"))
    live.pay(page.locator("code.one").inner_text())
    heading = page.get_by_role("heading", name="6,000 sats are in your balance")
    expect(heading).to_be_visible()
    assert (6_000, 0) in live.wallets()


def test_the_browsers_wallet_tops_up(opened: Opener, live: LightningShop) -> None:
    page = opened()
    wallet = BrowserWallet(page, live.pay, answer="User rejected")
    page.goto(f"{live.origin}/wallet/top-up")
    page.get_by_role("textbox").fill("6000")
    page.get_by_role("button", name="Show the code").click()
    button = page.get_by_role("button", name="Pay with browser wallet")
    button.click()
    expect(page.get_by_role("status")).to_contain_text("Your wallet has not paid.")
    assert axe_violations(page, "body") == []
    wallet.answer = "paid"
    button.click()
    heading = page.get_by_role("heading", name="6,000 sats are in your balance")
    expect(heading).to_be_visible()
    assert len(wallet.invoices) == 2
    assert len(set(wallet.invoices)) == 1


def test_a_wallet_that_lies_tops_up_nothing(opened: Opener, live: LightningShop) -> None:
    page = opened()
    wallet = BrowserWallet(page)
    page.goto(f"{live.origin}/wallet/top-up")
    page.get_by_role("textbox").fill("6000")
    page.get_by_role("button", name="Show the code").click()
    page.get_by_role("button", name="Pay with browser wallet").click()
    expect(page.get_by_role("status")).to_contain_text("Your wallet says it has paid")
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("Your wallet says it has paid")
    expect(page.get_by_role("button", name="browser wallet")).to_have_count(0)
    assert len(wallet.invoices) == 1
    assert (0, 0) in live.wallets()
