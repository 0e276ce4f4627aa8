"""What the tests in a browser share."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.api_double import ApiDouble
from tests.e2e.wall import PATIENCE_MS, chromium, watched

#: Opens a page in a browser that knows nothing; takes what a new context takes.
Opener = Callable[..., Page]

# Five seconds are little on a busy machine. What comes sooner is not waited for.
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(accept_downloads=True)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    opened, errors = watched(context)
    yield opened
    assert errors == []


@pytest.fixture
def double() -> Iterator[ApiDouble]:
    running = ApiDouble()
    yield running
    running.stop()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opener]:
    contexts: list[BrowserContext] = []
    errors: list[list[str]] = []

    def open_page(**options: object) -> Page:
        contexts.append(browser.new_context(**options))  # type: ignore[arg-type]  # Playwright's own
        page, heard = watched(contexts[-1])
        errors.append(heard)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [heard for heard in errors if heard] == []
