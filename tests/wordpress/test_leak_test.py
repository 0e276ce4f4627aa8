"""The leak test that owners run: green where all is sealed, red where a page cache leaks.

It runs behind caches that keep every page for everybody: nginx as many people have it, and a
drop-in. Once in wp-admin and once on the command line for each of them.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from html import unescape

import pytest

from tests.support.wordpress import (
    CACHE,
    NEWEST,
    TIMEOUT_S,
    WordPressError,
    WordPresses,
    WordPressSite,
)
from tests.support.wordpress_servers import PHP_OPTIONS
from tests.wordpress.caches import DROP_IN, GREEDY, empty_on_change, server_of, with_cache
from tests.wordpress.surfaces import CLASSIC

TITLE = "Bitcache leak test"
#: Five posts, a text and a picture.
PLANTED = 7
CACHE_ADVICE = "kept a page from before the price was set"
_LEFT = """
global $wpdb;
return array(
	count( $wpdb->get_col( "SELECT 1 FROM $wpdb->posts WHERE post_title LIKE 'Bitcache leak%'" ) ),
	get_option( 'bitcache_leak_test' ), wp_next_scheduled( 'bitcache_leak_clean' ) );
"""
_FILES = """
$found = array();
foreach ( array( wp_upload_dir()['basedir'], \\Bitcache\\Files\\Folder::root() ) as $folder ) {
	$files = new RecursiveIteratorIterator( new RecursiveDirectoryIterator( $folder ) );
	foreach ( $files as $file ) {
		if ( $file->isFile() && false !== strpos( $file->getFilename(), 'bcleak' ) ) {
			$found[] = $file->getFilename();
		}
	}
}
return $found;
"""
#: A plugin that prints what is stored: below articles, in feeds, over REST.
_LEAKS = """<?php
add_action( 'wp_footer', function () { if ( is_singular() ) {
	echo esc_html( get_post( get_queried_object_id() )->post_content ); } } );
add_action( 'rss2_item', function () {
	echo '<x>', esc_html( get_post( get_the_ID() )->post_content ), '</x>'; } );
add_action( 'rest_api_init', function () { register_rest_field( 'post', 'whole', array(
	'get_callback' => function ( $post ) { return get_post( $post['id'] )->post_content; } ) ); } );
"""
_PLANTED = (
    "$kept = get_option( 'bitcache_leak_test' );"
    "return is_array( $kept ) ? count( $kept['posts'] ) : 0;"
)


@pytest.fixture(scope="module", params=[GREEDY, DROP_IN])
def cached(
    request: pytest.FixtureRequest, wordpresses: WordPresses
) -> Iterator[tuple[WordPressSite, str]]:
    site = wordpresses.fresh(version=NEWEST, server=server_of(request.param))
    with_cache(site, request.param)
    yield site, request.param
    complaints = site.complaints()
    site.stop()
    assert complaints == []


def on_the_command_line(site: WordPressSite) -> tuple[str, list[dict[str, object]]]:
    """Run it there; return the verdict and the rows."""
    verdict = "green"
    try:
        said = site.cli("bitcache", "leak-test", "--format=json")
    except WordPressError as error:
        verdict, said = "red", str(error)
    return verdict, json.loads(said[said.index("[") : said.rindex("]") + 1])


def in_wp_admin(site: WordPressSite) -> tuple[str, str]:
    """Press the button; return the verdict and the page."""
    with closing(site.logged_in("admin")) as admin:
        path = "wp-admin/tools.php?page=bitcache-leak-test"
        found = re.search(r'name="_wpnonce" value="(\w+)"', admin.get(path).text)
        assert found is not None
        answer = admin.post(path, data={"bitcache_run": "1", "_wpnonce": found[1]})
    assert answer.status_code == 200
    kinds = {"notice-success": "green", "notice-error": "red", "notice-warning": "unknown"}
    [kind] = re.findall(r'notice inline ([\w-]+)"', answer.text)
    return kinds[kind], unescape(answer.text)


def expect_nothing_left(site: WordPressSite) -> None:
    """Nothing that was planted is there, and the caches of real pages never met it."""
    assert site.eval(_LEFT) == [0, False, False]
    assert site.eval(_FILES) == []
    for path in ("", "?feed=rss2", "?s=leak", "?rest_route=/wp/v2/posts&per_page=20"):
        answer = site.http.get(path, follow_redirects=True)
        assert answer.status_code == 200
        assert TITLE not in answer.text


def test_a_sealed_site_is_green(cached: tuple[WordPressSite, str]) -> None:
    site, kind = cached
    empty_on_change(site, True)
    if kind == GREEDY:
        verdict, page = in_wp_admin(site)
        assert re.findall(r"<tr><td>([^<]+).{,99}<strong>(?:Leaks|No answer)<", page) == []
        assert "Leaking: 0." in page
        assert "No answer: 0." in page
        assert "What to do" in page
    else:
        verdict, rows = on_the_command_line(site)
        states = {str(row["id"]): row["state"] for row in rows}
        assert set(states.values()) == {"green", "absent"}
        # It is the wall that is sealed, not the site that shows nothing.
        for shown in ("block:page", "block:page-again", "late:page", "feed-rss2", "rest-list"):
            assert states[shown] == "green", shown
        # Every route that names no post is asked for, also those of other plugins.
        assert "route:/wp/v2/pages" in states
        assert len([name for name in states if name.startswith("route:")]) > 40
    assert verdict == "green"
    expect_nothing_left(site)


def test_what_leaks_is_red(cached: tuple[WordPressSite, str]) -> None:
    """A cache that gives out what it read before it cost anything; a plugin that reads alone."""
    site, kind = cached
    empty_on_change(site, False)
    # In the theme that is quicker made.
    site.eval("switch_theme( 'classic' );")
    if kind == GREEDY:
        verdict, rows = on_the_command_line(site)
        red = [row for row in rows if row["state"] == "red"]
        assert [row["id"] for row in red] == ["late:page", "late:page-number"]
        assert CACHE_ADVICE in str(red[0]["note"])
        # What the cache keeps of the test: teasers, of posts that are gone.
        urls = {str(row["id"]): str(row["url"]) for row in rows}
        for way in ("block", "wrap", "shortcode", "price"):
            kept = site.http.get(urls[f"{way}:page"])
            assert kept.headers["X-Cache"] == "HIT"
            assert "bcpublic" in kept.text
            assert "bcsecret" not in kept.text
    else:
        plugin = site.content / "mu-plugins" / "leaks.php"
        plugin.write_text(_LEAKS)
        verdict, page = in_wp_admin(site)
        plugin.unlink()
        assert page.index("Leaks</strong>") < page.index("Sealed</strong>")
        for advice in (CACHE_ADVICE, "reads the text from", "writes the feed", "to the answers of"):
            assert advice in page
    assert verdict == "red"
    expect_nothing_left(site)


def test_a_test_that_breaks_off_is_cleaned_up(cached: tuple[WordPressSite, str]) -> None:
    """Its process is killed; the cron does the rest, and until then nobody meets its posts."""
    site, _ = cached
    command = ["php", *(f"-d{name}={value}" for name, value in PHP_OPTIONS.items())]
    command += [str(CACHE / "wp-cli.phar"), "--allow-root", f"--path={site.home}"]
    running = subprocess.Popen(
        [*command, f"--url={site.url}", "bitcache", "leak-test"],
        env={**os.environ, **site.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ends_at = time.monotonic() + TIMEOUT_S
    while site.eval(_PLANTED) < PLANTED and running.poll() is None:
        assert time.monotonic() < ends_at
    running.kill()
    running.wait()
    count, option, cron = site.eval(_LEFT)
    assert count == PLANTED
    assert len(option["posts"]) == PLANTED
    assert site.eval(_FILES) != []
    assert time.time() < cron <= time.time() + 600
    paths = ("", "?feed=rss2", "?cat=1", "?rest_route=/wp/v2/posts&per_page=20", "?s=Nobody")
    for path in (*paths, "?rest_route=/wp/v2/media"):
        seen = site.http.get(path, headers=CLASSIC, follow_redirects=True)
        assert seen.status_code == 200
        assert TITLE not in seen.text
    site.cli("cron", "event", "run", "bitcache_leak_clean")
    expect_nothing_left(site)


def test_files_that_were_not_noted_are_removed(cached: tuple[WordPressSite, str]) -> None:
    """A process can end between a file and its entry; a file of the owner's is not touched."""
    site, _ = cached
    code = """
        $folder = wp_upload_dir()['path'];
        foreach ( array( 'bcleak0123456789abcdef-300x225.png', 'bcleaks.png' ) as $name ) {
            touch( $folder . '/' . $name );
        }
        update_option( 'bitcache_leak_test', array( 'token' => 'a', 'posts' => array() ) );
        do_action( 'bitcache_leak_clean' );
        $left = array_map( 'basename', glob( $folder . '/bcleak*' ) );
        unlink( $folder . '/bcleaks.png' );
        return $left;"""
    assert site.eval(code) == ["bcleaks.png"]
    expect_nothing_left(site)
