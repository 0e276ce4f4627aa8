"""The small window in which a reader allows a site to spend from the balance."""

from playwright.sync_api import Page, expect

from demo.checking import come_into_view, press_and_close
from tests.e2e.wall import wall


def click_read(page: Page, number: int = 0) -> None:
    wall(page, number).get_by_role("button", name="with one click").click()


def open_popup(page: Page, key: str = "") -> Page:
    """Open the window by a click, or by a key on what has the focus."""
    with page.expect_popup() as waiting:
        if key:
            page.keyboard.press(key)
        else:
            click_read(page)
    popup = waiting.value
    popup.wait_for_load_state()
    # Chromium drops what is pressed before a page was painted for the first time.
    popup.evaluate(
        "new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))"
    )
    return popup


def take_gift(popup: Page) -> None:
    popup.get_by_role("button", name="Take the gift").click()
    expect(popup.get_by_role("button", name="Allow and")).to_be_visible()


def press_allow(popup: Page) -> None:
    """Allow what the window shows; it closes by itself."""
    come_into_view(popup)
    press_and_close(popup, popup.get_by_role("button", name="Allow and"))
