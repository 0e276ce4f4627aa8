"""Take the pictures of docs/wordpress.md: each step from a fresh WordPress to the first sale.

    python -m tests.wordpress.screenshots --out docs/images

Colours are reduced, so that each picture is small.
"""

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.e2e.wall import PATIENCE_MS, chromium, expect_view
from tests.support.databases import Databases
from tests.support.wordpress import WordPresses
from tests.wordpress.journey import Blogger, Journey, journey

DESKTOP = {"width": 1100, "height": 620}
PHONE = {"width": 390, "height": 800}
COLOURS = 96
#: How much of the page's height is worth a picture, in CSS pixels; the whole window otherwise.
HEIGHTS = {
    "install": 340,
    "connect": 300,
    "consent": 950,
    "connected": 500,
    "wall-dark": 860,
    "pay": 992,
    "sales": 330,
}
DARKEN = "document.body.style.background = '#161514'; document.body.style.color = '#eee'"


class Camera:
    """Writes the pictures of a journey into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, page: Page, name: str) -> None:
        page.wait_for_load_state()
        # Fonts, and what fades in.
        page.wait_for_timeout(500)
        size = page.viewport_size or DESKTOP
        height = HEIGHTS.get(name, size["height"])
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height}
        shot = page.screenshot(clip=clip, full_page=True)  # type: ignore[arg-type]
        taken = Image.open(io.BytesIO(shot))
        few = taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(self._folder / f"wordpress-{name}.png", optimize=True)


def _open(browser: Browser, size: dict[str, int]) -> Page:
    context = browser.new_context(viewport=size)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    return context.new_page()


def _walk(way: Journey, browser: Browser, shoot: Callable[[Page, str], None]) -> None:
    page = _open(browser, DESKTOP)
    # They would be fetched from elsewhere.
    way.site.option("show_avatars", "0")
    way.log_in(page)
    blogger = Blogger(page)
    way.install(blogger)
    way.connect(blogger)
    address = way.publish(blogger)
    way.buy(_open(browser, PHONE), address)
    dark = _open(browser, DESKTOP)
    dark.goto(address)
    expect_view(dark, "offer")
    dark.evaluate(DARKEN)
    dark.emulate_media(color_scheme="dark")
    shoot(dark, "wall-dark")
    way.see_the_sale(page)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    shoot = Camera(folder)
    wordpresses = WordPresses()
    try:
        with tempfile.TemporaryDirectory() as name, chromium() as browser:
            place = Path(name)
            with (
                Databases(place).fresh("sqlite") as url,
                journey(wordpresses, place, url, shoot) as way,
            ):
                _walk(way, browser, shoot)
    finally:
        wordpresses.stop()


if __name__ == "__main__":
    main()
