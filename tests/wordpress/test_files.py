"""Files that cost: out of every web server's reach, streamed to who bought them, and mended.

Each test runs where private files lie beside the web server's root, and where they lie inside of
it in their guarded form; with PHP's own server and with nginx.
"""

import contextlib
import hashlib
import html
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.wordpress import WordPresses, WordPressSite

OK = httpx.codes.OK
#: A folder that the web server serves.
INSIDE = "<?php define( 'BITCACHE_PRIVATE_DIR', WP_CONTENT_DIR . '/private-files' );"
LINK = re.compile(r"http[^\"' ,]*bitcache_file=[^\"' ,]+")

_PICTURE = """
require_once ABSPATH . 'wp-admin/includes/image.php';
require_once ABSPATH . 'wp-admin/includes/file.php';
require_once ABSPATH . 'wp-admin/includes/media.php';
$image = imagecreatetruecolor( 2700, 200 );
for ( $i = 0; $i < 200; $i++ ) {
    imagefilledellipse( $image, wp_rand( 0, 2700 ), wp_rand( 0, 200 ), wp_rand( 9, 90 ),
        wp_rand( 9, 90 ), wp_rand( 0, 0xffffff ) );
}
$file = wp_tempnam( 'picture' );
imagejpeg( $image, $file, 85 );
return media_handle_sideload( array( 'name' => $input['name'], 'tmp_name' => $file ), 0 );
"""
_BYTES = """
$made = wp_upload_bits( $input['name'], null, base64_decode( $input['bytes'] ) );
return wp_insert_attachment( array( 'post_title' => $input['name'], 'post_status' => 'inherit',
    'post_mime_type' => 'application/octet-stream' ), $made['file'] );
"""
_BUY = """
global $wpdb;
$wpdb->insert( $wpdb->prefix . 'bitcache_purchases', array( 'reader_hash' => $input['hash'],
    'item_id' => 'it_' . $input['post'], 'part_key' => $input['key'], 'post_id' => $input['post'],
    'grant_text' => 'g', 'holder' => 'in_test', 'paid_msat' => 1, 'checked_at' => 0,
    'created_at' => time() ) );
"""


@dataclass
class Shelf:
    """A WordPress, and where it keeps its private files."""

    site: WordPressSite
    inside: bool

    @property
    def uploads(self) -> Path:
        return self.site.content / "uploads"

    def picture(self, name: str = "фото größe.jpg") -> int:
        return int(self.site.eval(_PICTURE, name=name))

    def paths(self, media: int) -> list[str]:
        code = "return \\Bitcache\\Files\\Paths::of( $input['id'] );"
        return list(self.site.eval(code, id=media))

    def public(self, media: int) -> list[str]:
        return [path for path in self.paths(media) if (self.uploads / path).exists()]

    def price(self, media: int, amount: str = "0.10") -> None:
        self.site.set_meta(media, _bitcache_price=amount, _bitcache_currency="USD")

    def buy(self, post: int, key: str = "file") -> dict[str, str]:
        """Return the cookies of a new reader who has bought a part."""
        token = secrets.token_urlsafe(32)
        name = hashlib.sha256(f"bitcache.reader.v1:{token}".encode()).hexdigest()
        self.site.eval(_BUY, post=post, key=key, hash=name)
        return {"bitcache_reader": token}

    def get(
        self,
        url: str,
        method: str = "GET",
        cookies: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """Ask as somebody with these cookies."""
        said = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
        sent = {**(headers or {}), "Cookie": said}
        return self.site.http.request(method, url, headers=sent, **options)

    def links(self, post: int, cookies: dict[str, str], key: str = "file") -> list[str]:
        """Return the links in a part as the site gives it to a reader."""
        answer = self.get(
            f"{self.site.url}/?bitcache_content=1&post={post}&part={key}",
            "POST",
            cookies=cookies,
            json={"grant": None},
        )
        assert answer.status_code == OK, answer.text
        text = "".join([answer.json()["html"], *dict(answer.json()["parts"]).values()])
        assert "wp-content/uploads/2" not in text
        return [html.unescape(link) for link in LINK.findall(text)]


@pytest.fixture(
    scope="module",
    params=[
        ("7.1", "php", False),
        ("7.1", "php", True),
        ("6.1", "nginx", True),
    ],
    ids=["beside", "inside", "inside-nginx-6.1"],
)
def shelf(request: pytest.FixtureRequest, wordpresses: WordPresses) -> Iterator[Shelf]:
    version, server, inside = request.param
    site = wordpresses.fresh(version=version, server=server)
    if inside:
        (site.content / "mu-plugins" / "private.php").write_text(INSIDE)
    yield Shelf(site, inside)
    complaints = site.complaints()
    site.stop()
    assert complaints == []


def test_no_server_has_a_file_that_costs(shelf: Shelf) -> None:
    media = shelf.picture()
    before = {path: (shelf.uploads / path).read_bytes() for path in shelf.paths(media)}
    assert len(before) >= 7
    shelf.price(media)
    assert shelf.public(media) == []
    for path, data in before.items():
        places = [f"uploads/{path}"]
        if shelf.inside:
            places += [f"private-files/1/{path}", f"private-files/1/{path}.php"]
        for place in places:
            answer = shelf.get(f"{shelf.site.url}/wp-content/{quote(place)}")
            # A server may first lead to the same address as it is spelled elsewhere.
            assert answer.status_code in {301, 403, 404}
            assert data[100:140] not in answer.content
    private = shelf.site.eval("return \\Bitcache\\Files\\Folder::is_guarded();")
    assert private is shelf.inside
    shelf.site.eval("delete_post_meta( $input['id'], '_bitcache_price' );", id=media)
    assert {path: (shelf.uploads / path).read_bytes() for path in before} == before


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
    for value in ("", "1", "x", f"{media}.full.1.2", "%00", "../../wp-config.php"):
        url = f"{shelf.site.url}/?bitcache_file={value}"
        assert shelf.get(url, cookies=buyer).status_code == 404
    # What was given back is closed at once, whatever links there are.
    shelf.site.eval(
        'global $wpdb; $wpdb->query( "DELETE FROM {$wpdb->prefix}bitcache_purchases" );'
    )
    assert shelf.get(link, cookies=buyer).status_code == 403


def test_ranges(shelf: Shelf) -> None:
    data = bytes(range(256)) * 1200
    encoded = shelf.site.eval(
        "return base64_encode( str_repeat( implode( '', array_map( 'chr', range( 0, 255 ) ) ),"
        " 1200 ) );"
    )
    media = int(shelf.site.eval(_BYTES, name="data.zip", bytes=encoded))
    shelf.price(media)
    buyer = shelf.buy(media)
    link = shelf.links(media, buyer)[0]

    def asked(method: str = "GET", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return shelf.get(link, method, cookies=buyer, headers=named)

    whole = asked()
    tag, size = whole.headers["etag"], len(data)
    assert whole.content == data
    assert whole.headers["content-type"] == "application/octet-stream"
    assert whole.headers["content-disposition"] == 'attachment; filename="data.zip"'
    some = asked(Range="bytes=1000-1999")
    assert (some.status_code, some.content) == (206, data[1000:2000])
    assert some.headers["content-range"] == f"bytes 1000-1999/{size}"
    assert asked(Range="bytes=-7").content == data[-7:]
    assert asked(Range=f"bytes={size - 3}-").content == data[-3:]
    none = asked(Range=f"bytes={size}-")
    assert (none.status_code, none.headers["content-range"]) == (416, f"bytes */{size}")
    assert asked(Range="bytes=0-1,4-5").content == data
    assert asked(Range="bytes=0-9", If_Range=tag).status_code == 206
    assert asked(Range="bytes=0-9", If_Range='"another"').content == data
    assert asked(If_None_Match=tag).status_code == 304
    head = asked("HEAD")
    assert (head.headers["content-length"], head.content) == (str(size), b"")


def test_with_its_post(shelf: Shelf) -> None:
    media = shelf.picture("inside.jpg")
    url = f"{shelf.site.url}/wp-content/uploads/{shelf.paths(media)[0]}"
    image = (
        f'<!-- wp:image {{"id":{media}}} -->\n<figure class="wp-block-image">'
        f'<img src="{url}" alt="" class="wp-image-{media}"/></figure>\n<!-- /wp:image -->'
    )
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
    before = {path: (shelf.uploads / path).read_bytes() for path in shelf.paths(media)}
    shelf.price(media)
    # A crash between the two halves of a move, and a file that another plugin wrote later.
    crashed = next(iter(before))
    (shelf.uploads / crashed).parent.mkdir(parents=True, exist_ok=True)
    (shelf.uploads / crashed).write_bytes(before[crashed])
    late = re.sub(r"(-scaled)?\.jpg$", "-300x200.webp", crashed)
    (shelf.uploads / late).write_bytes(b"late")
    found = shelf.site.eval("return \\Bitcache\\Files\\Check::run();")
    assert {(row["kind"], row["path"]) for row in found} == {("public", crashed), ("public", late)}
    assert shelf.site.cli("bitcache", "files", "repair").startswith("Success")
    assert shelf.public(media) == []
    assert json.loads(shelf.site.cli("bitcache", "files", "check", "--format=json")) == []
    # The plugin goes: everything is where it was.
    shelf.site.eval("\\Bitcache\\Files\\Check::release();")
    assert {path: (shelf.uploads / path).read_bytes() for path in before} == before
