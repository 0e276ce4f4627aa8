"""The reader's path in Firefox and in WebKit: teaser, payment, the text in its place.

The process of WebKitGTK 2.50.6 that shows a page dies about once in sixty such paths, by a
segmentation fault in its own libjavascriptcoregtk (the kernel's log has it). No page should be
able to do that; the path is then walked once more from its beginning, on a new site.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.wordpress import NEWEST, ROOT, WordPressSite
from tests.wordpress.articles import PAID, PRICE_SAT, TEASER, write
from tests.wordpress.conftest import Connected
from tests.wordpress.shop import WordPressShop

PYTHON = ROOT / ".cache" / "drivers-1" / "bin" / "python"
DRIVER = ROOT / "tests" / "support" / "wordpress_driver.py"
PATIENCE_S = 90
_SHADOW = "document.querySelector('bitcache-paywall')?.shadowRoot"
_VIEW = f"return {_SHADOW}?.querySelector('section[data-view]')?.dataset.view ?? ''"
_PAY = f"""
const buttons = [...({_SHADOW}?.querySelectorAll('button') ?? [])];
const button = buttons.find((one) => one.textContent.includes('Pay with bitcoin'));
button?.click();
return Boolean(button);
"""
_TEXT = "return document.querySelector('.bitcache-content')?.textContent ?? ''"
_PAGE = "return document.documentElement.outerHTML"


class BrowserCrashed(Exception):
    """The browser itself fell over."""


class OtherBrowser:
    """A browser at the other end of a pipe."""

    def __init__(self, name: str) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the browser
        screen = ["xvfb-run", "-a"] if name == "webkit" else []
        self._program = subprocess.Popen(
            [*screen, str(PYTHON), str(DRIVER), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "MOZ_HEADLESS": "1", "WEBKIT_DISABLE_COMPOSITING_MODE": "1"},
        )
        self._answer()

    def go(self, url: str) -> None:
        """Open an address."""
        self._order(go=url)

    def run(self, script: str) -> Any:
        """Run a script in the page; return what it returns."""
        return self._order(run=script)

    def until(self, script: str, true: Any, what: str) -> None:
        """Run a script until it returns something (or something that contains it)."""
        ends_at = time.monotonic() + PATIENCE_S
        while True:
            found = self.run(script)
            if found == true or (isinstance(found, str) and true and str(true) in found):
                return
            assert time.monotonic() < ends_at, f"{what}: {found!r}"
            time.sleep(0.1)

    def close(self) -> None:
        """End it."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.close()
        self._program.wait(PATIENCE_S)
        self._program.stdout.close()
        self._errors.close()

    def _order(self, **order: str) -> Any:
        assert self._program.stdin is not None
        self._program.stdin.write(json.dumps(order) + "\n")
        self._program.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._program.stdout is not None
        line = self._program.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise AssertionError(f"the browser ended: {self._errors.read()[-3000:]}")
        said = json.loads(line)
        if "crash" in said:
            raise BrowserCrashed(said["crash"])
        assert "error" not in said, said
        return said["value"]


@contextmanager
def _opened(name: str) -> Iterator[OtherBrowser]:
    assert Path(PYTHON).exists(), "The drivers are not there: run .ci/setup wordpress."
    running = OtherBrowser(name)
    try:
        yield running
    finally:
        running.close()


def _walk(other: OtherBrowser, site: WordPressSite, shop: WordPressShop) -> None:
    article = write(site, shop)
    other.go(article.url)
    other.until(_VIEW, "offer", "no offer")
    page = other.run(_PAGE)
    assert TEASER in page
    assert PAID not in page
    other.run("window.same = true; return 1")
    other.until(_PAY, True, "no button")
    other.until(_VIEW, "waiting", "no invoice")
    assert shop.pay_open() == PRICE_SAT
    other.until(_TEXT, PAID, "not unlocked")
    assert other.run("return window.same === true"), "the page was loaded again"
    other.go(article.url)
    other.until(_TEXT, PAID, "not open on the next visit")
    # By the site's own cookie, once the browser has thrown away what scripts keep.
    other.run("localStorage.clear(); return 1")
    other.go(article.url)
    other.until(_TEXT, PAID, "not open by the cookie")
    assert shop.count_payments() == 1


@pytest.mark.parametrize("name", ["firefox", "webkit"])
def test_from_the_teaser_to_the_text(name: str, connected: Connected) -> None:
    for walk in (1, 2):
        with connected(version=NEWEST) as (site, shop), _opened(name) as other:
            try:
                _walk(other, site, shop)
                return
            except BrowserCrashed:
                if walk == 2 or name != "webkit":
                    raise
