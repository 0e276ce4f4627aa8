"""The other kinds of sites: in a sub-folder, a network, plain permalinks."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page

from tests.support.wordpress import NEWEST, VERSIONS, WordPressSite
from tests.wordpress.articles import PAID, expect_article, expect_teaser, pay, write
from tests.wordpress.conftest import Connected
from tests.wordpress.matrix import STRANGER, asker, prepared
from tests.wordpress.shop import WordPressShop
from tests.wordpress.ways import PRICE

World = tuple[WordPressSite, WordPressShop]
LAYOUTS: dict[str, dict[str, object]] = {
    "plain permalinks": {"permalinks": "plain", "version": VERSIONS[0]},
    "a sub-folder": {"folder": "/blog", "version": VERSIONS[1]},
    "a sub-folder behind nginx": {"folder": "/blog", "server": "nginx", "version": NEWEST},
    "a network": {"multisite": True, "version": NEWEST},
}
_STATE = """
global $wpdb;
$tables = $wpdb->get_col( "SHOW TABLES LIKE '{$wpdb->prefix}bitcache%'" );
return array( \\Bitcache\\Server\\Connection::is_connected(), $wpdb->prefix, $tables );
"""
_SELL_A_FILE = """
$path = wp_upload_bits( 'sold.txt', null, 'hello' )['file'];
$file = array( 'post_mime_type' => 'text/plain', 'post_title' => 'x', 'post_status' => 'inherit' );
$id   = wp_insert_attachment( $file, $path );
update_post_meta( $id, '_bitcache_price', '0.10' );
return array( \\Bitcache\\Files\\Folder::root(), get_attached_file( $id ) );
"""


@pytest.fixture(scope="module", params=LAYOUTS)
def world(request: pytest.FixtureRequest, connected: Connected) -> Iterator[World]:
    with connected(**LAYOUTS[request.param]) as made:
        yield made


def test_a_reader_buys(world: World, page: Page) -> None:
    site, shop = world
    article = write(site, shop)
    page.goto(article.url)
    expect_teaser(page)
    pay(page, shop)
    expect_article(page)
    page.evaluate("localStorage.clear()")
    page.reload()
    expect_article(page)
    [cookie] = [c for c in page.context.cookies() if c["name"] == "bitcache_reader"]
    assert cookie["path"] == site.layout.folder + "/"
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert page.context.request.post(f"{site.url}/?bitcache_read={article.id}").text().count(PAID)


def test_strangers_see_nothing(world: World) -> None:
    site, _ = world
    matrix = prepared(site, ("block", "wrap", "withpost"))
    with asker(site) as ask:
        filled = matrix.fill(STRANGER, ask)
    assert filled.leaks == []
    assert filled.broken == []
    assert filled.seen["page"] == {"block", "wrap", "withpost"}


def test_sites_of_a_network_know_nothing_of_each_other(connected: Connected) -> None:
    with connected(multisite=True) as (site, shop):
        site.cli("site", "create", "--slug=second")
        # The second is not connected: what costs there is withheld, and not for sale.
        is_connected, prefix, tables = site.eval(_STATE, path="second/")
        assert is_connected is False
        assert f"{prefix}bitcache_purchases" in tables
        content = "<!-- wp:bitcache/paywall /-->\n\n<!-- wp:paragraph --><p>" + PAID + "</p>"
        code = (
            "$id = wp_insert_post( wp_slash( $input['post'] ) ); return array( $id,"
            " get_permalink( $id ) );"
        )
        post = {"post_title": "There", "post_status": "publish", "post_content": content}
        post_id, url = site.eval(code, path="second/", post={**post, "meta_input": PRICE})
        seen = site.http.get(url, follow_redirects=True)
        assert seen.status_code == 200
        assert PAID not in seen.text
        assert "cannot be bought at the moment" in seen.text
        # What was bought on the first opens nothing on the second.
        article = write(site, shop)
        grant = shop.buy(article.item)
        answer = site.http.post(
            f"{site.url}/second/?rest_route=/bitcache/v1/content&post={post_id}&part=post",
            json={"grant": grant},
        )
        assert answer.status_code == 401
        assert PAID not in answer.text
        _expect_proposal(site, shop)
        _expect_nothing_left(site)


def _expect_proposal(site: WordPressSite, shop: WordPressShop) -> None:
    """Sites on one host tell the server which of them they are."""
    site.eval("update_option( 'blogname', 'Second &amp; sons' );", path="second/")
    with closing(site.logged_in("admin")) as admin:
        page = admin.get("second/wp-admin/admin.php?page=bitcache").text
        [nonce] = re.findall(r'value="bitcache_connect"><input[^>]+value="(\w+)"', page)
        form = {"action": "bitcache_connect", "_wpnonce": nonce, "server": shop.origin}
        answer = admin.post("second/wp-admin/admin-post.php", data=form)
    asked = {
        name: values[0]
        for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()
    }
    assert asked["site_title"] == "Second & sons"
    assert asked["site_url"] == f"{site.url}/second/"
    assert asked["shares_origin"] == "1"
    assert "site" not in asked


def _expect_nothing_left(site: WordPressSite) -> None:
    """A site that is deleted takes its tables and its private files with it."""
    [root, private] = site.eval(_SELL_A_FILE, path="second/")
    assert Path(private).is_file()
    site.cli("site", "delete", "2", "--yes")
    assert not Path(root).exists()
    assert site.eval("global $wpdb; return $wpdb->get_col( \"SHOW TABLES LIKE 'wp_2_%'\" );") == []
