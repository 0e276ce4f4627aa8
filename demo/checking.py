"""What the parts of the demo's check share."""

import contextlib
import time
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Locator, Page, expect
from playwright.sync_api import Error as BrowserError

from demo.shop import FILE_NAME, Addresses

#: What takes a moment here may take long on a busy machine; nobody waits longer than needed.
STEP_TIMEOUT_MS = 60_000
PICTURES = Path("test-results")
#: A sentence of the paid part; before the payment it must be nowhere in the page.
PAID_WORDS = "Five cents is exactly the price of no reason."


class CheckFailed(Exception):
    """Something is not as a reader should find it."""


class Watcher:
    """Notes what no page of the demo may do: fail in a script, or call another host."""

    def __init__(self, addresses: Addresses) -> None:
        self.problems: list[str] = []
        self._hosts = {urlsplit(url).netloc for url in vars(addresses).values()}

    def watch(self, context: BrowserContext) -> None:
        """Look at all pages that the browser opens from now on."""
        context.set_default_timeout(STEP_TIMEOUT_MS)
        context.on("page", self._watch_page)

    def allow(self, url: str) -> None:
        """Let pages call one more host."""
        self._hosts.add(urlsplit(url).netloc)

    def _watch_page(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        page.on("request", lambda request: self._note_host(request.url))

    def _note_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc not in self._hosts:
            self.problems.append(f"the page called another host: {parts.netloc}")


class Steps:
    """Prints one line for each step with the seconds that it took."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def done(self, what: str) -> None:
        """End a step and begin the next."""
        now = time.monotonic()
        print(f"  ok {now - self._began:6.2f} s  {what}", flush=True)
        self._began = now


def wall(page: Page, view: str) -> Locator:
    """Return the wall of a page while it shows this view."""
    return page.locator(f'bitcache-paywall [data-view="{view}"]')


def keep_still(page: Page) -> None:
    """Let a page that loads itself again stay as it is, with its pictures, until a reload."""
    page.wait_for_load_state()
    page.evaluate("window.stop()")


def come_into_view(popup: Page) -> None:
    """Wait as a person does: the window takes no form within 0.7 s of coming into view."""
    popup.bring_to_front()
    popup.wait_for_timeout(1_000)
    # Its script says so: before it listens, "Not now" leads to the site instead.
    expect(popup.locator("form button").first).to_have_attribute("aria-disabled", "false")


def press_and_close(popup: Page, button: Locator, key: str = "") -> None:
    """Press what closes the window, with the mouse or a key; fail when it stays open.

    It may be gone before the browser has said that the click is over.
    """
    with popup.expect_event("close"), contextlib.suppress(BrowserError):
        if key:
            button.press(key)
        else:
            button.click()


def expect_download(page: Page, file_bytes: bytes) -> None:
    """Press the button; fail unless the file arrives with its name and every byte."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    download = waiting.value
    if download.suggested_filename != FILE_NAME:
        raise CheckFailed(f"the file came as {download.suggested_filename!r}")
    if download.path().read_bytes() != file_bytes:
        raise CheckFailed("the downloaded bytes are not the file's bytes")
