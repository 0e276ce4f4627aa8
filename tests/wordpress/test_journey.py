"""From a fresh WordPress to the first paid article, in a real Chromium on the newest version.

The merchant signs up on the way, the reader pays over Lightning (a scripted node). ``pytest -s``
prints the clicks, fields and seconds that docs/wordpress.md states.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.wall import PATIENCE_MS, ROOT, axe_violations, expect_view, watched
from tests.support.databases import Databases
from tests.support.wordpress import PLUGIN, WordPresses
from tests.wordpress.journey import Blogger, Journey, journey

SCREENS = ((320, 690, "light"), (390, 844, "dark"), (1280, 800, "light"), (1280, 800, "dark"))
PROBLEM = """
$error = new \\Bitcache\\Server\\ServerError( 'no_answer' );
\\Bitcache\\Server\\Health::note( $error, 'offer', 'Ar-Men' );
update_user_meta( 1, 'locale', 'de_DE' );
"""
#: What anybody may do to a theme; a wall has to suit it.
DARKEN = "document.body.style.background = '#111'; document.body.style.color = '#eee'"


@pytest.fixture
def way(wordpresses: WordPresses, databases: Databases, tmp_path: Path) -> Iterator[Journey]:
    with databases.fresh("sqlite") as url, journey(wordpresses, tmp_path, url) as made:
        yield made


class Readers:
    """Opens pages in browsers that know nothing, and notes what goes wrong in them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.errors: list[list[str]] = []

    def open(self, width: int = 1280, height: int = 800, scheme: str = "light") -> Page:
        """Open a page of this size, for somebody who prefers light or dark."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]  # one of Playwright's own
        )
        context.set_default_timeout(PATIENCE_MS)
        page, heard = watched(context)
        self.errors.append(heard)
        return page


@pytest.fixture
def readers(browser: Browser) -> Iterator[Readers]:
    opened = Readers(browser)
    yield opened
    for context in browser.contexts:
        context.close()
    assert [heard for heard in opened.errors if heard] == []


def test_from_a_fresh_wordpress_to_the_first_paid_article(way: Journey, readers: Readers) -> None:
    page = readers.open()
    way.log_in(page)
    blogger = Blogger(page)
    way.install(blogger)
    way.connect(blogger)
    address = way.publish(blogger)
    effort = blogger.is_done()

    reader = readers.open(390, 844)
    way.buy(reader, address)
    way.see_the_sale(page)
    print(f"\nTo the first article on sale: {effort}, by hand {effort.hands_s:.0f} s")
    # What the documentation promises.
    assert effort.clicks < 12
    words = f"{effort.fields} fields and {effort.clicks} clicks"
    assert words in " ".join((ROOT / "docs" / "wordpress.md").read_text("utf-8").split())
    # Nothing in the plugin has made PHP complain; WordPress itself misses its own server here.
    own = ("/plugins/bitcache/", str(PLUGIN))
    assert [line for line in way.site.complaints() if any(one in line for one in own)] == []

    _look_at_the_wall(readers, address)
    _look_at_the_settings(page, way)
    _read_of_a_problem_in_german(page, way)
    _say_something_above_the_wall(way, address)


def _look_at_the_wall(readers: Readers, address: str) -> None:
    for width, height, scheme in SCREENS:
        page = readers.open(width, height, scheme)
        page.goto(address)
        expect_view(page, "offer")
        # The theme is light, whatever the reader's system prefers.
        expect(page.locator("bitcache-paywall")).to_have_attribute("theme", "light")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert axe_violations(page, ".bitcache-wall") == []
        page.evaluate(DARKEN)
        page.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
        expect(page.locator("bitcache-paywall")).to_have_attribute("theme", "dark")
        assert axe_violations(page, ".bitcache-wall") == []


def _look_at_the_settings(page: Page, way: Journey) -> None:
    for width in (320, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"{way.site.url}/wp-admin/admin.php?page=bitcache")
        assert axe_violations(page, ".bitcache-page") == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def _read_of_a_problem_in_german(page: Page, way: Journey) -> None:
    """What failed while the cron spoke English is told in the language of who looks."""
    way.site.eval(PROBLEM)
    page.goto(f"{way.site.url}/wp-admin/admin.php?page=bitcache")
    last = page.locator("#bitcache-health").get_by_text("Letztes Problem")
    expect(last).to_contain_text("Meldung von „Ar-Men“ an den Server")
    assert axe_violations(page, ".bitcache-page") == []


def _say_something_above_the_wall(way: Journey, address: str) -> None:
    settings = way.site.option("bitcache_settings")
    way.site.option("bitcache_settings", {**settings, "notice": "By hand & by heart."})
    said = '<p class="bitcache-line">By hand &amp; by heart.</p><bitcache-paywall'
    assert said in way.site.http.get(address).text
