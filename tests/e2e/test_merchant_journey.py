"""From sign-up to the first sale, as somebody new to it all goes about it, in a real Chromium.

The site is a static page, the reader pays over Lightning (a scripted node), and the merchant's
server takes the webhook. ``pytest -s`` prints the clicks, fields, pages and seconds that
docs/merchants.md states.
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, send_from_directory
from playwright.sync_api import BrowserContext, Locator, Page, expect
from sqlalchemy import select

from bitcache_server.jobs import run_jobs
from bitcache_server.models.sales import RequestRow
from tests.e2e.api_double import Running
from tests.e2e.conftest import Opener
from tests.e2e.wall import PATIENCE_MS, ROOT, expect_view, wall
from tests.support.databases import Databases
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.receivers import Receiver, receiver
from tests.support.shops import assert_nothing_lost

PASSWORD = "three grey herons"  # made up for this test
LOCKED = "The tower at Ar-Men was fourteen years in the building."
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Lighthouse letters</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1>The keeper of Ar-Men</h1><p>Nobody stayed there for longer than he had to.</p>
{tag}
</main></body></html>"""


@dataclass
class Effort:
    """What it took a person."""

    clicks: int = 0
    fields: int = 0
    characters: int = 0
    pages: int = 0
    machine_s: float = 0.0
    """What server and browser took: nobody read, thought or typed."""

    @property
    def hands_s(self) -> float:
        """Return what a practised person needs beside it, who knows what to do.

        By the keystroke-level model (Card, Moran and Newell 1980): 0.28 s for a key, 1.1 s to
        point and 0.2 s to press, 0.8 s from the mouse to the keys and back, 1.35 s to decide.
        """
        return self.characters * 0.28 + self.clicks * 2.65 + self.fields * 3.45


class Merchant:
    """A browser whose every click, field and page is counted."""

    def __init__(self, page: Page) -> None:
        self.page, self.effort = page, Effort()
        self._began = time.monotonic()
        page.on("framenavigated", lambda frame: self._arrive(frame is page.main_frame))

    def click(self, what: Locator) -> None:
        """Press something."""
        self.effort.clicks += 1
        what.click()

    def fill(self, label: str, text: str) -> None:
        """Fill in a field of the page."""
        self.effort.fields += 1
        self.effort.characters += len(text)
        self.page.get_by_label(label).fill(text)

    def press(self, words: str) -> None:
        """Press a button or a link by its words."""
        named = self.page.get_by_role("button", name=words, exact=True)
        self.click(named.or_(self.page.get_by_role("link", name=words, exact=True)).first)

    def copy(self) -> str:
        """Copy what the page offers, and return what is on the clipboard."""
        self.press("Copy")
        expect(self.page.get_by_role("button", name="Copied")).to_be_visible()
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    def is_done(self) -> Effort:
        """Stop the clock."""
        return replace(self.effort, machine_s=time.monotonic() - self._began)

    def _arrive(self, main: bool) -> None:
        # A new name of the same page is no other page.
        self.effort.pages += main


@dataclass
class Place:
    """The server, the merchant's static site and the merchant's receiver of webhooks."""

    world: LightningWorld
    site: Running
    folder: Path
    hook: Receiver

    def publish(self, tag: str) -> str:
        """Write the article's page as a file with the tag in it; return its address."""
        (self.folder / "ar-men.html").write_text(PAGE.format(tag=tag), "utf-8")
        return f"{self.site.origin}/ar-men.html"


@pytest.fixture
def place(databases: Databases, tmp_path: Path) -> Iterator[Place]:
    # The port is known before the server is: its address is one of its settings.
    server = Running(Flask("not_yet"))
    folder = tmp_path / "site"
    folder.mkdir()
    site = Running(_static(folder), "127.0.0.1")
    settings: dict[str, Any] = {
        "public_url": server.origin,
        "events_url": server.origin,
        "sign_up": "open",
        "webhook_allow_local": True,
    }
    try:
        with (
            databases.fresh("sqlite") as url,
            opened_lightning_world(tmp_path, url, **settings) as world,
            receiver() as hook,
        ):
            # The library that checks webhooks looks at the real clock.
            world.clock.now = int(time.time())
            server.server.app = world.app
            with _jobs(world):
                yield Place(world, site, folder, hook)
            assert_nothing_lost(world)
    finally:
        site.stop()
        server.stop()


def _static(folder: Path) -> Flask:
    app = Flask("static_site", static_folder=None)

    @app.get("/<path:path>")
    def file(path: str) -> Response:
        return send_from_directory(folder, path)

    return app


@contextmanager
def _jobs(world: LightningWorld) -> Iterator[None]:
    """Run ``bitcache jobs`` beside the server."""
    stop = threading.Event()
    running = threading.Thread(target=run_jobs, args=(world.app,), kwargs={"stop": stop})
    running.start()
    try:
        yield
    finally:
        stop.set()
        running.join()


def _open_account(merchant: Merchant, url: str) -> None:
    page = merchant.page
    page.goto(f"{url}/account/sign-up")
    merchant.fill("Name to sign in with", "keeper")
    merchant.fill("Your name, as others see it", "Jean Guivarc'h")
    merchant.fill("Name of your shop or site", "Lighthouse letters")
    merchant.fill("Password", PASSWORD)
    merchant.press("Continue with a password")
    expect(page).to_have_url(re.compile("/dashboard/me_"))
    expect(page.get_by_text("Three steps lead to the first sale.")).to_be_visible()


def _add_site(merchant: Merchant, origin: str) -> None:
    merchant.press("Add a site")
    merchant.fill("What readers call it", "Lighthouse letters")
    merchant.fill("Where its pages are", origin)
    merchant.press("Add the site")
    expect(merchant.page.get_by_role("heading", name="The site's secret")).to_be_visible()


def _add_item(merchant: Merchant) -> str:
    """Put an article on sale; return the tag for its page, as it was copied."""
    merchant.press("Home")
    merchant.press("Price an item")
    merchant.fill("Title", "The keeper of Ar-Men")
    merchant.fill("The locked part, as HTML", f"<p>{LOCKED}</p>")
    merchant.fill("Price", "0.10")
    merchant.press("Put it on sale")
    return merchant.copy()


def _add_webhook(merchant: Merchant, url: str) -> str:
    """Let a server be told; return the endpoint's secret."""
    merchant.press("Webhooks")
    merchant.fill("Address", url)
    merchant.press("Add the endpoint")
    return merchant.copy()


def _read(place: Place, reader: Page, address: str) -> None:
    """Open the page as a reader who has never been there, pay, and read."""
    reader.goto(address)
    expect_view(reader, "offer")
    assert LOCKED not in reader.content()
    wall(reader).get_by_role("button", name="Pay with bitcoin").click()
    expect_view(reader, "waiting")
    place.world.lightning.pay(_payment_hash(place.world))
    expect_view(reader, "unlocked")
    expect(reader.get_by_text(LOCKED)).to_be_visible()


def _payment_hash(world: LightningWorld) -> str:
    world.session.rollback()
    target = world.session.scalars(
        select(RequestRow.target).where(RequestRow.rail == "lightning")
    ).one()
    world.session.rollback()
    return target


def test_from_sign_up_to_the_first_sale_and_its_webhook(place: Place, opened: Opener) -> None:
    page = opened(
        viewport={"width": 1280, "height": 800}, permissions=["clipboard-read", "clipboard-write"]
    )
    _patient(page.context)
    merchant = Merchant(page)
    _open_account(merchant, place.world.deps.settings.public_url)
    _add_site(merchant, place.site.origin)
    tag = _add_item(merchant)
    secret = _add_webhook(merchant, place.hook.url)
    address = place.publish(tag)
    effort = merchant.is_done()

    reader = opened(viewport={"width": 390, "height": 844})
    _read(place, reader, address)

    told: list[dict[str, Any]] = []
    while "sale.created" not in [event["type"] for event in told]:
        place.hook.wait()
        told = [one.verify(secret) for one in place.hook.received]
    [sale] = [event for event in told if event["type"] == "sale.created"]
    _see_the_sale(merchant, sale["data"]["id"])
    print(f"\nFrom sign-up to an article on sale: {effort}, by hand {effort.hands_s:.0f} s")
    # What the documentation promises.
    words = f"{effort.fields} fields, {effort.clicks} clicks and {effort.pages} pages"
    assert words in (ROOT / "docs" / "merchants.md").read_text("utf-8")


def _see_the_sale(merchant: Merchant, sale_id: str) -> None:
    page = merchant.page
    merchant.press("Home")
    today = page.locator(".figures > div").filter(has_text="Today")
    expect(today).to_contain_text("1 sale")
    sold = page.get_by_role("region", name="What sold best, 30 days")
    expect(sold).to_contain_text("The keeper of Ar-Men")
    merchant.press("Sales")
    row = page.get_by_role("row").filter(has_text="The keeper of Ar-Men")
    expect(row).to_contain_text("Lightning")
    merchant.click(row.get_by_role("link").first)
    expect(page).to_have_url(re.compile(f"/sales/{sale_id}$"))
    # The page of the sale has what the receiver was told.
    expect(page.get_by_text("sale.created").first).to_be_visible()


def _patient(context: BrowserContext) -> None:
    context.set_default_timeout(PATIENCE_MS)
