"""Page caches, however greedy: they hold teasers, and who has paid is not charged again.

The page-cache plugins of WordPress' directory cannot be installed from any registry that the
tests use. In their place: nginx as a polite cache, nginx as one that was told to ignore what
pages say about caching, and a cache in PHP that keeps every page for everybody
(``stand_ins/advanced-cache.php``).
"""

from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from playwright.sync_api import Page

from tests.support.wordpress import VERSIONS, WordPressSite
from tests.wordpress.articles import (
    PAID,
    TEASER,
    Article,
    expect_article,
    image_block,
    upload,
    write,
)
from tests.wordpress.caches import DROP_IN, GREEDY, POLITE, server_of, with_cache
from tests.wordpress.conftest import Connected
from tests.wordpress.shop import WordPressShop

CACHES = (POLITE, GREEDY, DROP_IN)
World = tuple[WordPressSite, WordPressShop, str]


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=CACHES)
def cached(request: pytest.FixtureRequest, version: str, connected: Connected) -> Iterator[World]:
    with connected(version=version, server=server_of(request.param)) as (site, shop):
        with_cache(site, request.param)
        yield site, shop, request.param


def content(client: httpx.Client, article: Article, grant: str | None = None) -> httpx.Response:
    """Ask for the paid part as the widget does."""
    path = f"?rest_route=/bitcache/v1/content&post={article.id}&part=post"
    return client.post(path, json={"grant": grant})


def test_a_stranger_after_a_payer_gets_the_teaser(cached: World) -> None:
    site, shop, _ = cached
    article = write(site, shop)
    with site.client() as payer, site.client() as stranger:
        answer = content(payer, article, shop.buy(article.item))
        assert PAID in answer.json()["html"]
        assert "no-store" in answer.headers["Cache-Control"]
        # Each cookie once.
        names = [cookie.partition("=")[0] for cookie in answer.headers.get_list("Set-Cookie")]
        assert sorted(names) == ["bitcache_hint", "bitcache_reader"]
        # The payer fills the cache, in every way that there is.
        assert TEASER in payer.get(article.url).text
        assert PAID in payer.post(f"?bitcache_read={article.id}").text
        payer.get(f"?bitcache_read={article.id}", follow_redirects=True)
        for path in (article.url, f"?bitcache_read={article.id}", f"?p={article.id}", "?feed=rss2"):
            seen = stranger.get(path, follow_redirects=True)
            assert seen.status_code == 200
            assert TEASER in seen.text
            assert PAID not in seen.text
        assert content(stranger, article).status_code == 401
        assert PAID not in stranger.post(f"?bitcache_read={article.id}").text


def test_a_stranger_after_an_editor_gets_the_teaser(cached: World) -> None:
    site, shop, _ = cached
    article = write(site, shop)
    with closing(site.logged_in("editor")) as editor, site.client() as stranger:
        assert PAID in content(editor, article).json()["html"]
        assert PAID not in editor.get(article.url).text
        assert PAID not in stranger.get(article.url).text
        assert content(stranger, article).status_code == 401


def test_a_payer_finds_a_cached_teaser_open_and_is_not_charged(cached: World, page: Page) -> None:
    site, shop, _ = cached
    article = write(site, shop)
    grant = shop.buy(article.item)
    before = shop.count_payments()
    with site.client() as stranger, site.client() as payer:
        for _ in range(2):
            last = stranger.get(article.url)
        assert last.headers["X-Cache"] == "HIT"
        cookies = content(payer, article, grant).cookies
        assert "bitcache_reader" in cookies
        named = [{"name": k, "value": v, "url": site.origin} for k, v in cookies.items()]
    page.context.add_cookies(named)  # type: ignore[arg-type]  # Playwright's own type
    page.goto(article.url)
    expect_article(page)
    assert shop.count_payments() == before


def test_a_paid_file_does_not_stay_in_a_cache(cached: World) -> None:
    """Not even for who has heard of the address that a payer got."""
    site, shop, kind = cached
    media = upload(site, f"tower-{kind}.jpg")
    url = site.eval("return wp_get_attachment_url( $input['id'] );", id=media)
    article = write(site, shop, image_block(media, url))
    with site.client() as payer, site.client() as stranger:
        html = content(payer, article, shop.buy(article.item)).json()["html"]
        source = html.split('src="', 1)[1].split('"', 1)[0].replace("&#038;", "&")
        source = source.replace("&amp;", "&")
        assert "bitcache_file=" in source
        mine = payer.get(source)
        assert mine.headers["Content-Type"] == "image/jpeg"
        assert len(mine.content) > 10_000
        for path in (source, url):
            seen = stranger.get(path)
            assert seen.content != mine.content
            assert seen.status_code in (401, 403, 404)
