"""The widget as a test drives it, in a real Chromium."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "widget" / "node_modules" / "axe-core" / "axe.min.js"
#: The system's Chromium, without what draws windows that nobody sees.
CHROMIUM = Path(__file__).with_name("chromium.sh")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: For what comes soon on an idle machine; a busy one may take far longer.
PATIENCE_MS = 60_000
ARTICLE = "it_article00000000000001"
FILE = "it_file0000000000000001"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium; it calls no host but the loopback ones it is sent to."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def element(item: str = ARTICLE, attributes: str = "", inside: str = "") -> str:
    """Return the tag as a site writes it."""
    fallback = inside or '<p class="teaser">The lake gives back what it took.</p>'
    return f'<bitcache-paywall item="{item}" {attributes}>{fallback}</bitcache-paywall>'


def wall(page: Page, number: int = 0) -> Locator:
    """Return one paywall element; locators look into its shadow tree."""
    return page.locator("bitcache-paywall").nth(number)


def expect_view(page: Page, name: str, number: int = 0) -> Locator:
    """Wait until the wall shows a view, for example "offer"."""
    found = wall(page, number).locator(f"section[data-view={name}]")
    expect(found).to_be_visible(timeout=PATIENCE_MS)
    return found


def wait_until(page: Page, true: Callable[[], bool]) -> None:
    """Let the page go on until something has happened outside of it."""
    ends_at = time.monotonic() + PATIENCE_MS / 1_000
    while not true():
        assert time.monotonic() < ends_at, "it did not happen in time"
        page.wait_for_timeout(20)


def watched(context: BrowserContext) -> tuple[Page, list[str]]:
    """Open a page; return it with the list that its errors go to."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda message: (
            errors.append(message.text)
            if "Content Security Policy" in message.text
            or "Content-Security-Policy" in message.text
            else None
        ),
    )
    return page, errors


def axe_violations(page: Page, selector: str = "bitcache-paywall") -> list[Any]:
    """Run axe on one part of the page; return what it objects to."""
    # Half a page, or one without its styles yet, is not what a reader gets.
    page.wait_for_load_state()
    # Evaluated by the test, not by the page: the page's own policy would refuse it.
    page.evaluate(AXE.read_text())
    report = page.evaluate("selector => axe.run(selector)", selector)
    return [(v["id"], [node["html"] for node in v["nodes"]]) for v in report["violations"]]
