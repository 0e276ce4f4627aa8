"""Plays everybody in the demo, in real browsers and at the command line, and looks."""

import shutil
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, expect, sync_playwright
from playwright.sync_api import Error as BrowserError

from demo.check_balance import Devices, check_balance
from demo.check_books import check_books
from demo.check_invoices import Reader, check_invoices
from demo.checking import PICTURES, STEP_TIMEOUT_MS, CheckFailed, Steps, Watcher
from demo.regtest.lightning import LightningNetwork
from demo.regtest.node import RegtestNode
from demo.shop import Addresses, CommandFailed, Shop

if TYPE_CHECKING:
    from demo.wordpress import DemoWordPress

#: No sandbox, because the check also runs as root; no call to anybody by the browser itself.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def check(
    addresses: Addresses,
    shop: Shop,
    node: RegtestNode,
    lightning: LightningNetwork | None,
    wordpress: "DemoWordPress | None" = None,
) -> str:
    """Play the readers, the merchant and the operator; return what is wrong, or nothing.

    With a WordPress only its readers are played.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return "Chromium is not installed. On Debian: apt-get install chromium"
    PICTURES.mkdir(exist_ok=True)
    expect.set_options(timeout=STEP_TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        try:
            if wordpress:
                return _play_wordpress(browser, addresses, wordpress, lightning is not None)
            return _play(browser, addresses, shop, node, lightning is not None)
        finally:
            browser.close()


def _play(
    browser: Browser, addresses: Addresses, shop: Shop, node: RegtestNode, over_lightning: bool
) -> str:
    file_bytes = shop.file.read_bytes()
    watcher = Watcher(addresses)
    steps = Steps()
    try:
        check_invoices(Reader(browser, addresses, watcher), file_bytes, over_lightning, steps)
        check_balance(Devices(browser, addresses, watcher), file_bytes, steps)
        rails = {"onchain", "lightning"} if over_lightning else {"onchain"}
        check_books(shop, node, rails, steps)
        if watcher.problems:
            raise CheckFailed("; ".join(watcher.problems))
    except (CheckFailed, CommandFailed, AssertionError, BrowserError) as error:
        return f"{error}\nThe pages at that moment: {_pictures_of(browser)}"
    return ""


def _play_wordpress(
    browser: Browser, addresses: Addresses, wordpress: "DemoWordPress", over_lightning: bool
) -> str:
    from demo.check_wordpress import check_wordpress

    watcher = Watcher(addresses)
    watcher.allow(wordpress.site.url)
    try:
        reader = Reader(browser, addresses, watcher)
        check_wordpress(reader, wordpress, over_lightning, Steps())
        if watcher.problems:
            raise CheckFailed("; ".join(watcher.problems))
    except (CheckFailed, AssertionError, BrowserError) as error:
        return f"{error}\nThe pages at that moment: {_pictures_of(browser)}"
    return ""


def _pictures_of(browser: Browser) -> str:
    """Take a picture of every page; return where they are."""
    pages = [page for context in browser.contexts for page in context.pages]
    for number, page in enumerate(pages):
        page.screenshot(path=PICTURES / f"demo-check-{number}.png", full_page=True)
    return f"{PICTURES}/demo-check-*.png"
