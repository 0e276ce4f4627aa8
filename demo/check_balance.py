"""A reader who never paid: the gift, one popup, one click, and the same on other devices."""

from playwright.sync_api import Browser, BrowserContext, Page, expect

from demo.checking import (
    PAID_WORDS,
    PICTURES,
    CheckFailed,
    Steps,
    Watcher,
    come_into_view,
    expect_download,
    press_and_close,
    wall,
)
from demo.passkeys import Passkeys
from demo.shop import Addresses

ONE_CLICK = "with one click"


class Devices:
    """The reader's browsers; none knows what another holds."""

    def __init__(self, browser: Browser, addresses: Addresses, watcher: Watcher) -> None:
        self.addresses = addresses
        self._browser = browser
        self._watcher = watcher

    def another(self) -> Page:
        """Open a browser that has never been here."""
        context: BrowserContext = self._browser.new_context(
            accept_downloads=True, viewport={"width": 1100, "height": 900}
        )
        self._watcher.watch(context)
        return context.new_page()


def check_balance(devices: Devices, file_bytes: bytes, steps: Steps) -> None:
    """Read from the gift, then find it all again in two other browsers."""
    page = devices.another()
    _read_from_the_gift(devices, page, steps)
    _take_the_file(devices, page, file_bytes, steps)
    _see_both(devices, page)
    steps.done("the wallet page shows both, and what is left of the gift")
    keys, code = _secure(devices, page)
    steps.done("a passkey and a recovery code secure the balance")
    _come_back_with_the_code(devices, code)
    steps.done("a second browser opens the article again with the recovery code, and pays nothing")
    _come_back_with_the_passkey(devices, keys)
    steps.done("a third one finds the purchases with the passkey")


def _read_from_the_gift(devices: Devices, page: Page, steps: Steps) -> None:
    page.goto(f"{devices.addresses.site}/ferry.html")
    expect(wall(page, "offer")).to_be_visible()
    with page.expect_popup() as waiting:
        page.get_by_role("button", name=ONE_CLICK).click()
    popup = waiting.value
    popup.get_by_role("button", name="Take the gift").click()
    allow = popup.get_by_role("button", name="Allow and read")
    expect(allow).to_be_visible()
    steps.done("one click opens the popup, and a reader who never paid takes the gift")
    popup.screenshot(path=PICTURES / "popup.png")
    come_into_view(popup)
    press_and_close(popup, allow)
    expect(page.get_by_text(PAID_WORDS).first).to_be_visible()
    steps.done("the popup closes, and the article opens by itself")


def _take_the_file(devices: Devices, page: Page, file_bytes: bytes, steps: Steps) -> None:
    page.goto(f"{devices.addresses.site}/bell.html")
    windows = len(page.context.pages)
    page.get_by_role("button", name=ONE_CLICK).click()
    expect(wall(page, "download")).to_be_visible()
    if len(page.context.pages) != windows:
        raise CheckFailed("the second purchase opened a window")
    expect_download(page, file_bytes)
    steps.done("the file costs one click, no window, and arrives byte for byte")


def _see_both(devices: Devices, page: Page) -> None:
    page.goto(f"{devices.addresses.server}/wallet/purchases")
    _expect_purchases(page)
    page.goto(f"{devices.addresses.server}/wallet")
    expect(page.get_by_text("2,000").first).to_be_visible()
    page.screenshot(path=PICTURES / "wallet.png", full_page=True)


def _expect_purchases(page: Page) -> None:
    for title in ("The Five-Cent Ferry", "The Bell on Gannet Rock"):
        expect(page.get_by_role("link", name=title, exact=True)).to_be_visible()


def _secure(devices: Devices, page: Page) -> tuple[Passkeys, str]:
    keys = Passkeys(page)
    page.goto(f"{devices.addresses.server}/wallet/security")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_text("The passkey was added.")).to_be_visible()
    page.get_by_role("button", name="Make a recovery code").click()
    code = page.locator(".secret code").inner_text()
    return keys, code


def _come_back_with_the_code(devices: Devices, code: str) -> None:
    page = devices.another()
    page.goto(f"{devices.addresses.server}/wallet/sign-in?next=/wallet/purchases")
    page.get_by_label("Recovery code").fill(code)
    page.get_by_role("button", name="Sign in with the code").click()
    _expect_purchases(page)
    page.get_by_role("link", name="The Five-Cent Ferry", exact=True).click()
    with page.expect_popup() as waiting:
        page.get_by_role("button", name=ONE_CLICK).click()
    popup = waiting.value
    expect(popup.get_by_text("costs nothing")).to_be_visible()
    come_into_view(popup)
    press_and_close(popup, popup.get_by_role("button", name="Continue", exact=True))
    expect(page.get_by_text(PAID_WORDS).first).to_be_visible()


def _come_back_with_the_passkey(devices: Devices, keys: Passkeys) -> None:
    page = devices.another()
    keys.synchronise_to(Passkeys(page))
    page.goto(f"{devices.addresses.server}/wallet/sign-in?next=/wallet/purchases")
    page.get_by_role("button", name="Sign in with a passkey").click()
    _expect_purchases(page)
