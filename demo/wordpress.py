"""A real WordPress beside the demo's server: connected, with three priced posts and a picture.

It is installed as the tests install theirs (``tests/support/wordpress.py``), and connected as
its owner would do it by hand: with the form in wp-admin, the server's address and the secret.
"""

import io
import re
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx
from PIL import Image, ImageDraw

from demo.shop import PRICE_USD, CommandFailed, Shop
from tests.support.wordpress import NEWEST, WordPresses, WordPressSite

ADMIN, PASSWORD = "admin", "admin-pass"
TEASER = "The ferry still goes, once a day, for whoever stands on the pier."
PAID_WORDS = "He takes five cents, and has never said what for."
SYNC_TIMEOUT_S = 60
_TEXT = "<!-- wp:paragraph -->\n<p>{}</p>\n<!-- /wp:paragraph -->\n\n"
_IMAGE = (
    '<!-- wp:image {{"id":{id},"sizeSlug":"large"}} -->\n<figure class="wp-block-image size-large">'
    '<img src="{url}" alt="{alt}" class="wp-image-{id}"/></figure>\n<!-- /wp:image -->\n\n'
)
_WALL = "<!-- wp:bitcache/paywall /-->\n\n"
_PART = (
    '<!-- wp:bitcache/paid {{"part":"recipe","price":"0.02","currency":"USD"}} -->\n'
    '<div class="wp-block-bitcache-paid">{}</div>\n<!-- /wp:bitcache/paid -->\n\n'
)
_SYNC = (
    "do_action( 'bitcache_sync' ); return get_post_meta( $input['id'], '_bitcache_items', true );"
)


@dataclass
class DemoWordPress:
    """The WordPress of one demo; it and its database end with the block."""

    shop: Shop
    server_url: str
    posts: dict[str, str] = field(default_factory=dict)
    """Name of a post to its address."""
    picture_url: str = ""
    """Where the original of the paid picture was before it was paid."""

    def __enter__(self) -> Self:
        self._all = WordPresses()
        try:
            self.site = self._all.fresh(version=NEWEST)
            self._connect()
            self._write()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        if hasattr(self, "site"):
            self.site.stop()
        self._all.stop()

    def _connect(self) -> None:
        made = self.shop.run(
            "site", "add", "--merchant", self.shop.merchant_id, "--name", "Slack Water, the blog",
            "--origin", self.site.origin,
        )  # fmt: skip
        connect_by_hand(self.site, self.server_url, made["secret"])

    def _write(self) -> None:
        price = {"_bitcache_price": PRICE_USD, "_bitcache_currency": "USD"}
        media = self._upload()
        self.picture_url = self.site.eval("return wp_get_attachment_url( $input['id'] );", id=media)
        image = _IMAGE.format(id=media, url=self.picture_url, alt="The ferry at low water")
        texts = {
            "The Last Ferry": _TEXT.format(TEASER) + _WALL + _TEXT.format(PAID_WORDS),
            "Low Water, in a Picture": _TEXT.format("One exposure, forty seconds.") + _WALL + image,
            "Bread for Two Tides": _TEXT.format("Flour, salt, and time between two tides.")
            + _PART.format(_TEXT.format("Let it rise while the water falls: six hours, no less."))
            + _TEXT.format("It keeps for a week."),
        }
        for title, content in texts.items():
            meta = {} if "bitcache/paid" in content else price
            post_id = self.site.create_post(content, post_title=title, meta_input=meta)
            self._wait_for_item(post_id, title)
            self.posts[title] = self.site.permalink(post_id)

    def _wait_for_item(self, post_id: int, title: str) -> None:
        ends_at = time.monotonic() + SYNC_TIMEOUT_S
        while not self.site.eval(_SYNC, id=post_id):
            if time.monotonic() > ends_at:
                raise CommandFailed(f"WordPress could not put “{title}” up for sale.")
            time.sleep(0.2)

    def _upload(self) -> int:
        headers = {"Content-Type": "image/jpeg"}
        headers["Content-Disposition"] = "attachment; filename=low-water.jpg"
        answer = self.site.rest(
            "POST", "wp/v2/media", user=ADMIN, content=_drawing(), headers=headers
        )
        answer.raise_for_status()
        return int(answer.json()["id"])

    def announce(self) -> None:
        """Tell the person what to open there."""
        print(f"\n  WordPress        {self.site.url}")
        for title, url in self.posts.items():
            print(f"    {title:<24} {url}")
        print(f"  wp-admin         {self.site.url}/wp-admin/   {ADMIN} / {PASSWORD}", flush=True)


def connect_by_hand(site: WordPressSite, server_url: str, secret: str) -> None:
    """Fill in the form on the plugin's page in wp-admin; raise CommandFailed if it is refused."""
    with_cookies = site.logged_in(ADMIN)
    try:
        page = with_cookies.get("wp-admin/admin.php", params={"page": "bitcache"}).text
        form = _form(page, "bitcache_by_hand")
        form |= {"server": server_url, "secret": secret}
        answer = with_cookies.post("wp-admin/admin-post.php", data=form, follow_redirects=True)
    finally:
        with_cookies.close()
    if not site.eval("return \\Bitcache\\Server\\Connection::is_connected();"):
        raise CommandFailed(f"WordPress could not be connected: {_words(answer)}")


def _form(page: str, action: str) -> dict[str, str]:
    """Return the hidden fields of the form that has this action."""
    for form in re.findall(r"<form\b.*?</form>", page, re.DOTALL):
        hidden: dict[str, str] = {}
        for tag in re.findall(r"<input\b[^>]*>", form):
            attributes = dict(re.findall(r'([a-z-]+)="([^"]*)"', tag))
            if attributes.get("type") == "hidden":
                hidden[attributes["name"]] = attributes.get("value", "")
        if hidden.get("action") == action:
            return hidden
    raise CommandFailed(f"wp-admin has no form “{action}”.")


def _words(answer: httpx.Response) -> str:
    notices = re.findall(r'<div class="notice[^>]*>(.*?)</div>', answer.text, re.DOTALL)
    return re.sub(r"<[^>]+>", " ", " ".join(notices)).strip() or str(answer.status_code)


def _drawing() -> bytes:
    """Return a picture of the sea at low water, as far as a few lines can show it."""
    image = Image.new("RGB", (1600, 1000), "#c9d6d8")
    draw = ImageDraw.Draw(image)
    for row in range(520, 1000, 6):
        draw.line((0, row, 1600, row - 40), fill=(90 + row // 12, 120 + row // 14, 130), width=4)
    draw.polygon([(620, 520), (980, 520), (930, 590), (670, 590)], fill="#31352e")
    draw.rectangle((740, 440, 860, 520), fill="#e9e4d4")
    out = io.BytesIO()
    image.save(out, "JPEG", quality=88)
    return out.getvalue()
