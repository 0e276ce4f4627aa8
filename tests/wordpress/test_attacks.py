"""What somebody tries who wants paid text for nothing, or whose own code spoils a site."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.wordpress import WordPresses, WordPressSite
from tests.wordpress.articles import PAYWALL, TEASER, upload
from tests.wordpress.conftest import Connected, without_complaints
from tests.wordpress.ways import PRICE, p

SECRET = "It was never under the lake, it hung in the mill."
MORE = "The miller had always known, and said nothing."
MARKED = p(TEASER) + PAYWALL + p(SECRET) + p(MORE)
UNMARKED = p(TEASER) + p(SECRET) + p(MORE)
STORED = """
global $wpdb;
$sql = "SELECT post_content FROM {$wpdb->posts} WHERE ID = %d";
return $wpdb->get_var( $wpdb->prepare( $sql, $input['id'] ) );
"""
REVISIONS = """
global $wpdb;
$sql = "SELECT post_content FROM {$wpdb->posts} WHERE post_type = 'revision' AND post_parent = %d";
return $wpdb->get_col( $wpdb->prepare( $sql, $input['id'] ) );
"""
DROP_IN = Path(__file__).with_name("stand_ins") / "object-cache.php"


@pytest.fixture(scope="module", params=["6.1", "7.1"])
def site(request: pytest.FixtureRequest, wordpresses: WordPresses) -> Iterator[WordPressSite]:
    with without_complaints(wordpresses, request.param) as made:
        yield made


def stored(site: WordPressSite, post_id: int) -> str:
    return str(site.eval(STORED, id=post_id))


def see(site: WordPressSite, path: str) -> httpx.Response:
    return site.http.get(path, follow_redirects=True)


#: What other plugins do in a page or in a cron job; all of it reads the post first.
SAVES = {
    "from a query": "wp_update_post( ( new WP_Query( array( 'p' => $id ) ) )->post );",
    "with another title": """
        $post = ( new WP_Query( array( 'p' => $id ) ) )->post;
        $post->post_title = 'Renamed';
        wp_update_post( $post );""",
    "from a list": """
        foreach ( get_posts( array( 'include' => array( $id ) ) ) as $post ) {
            $post->post_content = str_replace( 'lake', 'pond', $post->post_content );
            wp_update_post( wp_slash( (array) $post ) );
        }""",
    "from a field": """
        $text = get_post_field( 'post_content', $id ) . ' More.';
        wp_update_post( wp_slash( array( 'ID' => $id, 'post_content' => $text ) ) );""",
    "without comments": """
        $text = ( new WP_Query( array( 'p' => $id ) ) )->post->post_content;
        $text = preg_replace( '/<!--.*?-->/s', '', $text );
        wp_update_post( wp_slash( array( 'ID' => $id, 'post_content' => $text ) ) );""",
    "as it is shown": """
        $query = new WP_Query( array( 'p' => $id ) );
        $query->the_post();
        $text = get_the_content();
        wp_reset_postdata();
        wp_update_post( wp_slash( array( 'ID' => $id, 'post_content' => $text ) ) );""",
    "after it became free": """
        $post = ( new WP_Query( array( 'p' => $id ) ) )->post;
        update_post_meta( $id, '_bitcache_free', '1' );
        wp_update_post( wp_slash( (array) $post ) );""",
    "past wp_update_post": """
        global $wpdb;
        $post = ( new WP_Query( array( 'p' => $id ) ) )->post;
        $text = $post->post_content . ' More.';
        $wpdb->update( $wpdb->posts, array( 'post_content' => $text ), array( 'ID' => $id ) );
        clean_post_cache( $id );""",
    "as a draft": """
        $post = ( new WP_Query( array( 'p' => $id ) ) )->post;
        $post->post_status = 'draft';
        wp_update_post( $post );""",
    "over the REST API inside": """
        $request = new WP_REST_Request( 'POST', '/wp/v2/posts/' . $id );
        $request->set_param( 'title', 'Renamed' );
        rest_do_request( $request );""",
}


@pytest.mark.parametrize("way", SAVES)
@pytest.mark.parametrize("content", [MARKED, UNMARKED], ids=["marked", "unmarked"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_teaser_is_never_saved_over_its_article(
    site: WordPressSite, way: str, content: str, method: str
) -> None:
    post_id = site.create_post(content, post_title=f"Saved {way}", meta_input=PRICE)
    site.eval("$id = $input['id'];" + SAVES[way], id=post_id, method=method)
    assert stored(site, post_id) == content
    assert all(revision == content for revision in site.eval(REVISIONS, id=post_id))
    # One of them is free now, and its text in every feed.
    site.eval("wp_delete_post( $input['id'], true );", id=post_id)


def test_what_is_meant_is_saved(site: WordPressSite) -> None:
    """In pages and cron jobs too: new texts, and longer ones; in wp-admin everything."""
    save = (
        "$post = array( 'ID' => $input['id'], 'post_content' => $input['text'] );"
        "wp_update_post( wp_slash( $post ) );"
    )
    post_id = site.create_post(MARKED, post_title="Rewritten", meta_input=PRICE)
    for text in (
        MARKED + p("An afterword."),
        p("Another story altogether."),
        p(TEASER) + p("Rewritten: " + "it was the mill all the time. " * 9),
        p(TEASER) + PAYWALL + p("A shorter end."),
    ):
        site.eval(save, id=post_id, text=text)
        assert stored(site, post_id) == text
    site.eval(save, id=post_id, text=MARKED)
    answer = site.rest("POST", f"wp/v2/posts/{post_id}", user="admin", json={"content": p(TEASER)})
    assert answer.status_code == 200
    assert stored(site, post_id).strip() == p(TEASER).strip()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_caption_of_a_paid_picture_is_not_lost(site: WordPressSite, method: str) -> None:
    media = upload(site, f"caption-{method}.jpg")
    site.eval(
        "$words = array( 'post_excerpt' => 'A mill.', 'post_content' => 'By hand.' );"
        "wp_update_post( array( 'ID' => $input['id'] ) + $words );",
        id=media,
    )
    image = f'<!-- wp:image {{"id":{media}}} --><img class="wp-image-{media}"/><!-- /wp:image -->'
    site.create_post(p(TEASER) + PAYWALL + image, post_title="Picture", meta_input=PRICE)
    assert site.eval(
        """
        $asked = array( 'post_type' => 'attachment', 'post_status' => 'inherit' );
        $post = ( new WP_Query( $asked + array( 'p' => $input['id'] ) ) )->post;
        $given = $post->post_excerpt . $post->post_content;
        $post->post_title = 'Renamed';
        wp_update_post( $post );
        wp_cache_flush();
        $post = get_post( $input['id'] );
        return array( $given, $post->post_title, $post->post_excerpt, $post->post_content );
        """,
        id=media,
        method=method,
    ) == ["", "Renamed", "A mill.", "By hand."]


def test_a_persistent_cache_holds_no_teaser(site: WordPressSite) -> None:
    """An editor who gets a post out of such a cache would save what is in it."""
    post_id = site.create_post(MARKED, post_title="Cached", meta_input=PRICE)
    media = upload(site, "cached.jpg")
    site.eval(
        "wp_update_post( array( 'ID' => $input['id'], 'post_excerpt' => 'A bell.' ) );", id=media
    )
    image = f'<!-- wp:image {{"id":{media}}} --><img class="wp-image-{media}"/><!-- /wp:image -->'
    site.create_post(p(TEASER) + PAYWALL + image, post_title="Shown", meta_input=PRICE)
    drop_in = site.content / "object-cache.php"
    drop_in.write_text(DROP_IN.read_text())
    try:
        for path in (
            f"?p={post_id}",
            f"?attachment_id={media}",
            "?feed=rss2",
            "?s=lake",
            "?rest_route=/wp/v2/posts",
            "?rest_route=/wp/v2/media",
        ):
            (site.run / "object-cache").unlink(missing_ok=True)
            assert SECRET not in see(site, path).text
            assert site.eval("return wp_using_ext_object_cache();")
            found = "return get_post( $input['id'] )->post_content;"
            assert site.eval(found, id=post_id) == MARKED
            assert (
                site.eval("return get_post( $input['id'] )->post_excerpt;", id=media) == "A bell."
            )
            answer = site.rest("POST", f"wp/v2/posts/{post_id}", user="admin", json={"title": path})
            assert answer.status_code == 200
            assert stored(site, post_id) == MARKED
    finally:
        drop_in.unlink()


#: Content whose marker WordPress reads in another way than its author meant.
BROKEN = {
    "JSON that is not closed": '<!-- wp:bitcache/paid {"price":"0.05" --><div>%s</div>'
    "<!-- /wp:bitcache/paid -->",
    "the end of a block that never began": "<!-- /wp:paragraph -->" + PAYWALL + "%s",
    "no space before the end": "<!-- wp:bitcache/paywall/-->%s",
    "capital letters": "<!-- WP:Bitcache/Paywall /-->%s",
    "a bracket that is not closed": '<p>[bitcache price="0.05"</p>\n\n%s',
    "inside a comment": "<!-- [bitcache_paywall] --><!-- wp:bitcache/paywall { --> %s",
    "a section of XML": "<![CDATA[ [bitcache_paywall] ]]>%s",
}


@pytest.mark.parametrize("way", BROKEN)
def test_broken_markers_withhold(site: WordPressSite, way: str) -> None:
    post_id = site.create_post(p(TEASER) + BROKEN[way] % p(SECRET), post_title=f"Broken {way}")
    for path in (f"?p={post_id}", f"?rest_route=/wp/v2/posts/{post_id}", "?feed=rss2"):
        seen = see(site, path)
        assert seen.status_code == 200
        assert SECRET not in seen.text
    assert TEASER in see(site, f"?p={post_id}").text


@pytest.mark.parametrize(
    "reference",
    [
        '<!-- wp:block {"ref":%d} /-->',
        '<!-- wp:block {"metadata":{"name":"Wall"},"ref":%d} /-->',
        '<!-- wp:block\n{"ref":%d} /-->',
        '<!-- wp:core/block {"ref":"%d"} /-->',
        '<!-- wp:block {"\\u0072ef":%d} /-->',
    ],
)
def test_a_wall_in_a_pattern_however_it_is_named(site: WordPressSite, reference: str) -> None:
    pattern = site.create_post(p("Inside.") + PAYWALL, post_type="wp_block", post_title="Wall")
    post_id = site.create_post(p(TEASER) + reference % pattern + p(SECRET), post_title="Named")
    seen = see(site, f"?p={post_id}")
    assert TEASER in seen.text
    assert SECRET not in seen.text


@pytest.mark.parametrize(
    "wall", [PAYWALL, "<!-- wp:shortcode -->[bitcache_paywall]<!-- /wp:shortcode -->"]
)
def test_a_wall_in_a_pattern_outside_of_posts(site: WordPressSite, wall: str) -> None:
    """As in widgets and templates, and in the editor of somebody who may not read the pattern."""
    pattern = site.create_post(p(TEASER) + wall + p(SECRET), post_type="wp_block")
    shown = site.eval(
        "return do_blocks( '<!-- wp:block {\"ref\":' . $input['id'] . '} /-->' );", id=pattern
    )
    assert TEASER in shown
    assert SECRET not in shown


def test_the_page_that_was_asked_for_is_a_teaser(site: WordPressSite) -> None:
    """WordPress finds a page by its address before any query; other plugins describe it."""
    page_id = site.create_post(MARKED, post_type="page", post_title="Mill", meta_input=PRICE)
    spy = site.content / "mu-plugins" / "spy.php"
    spy.write_text(
        "<?php add_action( 'wp_head', function () { $o = get_queried_object();"
        " echo $o instanceof WP_Post ? 'Asked: ' . $o->post_content : ''; } );"
    )
    try:
        for kind in ("pretty", "plain"):
            site.set_permalinks(kind)
            seen = see(site, site.permalink(page_id)).text
            assert "Asked: " in seen
            assert SECRET not in seen
    finally:
        spy.unlink()
        site.set_permalinks("pretty")


def test_no_get_is_taken_for_a_post(site: WordPressSite) -> None:
    """WordPress takes ``?_method=POST`` for one; a cache keeps the answer to a GET."""
    post_id = site.create_post(MARKED, meta_input=PRICE)
    path = f"?rest_route=/bitcache/v1/content&post={post_id}&part=post"
    payer = site.logged_in("admin")
    assert SECRET in payer.post(path, json={}).text
    for method in ("GET", "HEAD"):
        seen = payer.request(method, path + "&_method=POST")
        assert seen.status_code == 405
        assert SECRET not in seen.text
    headers = {"X-HTTP-Method-Override": "POST"}
    assert payer.get(path, headers=headers).status_code == 405
    assert payer.get(path.replace("content", "item") + "&_method=POST").status_code == 405
    payer.close()


def test_no_search_looks_behind_a_wall_that_is_new(site: WordPressSite) -> None:
    """A site-wide price counts at once, before the cron has gone through the posts."""
    settings = (
        "$new = array( 'default_types' => $input['types'], 'default_price' => '0.05' );"
        "update_option( 'bitcache_settings', $new + \\Bitcache\\Settings::get() );"
    )
    try:
        site.eval(settings, types=["page"])
        post_id = site.create_post(p(TEASER) + p("Zwiebelturm."), post_title="New")
        found = f"?rest_route=/wp/v2/posts&search=Zwiebelturm&include={post_id}"
        assert len(see(site, found).json()) == 1
        site.eval(settings, types=["page", "post"])
        assert "Zwiebelturm" not in see(site, f"?p={post_id}").text
        assert see(site, found).json() == []
        site.eval("do_action( 'bitcache_index', 0 );")
        assert see(site, found).json() == []
        assert len(see(site, found.replace("Zwiebelturm", "lake")).json()) == 1
    finally:
        site.eval("delete_option( 'bitcache_settings' ); do_action( 'bitcache_index', 0 );")
        site.eval("update_option( 'bitcache_unmarked', 'posts' );")


def test_footnotes_are_withheld_with_a_cold_cache(site: WordPressSite) -> None:
    notes = '[{"content":"' + SECRET + '","id":"a1"}]'
    post_id = site.create_post(MARKED, meta_input={**PRICE, "footnotes": notes})
    code = """
    get_post_meta( $input['id'], 'footnotes', true );
    wp_cache_delete( $input['id'], 'post_meta' );
    return get_post_meta( $input['id'], 'footnotes', true );
    """
    assert site.eval(code, id=post_id) == "[]"


def test_a_description_that_ends_inside_a_letter(site: WordPressSite) -> None:
    post_id = site.create_post(p(TEASER) + PAYWALL + p(SECRET), meta_input=PRICE)
    code = """
    $post = get_post( $input['id'] );
    return \\Bitcache\\Surfaces\\Content::plain( $input['text'] . "\\xC3", $post, 20 );
    """
    assert SECRET[:30] not in site.eval(code, id=post_id, text=f"{TEASER} {SECRET}")


def test_sites_of_a_network_do_not_share_what_was_found(wordpresses: WordPresses) -> None:
    """Posts of two sites have the same number, and the same text; on one of them it costs."""
    site = wordpresses.fresh(multisite=True)
    try:
        # In a request of its own, because WordPress calls itself uninstalled after that.
        blog = site.eval("return wpmu_create_blog( get_site()->domain, '/2/', 'Second', 1 );")
        shown = site.eval(
            """
            $post = array( 'import_id' => 777, 'post_content' => $input['text'] );
            $post += array( 'post_status' => 'publish', 'post_title' => 'Same' );
            $priced = $post + array( 'meta_input' => $input['price'] );
            $first = wp_insert_post( wp_slash( $post ) );
            switch_to_blog( $input['blog'] );
            $second = wp_insert_post( wp_slash( $priced ) );
            restore_current_blog();
            $free = ( new WP_Query( array( 'p' => $first ) ) )->post->post_content;
            switch_to_blog( $input['blog'] );
            $paid = ( new WP_Query( array( 'p' => $second ) ) )->post->post_content;
            restore_current_blog();
            return array( $first, $second, $free, $paid );
            """,
            blog=blog,
            text=UNMARKED,
            price=PRICE,
        )
    finally:
        site.stop()
    assert shown[:2] == [777, 777]
    assert SECRET in shown[2]
    assert SECRET not in shown[3]


def test_a_draft_does_not_open_the_pictures_of_others(site: WordPressSite) -> None:
    """Who writes a part reads it; so naming somebody's paid picture in a draft must not do."""
    sold, logo = upload(site, "sold.jpg"), upload(site, "logo.jpg")
    image = '<!-- wp:image {"id":%d} --><img src="%s" class="wp-image-%d"/><!-- /wp:image -->'
    urls = {
        media: site.eval("return wp_get_attachment_url( $input['id'] );", id=media)
        for media in (sold, logo)
    }
    shown = {media: image % (media, urls[media], media) for media in (sold, logo)}
    site.create_post(p(TEASER) + PAYWALL + shown[sold], post_title="Sold", meta_input=PRICE)
    author = site.eval("return username_exists( 'author' );")
    for status in ("draft", "publish"):
        trap = site.create_post(
            p(TEASER) + PAYWALL + shown[sold] + (shown[logo] if status == "draft" else ""),
            post_title="Trap",
            post_status=status,
            post_author=author,
            meta_input=PRICE,
        )
        reader = site.logged_in("author")
        answer = reader.post(f"?bitcache_content=1&post={trap}&part=post", json={})
        assert answer.status_code == 200
        assert "bitcache_file=" not in answer.json()["html"]
        reader.close()
    assert site.http.get(urls[sold]).status_code == 404
    assert site.http.get(urls[logo]).status_code == 200


def test_a_silent_server_is_left_alone_by_strangers(site: WordPressSite) -> None:
    """Each call would keep a worker of PHP waiting."""
    post_id = site.create_post(MARKED, meta_input=PRICE)
    code = """
    update_option( 'bitcache_health', array( 'rest' => time() + 60 ), false );
    $made = \\Bitcache\\Http\\Contents::make( $input['id'], 'post' );
    delete_option( 'bitcache_health' );
    $turn = get_option( 'bitcache_turn_' . $input['id'] );
    return array( $made[0], $turn );
    """
    assert site.eval(code, id=post_id) == [503, False]


def test_a_copied_post_is_not_opened_by_the_first_ones_grant(connected: Connected) -> None:
    """Plugins that duplicate posts copy all fields, what the server calls the post included."""
    with connected() as (site, shop):
        first = site.create_post(MARKED, post_title="First", meta_input=PRICE)
        item = shop.item_of(site, first)
        grant = shop.buy(item)
        # Published past WordPress, so that the server does not hear of it.
        copy = site.create_post(
            MARKED.replace(SECRET, "Another secret."), post_status="draft", meta_input=PRICE
        )
        code = """
        $items = get_post_meta( $input['first'], '_bitcache_items', true );
        update_post_meta( $input['copy'], '_bitcache_items', $items );
        global $wpdb;
        $published = array( 'post_status' => 'publish', 'post_name' => 'copied' );
        $wpdb->update( $wpdb->posts, $published, array( 'ID' => $input['copy'] ) );
        clean_post_cache( $input['copy'] );
        """
        site.eval(code, copy=copy, first=first)
        assert item not in see(site, f"?p={copy}").text
        path = "?bitcache_content=1&part=post&post="
        refused = site.http.post(f"{path}{copy}", json={"grant": grant})
        assert (refused.status_code, refused.json()["code"]) == (401, "grant_invalid")
        assert SECRET in site.http.post(f"{path}{first}", json={"grant": grant}).json()["html"]
        site.eval("\\Bitcache\\Server\\Items::sync( $input['id'] );", id=copy)
        own = re.search(r'item="(it_[^"]+)"', see(site, f"?p={copy}").text)
        assert own is not None
        assert own[1] != item
