"""Every page of merchants, accounts, operator and orders, as everybody gets it: screen reader,
phone and desktop, light and dark, right to left; and what it costs to load."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response

from demo.checking import keep_still
from tests.e2e.dashboard_shop import NAMES, DashboardShop, dashboard_shop
from tests.e2e.wall import AXE
from tests.support.databases import Databases
from tests.support.shops import assert_nothing_lost

PHONE = {"width": 320, "height": 690}
DESKTOP = {"width": 1280, "height": 860}
#: What a page may cost, frames and all, as it is served: nothing is compressed here.
MOST_BYTES = 60_000
MOST_REQUESTS = 6
#: Pages that say no, and are looked at for how they say it.
REFUSED = {"error", "account-sign-in-wrong", "item-wrong"}
#: How far a page may move while it loads; up to 0.1 counts as good (Cumulative Layout Shift).
MOST_SHIFT = 0.05
#: What changes where a page is wider or darker; the rest of axe reads what does not.
BY_LOOK = ("color-contrast", "target-size", "scrollable-region-focusable", "link-in-text-block")
#: What other words and the other direction change.
BY_WORDS = ("valid-lang", "label", "button-name", "link-name")
WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
#: WCAG 2.5.8 lets links within a sentence be smaller: those are left to axe, which knows them.
SMALL = """() => [...document.querySelectorAll('a, button, input, select, textarea, summary')]
  .filter((one) => one.type !== 'hidden' && one.checkVisibility({ visibilityProperty: true }))
  .filter((one) => getComputedStyle(one).display !== 'inline' && !one.closest('.skip, .hidden'))
  .filter((one) => {
    const label = one.labels?.[0]?.getBoundingClientRect();
    const { width, height } = one.getBoundingClientRect();
    const wide = Math.max(width, label?.width ?? 0);
    return wide < 24 || Math.max(height, label?.height ?? 0) < 24;
  })
  .map((one) => one.outerHTML.slice(0, 200))"""
SHIFT = """() => new Promise((done) => {
  let sum = 0;
  const count = (list) => { for (const one of list.getEntries()) sum += one.value; };
  new PerformanceObserver(count).observe({ type: 'layout-shift', buffered: true });
  requestAnimationFrame(() => requestAnimationFrame(() => done(sum)));
})"""
#: A picture that comes late moves nothing where its place is kept.
UNSIZED = """() => [...document.images]
  .filter((one) => !one.complete || !one.naturalWidth || !one.getBoundingClientRect().height)
  .map((one) => one.outerHTML.slice(0, 200))"""
AXE_RUN = """async ([rules]) => {
  const values = rules ? { type: 'rule', values: rules } : { type: 'tag',
    values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] };
  const found = await axe.run(document.body, { runOnly: values, iframes: false });
  return found.violations.map((one) => [one.id, one.nodes.map((node) => node.html)]);
}"""


@dataclass
class Load:
    """What came while a page was opened, and what went wrong."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Listen to a page."""
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._hear)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("response", lambda response: self.responses.append(response))

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self.errors.append(said.text)

    def begin(self) -> None:
        """Forget what came before."""
        for kept in (self.errors, self.requests, self.responses):
            kept.clear()

    def elsewhere(self, origin: str) -> list[str]:
        """Return requests that left the server."""
        return [url for url in self.requests if not url.startswith((f"{origin}/", "data:"))]

    def said(self) -> list[str]:
        """Return what scripts and policies complained of; a status is looked at apart."""
        return [text for text in self.errors if "Failed to load resource" not in text]

    def costs(self, page: Page) -> tuple[int, int]:
        """Return bytes and requests of the page as the first of a visit, but for its frames."""
        own = [one for one in self.responses if one.frame == page.main_frame and one.status == 200]
        return sum(int(one.headers["content-length"]) for one in own), len(own)


@dataclass
class Windows:
    """A window for each of those who look: opening one for each page would take minutes."""

    browser: Browser
    shop: DashboardShop
    opened: dict[str, tuple[Page, Load]] = field(default_factory=dict)
    dearest: tuple[int, int] = (0, 0)

    def show(self, name: str, lang: str) -> tuple[Page, Load]:
        """Open a page on a phone in the light, with all that is said about it meanwhile."""
        screen = self.shop.screens[name]
        if screen.who not in self.opened:
            page, load = self.shop.context(self.browser, screen.who).new_page(), Load()
            load.watch(page)
            self.opened[screen.who] = page, load
        page, load = self.opened[screen.who]
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # Playwright's own type
        page.emulate_media(color_scheme="light")
        load.begin()
        self.shop.open(page, screen, lang)
        if page.locator("meta[http-equiv=refresh]").count():
            keep_still(page)
        elif page.locator("iframe").count():
            page.wait_for_load_state("networkidle")
        page.evaluate(axe_source())
        return page, load


@pytest.fixture(scope="module")
def windows(
    browser: Browser, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Windows]:
    folder = tmp_path_factory.mktemp("dashboard")
    with databases.fresh("sqlite") as url, dashboard_shop(url, folder) as shop:
        made = Windows(browser, shop)
        yield made
        print(f"\nThe dearest page takes {made.dearest[0]} bytes in {made.dearest[1]} requests.")
        assert_nothing_lost(shop.world)


@cache
def axe_source() -> str:
    return AXE.read_text()


def objections(page: Page, *rules: str) -> list[object]:
    """Return what axe has against the page, by these rules or by all."""
    found: list[object] = page.evaluate(AXE_RUN, [list(rules) or None])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_good_on_phone_and_desktop_light_and_dark(windows: Windows, name: str) -> None:
    page, load = windows.show(name, "en")
    refused = [one.status for one in load.responses if one.status >= 400]
    assert refused == [] or name in REFUSED
    assert load.said() == []
    assert load.elsewhere(windows.shop.url) == []
    assert page.title().endswith("· Bitcache")
    assert page.locator("h1").count() == 1
    root = page.locator("html")
    assert (root.get_attribute("lang"), root.get_attribute("dir")) == ("en", "ltr")
    if windows.shop.screens[name].act is None:
        size, requests = load.costs(page)
        windows.dearest = max(windows.dearest, (size, requests))
        assert size <= MOST_BYTES
        assert requests <= MOST_REQUESTS
    assert page.evaluate("document.fonts.size") == 0
    assert page.evaluate(UNSIZED) == []
    assert page.evaluate(SHIFT) < MOST_SHIFT
    assert objections(page) == []
    for viewport in (PHONE, DESKTOP):
        page.set_viewport_size(viewport)  # type: ignore[arg-type]  # Playwright's own type
        assert not page.evaluate(WIDE), viewport
        assert page.evaluate(SMALL) == [], viewport
    assert objections(page, *BY_LOOK) == [], "on a desktop"
    page.emulate_media(color_scheme="dark")
    assert objections(page, "color-contrast") == [], "in the dark"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_reads_from_the_right(windows: Windows, name: str) -> None:
    page, load = windows.show(name, "ar")
    assert load.said() == []
    root = page.locator("html")
    assert (root.get_attribute("lang"), root.get_attribute("dir")) == ("ar", "rtl")
    for viewport in (PHONE, DESKTOP):
        page.set_viewport_size(viewport)  # type: ignore[arg-type]  # Playwright's own type
        assert not page.evaluate(WIDE), viewport
    assert objections(page, *BY_WORDS) == []


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_the_places_are_one_row_on_a_phone_and_a_menu_without_scripts(
    windows: Windows, lang: str
) -> None:
    with windows.shop.context(windows.browser, "owner", java_script_enabled=False) as context:
        page = context.new_page()
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # Playwright's own type
        windows.shop.open(page, windows.shop.screens["items"], lang)
        places = page.locator("nav.places")
        box = places.bounding_box()
        assert box is not None
        assert box["height"] < 60
        assert places.get_by_role("link").count() == 0
        places.locator("summary").click()
        assert places.get_by_role("link").count() == 12
        places.locator("details [aria-current=page]").wait_for()
        places.locator("details a[href$='/sales']").click()
        page.wait_for_url("**/sales")
        page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]  # Playwright's own type
        assert places.get_by_role("link").count() == 12
        assert not places.locator("summary").is_visible()
