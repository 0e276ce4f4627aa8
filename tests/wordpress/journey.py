"""The way from a fresh WordPress to the first paid article, as somebody new to it all goes it.

``test_journey.py`` counts what it takes; ``screenshots.py`` takes the pictures of
docs/wordpress.md on the way.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import FrameLocator, Locator, Page, expect
from sqlalchemy import select

from bitcache_server.extensions import db
from bitcache_server.models.sales import RequestRow
from bitcache_server.services.refresh_rates import refresh_rates
from tests.e2e.test_merchant_journey import Merchant
from tests.e2e.wall import expect_view, wall
from tests.support.lightning_world import (
    LightningWorld,
    lightning_settings,
    make_lightning_world,
)
from tests.support.sales_book import write_book
from tests.support.wordpress import WordPresses, WordPressSite
from tests.support.wordpress_zip import write_zip
from tests.wordpress.shop import WordPressShop

PASSWORD = "three grey herons"  # made up for this test
TITLE = "The keeper of Ar-Men"
TEASER = "Nobody stayed there for longer than he had to."
PAID = "The tower at Ar-Men was fourteen years in the building."
PRICE = "0.10"

#: Takes a picture of a page under a name, or does nothing.
Shoot = Callable[[Page, str], None]


class JourneyShop(WordPressShop):
    """A server where everybody may sign up, and whose readers pay over Lightning."""

    world: LightningWorld

    def _make_world(
        self, folder: Path, database_url: str, values: dict[str, Any]
    ) -> LightningWorld:
        values.update(sign_up="open", rail_stale_after_s=10**8, rate_max_age_s=10**8)
        world = make_lightning_world(lightning_settings(folder, database_url, **values))
        # PHP has no clock that a test could move.
        world.clock.now = int(time.time())
        with world.app.app_context():
            world.record_health()
            refresh_rates(world.deps, world.session)
        return world

    def pay_lightning(self) -> None:
        """Pay the one Lightning invoice as any wallet would, and let the jobs see it."""
        with self.world.app.app_context():
            query = select(RequestRow.target).where(RequestRow.rail == "lightning")
            payment_hash = db.session().scalars(query).one()
            db.session().rollback()
            self.world.lightning.pay(payment_hash)
            self.world.settle()
            write_book(self.world)


class Blogger(Merchant):
    """Somebody at a keyboard and a mouse, in wp-admin and on the server's pages."""

    def key(self, name: str) -> None:
        """Press a key that does what a click would do."""
        self.effort.characters += 1
        self.page.keyboard.press(name)

    def write(self, text: str) -> None:
        """Type where the cursor is."""
        self.effort.characters += len(text)
        self.page.keyboard.type(text)

    def choose(self, field: Locator, path: Path) -> None:
        """Choose a file: a field of its own, in a window of the system."""
        self.effort.fields += 1
        field.set_input_files(path)


@dataclass
class Journey:
    """A fresh WordPress, a server, and the plugin as a file on the blogger's disk."""

    site: WordPressSite
    shop: JourneyShop
    archive: Path
    shoot: Shoot

    def log_in(self, page: Page) -> None:
        """Be where the journey begins: in wp-admin."""
        page.goto(f"{self.site.url}/wp-login.php")
        page.fill("#user_login", "admin")
        page.fill("#user_pass", "admin-pass")
        page.click("#wp-submit")
        page.wait_for_url("**/wp-admin/**")

    def install(self, blogger: Blogger) -> None:
        """Upload the plugin and switch it on."""
        page = blogger.page
        page.locator("#menu-plugins > a").hover()
        blogger.click(page.locator("#menu-plugins .wp-submenu").get_by_text("Add Plugin"))
        blogger.click(page.locator(".upload-view-toggle"))
        blogger.choose(page.locator("#pluginzip"), self.archive)
        self.shoot(page, "install")
        blogger.press("Install Now")
        blogger.press("Activate Plugin")
        # It opens by itself, and the cursor waits in the field.
        expect(page.get_by_label("Address of the server").first).to_be_focused()
        self.shoot(page, "connect")

    def connect(self, blogger: Blogger) -> None:
        """Open an account on the server on the way, and come back connected."""
        page = blogger.page
        blogger.effort.fields += 1
        blogger.write(self.shop.origin)
        blogger.key("Enter")
        blogger.press("Open an account")
        blogger.fill("Name to sign in with", "keeper")
        blogger.fill("Your name, as others see it", "Jean Guivarc'h")
        blogger.fill("Name of your shop or site", "The Slow Quarterly")
        blogger.fill("Password", PASSWORD)
        blogger.press("Continue with a password")
        expect(page.get_by_role("heading", name=re.compile("^Connect "))).to_be_visible()
        self.shoot(page, "consent")
        blogger.press("Connect")
        expect(page.get_by_text("This site is connected.")).to_be_visible()
        # The server's page has proposed the blog's own title.
        expect(page.locator(".bitcache-where")).to_contain_text("“The Slow Quarterly” at ")
        expect(page.locator(".bitcache-health .is-bad, .is-unknown")).to_have_count(0)
        self.shoot(page, "connected")

    def publish(self, blogger: Blogger) -> str:
        """Write a post, say where it costs and how much, publish it; return its address."""
        page = blogger.page
        blogger.press("Write a post")
        # WordPress greets whoever writes a first post.
        expect(page.get_by_role("dialog")).to_be_visible()
        blogger.key("Escape")
        canvas: FrameLocator = page.frame_locator('iframe[name="editor-canvas"]')
        blogger.effort.fields += 1
        canvas.get_by_role("textbox", name="Add title").click()
        for line in (TITLE, TEASER):
            blogger.write(line)
            blogger.key("Enter")
        blogger.write("/paywall")
        # Before all of it has arrived, another block is the first of the list.
        expect(page.get_by_role("option", name="Paywall", selected=True)).to_be_visible()
        blogger.key("Enter")
        mark = canvas.get_by_text("Paid from here")
        expect(mark).to_have_text("Paid from here: no price yet")
        blogger.key("Enter")
        blogger.write(PAID)
        blogger.click(page.get_by_role("button", name="Publish", exact=True))
        panel = page.locator(".editor-post-publish-panel")
        expect(panel).to_contain_text("nobody can read or buy it")
        blogger.fill("Price", PRICE)
        expect(panel).to_contain_text(f"Sold for {PRICE} USD.")
        expect(mark).to_have_text(f"Paid from here: {PRICE} USD")
        self.shoot(page, "publish")
        blogger.click(panel.get_by_role("button", name="Publish", exact=True))
        expect(panel).to_contain_text("is now live")
        address = panel.get_by_role("link", name="View Post").get_attribute("href")
        assert address
        return address

    def buy(self, reader: Page, address: str) -> None:
        """Open the post as a reader who has never been there, pay, and read."""
        reader.goto(address)
        expect_view(reader, "offer")
        assert PAID not in reader.content()
        self.shoot(reader, "wall")
        wall(reader).get_by_role("button", name="Pay with bitcoin").click()
        expect_view(reader, "waiting")
        self.shoot(reader, "pay")
        self.shop.pay_lightning()
        expect(reader.locator(".bitcache-content").first).to_contain_text(PAID)
        self.shoot(reader, "read")

    def see_the_sale(self, page: Page) -> None:
        """Find the sale in the list of posts, without waiting for the hour to be over."""
        page.goto(f"{self.site.url}/wp-admin/admin.php?page=bitcache")
        with page.expect_response("**/admin-ajax.php"):
            page.get_by_role("button", name="Look again").click()
        page.goto(f"{self.site.url}/wp-admin/edit.php")
        row = page.get_by_role("row").filter(has_text=TITLE)
        expect(row).to_contain_text(f"{PRICE} USD")
        expect(row).to_contain_text("1 sale")
        self.shoot(page, "sales")


@contextmanager
def journey(
    wordpresses: WordPresses, folder: Path, database_url: str, shoot: Shoot = lambda *_: None
) -> Iterator[Journey]:
    """Give a fresh WordPress without the plugin, and a server that it does not know."""
    site = wordpresses.fresh(plugin=False)
    shop = JourneyShop(folder, database_url)
    try:
        yield Journey(site, shop, write_zip(folder), shoot)
    finally:
        site.stop()
        shop.stop()
