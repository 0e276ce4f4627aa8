"""Reading with one click: a real browser, the real server, and sites on other hosts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from demo.checking import come_into_view, press_and_close
from tests.e2e.live_shop import ARTICLE_SAT, FILE_SAT, GIFT_SAT, LiveShop
from tests.e2e.popup import click_read, open_popup, press_allow, take_gift
from tests.e2e.wall import (
    CHROMIUM,
    FLAGS,
    axe_violations,
    element,
    expect_view,
    wait_until,
    wall,
    watched,
)
from tests.support.databases import Databases

LOCKED = "The locked part"
UNLOCKS = "**/v1/unlocks"


@pytest.fixture
def live(databases: Databases, tmp_path: Path) -> Iterator[LiveShop]:
    with databases.fresh("sqlite") as url:
        running = LiveShop(tmp_path, url)
        yield running
        running.stop()


def allow(page: Page, auto_sat: int = 0) -> None:
    """Take the gift and allow the site; the wall opens."""
    popup = open_popup(page)
    take_gift(popup)
    if auto_sat:
        popup.get_by_text("Limits for").click()
        popup.get_by_label("Open without a click up to").fill(str(auto_sat))
    press_allow(popup)


def start(page: Page, url: str) -> None:
    page.goto(url)
    expect_view(page, "offer")


def read_first(page: Page, live: LiveShop, auto_sat: int = 0) -> None:
    start(page, live.article())
    allow(page, auto_sat)
    expect_view(page, "unlocked")
    expect(page.locator(".bitcache-content")).to_contain_text(LOCKED)


def test_allow_once_then_one_click(page: Page, live: LiveShop) -> None:
    start(page, live.article())
    expect(wall(page)).to_contain_text("You get 20,000 sats as a gift")
    page.evaluate(
        """() => { window.heard = [];
        for (const name of ['paid', 'unlocked', 'refunded', 'error'])
          document.addEventListener(`bitcache:${name}`, (event) => heard.push(name)) }"""
    )
    popup = open_popup(page)
    expect(popup.locator("main")).to_contain_text("On engines")
    expect(popup.locator("main")).to_contain_text("20,000 sats")
    take_gift(popup)
    expect(popup.locator("main")).to_contain_text(live.site.origin.removeprefix("http://"))
    come_into_view(popup)
    press_and_close(popup, popup.get_by_role("button", name="Allow and read"))
    shown = expect_view(page, "unlocked")
    expect(page.locator(".bitcache-content")).to_contain_text(LOCKED)
    expect(shown).to_contain_text("5,000 sats paid from your balance. 15,000 sats left.")
    assert page.evaluate("heard") == ["paid", "unlocked"]
    page.reload()
    expect_view(page, "unlocked")

    start(page, live.file())
    expect(wall(page)).not_to_contain_text("as a gift")
    click_read(page)
    expect_view(page, "download")
    for _ in range(2):
        with page.expect_download() as waiting:
            wall(page).get_by_role("button", name="Download").click()
        assert waiting.value.suggested_filename == "song.ogg"
        page.reload()
        expect_view(page, "download")
    assert live.wallets() == [(0, GIFT_SAT - ARTICLE_SAT - FILE_SAT)]
    assert live.grants() == [("article", True), ("file", True)]


def test_the_secrets_stay_out_of_addresses_and_the_cookie_out_of_reach(
    context: BrowserContext, page: Page, live: LiveShop
) -> None:
    read_first(page, live)
    [cookie] = context.cookies(live.origin)
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (
        "bitcache_wallet", True, "Lax",
    )  # fmt: skip
    assert page.evaluate("document.cookie") == ""
    assert "bitcache_code" not in page.url


def test_where_windows_are_blocked_the_page_goes_there_and_back(page: Page, live: LiveShop) -> None:
    page.add_init_script("window.open = () => null")
    url = f"{live.article()}?from=feed"
    start(page, url)
    click_read(page)
    page.wait_for_url(f"{live.origin}/wallet/connect?**")
    take_gift(page)
    come_into_view(page)
    page.get_by_role("button", name="Allow and read").click()
    page.wait_for_url(url)
    expect_view(page, "unlocked")
    expect(page.locator(".bitcache-content")).to_contain_text(LOCKED)
    assert page.url == url
    # The code is gone from the history as well: going back and forth buys nothing.
    page.reload()
    expect_view(page, "unlocked")
    assert live.wallets() == [(0, GIFT_SAT - ARTICLE_SAT)]


def test_a_redirect_that_the_reader_declines(page: Page, live: LiveShop) -> None:
    page.add_init_script("window.open = () => null")
    start(page, live.article())
    click_read(page)
    page.wait_for_url(f"{live.origin}/wallet/connect?**")
    page.get_by_role("link", name="Not now").click()
    expect_view(page, "offer")
    assert live.count_allowances() == 0


def test_a_window_closed_half_way_leaves_nothing_behind(page: Page, live: LiveShop) -> None:
    start(page, live.article())
    popup = open_popup(page)
    expect(wall(page)).to_contain_text("Go on in the window")
    popup.close()
    expect(wall(page)).to_contain_text("The window is closed. Nothing was paid.")
    expect(wall(page).get_by_role("status")).to_contain_text("Nothing was paid")
    expect(wall(page).locator("#main")).to_be_focused()
    assert (live.wallets(), live.count_allowances()) == ([], 0)

    popup = open_popup(page)
    take_gift(popup)
    come_into_view(popup)
    press_and_close(popup, popup.get_by_role("link", name="Not now"))
    expect(wall(page)).to_contain_text("Nothing was paid")
    assert live.wallets() == [(0, GIFT_SAT)]
    assert live.count_allowances() == 0
    allow_again = open_popup(page)
    press_allow(allow_again)
    expect_view(page, "unlocked")


def test_a_window_that_is_open_comes_to_the_front(page: Page, live: LiveShop) -> None:
    start(page, live.article())
    popup = open_popup(page)
    click_read(page)
    page.wait_for_timeout(200)
    assert len(page.context.pages) == 2
    popup.close()


def test_small_prices_open_by_themselves_and_undo_takes_them_back(
    page: Page, live: LiveShop
) -> None:
    read_first(page, live, auto_sat=3_000)
    page.evaluate("document.addEventListener('bitcache:refunded', (e) => (window.back = e.detail))")
    page.goto(live.more(2_000))
    shown = expect_view(page, "unlocked")
    expect(page.locator(".bitcache-content")).to_be_visible()
    # A minute, of which some seconds may be over by now.
    expect(shown.get_by_role("timer")).to_have_text(re.compile("^(1:00|0:[345][0-9])$"))
    assert live.wallets() == [(0, GIFT_SAT - ARTICLE_SAT - 2_000)]
    page.evaluate("document.addEventListener('bitcache:refunded', (e) => (window.back = e.detail))")
    shown.get_by_role("button", name="Undo").click()
    offer = expect_view(page, "offer")
    expect(offer).to_contain_text("Undone. The money is back in your balance.")
    expect(wall(page).get_by_role("status")).to_contain_text("Undone")
    expect(page.locator(".teaser")).to_be_visible()
    expect(page.locator(".bitcache-content")).to_have_count(0)
    assert page.evaluate("window.back.refunded_msat") == 2_000_000
    assert live.wallets() == [(0, GIFT_SAT - ARTICLE_SAT)]
    page.reload()
    expect_view(page, "offer")
    page.wait_for_timeout(500)
    expect_view(page, "offer")
    click_read(page)
    expect_view(page, "unlocked")
    assert live.wallets() == [(0, GIFT_SAT - ARTICLE_SAT - 2_000)]
    # What is dearer waits for the click.
    start(page, live.more(3_001))
    page.wait_for_timeout(300)
    expect_view(page, "offer")


def test_nothing_opens_by_itself_below_the_fold(page: Page, live: LiveShop) -> None:
    read_first(page, live, auto_sat=3_000)
    url = live.more(1_000)
    live.pages["more-1000"] = live.pages["more-1000"].replace(
        "<bitcache-paywall", "<p>long</p>" * 80 + "<bitcache-paywall"
    )
    start(page, url)
    page.wait_for_timeout(400)
    assert live.grants() == [("article", True)]
    wall(page).scroll_into_view_if_needed()
    expect_view(page, "unlocked")


def test_the_minute_for_undo_ends(page: Page, live: LiveShop) -> None:
    page.clock.install()
    read_first(page, live)
    undo = wall(page).get_by_role("button", name="Undo")
    expect(undo).to_be_visible()
    # Real seconds went by as well.
    page.clock.run_for(30_000)
    expect(undo).to_be_visible()
    page.clock.run_for(30_000)
    expect(undo).to_have_count(0)
    expect_view(page, "unlocked")


def test_an_undo_that_comes_too_late_says_so(page: Page, live: LiveShop) -> None:
    read_first(page, live)
    live.world.clock.pass_time(61)
    wall(page).get_by_role("button", name="Undo").click()
    expect(wall(page)).to_contain_text("This can no longer be undone.")
    expect(page.locator(".bitcache-content")).to_contain_text(LOCKED)
    assert live.grants() == [("article", True)]


def test_a_token_is_worth_nothing_on_another_origin(
    context: BrowserContext, page: Page, live: LiveShop
) -> None:
    read_first(page, live)
    start(page, live.file())
    token = page.evaluate(
        """() => Object.entries(localStorage).filter(([name]) => name.includes(':st_'))
        .map(([, kept]) => JSON.parse(kept).token)[0]"""
    )
    assert token
    thief, _ = watched(context)
    thief.goto(f"{live.other.origin}/file")
    stolen = """async ([server, token, item, path]) => {
        try {
          const answer = await fetch(`${server}/v1/${path}`, { method: 'POST',
            headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
            body: JSON.stringify({ item }) });
          return [answer.status, (await answer.json()).code];
        } catch { return 'blocked' } }"""
    for path in ("unlocks", "unlocks/undo"):
        answer = thief.evaluate(stolen, [live.origin, token, live.world.file_id, path])
        assert answer == [403, "origin_not_allowed"]
    assert live.grants() == [("article", True)]
    # The wall of the other site has no allowance of its own, and cannot sell this item.
    expect(thief.locator("bitcache-paywall")).to_contain_text("not allowed to sell")


def test_two_tabs_at_once_pay_once(context: BrowserContext, page: Page, live: LiveShop) -> None:
    read_first(page, live)
    start(page, live.file())
    other = context.new_page()
    start(other, live.file())
    held: list[Route] = []
    for tab in (page, other):
        tab.route(UNLOCKS, lambda route: held.append(route))
        wall(tab).locator("#main").dispatch_event("click")
    wait_until(page, lambda: len(held) == 2)
    for route in held:
        route.continue_()
    for tab in (page, other):
        expect_view(tab, "download")
    assert live.grants() == [("article", True), ("file", True)]
    assert live.wallets() == [(0, GIFT_SAT - ARTICLE_SAT - FILE_SAT)]


def test_a_double_click_pays_once(page: Page, live: LiveShop) -> None:
    read_first(page, live)
    start(page, live.file())
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url))
    wall(page).locator("#main").evaluate("button => { button.click(); button.click() }")
    expect_view(page, "download")
    assert sum(url.endswith("/v1/unlocks") for url in calls) <= 2  # One is the preflight.
    assert live.grants() == [("article", True), ("file", True)]


def test_a_lost_answer_is_asked_for_again(page: Page, live: LiveShop) -> None:
    read_first(page, live)
    start(page, live.file())
    keys: list[str | None] = []

    def lose_the_first(route: Route) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route(UNLOCKS, lose_the_first)
    click_read(page)
    expect_view(page, "download")
    assert len(keys) == 2
    assert keys[0] == keys[1] is not None
    assert live.wallets() == [(0, GIFT_SAT - ARTICLE_SAT - FILE_SAT)]
    expect(wall(page).get_by_role("button", name="Undo")).to_be_visible()


def test_a_reload_in_the_middle_pays_once(page: Page, live: LiveShop) -> None:
    read_first(page, live)
    start(page, live.file())

    def reach_the_server_only(route: Route) -> None:
        route.fetch()

    page.route(UNLOCKS, reach_the_server_only)
    click_read(page)
    wait_until(page, lambda: live.grants() == [("article", True), ("file", True)])
    page.reload()
    expect_view(page, "offer")
    page.unroute(UNLOCKS)
    click_read(page)
    expect_view(page, "download")
    assert live.grants() == [("article", True), ("file", True)]
    assert live.wallets() == [(0, GIFT_SAT - ARTICLE_SAT - FILE_SAT)]


def test_revoked_on_the_wallet_page(context: BrowserContext, page: Page, live: LiveShop) -> None:
    read_first(page, live)
    start(page, live.file())
    wallet, _ = watched(context)
    wallet.goto(f"{live.origin}/wallet/sites")
    wallet.get_by_role("button", name="Revoke").or_(
        wallet.get_by_role("button", name="End")
    ).first.click()
    expect(wallet.locator("main")).to_contain_text("can take nothing any more")
    wallet.close()
    click_read(page)
    expect(wall(page)).to_contain_text("Your permission for this site is over")
    assert live.grants() == [("article", True)]
    popup = open_popup(page)
    press_allow(popup)
    expect_view(page, "download")
    # What was read before stays open.
    page.goto(live.article())
    expect_view(page, "unlocked")


def test_above_the_limits_the_window_raises_them(page: Page, live: LiveShop) -> None:
    start(page, live.article())
    popup = open_popup(page)
    take_gift(popup)
    popup.get_by_text("Limits for").click()
    popup.get_by_label("For one item").fill("6000")
    popup.get_by_label("For one day").fill("10000")
    press_allow(popup)
    expect_view(page, "unlocked")
    start(page, live.file())
    click_read(page)
    expect(wall(page)).to_contain_text("above the limits that you set")
    with page.expect_popup() as waiting:
        wall(page).get_by_role("button", name="Change the limits").click()
    popup = waiting.value
    expect(popup.locator("main")).to_contain_text("above the limits")
    press_allow(popup)
    expect_view(page, "download")
    assert live.count_allowances() == 1


def test_a_wallet_at_exactly_the_price_and_then_empty(page: Page, live: LiveShop) -> None:
    start(page, live.more(GIFT_SAT))
    popup = open_popup(page)
    take_gift(popup)
    press_allow(popup)
    expect_view(page, "unlocked")
    assert live.wallets() == [(0, 0)]
    start(page, live.article())
    click_read(page)
    expect(wall(page)).to_contain_text("Your balance is too small")
    with page.expect_popup() as waiting:
        wall(page).get_by_role("button", name="Top up your balance").click()
    popup = waiting.value
    popup.get_by_role("link", name="Top up").click()
    popup.wait_for_url(f"{live.origin}/wallet/top-up?next=**")
    popup.close()
    expect(wall(page).get_by_role("button", name="Pay with bitcoin")).to_be_visible()


def test_a_higher_price_is_shown_before_it_is_paid(page: Page, live: LiveShop) -> None:
    read_first(page, live)
    start(page, live.file())
    live.set_price(live.world.file_id, "9000", "SAT")
    # The server keeps an offer for a moment.
    live.world.clock.pass_time(60)
    click_read(page)
    expect(wall(page)).to_contain_text("The price has changed")
    expect(wall(page)).to_contain_text("9,000 sats")
    assert live.grants() == [("article", True)]
    click_read(page)
    expect_view(page, "download")
    assert live.wallets() == [(0, GIFT_SAT - ARTICLE_SAT - 9_000)]


def test_a_grant_that_is_no_longer_read_is_renewed_and_costs_nothing(
    page: Page, live: LiveShop
) -> None:
    read_first(page, live)
    live.rotate_keys()
    # The server keeps its keys in mind for a while.
    live.world.clock.pass_time(3_600)
    page.reload()
    expect_view(page, "unlocked")
    expect(page.locator(".bitcache-content")).to_contain_text(LOCKED)
    assert live.wallets() == [(0, GIFT_SAT - ARTICLE_SAT)]


def test_it_works_with_third_party_cookies_blocked(browser: Browser, live: LiveShop) -> None:
    flags = [*FLAGS, "--test-third-party-cookie-phaseout"]
    strict = browser.browser_type.launch(executable_path=CHROMIUM, args=flags)
    page, errors = watched(strict.new_context())
    read_first(page, live)
    start(page, live.file())
    click_read(page)
    expect_view(page, "download")
    strict.close()
    assert errors == []
    assert live.grants() == [("article", True), ("file", True)]


def test_a_browser_that_forgot_gets_the_allowance_again(page: Page, live: LiveShop) -> None:
    read_first(page, live)
    start(page, live.file())
    page.evaluate("localStorage.clear()")
    page.reload()
    expect_view(page, "offer")
    popup = open_popup(page)
    # The wallet is known, the site is allowed: one button.
    come_into_view(popup)
    press_and_close(popup, popup.get_by_role("button", name="Continue", exact=True))
    expect_view(page, "download")
    assert live.count_allowances() == 1


def test_a_browser_that_stores_nothing_reads_with_one_click(page: Page, live: LiveShop) -> None:
    page.add_init_script(
        f"if (location.origin !== '{live.origin}') "
        "Object.defineProperty(window, 'localStorage', "
        "{ get() { throw new DOMException('blocked', 'SecurityError') } })"
    )
    two = element(live.world.article_id) + element(live.world.file_id)
    page.goto(live.page("two", two))
    expect_view(page, "offer", 1)
    popup = open_popup(page)
    take_gift(popup)
    press_allow(popup)
    expect_view(page, "unlocked", 0)
    click_read(page, 1)
    expect_view(page, "download", 1)
    assert live.wallets() == [(0, GIFT_SAT - ARTICLE_SAT - FILE_SAT)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_window_is_accessible_and_fits_320_px(
    browser: Browser, live: LiveShop, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": 320, "height": 690},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page, _ = watched(context)
    start(page, live.article())
    popup = open_popup(page)
    popup.set_viewport_size({"width": 320, "height": 690})
    assert axe_violations(popup, "body") == []
    take_gift(popup)
    popup.get_by_text("Limits for").click()
    assert axe_violations(popup, "body") == []
    assert not popup.evaluate("document.documentElement.scrollWidth > innerWidth")
    popup.get_by_label("For one item").fill("1")
    popup.get_by_role("button", name="Allow and").click()
    expect(popup.get_by_role("alert")).to_be_visible()
    assert axe_violations(popup, "body") == []
    context.close()


def test_the_keyboard_alone_reads(page: Page, live: LiveShop) -> None:
    start(page, live.article())
    wall(page).locator("#main").focus()
    popup = open_popup(page, "Enter")
    popup.get_by_role("button", name="Take the gift").press("Enter")
    allowing = popup.get_by_role("button", name="Allow and read")
    come_into_view(popup)
    press_and_close(popup, allowing, "Enter")
    expect_view(page, "unlocked")
    expect(page.locator(".bitcache-content")).to_be_focused()


def test_a_window_that_has_just_come_up_takes_no_click(page: Page, live: LiveShop) -> None:
    start(page, live.article())
    popup = open_popup(page)
    take_gift(popup)
    allowing = popup.get_by_role("button", name="Allow and read")
    expect(allowing).to_have_attribute("aria-disabled", "false")
    # The second of a double click, as a site would have it.
    for event in ("window, 'focus'", "document, 'visibilitychange'"):
        waits = popup.evaluate(
            f"""((target, name) => {{ target.dispatchEvent(new Event(name));
            const button = document.querySelector('main form button');
            button.click(); return button.ariaDisabled }})({event})"""
        )
        assert waits == "true"
        # A form that was sent would have closed the window by then.
        expect(allowing).to_have_attribute("aria-disabled", "false")
    come_into_view(popup)
    press_and_close(popup, allowing)
    expect_view(page, "unlocked")
