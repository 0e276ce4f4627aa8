"""The states of the wall that Lightning adds, for pictures and for tests."""

from collections.abc import Callable

from playwright.sync_api import Page

from tests.e2e.api_double import ApiDouble
from tests.e2e.browser_wallet import PAID, BrowserWallet
from tests.e2e.wall import ARTICLE, expect_view, wall

SLOW_MS = 21_000


def _offer(page: Page, double: ApiDouble, *rest: str) -> None:
    double.offer_lightning(ARTICLE, *rest)
    page.reload()
    expect_view(page, "offer")


def _wait(page: Page, double: ApiDouble, *rest: str) -> None:
    _offer(page, double, *rest)
    wall(page).locator("#main").click()
    expect_view(page, "waiting")
    wall(page).get_by_role("img").wait_for()


def lightning(page: Page, double: ApiDouble) -> None:
    """A small price: Lightning alone."""
    _wait(page, double)


def lightning_and_onchain(page: Page, double: ApiDouble) -> None:
    """One code for both, and a choice."""
    _wait(page, double, "onchain")


def lightning_chosen(page: Page, double: ApiDouble) -> None:
    """The choice for wallets that misread the code for both."""
    _wait(page, double, "onchain")
    wall(page).get_by_role("button", name="Lightning", exact=True).click()


def onchain_chosen(page: Page, double: ApiDouble) -> None:
    """The other choice."""
    _wait(page, double, "onchain")
    wall(page).get_by_role("button", name="On-chain").click()


def onchain_part_paid(page: Page, double: ApiDouble) -> None:
    """The rest goes to the same address: a Lightning invoice takes no part."""
    _wait(page, double, "onchain")
    double.receive(double.only_invoice(), 3000)
    expect_view(page, "underpaid")


def wallet_offered(page: Page, double: ApiDouble) -> None:
    """The browser's wallet, before other ways."""
    BrowserWallet(page)
    _offer(page, double, "onchain")
    wall(page).get_by_role("button", name="browser wallet").wait_for()


def wallet_after_balance(page: Page, double: ApiDouble) -> None:
    """Balance, browser wallet, every other wallet."""
    BrowserWallet(page)
    double.offer_balance(ARTICLE)
    _offer(page, double, "onchain")
    wall(page).get_by_role("button", name="browser wallet").wait_for()


def wallet_or_phone(page: Page, double: ApiDouble) -> None:
    """The code is there, and so is the browser's wallet."""
    wallet_offered(page, double)
    wall(page).get_by_role("button", name="Pay with bitcoin").click()
    expect_view(page, "waiting")


def _answers(answer: str) -> Callable[[Page, ApiDouble], None]:
    def state(page: Page, double: ApiDouble) -> None:
        BrowserWallet(page, answer=answer)
        _offer(page, double)
        wall(page).get_by_role("button", name="browser wallet").click()
        expect_view(page, "waiting")
        shown = "says it has paid" if answer == PAID else "wallet"
        wall(page).locator("#title, .note").filter(has_text=shown).first.wait_for()

    return state


def wallet_slow(page: Page, double: ApiDouble) -> None:
    """The browser's wallet does not answer."""
    page.clock.install()
    _answers("hang")(page, double)
    page.clock.fast_forward(SLOW_MS)
    wall(page).locator(".note").filter(has_text="does not answer").wait_for()


STATES: dict[str, Callable[[Page, ApiDouble], None]] = {
    **{
        state.__name__: state
        for state in (
            lightning,
            lightning_and_onchain,
            lightning_chosen,
            onchain_chosen,
            onchain_part_paid,
            wallet_offered,
            wallet_after_balance,
            wallet_or_phone,
            wallet_slow,
        )
    },
    "wallet_asking": _answers("hang"),
    "wallet_refused": _answers("User rejected"),
    "wallet_failed": _answers("no route"),
    "wallet_sent": _answers(PAID),
}
