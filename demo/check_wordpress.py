"""Plays a reader of the demo's WordPress, who pays from a real wallet over a real network."""

import httpx
from playwright.sync_api import expect

from demo.check_invoices import LIGHTNING, ON_CHAIN, Reader
from demo.checking import PICTURES, CheckFailed, Steps, wall
from demo.wordpress import PAID_WORDS, TEASER, DemoWordPress


def check_wordpress(
    reader: Reader, wordpress: DemoWordPress, over_lightning: bool, steps: Steps
) -> None:
    """Buy a post and a picture; see that nobody else can see them."""
    network = LIGHTNING if over_lightning else ON_CHAIN
    _buy_text(reader, wordpress, network, steps)
    _buy_picture(reader, wordpress, network, steps)
    _look_as_a_stranger(wordpress, steps)


def _open(reader: Reader, wordpress: DemoWordPress, title: str) -> None:
    reader.page.goto(wordpress.site.url)
    reader.page.get_by_role("link", name=title).first.click()
    expect(wall(reader.page, "offer")).to_be_visible()
    reader.page.evaluate("window.sameDocument = true")


def _buy_text(reader: Reader, wordpress: DemoWordPress, network: str, steps: Steps) -> None:
    _open(reader, wordpress, "The Last Ferry")
    expect(reader.page.get_by_text(TEASER).first).to_be_visible()
    if PAID_WORDS in reader.page.content():
        raise CheckFailed("the paid words are in the page before the payment")
    steps.done("the post opens in WordPress with its teaser, and the paid part is not in the page")
    picture = reader.ask_for_code()
    PICTURES.mkdir(exist_ok=True)
    reader.page.screenshot(path=PICTURES / "wordpress.png", full_page=True)
    reader.pay(picture, network)
    expect(reader.page.get_by_text(PAID_WORDS).first).to_be_visible()
    reader.expect_same_document()
    steps.done(f"the wallet pays {network}, and the post opens without a reload")
    reader.page.evaluate("localStorage.clear()")
    reader.page.reload()
    expect(reader.page.get_by_text(PAID_WORDS).first).to_be_visible()
    steps.done("it is open after a reload, even when the browser has thrown away what scripts keep")


def _buy_picture(reader: Reader, wordpress: DemoWordPress, network: str, steps: Steps) -> None:
    _open(reader, wordpress, "Low Water, in a Picture")
    reader.pay(reader.ask_for_code(), network)
    image = reader.page.locator(".bitcache-content img").first
    expect(image).to_be_visible()
    image.evaluate("image => image.decode()")
    steps.done("the picture is paid, and comes at full size")


def _look_as_a_stranger(wordpress: DemoWordPress, steps: Steps) -> None:
    with httpx.Client(follow_redirects=True) as stranger:
        original = stranger.get(wordpress.picture_url)
        if original.headers.get("Content-Type", "").startswith("image/"):
            raise CheckFailed(f"the picture is still at {wordpress.picture_url}")
        site = wordpress.site.url
        for path in ("/", "/feed/", "/wp-json/wp/v2/posts", *wordpress.posts.values()):
            url = path if path.startswith("http") else site + path
            if PAID_WORDS in stranger.get(url).text:
                raise CheckFailed(f"{url} gives the paid words away")
    steps.done(
        "strangers find neither words nor picture: pages, feed, REST, the file's old address"
    )
