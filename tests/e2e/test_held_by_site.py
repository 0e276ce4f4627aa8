"""Content that a site holds itself: a real browser, the real server, a stand-in site."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.live_shop import GIFT_SAT
from tests.e2e.stand_in_site import HINT, PAID_WORDS, PRICE_SAT, READER, StandInSite
from tests.e2e.test_one_click import allow
from tests.e2e.wall import expect_view, wait_until, wall, watched
from tests.support.databases import Databases


@pytest.fixture
def held(databases: Databases, tmp_path: Path) -> Iterator[StandInSite]:
    with databases.fresh("sqlite") as url:
        running = StandInSite(tmp_path, url)
        yield running
        # Whatever was bought: what a cache may keep never had the paid part.
        assert not [page for page in running.given if PAID_WORDS in page]
        running.stop()


def expect_article(page: Page) -> None:
    expect_view(page, "unlocked")
    expect(page.locator("bitcache-paywall > .bitcache-content")).to_contain_text(PAID_WORDS)


def buy(page: Page, held: StandInSite, attributes: str = "") -> None:
    page.goto(held.teaser(attributes))
    expect_view(page, "offer")
    allow(page)
    expect_article(page)


def calls_of(page: Page, held: StandInSite) -> list[str]:
    """Return, as they come, the API calls that a page makes."""
    seen: list[str] = []
    page.on(
        "request",
        lambda sent: seen.append(sent.url) if sent.url.startswith(f"{held.origin}/v1/") else None,
    )
    return seen


def forget_storage(page: Page) -> None:
    """Do what browsers do to scripts' storage after a week; cookies stay."""
    page.evaluate("localStorage.clear()")


def test_the_site_hands_out_what_was_bought(page: Page, held: StandInSite) -> None:
    calls = calls_of(page, held)
    page.goto(held.teaser())
    expect_view(page, "offer")
    # A stranger costs the site nothing but the page.
    assert held.asked == []
    page.evaluate(
        """() => document.addEventListener('bitcache:unlocked', ({ target, detail }) => {
            window.heard = [detail.kind, detail.answer.item,
              target.querySelector('.bitcache-content').textContent] })"""
    )
    allow(page)
    expect_article(page)
    [body] = held.asked
    assert held.check(body["grant"]) == ""
    kind, item, text = page.evaluate("heard")
    assert (kind, item) == ("article", held.item_id)
    assert PAID_WORDS in text
    assert not [call for call in calls if "/v1/content" in call]
    assert held.wallets() == [(0, GIFT_SAT - PRICE_SAT)]
    assert READER not in page.evaluate("document.cookie")


def test_a_payer_on_a_cached_teaser_is_not_charged(page: Page, held: StandInSite) -> None:
    buy(page, held)
    forget_storage(page)
    calls = calls_of(page, held)
    page.reload()
    expect_article(page)
    assert held.asked[-1] == {"grant": None}
    assert calls == []
    assert held.wallets() == [(0, GIFT_SAT - PRICE_SAT)]


def test_the_next_stranger_gets_the_teaser(page: Page, held: StandInSite, browser: Browser) -> None:
    buy(page, held)
    other = browser.new_context()
    stranger, errors = watched(other)
    # Even one whose hint is wrong.
    other.add_cookies([{"name": HINT, "value": "1", "url": held.site.origin}])
    stranger.goto(held.teaser())
    expect_view(stranger, "offer")
    assert PAID_WORDS not in stranger.content()
    assert held.asked[-1] == {"grant": None}
    other.close()
    assert errors == []


def test_undone_means_gone_from_the_page_and_from_the_site(page: Page, held: StandInSite) -> None:
    buy(page, held)
    assert len(held.purchases) == 1
    wall(page).locator("#undo").click()
    expect_view(page, "offer")
    assert PAID_WORDS not in page.content()
    expect(page.locator(".teaser")).to_be_visible()
    wait_until(page, lambda: held.purchases == {})
    assert held.wallets() == [(0, GIFT_SAT)]
    page.reload()
    expect_view(page, "offer")
    assert PAID_WORDS not in page.content()
    assert held.sold() == 0


def test_a_site_that_is_down_is_asked_again(page: Page, held: StandInSite) -> None:
    buy(page, held)
    forget_storage(page)
    held.is_down = True
    page.reload()
    shown = expect_view(page, "error")
    expect(shown).to_contain_text("This website does not answer")
    held.is_down = False
    shown.get_by_role("button", name="Try again").click()
    expect_article(page)
    assert held.sold() == 1


def test_a_refused_grant_is_renewed_for_nothing(page: Page, held: StandInSite) -> None:
    buy(page, held)
    held.purchases.clear()
    page.evaluate(
        """() => { for (const [name, text] of Object.entries(localStorage)) {
          const entry = JSON.parse(text);
          if (entry.grant) localStorage.setItem(name,
            JSON.stringify({ ...entry, grant: `x${entry.grant.slice(1)}` })); } }"""
    )
    before = len(held.asked)
    page.reload()
    expect_article(page)
    assert len(held.asked) == before + 2
    assert held.wallets() == [(0, GIFT_SAT - PRICE_SAT)]


def test_with_ask_the_site_is_asked_without_a_hint(page: Page, held: StandInSite) -> None:
    page.goto(held.teaser("ask"))
    expect_view(page, "offer")
    assert held.asked == [{"grant": None}]


def test_without_scripts_the_checkout_leads_to_the_site(
    held: StandInSite, browser: Browser
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page, errors = watched(context)
    page.goto(held.teaser())
    page.get_by_role("link", name="Read the rest").click()
    page.get_by_role("button", name="Pay with bitcoin").click()
    page.wait_for_url("**/pay/invoices/**")
    held.pay_newest()
    page.reload()
    page.get_by_role("button", name="Read it on Ada's blog").click()
    page.wait_for_url(f"{held.site.origin}/read")
    expect(page.locator("main")).to_contain_text(PAID_WORDS)
    # The site remembers: with scripts, the same reader is not asked to pay.
    come_back(context, held)
    assert held.sold() == 1
    context.close()
    assert errors == []


def come_back(context: BrowserContext, held: StandInSite) -> None:
    """Visit the teaser with the same cookies and with scripts."""
    assert context.browser is not None
    scripted = context.browser.new_context(storage_state=context.storage_state())
    page, errors = watched(scripted)
    page.goto(held.teaser())
    expect_article(page)
    scripted.close()
    assert errors == []
