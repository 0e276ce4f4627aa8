"""What the tests of the WordPress plugin share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.wall import PATIENCE_MS, chromium, watched
from tests.support.databases import Databases
from tests.support.wordpress import WordPresses, WordPressSite
from tests.wordpress.shop import WordPressShop

expect.set_options(timeout=PATIENCE_MS)

#: Opens a shop and a WordPress that is connected to it.
Connected = Callable[..., AbstractContextManager[tuple[WordPressSite, WordPressShop]]]


@contextmanager
def without_complaints(wordpresses: WordPresses, version: str) -> Iterator[WordPressSite]:
    """Open a new site; at its end PHP must have had no complaint."""
    site = wordpresses.fresh(version=version)
    try:
        yield site
        complaints = site.complaints()
    finally:
        site.stop()
    assert complaints == []


@pytest.fixture(scope="session")
def connected(
    wordpresses: WordPresses, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Connected:
    """Return what opens a new site with a shop; at its end PHP must have had no complaint."""

    @contextmanager
    def opened(**layout: Any) -> Iterator[tuple[WordPressSite, WordPressShop]]:
        with databases.fresh("sqlite") as url:
            site = wordpresses.fresh(**layout)
            shop = WordPressShop(_folder(tmp_path_factory), url)
            try:
                shop.connect(site)
                yield site, shop
                complaints = site.complaints()
            finally:
                site.stop()
                shop.stop()
        assert complaints == []

    return opened


def _folder(factory: pytest.TempPathFactory) -> Path:
    return factory.mktemp("shop")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context()
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    opened, errors = watched(context)
    yield opened
    assert errors == []
