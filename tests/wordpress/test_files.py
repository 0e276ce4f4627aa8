"""Files that cost: out of every web server's reach, streamed to who bought them, and mended.

Each test runs with PHP's own server, Apache and nginx, and with private files beside the web
server's root or inside of it in their guarded form. Apache's PHP has Imagick, the others' GD.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

import httpx
import pytest

from tests.support.wordpress import WordPresses
from tests.wordpress.articles import image_block
from tests.wordpress.shelf import Shelf, opened

OK = httpx.codes.OK
DATA = bytes(range(256)) * 1200
Asked = Callable[..., httpx.Response]


@pytest.fixture(
    scope="module",
    params=[
        ("7.1", "php", "beside", "gd"),
        ("7.1", "apache", "inside", "imagick"),
        ("6.1", "nginx", "inside", "gd"),
    ],
    ids=["php", "apache", "nginx-6.1"],
)
def shelf(request: pytest.FixtureRequest, wordpresses: WordPresses) -> Iterator[Shelf]:
    version, server, place, pictures = request.param
    with opened(wordpresses, place, version=version, server=server, pictures=pictures) as made:
        yield made


def test_no_server_has_a_file_that_costs(shelf: Shelf) -> None:
    media = shelf.picture()
    before = shelf.contents(media)
    assert len(before) >= 7
    usual = shelf.place
    for place in ("beside", "inside"):
        shelf.keep(place)
        shelf.price(media)
        assert shelf.public(media) == []
        guarded = shelf.site.eval("return \\Bitcache\\Files\\Folder::is_guarded();")
        assert guarded is (place == "inside")
        # Many hosts read no .htaccess.
        bare = [shelf.site.bare_origin] if shelf.server == "apache" else []
        for path, data in before.items():
            _refused(shelf, shelf.site.url, f"uploads/{path}", data)
            for origin in [shelf.site.url, *bare] if guarded else []:
                _refused(shelf, origin, f"private-files/1/{path}.php", data)
        shelf.unprice(media)
        assert shelf.contents(media) == before
    shelf.keep(usual)


def _refused(shelf: Shelf, origin: str, path: str, data: bytes) -> None:
    answer = shelf.get(f"{origin}/wp-content/{quote(path)}")
    # A server may first lead to the same address as it is spelled elsewhere.
    assert answer.status_code in {301, 403, 404}, path
    assert data[100:140] not in answer.content


def test_buyers_alone_get_the_file(shelf: Shelf) -> None:
    media = shelf.picture()
    files = {(shelf.uploads / path).read_bytes() for path in shelf.paths(media)}
    shelf.price(media)
    buyer = shelf.buy(media)
    links = shelf.links(media, buyer)
    assert len(links) >= 3
    for link in links:
        answer = shelf.get(link, cookies=buyer)
        assert answer.status_code == OK
        assert answer.content in files
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
    link = links[0]
    other = shelf.buy(shelf.picture("other.jpg"))
    assert shelf.get(link).status_code == 403
    assert shelf.get(link, cookies=other).status_code == 403
    with contextlib.closing(shelf.site.logged_in("subscriber")) as subscriber:
        assert subscriber.get(link).status_code == 403
    assert shelf.get(link[:-1] + "10"[link.endswith("1")], cookies=buyer).status_code == 403
    assert shelf.get(link, "POST", cookies=buyer).status_code == 405
    for value in (
        "",
        "1",
        "x",
        f"{media}.full.1.2",
        "probe.",
        "probe." + "0" * 32,
        "%00",
        "../../wp-config.php",
    ):
        url = f"{shelf.site.url}/?bitcache_file={value}"
        assert shelf.get(url, cookies=buyer).status_code == 404
    # What was given back is closed at once, whatever links there are.
    shelf.site.eval(
        'global $wpdb; $wpdb->query( "DELETE FROM {$wpdb->prefix}bitcache_purchases" );'
    )
    assert shelf.get(link, cookies=buyer).status_code == 403


def _asked(shelf: Shelf) -> Asked:
    media = shelf.binary("data.zip", DATA)
    # A date stands for a file only when it is more than a minute old.
    os.utime(shelf.uploads / shelf.paths(media)[0], (1_700_000_000, 1_700_000_000))
    shelf.price(media)
    buyer = shelf.buy(media)
    link = shelf.links(media, buyer)[0]
    assert shelf.get(link).status_code == 403

    def asked(method: str = "GET", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return shelf.get(link, method, cookies=buyer, headers=named)

    return asked


def _serves_ranges(asked: Asked, length: str | None) -> None:
    whole = asked()
    tag, size = whole.headers["etag"], len(DATA)
    assert (whole.status_code, whole.content) == (OK, DATA)
    assert whole.headers["content-type"] == "application/octet-stream"
    assert whole.headers["content-disposition"] == 'attachment; filename="data.zip"'
    assert whole.headers["accept-ranges"] == "bytes"
    some = asked(Range="bytes=1000-1999")
    assert (some.status_code, some.content) == (206, DATA[1000:2000])
    assert some.headers["content-range"] == f"bytes 1000-1999/{size}"
    assert asked(Range="bytes=-7").content == DATA[-7:]
    assert asked(Range=f"bytes={size - 3}-").content == DATA[-3:]
    none = asked(Range=f"bytes={size}-")
    assert (none.status_code, none.headers["content-range"]) == (416, f"bytes */{size}")
    assert asked(Range="bytes=0-9", If_Range=tag).content == DATA[:10]
    assert asked(Range="bytes=0-9", If_Range=whole.headers["last-modified"]).status_code == 206
    assert asked(Range="bytes=0-9", If_Range='"another"').content == DATA
    assert asked(If_None_Match=tag).status_code == 304
    head = asked("HEAD")
    assert (head.headers.get("content-length"), head.content) == (length, b"")
    for answer in (whole, some, head):
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert answer.headers["cross-origin-resource-policy"] == "same-site"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex, noarchive"
        assert {"x-sendfile", "x-accel-redirect"}.isdisjoint(answer.headers)


def test_ranges(shelf: Shelf) -> None:
    asked = _asked(shelf)
    # Apache does not believe the length that php-fpm says.
    length = None if shelf.server == "apache" else str(len(DATA))
    _serves_ranges(asked, length)
    assert asked(Range="bytes=0-1,4-5").content == DATA


_CHOOSE = """
\\Bitcache\\Settings::save( array( 'sendfile' => $input['way'] ) );
$said = get_option( 'bitcache_sendfile' );
return array( \\Bitcache\\Files\\Handover::way(), $said['state'] ?? '',
    \\Bitcache\\Files\\Handover::words() );
"""


def test_the_web_server_sends_where_it_was_seen_to(shelf: Shelf) -> None:
    """With what the docs tell to write into its configuration; elsewhere WordPress sends."""
    usual = shelf.place
    shelf.keep("inside")
    assert shelf.site.eval(_CHOOSE, way="x-accel")[:2] == ["", "guarded"]
    shelf.keep("sent")
    asked = _asked(shelf)
    works = {"apache": "x-sendfile", "nginx": "x-accel"}.get(shelf.server, "")
    for way in ("x-sendfile", "x-accel"):
        used, state, words = shelf.site.eval(_CHOOSE, way=way)
        assert (used, state) == ((way, "works") if way == works else ("", "ignored"))
        assert words.startswith("Tried: the web server ")
        believed = way == works or shelf.server != "apache"
        _serves_ranges(asked, str(len(DATA)) if believed else None)
        # By PHP several ranges are the whole file.
        several = asked(Range="bytes=0-1,4-5")
        assert several.headers["content-type"].startswith("multipart/") is (way == works)
        if way == works:
            _sends_pictures(shelf)
    assert list(shelf.site.run.glob("private/1/probe-*")) == []
    assert shelf.site.eval(_CHOOSE, way="") == ["", "", ""]
    shelf.keep(usual)
    assert shelf.site.eval("return \\Bitcache\\Files\\Check::repair();") == []


def _sends_pictures(shelf: Shelf) -> None:
    media = shelf.picture()
    before = shelf.contents(media)
    shelf.price(media)
    buyer = shelf.buy(media)
    for link in shelf.links(media, buyer):
        answer = shelf.get(link, cookies=buyer)
        assert answer.content in before.values()
        assert answer.headers["content-type"] == "image/jpeg"
        assert shelf.get(link).status_code == 403
    for path, data in before.items():
        answer = shelf.get(f"{shelf.site.url}/bitcache-private/1/{quote(path)}")
        assert answer.status_code == 404
        assert data[100:140] not in answer.content


def test_with_its_post(shelf: Shelf) -> None:
    media = shelf.picture("inside.jpg")
    url = f"{shelf.site.url}/wp-content/uploads/{shelf.paths(media)[0]}"
    image = image_block(media, url)
    teaser = "<!-- wp:paragraph -->\n<p>Free.</p>\n<!-- /wp:paragraph -->"
    content = f"{teaser}\n\n<!-- wp:bitcache/paywall /-->\n\n{image}"
    priced = {"_bitcache_price": "0.05", "_bitcache_currency": "USD"}
    post = shelf.site.create_post(content, meta_input=priced)
    assert shelf.public(media) == []
    buyer = shelf.buy(post, "post")
    link = shelf.links(post, buyer, "post")[0]
    assert shelf.get(link, cookies=buyer).status_code == OK
    # A page that shows the picture to everybody shows its preview.
    open_post = shelf.site.create_post(image)
    page = shelf.get(shelf.site.permalink(open_post), cookies=buyer).text
    assert "bitcache-previews" in page
    assert "bitcache_file=" not in page
    assert "inside" not in "".join(re.findall(r"<img[^>]*>", page))
    # The editor shows it, and saves what was stored.
    route = f"wp/v2/posts/{post}"
    raw = shelf.site.rest("GET", route, "admin", params={"context": "edit"}).json()
    assert "bitcache_file=" in raw["content"]["raw"]
    shelf.site.rest("POST", route, "admin", json={"content": raw["content"]["raw"]})
    assert shelf.site.eval("return get_post( $input['id'] )->post_content;", id=post) == content
    # Without the post the picture is free again.
    shelf.site.eval("wp_delete_post( $input['id'], true );", id=post)
    assert len(shelf.public(media)) >= 7


def test_with_a_post_whose_category_gets_or_loses_the_price(shelf: Shelf) -> None:
    """By `wp post term`, or a plugin: nothing but the category of the post is written."""
    media = shelf.picture("category.jpg")
    url = f"{shelf.site.url}/wp-content/uploads/{shelf.paths(media)[0]}"
    image = image_block(media, url)
    post = shelf.site.create_post(
        f"<!-- wp:paragraph -->\n<p>Free.</p>\n<!-- /wp:paragraph -->\n\n{image}",
        meta_input={"_bitcache_rules": {"free_paragraphs": 1}},
    )
    category = shelf.site.eval(
        "$id = wp_insert_term( 'Dear ' . $input['post'], 'category' )['term_id'];"
        "update_term_meta( $id, 'bitcache_price', '0.05' ); return $id;",
        post=post,
    )
    everything = shelf.public(media)
    assert len(everything) >= 7
    change = "return $input['how']( $input['post'], array( $input['category'] ), 'category' );"
    for how, public in (
        ("wp_set_object_terms", []),
        ("wp_remove_object_terms", everything),
        ("wp_add_object_terms", []),
    ):
        shelf.site.eval(change, how=how, post=post, category=category, method="GET", user="")
        assert shelf.public(media) == public
    shelf.site.eval("wp_delete_term( $input['id'], 'category' );", id=category)
    assert shelf.public(media) == everything


def test_pictures_are_edited_in_private(shelf: Shelf) -> None:
    media = shelf.picture("edited.jpg")
    shelf.price(media)
    done = shelf.site.eval(
        "require_once ABSPATH . 'wp-admin/includes/image.php';"
        "require_once ABSPATH . 'wp-admin/includes/image-edit.php';"
        "wp_update_attachment_metadata( $input['id'],"
        " wp_generate_attachment_metadata( $input['id'], get_attached_file( $input['id'] ) ) );"
        "$_REQUEST = array( 'history' => '[{\"r\":90}]', 'target' => 'all', 'do' => 'save',"
        " 'context' => '' ); $answer = wp_save_image( $input['id'] );"
        "return array( empty( $answer->error ),"
        " get_post_meta( $input['id'], '_wp_attached_file', true ),"
        " wp_get_attachment_metadata( $input['id'] )['file'] );",
        id=media,
    )
    assert done[0] is True
    assert done[1] == done[2]
    assert re.fullmatch(r"\d{4}/\d\d/edited-(scaled-)?e\d+\.jpg", done[1])
    assert list(shelf.uploads.rglob("*edited*")) == []
    assert len(shelf.paths(media)) >= 14
    # A new upload of the same name takes another one.
    again = shelf.picture("edited.jpg")
    assert shelf.paths(again)[0].startswith(shelf.paths(media)[0][:8] + "edited-")
    assert set(shelf.paths(again)).isdisjoint(shelf.paths(media))
    shelf.site.eval("wp_delete_attachment( $input['id'], true );", id=media)
    left = shelf.site.eval("return \\Bitcache\\Files\\Check::run();")
    assert left == []


def test_what_was_left_public_is_found_and_mended(shelf: Shelf) -> None:
    media = shelf.picture("late.jpg")
    before = shelf.contents(media)
    shelf.price(media)
    # A crash between the two halves of a move, and a file that another plugin wrote later.
    crashed = next(iter(before))
    (shelf.uploads / crashed).parent.mkdir(parents=True, exist_ok=True)
    (shelf.uploads / crashed).write_bytes(before[crashed])
    late = re.sub(r"(-scaled)?\.jpg$", "-300x200.webp", crashed)
    (shelf.uploads / late).write_bytes(b"late")
    found = shelf.site.eval("return \\Bitcache\\Files\\Check::run();")
    assert {(row["kind"], row["path"]) for row in found} == {("public", crashed), ("public", late)}
    if shelf.server == "php":
        assert shelf.site.cli("bitcache", "files", "repair").startswith("Success")
        assert json.loads(shelf.site.cli("bitcache", "files", "check", "--format=json")) == []
    else:
        # What the cron does each hour.
        shelf.site.eval("\\Bitcache\\Files\\Check::finish();")
        assert shelf.site.eval("return \\Bitcache\\Files\\Check::run();") == []
    assert shelf.public(media) == []
    # The plugin goes: everything is where it was.
    shelf.site.eval("\\Bitcache\\Files\\Check::release();")
    assert {path: (shelf.uploads / path).read_bytes() for path in before} == before
