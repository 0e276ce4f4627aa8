"""A page loads nothing for posts that cost nothing; what that first look could miss."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.wordpress import NEWEST, PLUGIN, WordPresses, WordPressSite
from tests.wordpress.articles import PAYWALL, TEASER
from tests.wordpress.conftest import without_complaints
from tests.wordpress.ways import PRICE, p

SECRET = "The tide tables were in the bell, not in the lamp."
UNMARKED = p(TEASER) + p(SECRET)
PATTERN = "walls/divider"
#: What a theme and another plugin do before a page: one registers a pattern, the other reads posts.
EARLY = f"""<?php
add_action( 'after_setup_theme', function () {{ get_posts( array( 'numberposts' => 50 ) ); }} );
add_action(
	'init',
	function () {{
		register_block_pattern( '{PATTERN}', array( 'title' => 'W', 'content' => '{PAYWALL}' ) );
	}}
);
"""
#: Which files of the plugin a page has read.
LOADED = """<?php
add_action( 'shutdown', function () {
	$all = implode( "\\n", get_included_files() );
	preg_match_all( '~/(?:bitcache|wordpress)/includes/(\\S+)~', $all, $found );
	echo '<!-- loaded ' . implode( ' ', $found[1] ) . ' -->';
}, PHP_INT_MAX );
"""
#: Some plugins count each view in a field.
COUNTER = """
add_action( 'template_redirect', function () {
	$seen = (int) get_post_meta( get_queried_object_id(), 'views', true );
	update_post_meta( get_queried_object_id(), 'views', 1 + $seen );
} );
"""
QUERIES = """
global $wpdb;
wp_cache_flush();
$before = $wpdb->num_queries;
new WP_Query( $input['asked'] + array( 'posts_per_page' => -1 ) );
return $wpdb->num_queries - $before;
"""

#: A search that passes no filters: what it finds, how many there are, on how many pages.
SEARCH = """
$asked = $input['asked'] + array(
	's'                => wp_slash( $input['words'] ),
	'suppress_filters' => true,
	'posts_per_page'   => 2,
);
$query = new WP_Query( $asked );
$found = array();
foreach ( $query->posts as $key => $post ) {
	$found[ $key ] = is_object( $post ) ? array( $post->ID, $post->post_parent ) : $post;
}
return array( $found, $query->found_posts, $query->max_num_pages );
"""


@pytest.fixture(scope="module", params=["6.1", NEWEST])
def site(request: pytest.FixtureRequest, wordpresses: WordPresses) -> Iterator[WordPressSite]:
    with without_complaints(wordpresses, request.param) as made:
        yield made


def seen(site: WordPressSite, post_id: int) -> str:
    answer = site.http.get(site.permalink(post_id), follow_redirects=True)
    assert TEASER in answer.text
    return answer.text


@pytest.mark.parametrize(
    "change",
    [
        "set_post_type( $input['id'], 'page' );",
        "wp_update_post( array( 'ID' => $input['id'], 'post_type' => 'page' ) );",
    ],
    ids=["set_post_type", "wp_update_post"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_priced_post_that_gets_another_type_stays_withheld(
    site: WordPressSite, change: str, method: str
) -> None:
    site.option("bitcache_defaults", {"types": ["post"]})
    post_id = site.create_post(UNMARKED, post_title="Moved", meta_input=PRICE)
    assert SECRET not in seen(site, post_id)
    site.eval(change, id=post_id, method=method)
    assert SECRET not in seen(site, post_id)
    assert SECRET not in site.rest("GET", f"wp/v2/pages/{post_id}").text
    site.eval("wp_delete_post( $input['id'], true );", id=post_id)


@pytest.mark.parametrize(
    "change",
    [
        "update_post_meta( $input['id'], '_bitcache_price', '0.05' );",
        """
        $sql = "SELECT meta_id FROM {$wpdb->postmeta} WHERE post_id = %d AND meta_key = %s";
        $row = $wpdb->get_var( $wpdb->prepare( $sql, $input['id'], '_bitcache_price' ) );
        update_metadata_by_mid( 'post', $row, '0.05' );""",
    ],
    ids=["by name", "by number"],
)
def test_a_price_counts_in_the_page_that_sets_it(site: WordPressSite, change: str) -> None:
    post_id = site.create_post(UNMARKED, post_title="Set", meta_input={"_bitcache_price": ""})
    read = "get_posts( array( 'include' => array( $input['id'] ) ) )[0]->post_content"
    before, after = site.eval(
        f"global $wpdb; $before = {read}; {change} return array( $before, {read} );",
        id=post_id,
        method="GET",
    )
    assert SECRET in before
    assert SECRET not in after
    assert SECRET not in seen(site, post_id)


@pytest.mark.parametrize(("kind", "whose"), [("user", "post_author"), ("term", "category")])
def test_a_default_counts_in_the_page_that_sets_it(
    site: WordPressSite, kind: str, whose: str
) -> None:
    post_id = site.create_post(UNMARKED, post_title="Default")
    read = "get_posts( array( 'include' => array( $input['id'] ) ) )[0]->post_content"
    code = f"""
        $id = 'user' === $input['kind']
            ? get_post( $input['id'] )->post_author
            : get_the_category( $input['id'] )[0]->term_id;
        $seen = array( {read} );
        update_metadata( $input['kind'], $id, 'bitcache_price', '0.05' );
        $seen[] = {read};
        delete_metadata( $input['kind'], $id, 'bitcache_price' );
        return array_merge( $seen, array( {read} ) );"""
    before, priced, after = site.eval(code, id=post_id, kind=kind, method="GET", user="")
    assert SECRET in before
    assert SECRET not in priced
    assert SECRET in after


def test_a_text_has_the_same_blocks_each_time_it_is_read(site: WordPressSite) -> None:
    texts = [
        "",
        "0",
        "A word",
        "<p>One</p>\n<p>Two</p>",
        "<!-- a note -->",
        p(TEASER),
        f"before {p(TEASER)} after",
        '<!-- wp:group {"layout":{"type":"flex"}} --><div>'
        + p(TEASER)
        + "</div><!-- /wp:group -->",
        "<!-- wp:group --><div>never closed",
        '<!-- wp:page-list /-->\n\n<!-- wp:group {"a":1 -->',
        p("x" * 5000),
    ]
    code = """
        $ours = array();
        foreach ( array( 1, 2 ) as $turn ) {
            foreach ( $input['texts'] as $text ) {
                $blocks = parse_blocks( $text );
                $ours[] = serialize( $blocks );
                // What a reader does with them stays with the reader.
                $blocks[0]['attrs']['changed'] = true;
                $blocks[0]['innerBlocks'][0]['innerHTML'] = 'changed';
            }
        }
        foreach ( array( 1, 2 ) as $turn ) {
            foreach ( $input['texts'] as $text ) {
                $theirs[] = serialize( ( new WP_Block_Parser() )->parse( $text ) );
            }
        }
        $class = apply_filters( 'block_parser_class', 'WP_Block_Parser' );
        return array( $class, $ours, $theirs );"""
    name, ours, theirs = site.eval(code, texts=texts, method="GET")
    assert name == "Bitcache\\Front\\BlockParser"
    assert ours == theirs


def test_what_lies_beside_a_text_is_withheld_where_its_post_was_not_read(
    site: WordPressSite,
) -> None:
    """Related posts, counters and the like look things up by the number of a post."""
    note = '<sup data-fn="n1" class="fn"><a href="#n1">1</a></sup>'
    image = '<!-- wp:image --><figure class="wp-block-image"><img src="/paid.jpg"/></figure>'
    post_id = site.create_post(
        p(TEASER) + p("Paid." + note) + image + "<!-- /wp:image -->",
        post_title="Beside",
        meta_input={**PRICE, "footnotes": '[{"id":"n1","content":"A paid note."}]'},
    )
    look = """
        $block = new WP_Block(
            array(
                'blockName'    => 'core/post-featured-image',
                'attrs'        => array( 'useFirstImageFromPost' => true ),
                'innerBlocks'  => array(),
                'innerHTML'    => '',
                'innerContent' => array(),
            ),
            array( 'postId' => $input['id'], 'postType' => 'post' )
        );
        return get_post_meta( $input['id'], 'footnotes', true ) . $block->render();
    """
    shown = site.eval(look, id=post_id, user="", method="GET")
    assert "A paid note." not in shown
    assert "paid.jpg" not in shown
    # It would be there if the post were free.
    site.eval("update_post_meta( $input['id'], '_bitcache_free', '1' );", id=post_id)
    assert "A paid note." in site.eval(look, id=post_id, user="", method="GET")


def test_posts_that_are_read_before_patterns_are_known(site: WordPressSite) -> None:
    use = f'<!-- wp:pattern {{"slug":"{PATTERN}"}} /-->'
    post_id = site.create_post(p(TEASER) + use + p(SECRET), post_title="Early", meta_input={})
    extra = site.content / "mu-plugins" / "early.php"
    extra.write_text(EARLY)
    try:
        assert SECRET not in seen(site, post_id)
    finally:
        extra.unlink()


def test_blocks_that_are_rendered_one_by_one(site: WordPressSite) -> None:
    file = site.eval(
        "return wp_insert_attachment( array( 'post_title' => 'Tides', 'post_mime_type' =>"
        " 'application/pdf' ), '2026/11/tides.pdf' );"
    )
    code = "$all = ''; foreach ( parse_blocks( $input['text'] ) as $one ) {"
    code += " $all .= render_block( $one ); } return $all;"
    text = f'<!-- wp:bitcache/file {{"id":{file}}} /-->'
    assert "tides.pdf" in site.eval(code, text=text, method="GET")


@pytest.mark.parametrize(
    "asked",
    [
        {"post_type": "post"},
        {"post_type": ["post", "page"]},
        {"post_type": ["post", "page"], "update_post_meta_cache": True},
        {"post_type": "page", "update_post_meta_cache": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("sold", [False, True], ids=["plain", "with a sold one"])
def test_no_list_asks_the_database_more(
    site: WordPressSite, asked: dict[str, Any], sold: bool
) -> None:
    site.option("bitcache_defaults", {"types": ["post"]})
    made = [site.create_post(p(f"{n}"), post_type=kind) for n in "ab" for kind in ("post", "page")]
    if sold:
        made.append(site.create_post(UNMARKED, post_title="Sold", meta_input=PRICE))
    ours = site.eval(QUERIES, asked=asked, method="GET")
    site.eval("deactivate_plugins( 'bitcache/bitcache.php' );")
    bare = site.eval(QUERIES, asked=asked, method="GET")
    site.activate()
    assert ours <= bare + sold
    for post_id in made:
        site.eval("wp_delete_post( $input['id'], true );", id=post_id)


def test_a_list_past_the_cache_reads_prices_together(site: WordPressSite) -> None:
    made = [site.create_post(p(f"{n}")) for n in range(6)]
    asked = {"post_type": "post", "cache_results": False}
    site.option("bitcache_defaults", {"types": ["post"]})
    ours = site.eval(QUERIES, asked=asked, method="GET")
    site.eval("deactivate_plugins( 'bitcache/bitcache.php' );")
    bare = site.eval(QUERIES, asked=asked, method="GET")
    site.activate()
    assert ours <= bare + 1
    for post_id in made:
        site.eval("wp_delete_post( $input['id'], true );", id=post_id)


@pytest.mark.parametrize("fields", ["", "ids", "id=>parent"])
@pytest.mark.parametrize("more", [{}, {"paged": 2}, {"no_found_rows": True}], ids=str)
def test_a_search_without_filters_finds_what_is_free(
    site: WordPressSite, fields: str, more: dict[str, Any]
) -> None:
    words = r"in C:\tides 'n \"bells\""
    made = [site.create_post(p(f"{n} {words}"), post_title="Free") for n in "abc"]
    locked = p(f"{words} hagfish")
    paid = site.create_post(p(TEASER) + locked, post_title="Paid", meta_input=PRICE)
    asked = {"fields": fields, "orderby": "ID", **more}
    ours = site.eval(SEARCH, asked=asked, words=words, user="", method="GET")
    nothing = site.eval(SEARCH, asked=asked, words="hagfish", user="", method="GET")
    site.eval("wp_delete_post( $input['id'], true );", id=paid)
    site.eval("deactivate_plugins( 'bitcache/bitcache.php' );")
    bare = site.eval(SEARCH, asked=asked, words=words, user="", method="GET")
    site.activate()
    assert bare[0], "the words are found at all"
    assert ours == bare
    assert nothing == [[], 0, 0]
    for post_id in made:
        site.eval("wp_delete_post( $input['id'], true );", id=post_id)


@pytest.mark.parametrize("fields", ["", "ids"])
def test_what_a_reader_finds_is_not_what_an_owner_finds(site: WordPressSite, fields: str) -> None:
    """WordPress keeps what a query has found, under the SQL that it would have asked."""
    paid = site.create_post(p(TEASER) + p("lumpsucker"), post_title="Paid", meta_input=PRICE)
    code = f"$search = function () use ( $input ) {{ {SEARCH} }};"
    code += " $all = array( $search() ); define( 'WP_CLI', true ); $all[] = $search();"
    code += " return array( count( $all[0][0] ), count( $all[1][0] ) );"
    asked = {"fields": fields, "no_found_rows": True}
    assert site.eval(code, asked=asked, words="lumpsucker", user="", method="GET") == [0, 1]
    site.eval("wp_delete_post( $input['id'], true );", id=paid)


@pytest.mark.parametrize("other", ["", COUNTER], ids=["alone", "views are counted"])
def test_a_page_looks_for_no_class_on_the_disk(site: WordPressSite, other: str) -> None:
    """What every page needs is read at once, and what few pages need is not read by the others."""
    # Themes list the latest posts.
    everything = "get_posts( array( 'numberposts' => -1, 'post_type' => 'any' ) )"
    site.eval(f"foreach ( {everything} as $post ) {{ wp_delete_post( $post->ID, true ); }}")
    url = site.permalink(site.create_post(p(TEASER), post_title="Plain"))
    # The first page of a new site writes: WordPress makes what it does not have.
    site.http.get(url)
    extra = site.content / "mu-plugins" / "loaded.php"
    extra.write_text(LOADED + other)
    try:
        page = site.http.get(url).text
    finally:
        extra.unlink()
    loaded = page.partition("<!-- loaded ")[2].partition(" -->")[0].split()
    begun = (PLUGIN / "bitcache.php").read_text().partition("foreach ( array(")[2]
    names = begun.partition(")")[0].replace("'", "").replace(",", " ").split()
    assert loaded == [f"{name}.php" for name in names]


def test_the_desk_comes_for_each_field_that_it_follows(site: WordPressSite) -> None:
    post_id = site.create_post(p(TEASER), post_title="Fields")
    followed = site.eval(
        """
        $public = new ReflectionClassConstant( \\Bitcache\\Surfaces\\PublicText::class, 'FIELDS' );
        return array(
            'post' => array_merge(
                \\Bitcache\\Files\\Keeper::FILES,
                \\Bitcache\\Files\\Keeper::RULES,
                \\Bitcache\\Server\\Queue::PRICING,
                $public->getValue(),
                array( \\Bitcache\\Files\\Preview::CHOICE, \\Bitcache\\Content\\Defaults::OWN )
            ),
            'term' => array(
                \\Bitcache\\Content\\Defaults::PRICE,
                \\Bitcache\\Content\\Defaults::CURRENCY,
            ),
        );"""
    )
    write = """
        $before = has_action( 'bitcache_refresh' );
        add_metadata( $input['kind'], $input['id'], $input['key'], 'x' );
        $after = has_action( 'bitcache_refresh' );
        delete_metadata( $input['kind'], $input['id'], $input['key'] );
        return array( $before, $after );"""
    for kind, keys in (*followed.items(), ("post", ["views", "_edit_last"])):
        for key in sorted(set(keys)):
            id_ = post_id if kind == "post" else 1
            answer = site.eval(write, kind=kind, id=id_, key=key, method="GET", user="")
            assert answer == [False, key not in ("views", "_edit_last")], key


def test_a_mail_about_a_post_that_a_page_publishes_has_its_teaser(site: WordPressSite) -> None:
    """Some plugins publish in a page what the cron has missed, and some mail each new post."""
    post_id = site.create_post(
        PAYWALL.join((p(TEASER), p(SECRET))),
        post_title="Late",
        post_status="future",
        post_date="2099-01-01 00:00:00",
        meta_input=PRICE,
    )
    # It was written long ago: each mail is searched for what changed last anyway.
    site.eval(
        """
        global $wpdb;
        $old = array( 'post_modified_gmt' => '2001-01-01 00:00:00' );
        $wpdb->update( $wpdb->posts, $old, array( 'ID' => $input['id'] ) );
        for ( $i = 0; $i < 25; $i++ ) {
            wp_insert_post( array( 'post_title' => 'New ' . $i, 'post_status' => 'publish' ) );
        }""",
        id=post_id,
    )
    code = """
        $mails = array();
        // Nothing but the post itself is written.
        add_filter( 'pre_option_default_pingback_flag', '__return_empty_string' );
        add_filter( 'pre_wp_mail', function ( $answer, $mail ) use ( &$mails ) {
            $mails[] = $mail['message'];
            return true;
        }, 10, 2 );
        add_action( 'transition_post_status', function ( $status, $before, $post ) {
            if ( 'publish' === $status ) {
                wp_mail( 'a@b.test', 'New', wp_strip_all_tags( $post->post_content ) );
            }
        }, 10, 3 );
        wp_publish_post( $input['id'] );
        return $mails;"""
    [mail] = site.eval(code, id=post_id, method="GET", user="")
    assert TEASER in mail
    assert SECRET not in mail


def test_whatever_writes_in_a_page_brings_the_desk_and_nothing_else(site: WordPressSite) -> None:
    """The hooks share their insides: what is added to one must not show at the others."""
    code = """
        $waits = static function ( $callback ) {
            $found = array();
            foreach ( \\Bitcache\\Plugin::WRITES as $hook ) {
                $found[ $hook ] = has_filter( $hook, $callback );
            }
            return $found;
        };
        $before = $waits( 'Bitcache\\Plugin::desk' );
        add_filter( 'wp_mail', '__return_empty_array' );
        remove_filter( 'pre_delete_post', 'Bitcache\\Plugin::desk', PHP_INT_MIN );
        return array(
            array_keys( array_diff( $before, array( PHP_INT_MIN ) ) ),
            array_keys( array_filter( $waits( '__return_empty_array' ) ) ),
            array_keys( array_filter( $waits( 'Bitcache\\Plugin::desk' ), 'is_bool' ) ),
        );"""
    answer = site.eval(code, method="GET", user="")
    assert answer == [[], ["wp_mail"], ["pre_delete_post"]]


def test_posts_that_a_deleted_author_leaves_to_a_dearer_one_are_looked_at(
    site: WordPressSite,
) -> None:
    post_id = site.create_post(UNMARKED, post_title="Left")
    site.eval(
        """
        foreach ( array( 'leaver', 'heir' ) as $name ) {
            $id = wp_insert_user( array( 'user_login' => $name, 'user_pass' => 'x' ) );
        }
        update_user_meta( $id, 'bitcache_price', '0.05' );
        $leaver = get_user_by( 'login', 'leaver' )->ID;
        wp_update_post( array( 'ID' => $input['id'], 'post_author' => $leaver ) );
        delete_option( 'bitcache_resync' );
        wp_clear_scheduled_hook( 'bitcache_files', array( 0 ) );""",
        id=post_id,
    )
    assert SECRET in seen(site, post_id)
    code = """
        require_once ABSPATH . 'wp-admin/includes/user.php';
        $id_of = fn( $name ) => get_user_by( 'login', $name )->ID;
        wp_delete_user( $id_of( 'leaver' ), $id_of( 'heir' ) );
        return array(
            get_option( 'bitcache_resync' ),
            is_int( wp_next_scheduled( 'bitcache_files', array( 0 ) ) ),
        );"""
    try:
        assert site.eval(code, method="GET", user="") == ["0", True]
        assert SECRET not in seen(site, post_id)
    finally:
        site.eval(
            "delete_user_meta( get_user_by( 'login', 'heir' )->ID, 'bitcache_price' );"
            "wp_delete_post( $input['id'], true );",
            id=post_id,
        )


def test_private_files_stay_private_where_somebody_tidies_the_options(site: WordPressSite) -> None:
    """Plugins that make pages quicker take options out of those that are read together."""
    code = """
        return array(
            isset( wp_load_alloptions()['bitcache_files'] ),
            has_filter( 'wp_get_attachment_url', array( \\Bitcache\\Files\\Urls::class, 'url' ) ),
        );"""
    set_to = """
        global $wpdb;
        update_option( 'bitcache_files', '1' );
        $how = array( 'autoload' => $input['how'] );
        $wpdb->update( $wpdb->options, $how, array( 'option_name' => 'bitcache_files' ) );
        wp_cache_flush();"""
    try:
        site.eval(set_to, how="no")
        assert site.eval(code, method="GET", user="") == [False, 1000]
    finally:
        site.eval(set_to + "update_option( 'bitcache_files', '' );", how="yes")
    assert site.eval(code, method="GET", user="") == [True, False]


def test_a_new_site_of_a_network_is_made_without_a_complaint(wordpresses: WordPresses) -> None:
    site = wordpresses.fresh(version=NEWEST, multisite=True)
    try:
        made = site.eval(
            "return wp_insert_site( array( 'domain' => get_network()->domain,"
            " 'path' => '/third/', 'network_id' => 1, 'user_id' => 1, 'title' => 'Third' ) );"
        )
        assert isinstance(made, int)
        assert site.complaints() == []
    finally:
        site.stop()
