"""A reader who pays from a phone: an article, a file, and once without scripts.

The pages are driven as a person would: the QR code is read from its own pixels on the
screen, and the wallet page pays what that picture says.
"""

from decimal import Decimal

from playwright.sync_api import Browser, FilePayload, Page, expect

from bitcache_server.domain.money import SAT_PER_BTC
from demo.checking import (
    PAID_WORDS,
    PICTURES,
    CheckFailed,
    Steps,
    Watcher,
    expect_download,
    keep_still,
    wall,
)
from demo.shop import ARTICLE, PRICE_USD, USD_PER_BTC, Addresses

PRICE_SAT = int(Decimal(PRICE_USD) / USD_PER_BTC * SAT_PER_BTC)
#: As the wallet page calls the networks.
LIGHTNING, ON_CHAIN = "over Lightning", "on-chain"
#: What the check leaves there of the wall; docs/images/wall.png is such a picture.
WALL_PICTURE = PICTURES / "wall.png"


class Reader:
    """A reader with two open tabs, the magazine and their wallet."""

    def __init__(self, browser: Browser, addresses: Addresses, watcher: Watcher) -> None:
        context = browser.new_context(
            accept_downloads=True, viewport={"width": 1100, "height": 900}
        )
        watcher.watch(context)
        self.site_url = addresses.site
        self.page = context.new_page()
        self.wallet = context.new_page()
        # Another browser, which has bought nothing yet and runs no script.
        plain = browser.new_context(
            java_script_enabled=False, viewport={"width": 1100, "height": 900}
        )
        watcher.watch(plain)
        self.plain_page = plain.new_page()
        self.wallet.goto(addresses.wallet)

    def open_from_front_page(self, title: str) -> None:
        """Find a piece on the front page; nothing paid may be in what the site sends."""
        # A page in the background is drawn seldom, and clicks wait for a drawing.
        self.page.bring_to_front()
        self.page.goto(self.site_url)
        self.page.get_by_role("link", name=title).click()
        self.page.wait_for_load_state()
        if PAID_WORDS in self.page.content():
            raise CheckFailed("the paid words are in the page before the payment")
        expect(wall(self.page, "offer")).to_be_visible()
        # A reload would lose this.
        self.page.evaluate("window.sameDocument = true")

    def ask_for_code(self, way: str = "") -> bytes:
        """Press the button; return a picture of the QR code as the screen shows it.

        ``way`` is the button to press when the code for all ways is not wanted.
        """
        self.page.get_by_role("button", name="Pay with bitcoin").click()
        code = wall(self.page, "waiting").locator("img")
        expect(code).to_be_visible()
        if way:
            self.page.get_by_role("button", name=way, exact=True).click()
            expect(self.page.get_by_role("button", name=way, exact=True)).to_have_attribute(
                "aria-pressed", "true"
            )
        code.evaluate("image => image.decode()")
        return code.screenshot()

    def pay(self, picture: bytes, network: str) -> str:
        """Give the picture to the wallet and press Pay; return the amount that it showed.

        Fails when the wallet would pay over another network than this one.
        """
        self.wallet.bring_to_front()
        screenshot = FilePayload(name="screenshot.png", mimeType="image/png", buffer=picture)
        self.wallet.locator("#picture").set_input_files(screenshot)
        amount = self.wallet.locator("#amount")
        expect(amount).to_be_visible()
        expect(self.wallet.locator("#network")).to_contain_text(network)
        shown = amount.input_value()
        self.wallet.get_by_role("button", name="Pay", exact=True).click()
        expect(self.wallet.get_by_role("heading", name="Sent")).to_be_visible()
        self.wallet.get_by_role("button", name="Done").click()
        self.page.bring_to_front()
        return shown

    def expect_same_document(self) -> None:
        """Fail when the page was loaded again since it was opened."""
        if not self.page.evaluate("window.sameDocument === true"):
            raise CheckFailed("the page was loaded again")


def check_invoices(reader: Reader, file_bytes: bytes, over_lightning: bool, steps: Steps) -> None:
    """Buy everything with the phone wallet: over Lightning where it is there, and on-chain."""
    quick = LIGHTNING if over_lightning else ON_CHAIN
    _buy_article(reader, quick, steps)
    _buy_file(reader, steps, file_bytes, "On-chain" if over_lightning else "")
    _buy_without_scripts(reader, quick, steps)


def _buy_article(reader: Reader, network: str, steps: Steps) -> None:
    reader.open_from_front_page("The Five-Cent Ferry")
    steps.done("the article opens with its teaser, and the paid part is not in the page")
    picture = reader.ask_for_code()
    steps.done("the button brings a QR code")
    PICTURES.mkdir(exist_ok=True)
    wall(reader.page, "waiting").locator("[data-part=status], p").last.scroll_into_view_if_needed()
    reader.page.screenshot(path=WALL_PICTURE)
    _expect_price(reader.pay(picture, network))
    steps.done(f"the wallet reads the code from its pixels and pays {PRICE_SAT:,} sat {network}")
    expect(reader.page.get_by_text(PAID_WORDS).first).to_be_visible()
    reader.expect_same_document()
    steps.done("the article opens by itself, without a reload")
    _expect_whole_article(reader.page)
    reader.page.reload()
    expect(reader.page.get_by_text(PAID_WORDS).first).to_be_visible()
    steps.done("it is still open after a reload")


def _buy_file(reader: Reader, steps: Steps, file_bytes: bytes, way: str) -> None:
    reader.open_from_front_page("The Bell on Gannet Rock")
    picture = reader.ask_for_code(way)
    steps.done("the file's page brings a QR code of its own")
    _expect_price(reader.pay(picture, ON_CHAIN))
    expect(wall(reader.page, "download")).to_be_visible()
    reader.expect_same_document()
    steps.done(f"it is paid {ON_CHAIN}, and the download is offered without a reload")
    expect_download(reader.page, file_bytes)
    steps.done(f"the file arrives, {len(file_bytes):,} bytes, each the same")


def _buy_without_scripts(reader: Reader, network: str, steps: Steps) -> None:
    page = reader.plain_page
    page.bring_to_front()
    page.goto(f"{reader.site_url}/ferry.html")
    page.get_by_role("link", name="Read the rest for five cents").click()
    page.get_by_role("button", name="Pay with bitcoin").click()
    code = page.get_by_role("img", name="QR code")
    expect(code).to_be_visible()
    # Visible is not drawn: the picture comes with a request of its own. And the page loads
    # itself again every few seconds, but not while a picture of it is taken.
    keep_still(page)
    picture = code.screenshot()
    page.reload()
    _expect_price(reader.pay(picture, network))
    page.bring_to_front()
    expect(page.get_by_text(PAID_WORDS).first).to_be_visible()
    steps.done("without JavaScript, the server's own pages sell the article as well")


def _expect_price(shown: str) -> None:
    if shown != str(PRICE_SAT):
        raise CheckFailed(f"the code asks for {shown} sat instead of {PRICE_SAT}")


def _expect_whole_article(page: Page) -> None:
    paragraphs = ARTICLE.read_text("utf-8").count("<p>")
    arrived = page.locator("bitcache-paywall .bitcache-content p").count()
    if arrived != paragraphs:
        raise CheckFailed(f"{arrived} of {paragraphs} paragraphs arrived")
