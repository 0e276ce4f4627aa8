"""What leaves a site for machines: search engines, AMP, mail; and what editors see of a draft."""

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import pytest

from tests.support.wordpress import VERSIONS, WordPresses, WordPressSite
from tests.wordpress.articles import PAYWALL, TEASER
from tests.wordpress.conftest import without_complaints
from tests.wordpress.surfaces import CLASSIC, GOOGLE
from tests.wordpress.ways import PRICE, p

SECRET = "It hung in the mill, and nobody had looked."
ARTICLE = p(TEASER) + PAYWALL + p(SECRET)
#: How each post that costs is written.
KINDS = {
    "block": ARTICLE,
    "shortcode": f"{TEASER}\n\n[bitcache_paywall]\n\n{SECRET}",
    "price alone": p(TEASER) + p(SECRET),
}
#: Names and addresses as a crawler's, and as one that only says that it is.
_NAMES = """<?php
add_filter( 'bitcache_client_address', function () {
	return $_SERVER['HTTP_X_FORWARDED_FOR'] ?? ''; } );
add_filter( 'bitcache_reverse_dns', function () { return function ( $address ) {
	$names = array( '66.249.66.1' => 'crawl-1.googlebot.com', '66.249.66.2' => 'a.googlebot.com',
		'66.249.66.3' => 'crawl-1.googlebot.com.evil.test' );
	return $names[ $address ] ?? $address; }; } );
add_filter( 'bitcache_forward_dns', function () { return function ( $name ) {
	return array( array( 'ip' => '66.249.66.1' ) ); }; } );
"""
_AMP = "<?php function amp_is_request() { return isset( $_GET['amp'] ); }"
#: Newsletters of all kinds: they send what is stored, what is shown, and an excerpt of it.
_NEWS = """<?php
function test_news( $post ) {
	$text  = $post->post_content;
	$forms = array( $text, apply_filters( 'the_content', $text ), get_the_excerpt( $post ),
		wp_trim_words( strip_shortcodes( $text ), 200 ), wpautop( $text ),
		wp_strip_all_tags( do_blocks( $text ) ), esc_html( $text ) );
	foreach ( $forms as $number => $form ) {
		wp_mail( 'a@b.test', $number, "Dear Ada,\\n" . $form );
	}
}
add_action( 'transition_post_status', function ( $new, $old, $post ) {
	if ( 'publish' === $new && 'publish' !== $old ) { test_news( $post ); } }, 1, 3 );
add_action( 'test_news', function ( $id ) { test_news( get_post( $id ) ); } );
"""


@pytest.fixture(scope="module", params=VERSIONS)
def site(request: pytest.FixtureRequest, wordpresses: WordPresses) -> Iterator[WordPressSite]:
    with without_complaints(wordpresses, request.param) as made:
        yield made


@contextmanager
def plugin(site: WordPressSite, code: str) -> Iterator[None]:
    path = site.content / "mu-plugins" / "of-the-test.php"
    path.write_text(code)
    try:
        yield
    finally:
        path.unlink()


def test_search_engines_are_told_of_the_wall(site: WordPressSite) -> None:
    post_id = site.create_post(ARTICLE, post_title="</script><b>Bell", meta_input=PRICE)
    page = site.http.get(f"?p={post_id}", headers=CLASSIC, follow_redirects=True).text
    [text] = re.findall(r'<script type="application/ld\+json"[^>]*>(.*?)</script>', page, re.DOTALL)
    told = json.loads(text)
    assert told["@context"] == "https://schema.org"
    assert told["@type"] == "NewsArticle"
    assert told["mainEntityOfPage"] == site.permalink(post_id)
    assert told["description"] == TEASER
    assert told["isAccessibleForFree"] is False
    part = told["hasPart"]
    assert (part["@type"], part["isAccessibleForFree"]) == ("WebPageElement", False)
    # The class is in the page, around the wall and nothing else.
    name = part["cssSelector"].removeprefix(".")
    assert len(re.findall(rf'class="[^"]*\b{name}\b', page)) == 1
    assert f'<meta property="og:description" content="{TEASER}"' in page
    assert SECRET not in page
    # What costs nothing says nothing.
    free = site.create_post(p(TEASER), post_title="Free")
    assert "isAccessibleForFree" not in site.http.get(f"?p={free}", follow_redirects=True).text


def test_crawlers_read_on_when_the_owner_wants_it_and_they_are_who_they_say(
    site: WordPressSite,
) -> None:
    post_id = site.create_post(ARTICLE, post_title="Crawled", meta_input=PRICE)

    def visit(address: str, path: str = f"?p={post_id}") -> httpx.Response:
        headers = {**CLASSIC, **GOOGLE, "X-Forwarded-For": address}
        return site.http.get(path, headers=headers, follow_redirects=True)

    def look_up() -> None:
        for name in ("66.249.66.1", "66.249.66.2", "66.249.66.3", "66.249.66.4"):
            site.eval("do_action( 'bitcache_crawler', 'googlebot', $input['a'] );", a=name)

    with plugin(site, _NAMES):
        look_up()
        assert SECRET not in visit("66.249.66.1").text
        site.eval(
            "update_option( 'bitcache_settings', array( 'crawlers' => true )"
            " + \\Bitcache\\Settings::get() ); delete_transient( 'bitcache_bot_' .\n"
            " md5( 'googlebot 66.249.66.1' ) );"
        )
        # Nobody is looked up while a page is made.
        assert SECRET not in visit("66.249.66.1").text
        look_up()
        whole = visit("66.249.66.1")
        assert '<div class="bitcache-paywall">' in whole.text
        assert SECRET in whole.text
        assert "no-store" in whole.headers["Cache-Control"]
        # A name that does not lead back, one that only looks like it, and none at all.
        for number in (2, 3, 4):
            assert SECRET not in visit(f"66.249.66.{number}").text
        for path in ("?feed=rss2", "", f"?rest_route=/wp/v2/posts/{post_id}"):
            assert SECRET not in visit("66.249.66.1", path).text
        plain = site.http.get(f"?p={post_id}", headers=CLASSIC, follow_redirects=True)
        assert SECRET not in plain.text
    site.eval("delete_option( 'bitcache_settings' );")


def test_amp_pages_are_teasers_without_elements_of_ours(site: WordPressSite) -> None:
    post_id = site.create_post(ARTICLE, post_title="Fast", meta_input=PRICE)
    with plugin(site, _AMP):
        seen = site.http.get(f"?p={post_id}&amp=1", headers=CLASSIC, follow_redirects=True).text
    assert TEASER in seen
    assert SECRET not in seen
    assert "<bitcache-paywall" not in seen
    assert "bitcache:wall" not in seen


@pytest.mark.parametrize("kind", KINDS)
def test_mail_is_a_teaser(site: WordPressSite, kind: str) -> None:
    """Also where it is sent while the post is published, with a price that is not saved yet."""
    post = {"title": f"News {kind}", "content": KINDS[kind], "meta": PRICE}
    with plugin(site, _NEWS):
        made = site.rest("POST", "wp/v2/posts", user="admin", json={**post, "status": "publish"})
        assert made.status_code == 201
        site.eval("do_action( 'test_news', $input['id'] );", id=made.json()["id"], user="")
        mails = site.mails()
    assert len(mails) == 14
    for mail in mails:
        assert SECRET not in mail["message"]
        assert TEASER in mail["message"]


def test_other_mail_arrives_as_it_was_written(site: WordPressSite) -> None:
    site.create_post(ARTICLE, post_title="Known", meta_input=PRICE)
    site.eval("wp_mail( 'a@b.test', 'Hi', $input['text'] );", text="Dear Ada,\n\nIt hung there.")
    [mail] = site.mails()
    assert mail["message"] == "Dear Ada,\n\nIt hung there."


def test_a_preview_shows_the_draft_as_readers_will_see_it(site: WordPressSite) -> None:
    post_id = site.create_post(ARTICLE, post_title="Rewritten", meta_input=PRICE)
    with (
        closing(site.logged_in("editor")) as editor,
        closing(site.logged_in("subscriber")) as subscriber,
        site.client() as stranger,
    ):
        # As the editor's script does it.
        nonce = editor.get("wp-admin/admin-ajax.php?action=rest-nonce").text
        draft = p(TEASER) + p("A new beginning.") + PAYWALL + p("And a new end.")
        saved = editor.post(
            f"?rest_route=/wp/v2/posts/{post_id}/autosaves",
            json={"content": draft},
            headers={"X-WP-Nonce": nonce},
        )
        path = saved.json()["preview_link"]
        assert "preview_nonce" in path
        seen = editor.get(path, follow_redirects=True).text
        assert "A new beginning." in seen
        assert "And a new end." not in seen
        [asked] = re.findall(r'data-content="([^"]+)"', seen)
        asked = asked.replace("&#038;", "&")
        assert "And a new end." in editor.post(asked, json={}).json()["html"]
        # Others have no preview, and what is published stays what it was.
        for other in (subscriber, stranger):
            assert "new" not in visible(other.get(path, follow_redirects=True))
            assert other.post(asked, json={}).status_code == 401
            plain = other.get(f"?p={post_id}&preview=true", follow_redirects=True)
            assert TEASER in plain.text
            assert "new" not in visible(plain)
        assert SECRET in editor.post(asked.replace("&draft=1", ""), json={}).json()["html"]


def visible(answer: httpx.Response) -> str:
    """Return what an answer says in its body, without tags, styles and scripts."""
    body = answer.text.partition("<main")[2] or answer.text.partition("<body")[2]
    return re.sub(r"<(script|style).*?</\1>|<[^>]*>", "", body, flags=re.DOTALL)


#: A default price, and what takes it back.
DEFAULTS: dict[str, tuple[str, str]] = {
    "site": (
        "update_option( 'bitcache_settings', array( 'default_price' => '0.05',"
        " 'default_types' => array( 'post' ) ) + \\Bitcache\\Settings::get() );",
        "delete_option( 'bitcache_settings' );",
    ),
    "category": (
        "update_term_meta( 1, 'bitcache_price', '0.05' );",
        "delete_term_meta( 1, 'bitcache_price' );",
    ),
    "author": (
        "update_user_meta( 1, 'bitcache_price', '0.05' );",
        "delete_user_meta( 1, 'bitcache_price' );",
    ),
}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_a_default_that_comes_later_counts_at_once(site: WordPressSite, kind: str) -> None:
    """Before the cron has gone through the posts, and after it."""
    price, free = DEFAULTS[kind]
    word = f"Zwiebelturm{kind}"
    post_id = site.create_post(p(TEASER) + p(f"The {word} leans."), post_title=f"Later {kind}")
    pages = (f"?p={post_id}", "?feed=rss2", f"?rest_route=/wp/v2/posts/{post_id}", "?cat=1")
    search = f"?rest_route=/wp/v2/posts&search={word}"

    def index() -> None:
        site.eval("do_action( 'bitcache_index', 0 );")

    def open_pages() -> list[str]:
        ask = site.http.get
        seen = {path: ask(path, headers=CLASSIC, follow_redirects=True) for path in pages}
        assert all(TEASER in answer.text for answer in seen.values())
        return [path for path, answer in seen.items() if word in answer.text]

    assert open_pages() == list(pages)
    assert len(site.http.get(search).json()) == 1
    try:
        site.eval(price)
        for work in (index, index):
            assert open_pages() == []
            assert site.http.get(search).json() == []
            work()
    finally:
        site.eval(free)
    assert open_pages() == list(pages)
    index()
    assert len(site.http.get(search).json()) == 1
