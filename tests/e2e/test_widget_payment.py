"""The wall from the offer to the content, in a real browser against a scripted API."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.api_double import ADDRESS, ApiDouble
from tests.e2e.wall import ARTICLE, FILE, element, expect_view, wait_until, wall, watched

PRICE_SAT = 5000
PAID_WORDS = "an account book, kept in stone"
SECOND = "it_article00000000000002"


def start(page: Page, double: ApiDouble, body: str = "") -> None:
    page.goto(double.page("a", body or element()))
    expect_view(page, "offer")


def ask(page: Page, double: ApiDouble, number: int = 0) -> str:
    wall(page, number).get_by_role("button", name="Pay with bitcoin").click()
    expect_view(page, "waiting", number)
    return list(double.invoices)[-1]


def test_looking_makes_no_invoice(page: Page, double: ApiDouble) -> None:
    start(page, double)
    expect(wall(page)).to_contain_text("$0.05")
    expect(wall(page)).to_contain_text("about 5,000 sats")
    expect(page.locator(".teaser")).to_be_visible()
    assert double.count("POST") == 0
    assert PAID_WORDS not in page.content()


def test_a_payment_opens_the_article_without_a_reload(page: Page, double: ApiDouble) -> None:
    start(page, double)
    page.evaluate("window.same = true")
    invoice = ask(page, double)
    code = wall(page).get_by_role("img")
    expect(code).to_have_attribute("alt", re.compile(f"0.00005 bitcoin to {ADDRESS}"))
    assert code.evaluate("image => image.decode().then(() => image.naturalWidth > 0)")
    expect(wall(page).locator("#wallet")).to_have_attribute(
        "href", f"bitcoin:{ADDRESS}?amount=0.00005"
    )
    expect(wall(page).get_by_role("timer")).to_have_text(re.compile(r"^1[45]:\d\d$"))
    expect(wall(page)).to_contain_text("1 BTC =")
    double.receive(invoice, PRICE_SAT, 0, 2)
    expect_view(page, "seen")
    double.receive(invoice, PRICE_SAT, 1, 2)
    expect(expect_view(page, "confirming")).to_contain_text("1 of 2 confirmations")
    double.receive(invoice, PRICE_SAT, 2, 2)
    expect_view(page, "unlocked")
    article = page.locator("bitcache-paywall > .bitcache-content")
    expect(article).to_contain_text(PAID_WORDS)
    # In the light DOM, where the site's own style applies.
    assert article.locator("p").first.evaluate("p => getComputedStyle(p).textIndent") == "11px"
    expect(page.locator(".teaser")).to_have_count(0)
    assert page.evaluate("window.same") is True


def test_events_tell_the_page(page: Page, double: ApiDouble) -> None:
    start(page, double)
    page.evaluate(
        """() => { window.heard = [];
        for (const name of ['paid', 'unlocked', 'error'])
          document.addEventListener(`bitcache:${name}`,
            (event) => heard.push([name, event.detail.item])) }"""
    )
    double.receive(ask(page, double), PRICE_SAT)
    expect_view(page, "unlocked")
    assert page.evaluate("heard") == [["paid", ARTICLE], ["unlocked", ARTICLE]]


def test_it_is_open_on_the_next_visit(page: Page, double: ApiDouble) -> None:
    start(page, double)
    double.receive(ask(page, double), PRICE_SAT)
    expect_view(page, "unlocked")
    calls = len(double.calls)
    page.reload()
    expect_view(page, "unlocked")
    expect(page.locator(".bitcache-content")).to_contain_text(PAID_WORDS)
    later = [call for call in double.calls[calls:] if "/v1/" in call]
    assert later == [f"GET /v1/content/{ARTICLE}"]


def test_a_refused_grant_is_claimed_again(page: Page, double: ApiDouble) -> None:
    start(page, double)
    double.receive(ask(page, double), PRICE_SAT)
    expect_view(page, "unlocked")
    double.grants.clear()
    page.reload()
    expect_view(page, "unlocked")
    assert double.count(f"POST /v1/invoices/{double.only_invoice()}/claim") == 2


def test_leaving_and_coming_back_goes_on_with_the_same_code(page: Page, double: ApiDouble) -> None:
    start(page, double)
    invoice = ask(page, double)
    page.goto("about:blank")
    double.receive(invoice, PRICE_SAT, 0, 1)
    page.goto(f"{double.site.origin}/a")
    expect_view(page, "seen")
    page.goto("about:blank")
    double.receive(invoice, PRICE_SAT, 1, 1)
    page.goto(f"{double.site.origin}/a")
    expect_view(page, "unlocked")
    assert double.count("POST /v1/invoices/") == 1
    assert len(double.invoices) == 1


def test_a_double_click_makes_one_invoice(page: Page, double: ApiDouble) -> None:
    start(page, double)
    wall(page).locator("#main").evaluate("button => { button.click(); button.click() }")
    expect_view(page, "waiting")
    assert sum(call == "POST /v1/invoices" for call in double.calls) == 1


def test_two_tabs_share_one_code_and_open_together(
    context: BrowserContext, page: Page, double: ApiDouble
) -> None:
    start(page, double)
    other = context.new_page()
    other.goto(f"{double.site.origin}/a")
    expect_view(other, "offer")
    page.bring_to_front()
    invoice = ask(page, double)
    expect_view(other, "waiting")
    double.receive(invoice, PRICE_SAT)
    expect_view(page, "unlocked")
    expect_view(other, "unlocked")
    assert len(double.invoices) == 1


def test_two_walls_in_one_page_are_two_purchases(page: Page, double: ApiDouble) -> None:
    double.add_item(SECOND, title="The second")
    start(page, double, element() + element(SECOND))
    expect_view(page, "offer", 1)
    double.receive(ask(page, double, 1), PRICE_SAT)
    expect_view(page, "unlocked", 1)
    expect_view(page, "offer", 0)
    expect(page.locator(".bitcache-content")).to_have_count(1)
    double.receive(ask(page, double, 0), PRICE_SAT)
    expect_view(page, "unlocked", 0)


def test_the_same_item_twice_is_one_purchase(page: Page, double: ApiDouble) -> None:
    start(page, double, element() + element())
    expect_view(page, "offer", 1)
    double.receive(ask(page, double), PRICE_SAT)
    expect_view(page, "unlocked", 0)
    expect_view(page, "unlocked", 1)
    expect(page.locator(".bitcache-content")).to_have_count(2)
    assert len(double.invoices) == 1


def test_dead_events_are_replaced_by_polls(page: Page, double: ApiDouble) -> None:
    double.events_work = False
    start(page, double)
    invoice = ask(page, double)
    double.receive(invoice, PRICE_SAT)
    expect_view(page, "unlocked")
    assert double.count(f"GET /v1/invoices/{invoice}") >= 1


def test_a_file_is_downloaded(page: Page, double: ApiDouble) -> None:
    double.add_file(FILE)
    start(page, double, element(FILE))
    expect(wall(page)).to_contain_text("field-recordings.zip")
    double.receive(ask(page, double), PRICE_SAT)
    expect_view(page, "download")
    for _ in range(2):
        with page.expect_download() as waiting:
            wall(page).get_by_role("button", name="Download").click()
        assert waiting.value.suggested_filename == "field-recordings.zip"
    page.reload()
    expect_view(page, "download")


def test_too_little_asks_for_the_rest(page: Page, double: ApiDouble) -> None:
    start(page, double)
    invoice = ask(page, double)
    before = wall(page).get_by_role("img").get_attribute("src")
    double.receive(invoice, 3000)
    shown = expect_view(page, "underpaid")
    expect(shown).to_contain_text("3,000 sats arrived")
    expect(shown).to_contain_text("0.00002 BTC")
    assert wall(page).get_by_role("img").get_attribute("src") != before
    double.receive(invoice, PRICE_SAT)
    expect_view(page, "unlocked")


def test_a_code_over_the_full_price_is_not_shown_for_the_rest(
    page: Page, double: ApiDouble
) -> None:
    double.qr_for_missing = False
    start(page, double)
    double.receive(ask(page, double), 3000)
    expect_view(page, "underpaid")
    expect(wall(page).get_by_role("img")).to_have_count(0)
    expect(wall(page).locator("#wallet")).to_have_attribute(
        "href", f"bitcoin:{ADDRESS}?amount=0.00002"
    )


def test_too_much_is_told(page: Page, double: ApiDouble) -> None:
    start(page, double)
    double.receive(ask(page, double), PRICE_SAT + 700)
    expect(expect_view(page, "unlocked")).to_contain_text("You paid 700 sats more")


def test_an_expired_code_is_replaced(page: Page, double: ApiDouble) -> None:
    start(page, double)
    first = ask(page, double)
    double.expire(first)
    expect_view(page, "expired")
    wall(page).get_by_role("button", name="Get a new code").click()
    expect_view(page, "waiting")
    assert len(double.invoices) == 2
    # Money that reaches the old code while the new one waits is found.
    double.change(first, credit_msat=PRICE_SAT * 1000, received_msat=PRICE_SAT * 1000)
    page.reload()
    expect_view(page, "waiting")
    page.goto("about:blank")
    page.clock.install()
    page.goto(f"{double.site.origin}/a")
    expect_view(page, "waiting")
    page.clock.fast_forward(21_000)
    expect_view(page, "credit")


def test_late_money_is_credit_that_buys_the_article(page: Page, double: ApiDouble) -> None:
    start(page, double)
    invoice = ask(page, double)
    double.expire(invoice)
    expect_view(page, "expired")
    double.change(invoice, credit_msat=PRICE_SAT * 1000, marks=["late"])
    expect(expect_view(page, "credit")).to_contain_text("5,000 sats are yours")
    wall(page).get_by_role("button", name="Use your credit").click()
    expect_view(page, "unlocked")
    page.reload()
    expect_view(page, "unlocked")


def test_a_receipt_code_opens_the_article_in_another_browser(
    browser: Browser, page: Page, double: ApiDouble
) -> None:
    start(page, double)
    double.receive(ask(page, double), PRICE_SAT)
    shown = expect_view(page, "unlocked")
    code = shown.locator("code").inner_text()
    elsewhere = browser.new_context()
    other, errors = watched(elsewhere)
    other.goto(f"{double.site.origin}/a")
    expect_view(other, "offer")
    wall(other).get_by_role("button", name="Already paid?").click()
    field = wall(other).get_by_label("Receipt code")
    expect(field).to_be_focused()
    field.fill(f"{code[:-1]}{'x' if code[-1] != 'x' else 'y'}")
    field.press("Enter")
    expect(wall(other).get_by_role("alert")).to_contain_text("not valid")
    field.fill(code)
    field.press("Enter")
    expect_view(other, "unlocked")
    elsewhere.close()
    assert errors == []


def test_a_browser_that_stores_nothing_still_pays(context: BrowserContext, page: Page) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', "
        "{ get() { throw new DOMException('blocked', 'SecurityError') } })"
    )
    double = ApiDouble()
    start(page, double)
    invoice = ask(page, double)
    expect(wall(page)).to_contain_text("This browser saves nothing")
    assert wall(page).locator(".receipt code").inner_text().startswith(f"{invoice}.")
    double.receive(invoice, PRICE_SAT)
    expect_view(page, "unlocked")
    double.stop()


ERRORS = {
    "rate_unavailable": (503, "not known at the moment", True),
    "amount_below_floor": (422, "too small", True),
    "rail_unavailable": (503, "paused", True),
    "node_unreachable": (503, "paused", True),
    "addresses_exhausted": (503, "paused", True),
    "rate_limited": (429, "Too many attempts", True),
    "origin_not_allowed": (403, "not allowed to sell", False),
    "unknown_item": (404, "not for sale any more", False),
    "drop": (502, "cannot be reached", True),
    "some_new_code": (500, "Nothing is lost", True),
}


@pytest.mark.parametrize("code", ERRORS)
def test_an_error_is_put_into_words(page: Page, double: ApiDouble, code: str) -> None:
    status, words, again = ERRORS[code]
    start(page, double)
    double.errors["POST /v1/invoices"] = (status, code)
    wall(page).locator("#main").click()
    shown = expect_view(page, "error")
    expect(shown).to_contain_text(words)
    retry = shown.get_by_role("button", name="Try again")
    expect(retry).to_have_count(1 if again else 0)
    if again:
        double.errors.clear()
        retry.click()
        expect_view(page, "waiting")


def test_a_server_that_is_away_at_first_is_asked_again(page: Page, double: ApiDouble) -> None:
    double.errors["GET /v1/items"] = (502, "drop")
    page.goto(double.page("a", element()))
    shown = expect_view(page, "error")
    expect(page.locator(".teaser")).to_be_visible()
    double.errors.clear()
    shown.get_by_role("button", name="Try again").click()
    expect_view(page, "offer")


Change = Callable[[ApiDouble], None]


def _no_rate(double: ApiDouble) -> None:
    double.items[ARTICLE]["price"] |= {"amount_msat": None, "rate": None}
    double.items[ARTICLE]["rails"] = []


def _no_rail(double: ApiDouble) -> None:
    double.items[ARTICLE]["rails"] = []


@pytest.mark.parametrize(
    ("change", "words"), [(_no_rate, "not known at the moment"), (_no_rail, "right now")]
)
def test_what_cannot_be_paid_now_offers_no_button_to_pay(
    page: Page, double: ApiDouble, change: Change, words: str
) -> None:
    before = {key: double.items[ARTICLE][key] for key in ("price", "rails")}
    before["price"] = dict(before["price"])
    change(double)
    start(page, double)
    expect(wall(page)).to_contain_text(words)
    expect(wall(page).get_by_role("button", name="Pay with bitcoin")).to_have_count(0)
    double.items[ARTICLE] |= before
    wall(page).get_by_role("button", name="Try again").click()
    expect(wall(page).get_by_role("button", name="Pay with bitcoin")).to_be_visible()


def test_plain_http_is_told_before_an_invoice_is_made(page: Page, double: ApiDouble) -> None:
    page.add_init_script("Object.defineProperty(crypto, 'subtle', { value: undefined })")
    start(page, double)
    wall(page).locator("#main").click()
    expect(expect_view(page, "error")).to_contain_text("secure page")
    assert double.count("POST") == 0


def test_a_wall_that_is_removed_lets_go(page: Page, double: ApiDouble) -> None:
    start(page, double)
    invoice = ask(page, double)
    # All that the wall asks for by itself is under way and answered.
    assert wall(page).get_by_role("img").evaluate("image => image.decode().then(() => true)")
    wait_until(page, lambda: double.count("EVENTS") == 1)
    wall(page).evaluate("wall => wall.remove()")
    page.wait_for_timeout(100)
    asked = len(double.calls)
    double.receive(invoice, PRICE_SAT)
    page.wait_for_timeout(600)
    assert double.calls[asked:] == []


def test_markup_of_the_article_runs_no_script(page: Page, double: ApiDouble) -> None:
    double.content_html = "<p>Paid</p><script>window.ran = 1</script>"
    start(page, double)
    double.receive(ask(page, double), PRICE_SAT)
    expect_view(page, "unlocked")
    assert page.evaluate("window.ran") is None


def test_no_other_host_is_called(page: Page, double: ApiDouble) -> None:
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    start(page, double)
    double.receive(ask(page, double), PRICE_SAT)
    expect_view(page, "unlocked")
    known = {double.site.origin, double.backend.origin, double.events.origin}
    assert hosts <= {origin.removeprefix("http://") for origin in known}
