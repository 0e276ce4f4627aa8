"""Posts for the tests, and what a reader does with them in a browser."""

from dataclasses import dataclass

from playwright.sync_api import Page, expect

from tests.e2e.wall import expect_view, wall
from tests.support.wordpress import WordPressSite
from tests.wordpress.canaries import picture
from tests.wordpress.shop import WordPressShop
from tests.wordpress.ways import PRICE, p

TEASER = "The lake gives back what it took."
PAID = "The bell was under it all the time."
PAYWALL = "<!-- wp:bitcache/paywall /-->\n\n"
PRICE_SAT = 5_000


def image_block(media: int, url: str) -> str:
    """Return an image as the editor writes it."""
    return (
        f'<!-- wp:image {{"id":{media}}} -->\n<figure class="wp-block-image">'
        f'<img src="{url}" alt="" class="wp-image-{media}"/></figure>\n<!-- /wp:image -->'
    )


@dataclass(frozen=True)
class Article:
    """A post with a wall, that is for sale."""

    id: int
    url: str
    item: str


def write(site: WordPressSite, shop: WordPressShop, behind: str = "", **fields: object) -> Article:
    """Write a post for five cents; return it once the server sells it."""
    content = p(TEASER) + PAYWALL + p(PAID) + behind
    named = {"post_title": "The lake", "meta_input": PRICE, **fields}
    post_id = site.create_post(content, **named)
    return Article(post_id, site.permalink(post_id), shop.item_of(site, post_id))


def upload(site: WordPressSite, name: str, data: bytes = b"", kind: str = "image/jpeg") -> int:
    """Upload a file (a picture of noise, if none is given); return its id."""
    headers = {"Content-Type": kind, "Content-Disposition": f"attachment; filename={name}"}
    answer = site.rest(
        "POST", "wp/v2/media", user="admin", content=data or picture(name), headers=headers
    )
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def expect_teaser(page: Page) -> None:
    """Wait for the offer; nothing that costs is in the page."""
    expect_view(page, "offer")
    expect(page.get_by_text(TEASER).first).to_be_visible()
    assert PAID not in page.content()


def expect_article(page: Page) -> None:
    """Wait until the paid part stands in the page."""
    expect(page.locator(".bitcache-content").first).to_contain_text(PAID)


def pay(page: Page, shop: WordPressShop) -> str:
    """Press the button and pay what it asks for; return the receipt code."""
    wall(page).get_by_role("button", name="Pay with bitcoin").click()
    expect_view(page, "waiting")
    assert shop.pay_open() == PRICE_SAT
    return expect_view(page, "unlocked").locator("code").inner_text()
