"""Take a picture of every state of the wall, and of every page of checkout, Lightning, merchants.

    python -m tests.e2e.screenshots --out DIR [NAME ...]

Phones of 320 and 390 px and a desktop, light and dark, and one right-to-left language; with
names (``wall-offer``, ``'page-*'``) only those, and ``--list`` says which there are. The
pictures come from the scripted API or the scripted node, so no other node is needed.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from flask import render_template
from markupsafe import Markup
from playwright.sync_api import Browser, Page

from bitcache_server.http.error_pages import AGAIN
from bitcache_server.http.offer_parts import BAD_CODE
from tests.e2e import lightning_states
from tests.e2e.api_double import ARTICLE_HTML, ApiDouble
from tests.e2e.browser_wallet import BrowserWallet
from tests.e2e.dashboard_shop import NAMES as MERCHANT_NAMES
from tests.e2e.dashboard_shop import dashboard_shop
from tests.e2e.lightning_screens import lightning_screens
from tests.e2e.wall import ARTICLE, FILE, chromium, element, expect_view, wall
from tests.e2e.wallet_shop import open_shown, signed_in
from tests.support.databases import Databases

SCREENS = {
    "phone320-light": (320, 690, "light"),
    "phone320-dark": (320, 690, "dark"),
    "phone390-dark": (390, 844, "dark"),
    "phone390-light": (390, 844, "light"),
    "desktop-light": (1100, 860, "light"),
    "desktop-dark": (1100, 860, "dark"),
}
#: Of the pages of merchants, in Arabic.
FROM_THE_RIGHT = {
    "phone390-rtl": (390, 844, "light"),
    "desktop-rtl": (1100, 860, "dark"),
}
PRICE_SAT = 5000
State = Callable[[Page, ApiDouble], None]


class Shots:
    """Which pictures are wanted, and where they go."""

    def __init__(self, folder: Path | None, patterns: list[str]) -> None:
        self._folder, self._patterns = folder, patterns
        self.names: list[str] = []

    def wants(self, name: str) -> bool:
        """Say whether to take the pictures of a name; without a folder, only note the name."""
        wanted = not self._patterns or any(fnmatchcase(name, one) for one in self._patterns)
        if wanted:
            self.names.append(name)
        return wanted and self._folder is not None

    def path(self, name: str, screen: str) -> Path:
        """Return the file of one picture."""
        assert self._folder is not None
        return self._folder / f"{name}-{screen}.png"


def _pay(page: Page, double: ApiDouble) -> str:
    wall(page).locator("#main").click()
    expect_view(page, "waiting")
    return double.only_invoice()


def offer(page: Page, double: ApiDouble) -> None:
    expect_view(page, "offer")


def restore(page: Page, double: ApiDouble) -> None:
    wall(page).locator("#restore_open").click()
    wall(page).locator("#code").fill("in_half.a-code")
    double.errors["GET /v1/invoices/in_half"] = (404, "unknown_invoice")
    wall(page).locator("#restore").click()
    wall(page).locator(".bad:not(:empty)").wait_for()


def waiting(page: Page, double: ApiDouble) -> None:
    _pay(page, double)


def underpaid(page: Page, double: ApiDouble) -> None:
    double.receive(_pay(page, double), 3000)
    expect_view(page, "underpaid")


def underpaid_without_code(page: Page, double: ApiDouble) -> None:
    double.qr_for_missing = False
    underpaid(page, double)


def seen(page: Page, double: ApiDouble) -> None:
    double.receive(_pay(page, double), PRICE_SAT, 0, 1)
    expect_view(page, "seen")


def confirming(page: Page, double: ApiDouble) -> None:
    double.receive(_pay(page, double), PRICE_SAT, 1, 3)
    expect_view(page, "confirming")


def paid(page: Page, double: ApiDouble) -> None:
    invoice_id = _pay(page, double)
    double.errors["POST /v1/invoices"] = (502, "drop")
    double.receive(invoice_id, PRICE_SAT)
    expect_view(page, "paid")


def unlocked(page: Page, double: ApiDouble) -> None:
    double.receive(_pay(page, double), PRICE_SAT)
    expect_view(page, "unlocked")


def overpaid(page: Page, double: ApiDouble) -> None:
    double.receive(_pay(page, double), PRICE_SAT + 700)
    expect_view(page, "unlocked")


def expired(page: Page, double: ApiDouble) -> None:
    double.expire(_pay(page, double))
    expect_view(page, "expired")


def expired_with_credit(page: Page, double: ApiDouble) -> None:
    invoice_id = _pay(page, double)
    double.change(invoice_id, credit_msat=3_000_000, marks=["underpaid"])
    double.expire(invoice_id)
    expect_view(page, "expired")


def late_credit(page: Page, double: ApiDouble) -> None:
    invoice_id = _pay(page, double)
    double.change(invoice_id, credit_msat=PRICE_SAT * 1000, marks=["late"])
    double.expire(invoice_id)
    expect_view(page, "credit")


def error(page: Page, double: ApiDouble) -> None:
    double.errors["POST /v1/invoices"] = (503, "rail_unavailable")
    wall(page).locator("#main").click()
    expect_view(page, "error")


def not_payable(page: Page, double: ApiDouble) -> None:
    double.items[ARTICLE]["rails"] = []
    page.reload()
    expect_view(page, "offer")


def one_click(page: Page, double: ApiDouble) -> None:
    double.offer_balance(ARTICLE)
    page.reload()
    wall(page).get_by_role("button", name="one click").wait_for()


def one_click_alone(page: Page, double: ApiDouble) -> None:
    """The price is too small for every rail."""
    double.items[ARTICLE]["rails"] = []
    one_click(page, double)


def _allowed(page: Page, double: ApiDouble) -> None:
    page.evaluate(
        "name => localStorage.setItem(name, JSON.stringify({ token: 'token' }))",
        f"bitcache:{double.backend.origin}:{double.items[ARTICLE]['site']['id']}",
    )
    one_click(page, double)


def balance_too_small(page: Page, double: ApiDouble) -> None:
    double.errors["POST /v1/unlocks"] = (409, "insufficient_balance")
    _allowed(page, double)
    wall(page).locator("#main").click()
    wall(page).locator(".note").wait_for()


def unlocked_with_one_click(page: Page, double: ApiDouble) -> None:
    _allowed(page, double)
    wall(page).locator("#main").click()
    expect_view(page, "unlocked")
    wall(page).get_by_role("timer").wait_for()


STATES: dict[str, State] = {
    state.__name__: state
    for state in (
        offer,
        restore,
        waiting,
        underpaid,
        underpaid_without_code,
        seen,
        confirming,
        paid,
        unlocked,
        overpaid,
        expired,
        expired_with_credit,
        late_credit,
        error,
        not_payable,
        one_click,
        one_click_alone,
        balance_too_small,
        unlocked_with_one_click,
    )
} | lightning_states.STATES


def _both_rails(page: Page, double: ApiDouble) -> None:
    double.offer_lightning(ARTICLE, "onchain")


def _one_rail(page: Page, double: ApiDouble) -> None:
    double.offer_lightning(ARTICLE)


def _with_wallet(page: Page, double: ApiDouble) -> None:
    BrowserWallet(page, answer="User rejected")
    double.offer_lightning(ARTICLE, "onchain")


#: Lightning in other languages, where a button cannot be found by its words.
LIGHTNING_ELSEWHERE = {
    "lightning": _one_rail,
    "lightning-and-onchain": _both_rails,
    "wallet-refused": _with_wallet,
}


def _in_any_language(prepare: State) -> State:
    def state(page: Page, double: ApiDouble) -> None:
        prepare(page, double)
        page.reload()
        expect_view(page, "offer")
        wall(page).locator("#pay, #main").first.wait_for()
        page.wait_for_timeout(200)
        waiting(page, double)

    return state


def _shape(screen: str) -> dict[str, Any]:
    width, height, scheme = SCREENS[screen]
    return {
        "viewport": {"width": width, "height": height},
        "color_scheme": scheme,
        "device_scale_factor": 2 if width < 500 else 1,
    }


def _open(browser: Browser, screen: str, url: str) -> Page:
    page = browser.new_context(**_shape(screen)).new_page()
    page.goto(url)
    return page


def _save(page: Page, path: Path) -> None:
    # The content's and the QR code's first paint.
    time.sleep(0.25)
    page.screenshot(path=path, full_page=True)
    page.context.close()


def _walls(browser: Browser, shots: Shots) -> None:
    for name, state in STATES.items():
        if not shots.wants(f"wall-{name}"):
            continue
        for screen in SCREENS:
            double = ApiDouble()
            url = double.page("a", element())
            page = _open(browser, screen, url)
            expect_view(page, "offer")
            state(page, double)
            _save(page, shots.path(f"wall-{name}", screen))
            double.stop()


def _special_walls(browser: Browser, shots: Shots) -> None:
    cases: dict[str, tuple[dict[str, Any], State]] = {
        "ar": ({"lang": "ar", "direction": "rtl"}, waiting),
        "ar-offer": ({"lang": "ar", "direction": "rtl"}, offer),
        "de": ({"lang": "de"}, confirming),
        **{
            f"{lang}-{name}": ({"lang": lang, "direction": direction}, _in_any_language(state))
            for lang, direction in (("ar", "rtl"), ("de", "ltr"))
            for name, state in LIGHTNING_ELSEWHERE.items()
        },
    }
    for name, (options, state) in cases.items():
        if not shots.wants(f"wall-{name}"):
            continue
        for screen in ("phone390-light", "desktop-light"):
            double = ApiDouble()
            page = _open(browser, screen, double.page("a", element(), **options))
            expect_view(page, "offer")
            state(page, double)
            _save(page, shots.path(f"wall-{name}", screen))
            double.stop()


def _file_walls(browser: Browser, shots: Shots) -> None:
    for name in ("wall-file-offer", "wall-file-download"):
        if not shots.wants(name):
            continue
        for screen in SCREENS:
            double = ApiDouble()
            double.add_file(FILE)
            page = _open(browser, screen, double.page("a", element(FILE)))
            expect_view(page, "offer")
            if name == "wall-file-download":
                double.receive(_pay(page, double), PRICE_SAT)
                expect_view(page, "download")
            _save(page, shots.path(name, screen))
            double.stop()


def checkout_pages(double: ApiDouble) -> dict[str, str]:
    """Render every page of the hosted checkout; return them by name."""
    article = double.items[ARTICLE] | {"teaser": "What a falling reservoir says about a valley."}
    file = double.add_file(FILE)
    code = f"in_0123456789abcdefghij-_.{'k' * 43}"

    def invoice(change: Callable[[str], None] | None = None) -> dict[str, Any]:
        made = double.create(ARTICLE, "challenge")["id"]
        if change:
            change(made)
        return double.view(made)

    def over(*rails: str) -> dict[str, Any]:
        """Ask over other rails than the item's."""
        before, double.items[ARTICLE]["rails"] = double.items[ARTICLE]["rails"], list(rails)
        made = invoice()
        double.items[ARTICLE]["rails"] = before
        return made

    def late(made: str) -> None:
        double.change(made, credit_msat=PRICE_SAT * 1000, received_msat=PRICE_SAT * 1000)
        double.expire(made)

    invoices = {
        "waiting": invoice(),
        "lightning": over("lightning"),
        "both": over("lightning", "onchain"),
        "chosen": over("lightning", "onchain"),
        "underpaid": invoice(lambda made: double.receive(made, 3000)),
        "confirming": invoice(lambda made: double.receive(made, PRICE_SAT, 1, 3)),
        "expired": invoice(double.expire),
        "late-credit": invoice(late),
        "paid-elsewhere": invoice(lambda made: double.receive(made, PRICE_SAT)),
    }
    pages = {
        "home": render_template("home.html", host="pay.example"),
        "item-bought": render_template(
            "checkout_item.html",
            item=article,
            action_url="/pay/x",
            invoice=invoices["paid-elsewhere"],
            bought=True,
        ),
        "item-asked": render_template(
            "checkout_item.html", item=article, action_url="/pay/x", invoice=invoices["waiting"]
        ),
        "item-arrived": render_template(
            "checkout_item.html", item=article, action_url="/pay/x", invoice=invoices["confirming"]
        ),
        "item-wrong-code": render_template(
            "checkout_item.html", item=article, action_url="/pay/x", restore_error=BAD_CODE
        ),
        "invoice-ended": render_template(
            "checkout_invoice.html",
            item=article,
            invoice=invoices["paid-elsewhere"],
            action_url="/pay/x",
            ended=True,
        ),
        "item": render_template("checkout_item.html", item=article, action_url="/pay/x"),
        "item-file": render_template("checkout_item.html", item=file, action_url="/pay/x"),
        "item-not-payable": render_template(
            "checkout_item.html", item=article | {"rails": []}, action_url="/pay/x"
        ),
        "content": render_template(
            "checkout_content.html",
            item=article,
            invoice=invoices["paid-elsewhere"] | {"credit_msat": 700_000},
            content_html=Markup(ARTICLE_HTML),
            receipt_code=code,
            back_url="https://example.com/",
        ),
        "file": render_template(
            "checkout_file.html",
            item=file,
            invoice=invoices["paid-elsewhere"],
            download_url="/download/x",
            receipt_code=code,
        ),
        "error": render_template(
            "error.html",
            title="A little too fast",
            detail="Try again in 20 seconds.",
            ways=[AGAIN],
            code="rate_limited",
        ),
    }
    for name, shown in invoices.items():
        pages[f"invoice-{name}"] = render_template(
            "checkout_invoice.html",
            item=article,
            invoice=shown,
            action_url="/pay/x",
            redeem_url="/pay/invoices/x",
            way="lightning" if name == "chosen" else "",
            receipt_code=None if name == "paid-elsewhere" else code,
        )
    return pages


def _checkout(browser: Browser, shots: Shots) -> None:
    double = ApiDouble()
    with double.backend_app.test_request_context():
        double.hosted = checkout_pages(double)
    for name in double.hosted:
        if not shots.wants(f"checkout-{name}"):
            continue
        for screen in SCREENS:
            page = _open(browser, screen, f"{double.backend.origin}/hosted/{name}")
            _save(page, shots.path(f"checkout-{name}", screen))
    double.stop()


def _lightning_pages(browser: Browser, shots: Shots) -> None:
    with tempfile.TemporaryDirectory() as folder:
        databases = Databases(Path(folder))
        with (
            databases.fresh("sqlite") as url,
            lightning_screens(url, Path(folder)) as (world, pages),
        ):
            for name, shown in pages.items():
                if not shots.wants(f"page-{name}"):
                    continue
                for screen in SCREENS:
                    context = signed_in(browser, world, shown.reader, **_shape(screen))
                    page = open_shown(context, world, shown)
                    _save(page, shots.path(f"page-{name}", screen))


def _merchant_pages(browser: Browser, shots: Shots) -> None:
    names = [name for name in MERCHANT_NAMES if shots.wants(f"merchant-{name}")]
    if not names:
        return
    with tempfile.TemporaryDirectory() as folder:
        databases = Databases(Path(folder))
        with databases.fresh("sqlite") as url, dashboard_shop(url, Path(folder)) as shop:
            for name in names:
                screen = shop.screens[name]
                for lang, looks in (("en", SCREENS), ("ar", FROM_THE_RIGHT)):
                    context = shop.context(browser, screen.who)
                    page = context.new_page()
                    shop.open(page, screen, lang)
                    for look, (width, height, scheme) in looks.items():
                        page.set_viewport_size({"width": width, "height": height})
                        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                        page.screenshot(path=shots.path(f"merchant-{name}", look), full_page=True)
                    context.close()


GROUPS = (_walls, _special_walls, _file_walls, _checkout, _lightning_pages, _merchant_pages)


def main() -> None:
    """Take the pictures, or say which there are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, help="the folder for the pictures")
    parser.add_argument("--list", action="store_true", help="only print the names")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="a name, or a pattern such as 'page-*'"
    )
    options = parser.parse_args()
    if options.out is None and not options.list:
        parser.error("say with --out where the pictures go")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    shots = Shots(None if options.list else options.out, options.names)
    with chromium() as browser:
        for group in GROUPS:
            group(browser, shots)
    if not shots.names:
        parser.error("there is no such picture: --list says which there are")
    print("\n".join(shots.names))


if __name__ == "__main__":
    main()
