"""The wall and the checkout for everybody: keyboard, screen reader, small, dark, right to left."""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e import screenshots
from tests.e2e.api_double import ApiDouble
from tests.e2e.conftest import Opener
from tests.e2e.wall import ARTICLE, axe_violations, element, expect_view, wall

PRICE_SAT = 5000
STATES = list(screenshots.STATES)


def overflows(page: Page) -> bool:
    return bool(
        page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    )


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_accessible_and_fits_320_px(
    opened: Opener, double: ApiDouble, state: str
) -> None:
    scheme = "dark" if STATES.index(state) % 2 else "light"
    page = opened(viewport={"width": 320, "height": 690}, color_scheme=scheme)
    page.goto(double.page("a", element()))
    expect_view(page, "offer")
    screenshots.STATES[state](page, double)
    assert axe_violations(page) == []
    assert not overflows(page)


def test_the_keyboard_alone_pays_and_reads(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    page.goto(double.page("a", f'<a href="#x">before</a>{element()}<a href="#y">after</a>'))
    expect_view(page, "offer")
    page.locator("a").first.focus()
    page.keyboard.press("Tab")
    expect(wall(page).locator("#main")).to_be_focused()
    page.keyboard.press("Enter")
    expect_view(page, "waiting")
    # The button is gone; the reader stands at the head of what took its place.
    expect(wall(page).get_by_role("heading")).to_be_focused()
    for name in ("amount", "address", "wallet"):
        page.keyboard.press("Tab")
        expect(wall(page).locator(f"#{name}")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="after")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    double.receive(double.only_invoice(), PRICE_SAT)
    expect_view(page, "unlocked")
    expect(page.locator(".bitcache-content")).to_be_focused()


def test_a_reader_who_writes_elsewhere_is_not_moved(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    page.goto(double.page("a", f'{element()}<input aria-label="comment">'))
    expect_view(page, "offer")
    wall(page).locator("#main").click()
    expect_view(page, "waiting")
    page.get_by_label("comment").focus()
    double.receive(double.only_invoice(), PRICE_SAT)
    expect_view(page, "unlocked")
    expect(page.get_by_label("comment")).to_be_focused()


def test_changes_are_announced(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    page.goto(double.page("a", element()))
    expect_view(page, "offer")
    status = wall(page).get_by_role("status")
    expect(status).to_have_text("")
    wall(page).locator("#main").click()
    expect(status).to_have_text("Scan and pay")
    double.receive(double.only_invoice(), PRICE_SAT, 0, 1)
    expect(status).to_have_text("Payment seen")
    double.receive(double.only_invoice(), PRICE_SAT, 1, 1)
    expect(status).to_have_text("Unlocked")


def test_what_is_copied_can_be_pasted(opened: Opener, double: ApiDouble) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.goto(double.page("a", element()))
    expect_view(page, "offer")
    wall(page).locator("#main").click()
    expect_view(page, "waiting")
    (request,) = double.invoices[double.only_invoice()]["requests"]
    for name, expected in (("amount", "0.00005"), ("address", request["address"])):
        button = wall(page).get_by_role("button", name=f"Copy {name}")
        button.click()
        expect(button).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == expected


def test_where_copying_is_not_allowed_the_text_is_marked(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    page.add_init_script(
        "navigator.clipboard.writeText = () => Promise.reject(new Error('denied'))"
    )
    page.goto(double.page("a", element()))
    expect_view(page, "offer")
    wall(page).locator("#main").click()
    wall(page).get_by_role("button", name="Copy address").click()
    (request,) = double.invoices[double.only_invoice()]["requests"]
    page.wait_for_function("getSelection().toString().length > 20")
    marked = page.evaluate("getSelection().toString()")
    assert "".join(marked.split()) == request["address"]


def test_dark_by_system_or_by_attribute_and_the_code_stays_on_white(
    opened: Opener, double: ApiDouble
) -> None:
    colors = {}
    for scheme, theme in (("light", ""), ("dark", ""), ("dark", "light"), ("light", "dark")):
        page = opened(color_scheme=scheme)
        page.goto(double.page("a", element(attributes=f'theme="{theme}"' if theme else "")))
        expect_view(page, "offer")
        wall(page).locator("#main").click()
        expect_view(page, "waiting")
        color = "node => getComputedStyle(node).backgroundColor"
        colors[scheme, theme] = wall(page).locator("section").evaluate(color)
        assert wall(page).locator(".qr").evaluate(color) == "rgb(255, 255, 255)"
    assert colors["light", ""] == colors["dark", "light"] == "rgb(255, 255, 255)"
    assert colors["dark", ""] == colors["light", "dark"] != "rgb(255, 255, 255)"


def test_sites_change_the_look_by_custom_properties(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    page.goto(double.page("a", element()))
    expect_view(page, "offer")
    wall(page).evaluate("wall => wall.style.setProperty('--bitcache-accent', 'rgb(0, 80, 40)')")
    background = "node => getComputedStyle(node).backgroundColor"
    assert wall(page).locator("#main").evaluate(background) == "rgb(0, 80, 40)"


def test_motion_stops_for_who_wants_none(opened: Opener, double: ApiDouble) -> None:
    page = opened(reduced_motion="reduce")
    page.goto(double.page("a", element()))
    expect_view(page, "offer")
    screenshots.seen(page, double)
    badge = wall(page).locator(".badge")
    assert badge.evaluate("node => getComputedStyle(node).animationName") == "none"


def test_forced_colours_keep_the_code_readable(opened: Opener, double: ApiDouble) -> None:
    page = opened(forced_colors="active")
    page.goto(double.page("a", element()))
    expect_view(page, "offer")
    screenshots.waiting(page, double)
    color = "node => getComputedStyle(node).backgroundColor"
    assert wall(page).locator(".qr").evaluate(color) == "rgb(255, 255, 255)"


def test_arabic_runs_from_right_to_left(opened: Opener, double: ApiDouble) -> None:
    page = opened(viewport={"width": 320, "height": 690})
    page.goto(double.page("a", element(), lang="ar", direction="rtl"))
    section = expect_view(page, "offer")
    assert section.evaluate("node => getComputedStyle(node).direction") == "rtl"
    expect(section).to_have_attribute("lang", "ar")
    screenshots.waiting(page, double)
    # An address reads from left to right in every language.
    assert wall(page).locator("code").last.evaluate("c => getComputedStyle(c).direction") == "ltr"
    assert axe_violations(page) == []
    assert not overflows(page)


def test_the_nearest_lang_decides_and_english_stands_in(opened: Opener, double: ApiDouble) -> None:
    page = opened()
    german = f'<div lang="de-CH">{element()}</div>'
    page.goto(double.page("a", german + element(), lang="tlh"))
    expect_view(page, "offer", 0)
    expect_view(page, "offer", 1)
    expect(wall(page, 0)).to_contain_text("Mit Bitcoin bezahlen")
    expect(wall(page, 1)).to_contain_text("Pay with bitcoin")
    expect(wall(page, 1).locator("section")).to_have_attribute("lang", "en")


def test_without_scripts_the_page_offers_the_checkout(opened: Opener, double: ApiDouble) -> None:
    fallback = (
        '<p class="teaser">The lake.</p>'
        f'<p slot="no-script"><a href="{double.backend.origin}/pay/{ARTICLE}">Read it</a></p>'
    )
    body = element(inside=fallback)
    page = opened(java_script_enabled=False)
    page.goto(double.page("a", body))
    expect(page.locator(".teaser")).to_be_visible()
    expect(page.get_by_role("link", name="Read it")).to_be_visible()
    page = opened()
    page.goto(f"{double.site.origin}/a")
    expect_view(page, "offer")
    expect(page.locator(".teaser")).to_be_visible()
    expect(page.get_by_role("link", name="Read it")).to_be_hidden()


def test_a_script_that_does_not_arrive_leaves_the_link(opened: Opener, double: ApiDouble) -> None:
    fallback = (
        f'<p slot="no-script"><a href="{double.backend.origin}/pay/{ARTICLE}">Read it</a></p>'
    )
    page = opened()
    page.route("**/widget/element.js", lambda route: route.abort())
    page.goto(double.page("a", element(inside=fallback)))
    expect(page.get_by_role("link", name="Read it")).to_be_visible()
    page.unroute_all()
    page.reload()
    expect_view(page, "offer")
    expect(page.get_by_role("link", name="Read it")).to_be_hidden()


CHECKOUT = (
    "home",
    "item",
    "item-bought",
    "item-asked",
    "item-arrived",
    "item-wrong-code",
    "item-file",
    "item-not-payable",
    "invoice-waiting",
    "invoice-lightning",
    "invoice-both",
    "invoice-chosen",
    "invoice-underpaid",
    "invoice-confirming",
    "invoice-expired",
    "invoice-late-credit",
    "invoice-paid-elsewhere",
    "invoice-ended",
    "content",
    "file",
    "error",
)


@pytest.mark.parametrize("name", CHECKOUT)
def test_every_checkout_page_is_accessible_and_fits_320_px(
    opened: Opener, double: ApiDouble, name: str
) -> None:
    with double.backend_app.test_request_context():
        double.hosted = screenshots.checkout_pages(double)
    assert set(double.hosted) == set(CHECKOUT)
    page = opened(
        viewport={"width": 320, "height": 690},
        color_scheme="dark" if CHECKOUT.index(name) % 2 else "light",
    )
    page.goto(f"{double.backend.origin}/hosted/{name}")
    assert not overflows(page)
    assert axe_violations(page, "body") == []
    html = double.hosted[name]
    assert "<script" not in html
    assert "style=" not in html
    waits = name.startswith("invoice-") and name.removeprefix("invoice-") in (
        "waiting",
        "lightning",
        "both",
        "chosen",
        "underpaid",
        "confirming",
    )
    assert ('http-equiv="refresh"' in html) == waits
