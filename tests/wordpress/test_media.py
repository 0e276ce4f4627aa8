"""Sounds, films, downloads and pictures that cost, wherever WordPress names a file.

Each address is asked twice: before there is a price, when it must name the file, and after.
"""

import contextlib
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.support.wordpress import WordPresses
from tests.wordpress.canaries import picture
from tests.wordpress.shelf import LINK, Shelf, opened

OK = httpx.codes.OK
TYPES = {"mp3": "audio/mpeg", "mp4": "video/mp4", "pdf": "application/pdf", "jpg": "image/jpeg"}
Media = dict[str, int]

#: Every way to show a file in a post; named by {kind} (its address) and {kind_id}.
_SHOWN = """<!-- wp:audio {{"id":{mp3_id}}} --><figure class="wp-block-audio"><audio controls
src="{mp3}"></audio></figure><!-- /wp:audio -->
<!-- wp:video {{"id":{mp4_id}}} --><figure class="wp-block-video"><video controls src="{mp4}"
poster="{jpg}"></video></figure><!-- /wp:video -->
<!-- wp:file {{"id":{pdf_id},"href":"{pdf}"}} --><div class="wp-block-file"><object
class="wp-block-file__embed" data="{pdf}" type="application/pdf"></object><a href="{pdf}">Paper</a>
</div><!-- /wp:file -->
<!-- wp:image {{"id":{jpg_id}}} --><figure class="wp-block-image"><a href="{jpg}"><img
src="{large}" class="wp-image-{jpg_id}"/></a></figure><!-- /wp:image -->
<!-- wp:gallery {{"ids":[{jpg_id}]}} --><figure class="wp-block-gallery"><img src="{jpg}"
data-full-url="{jpg}" data-id="{jpg_id}" class="wp-image-{jpg_id}"/></figure><!-- /wp:gallery -->
<!-- wp:cover {{"url":"{jpg}","id":{jpg_id}}} --><div class="wp-block-cover"
style="background-image:url({jpg})"><div>x</div></div><!-- /wp:cover -->
<!-- wp:media-text {{"mediaId":{jpg_id},"mediaType":"image"}} --><div class="wp-block-media-text">
<figure><img src="{jpg}"/></figure></div><!-- /wp:media-text -->
<!-- wp:html --><a href="{mp4}">film</a> <audio src='{mp3}?x=1'></audio><!-- /wp:html -->
<!-- wp:shortcode -->[gallery ids="{jpg_id}"][playlist ids="{mp3_id}"]
[playlist type="video" ids="{mp4_id}"][audio src="{mp3}"][video src="{mp4}"]
<!-- /wp:shortcode -->

{mp3}
"""
_EDIT = """
require_once ABSPATH . 'wp-admin/includes/image-edit.php';
$_REQUEST = array( 'history' => '[{"r":90}]', 'target' => 'all', 'do' => 'save', 'context' => '' );
wp_save_image( $input['id'] );
$made = count( \\Bitcache\\Files\\Paths::of( $input['id'] ) );
return array( $made, wp_restore_image( $input['id'] )->msg );
"""
_REGENERATE = """
add_image_size( 'odd', 333, 222, true );
wp_update_attachment_metadata( $input['id'], wp_generate_attachment_metadata( $input['id'],
    wp_get_original_image_path( $input['id'] ) ) );
"""
_REPLACE = """
update_attached_file( $input['id'], wp_upload_dir()['basedir'] . '/' . $input['to'] );
wp_update_attachment_metadata( $input['id'],
    wp_generate_attachment_metadata( $input['id'], get_attached_file( $input['id'] ) ) );
"""
_SAID_AGAIN = """
$meta = wp_get_attachment_metadata( $input['id'] );
wp_update_attachment_metadata( $input['id'], array( 'replaced' => 1 ) + $meta );
"""


@pytest.fixture(scope="module")
def shelf(wordpresses: WordPresses) -> Iterator[Shelf]:
    with opened(wordpresses, "inside") as made:
        yield made


def _sized(kind: bytes, body: bytes) -> bytes:
    return (len(body) + 8).to_bytes(4, "big") + kind + body


@pytest.fixture(scope="module")
def media(shelf: Shelf) -> Media:
    frame = b"\xff\xfb\x90\x00" + b"\0" * 413
    film = _sized(b"ftyp", b"isom\0\0\2\0isomiso2mp41") + _sized(b"mdat", picture("film", 80, 80))
    return {
        "mp3": shelf.upload("tune.mp3", b"ID3\x03\0\0\0\0\0\0" + frame * 40),
        "mp4": shelf.upload("film.mp4", film),
        "pdf": shelf.upload("paper.pdf", b"%PDF-1.4\n" + picture("paper", 80, 80)),
        "jpg": shelf.upload("view.jpg", picture("view", 1_200, 900)),
    }


def _addresses(shelf: Shelf, media: Media) -> dict[str, str]:
    """Publish a post that shows all of them; return what names files, by a word for it."""
    code = "return array_map( 'wp_get_attachment_url', $input['ids'] );"
    names: dict[str, object] = dict(shelf.site.eval(code, ids=media))
    names["large"] = str(names["jpg"]).replace(".jpg", "-1024x768.jpg")
    names |= {f"{kind}_id": number for kind, number in media.items()}
    post = shelf.site.create_post(_SHOWN.format(**names), post_title="Shows")
    shelf.site.eval(
        "set_post_thumbnail( $input['post'], $input['picture'] );"
        "add_post_meta( $input['post'], 'enclosure', $input['enclosure'] );",
        post=post,
        picture=media["jpg"],
        enclosure=f"{names['mp3']}\n17000\naudio/mpeg\n",
    )
    page = shelf.site.permalink(post).removeprefix(shelf.site.url + "/")
    found = {
        "page": page,
        "feed": "?feed=rss2",
        "Atom feed": "?feed=atom",
        "REST, post": f"?rest_route=/wp/v2/posts/{post}&_embed=1",
        "REST, media": "?rest_route=/wp/v2/media&_embed=1",
        "REST, pictures": "?rest_route=/wp/v2/media&media_type=image&search=view",
        "REST, media embedded": "?rest_route=/wp/v2/media&context=embed",
        "oEmbed": f"?rest_route=/oembed/1.0/embed&url={shelf.site.permalink(post)}",
        "embedded page": f"{page}embed/",
    }
    for kind, number in media.items():
        link = shelf.site.eval("return get_attachment_link( $input['id'] );", id=number)
        found[f"attachment page, {kind}"] = link.removeprefix(shelf.site.url + "/")
        found[f"attachment, by its number, {kind}"] = f"?attachment_id={number}"
        found[f"REST, {kind}"] = f"?rest_route=/wp/v2/media/{number}"
    return found


def _named(answer: httpx.Response) -> set[str]:
    text = (answer.text + str(answer.headers)).replace("\\/", "/")
    found = re.findall(r"wp-content/uploads/\d{4}/\d\d/([\w.-]+)", text)
    return {*found, *LINK.findall(text)}


def test_nothing_names_a_file_that_costs(shelf: Shelf, media: Media) -> None:
    # New sites lead from such pages to the files.
    assert shelf.site.option("wp_attachment_pages_enabled") == "0"
    addresses = _addresses(shelf, media)
    for name, path in addresses.items():
        assert _named(shelf.site.http.get(path)), name
    for number in media.values():
        shelf.price(number)
    for name, path in addresses.items():
        answer = shelf.site.http.get(path)
        assert answer.status_code in {200, 301}, name
        assert "location" not in answer.headers or "uploads" not in answer.headers["location"]
        assert _named(answer) == set(), name
        if name.startswith("attachment page"):
            assert 'class="bitcache-file"' in answer.text
    # Nor to people who write here, but may not edit it.
    with contextlib.closing(shelf.site.logged_in("author")) as author:
        for data in ({"action": "query-attachments"}, {"action": "get-attachment", "id": "4"}):
            assert _named(author.post("wp-admin/admin-ajax.php", data=data)) == set()
    values = ("1", "author", shelf.site.passwords["author"])
    sent = "".join(f"<param><value><string>{value}</string></value></param>" for value in values)
    call = f"<methodName>wp.getMediaLibrary</methodName><params>{sent}</params>"
    body = f'<?xml version="1.0"?><methodCall>{call}</methodCall>'
    answer = shelf.site.http.post("xmlrpc.php", content=body)
    assert "attachment_id" in answer.text
    assert _named(answer) == set()


def test_buyers_play_and_save_them(shelf: Shelf, media: Media) -> None:
    tags = {"mp3": "<audio controls", "mp4": "<video controls", "pdf": "Download", "jpg": "srcset"}
    for kind, number in media.items():
        shelf.price(number)
        buyer = shelf.buy(number)
        assert tags[kind] in shelf.part(number, buyer)
        for link in shelf.links(number, buyer):
            answer = shelf.get(link, cookies=buyer, headers={"Range": "bytes=3-9"})
            assert (answer.status_code, len(answer.content)) == (206, 7)
            assert answer.headers["content-type"] == TYPES[kind]
            saved = answer.headers["content-disposition"]
            assert saved.startswith("inline; filename=")
            saved = shelf.get(link + "&save=1", cookies=buyer).headers["content-disposition"]
            assert saved.startswith("attachment; filename=")


def test_an_export_opens_nothing(shelf: Shelf, media: Media) -> None:
    for number in media.values():
        shelf.price(number)
    content = "<!-- wp:paragraph --><p>Free.</p><!-- /wp:paragraph --><!-- wp:bitcache/paywall /-->"
    image = f'<!-- wp:image {{"id":{media["jpg"]}}} --><figure></figure><!-- /wp:image -->'
    shelf.site.create_post(content + image, meta_input={"_bitcache_price": "0.05"})
    meta = "return get_post_meta( $input['id'], '_bitcache_in_parts' );"
    assert shelf.site.eval(meta, id=media["jpg"]) != []
    with contextlib.closing(shelf.site.logged_in("admin")) as admin:
        text = admin.get("wp-admin/export.php?download=true&content=all").text
    links = set(re.findall(r"http://[^\s<>\"']*bitcache_file=[0-9a-f.]+", text))
    assert len(links) == len(media)
    buyer = shelf.buy(media["pdf"])
    for link in links:
        assert shelf.get(link, cookies=buyer).status_code == 403
    for path in set(re.findall(r"wp-content/uploads/[\w/.-]+\.\w+", text)):
        assert shelf.get(f"{shelf.site.url}/{path}").status_code == 404
    keys = set(re.findall(r"<wp:meta_key><!\[CDATA\[(_bitcache_\w+)", text))
    assert keys <= {"_bitcache_price", "_bitcache_currency", "_bitcache_public_text"}


def test_what_becomes_of_a_picture_later(shelf: Shelf) -> None:
    """Edited and restored, with a new size, and replaced in two ways: it stays private."""
    media = shelf.upload("later.jpg", picture("later", 2_700, 400))
    shelf.price(media)
    before = len(shelf.paths(media))
    made, said = shelf.site.eval(_EDIT, id=media)
    assert made > before
    assert said == "Image restored successfully."
    shelf.site.eval(_REGENERATE, id=media)
    assert [path for path in shelf.paths(media) if path.endswith("-333x222.jpg")]
    # One plugin writes the new file where the old one was once, another one takes a new name.
    new = picture("newer", 2_700, 400)
    main = shelf.uploads / shelf.paths(media)[0]
    main.parent.mkdir(parents=True, exist_ok=True)
    main.write_bytes(new)
    shelf.site.eval(_SAID_AGAIN, id=media)
    assert _public(shelf) == []
    buyer = shelf.buy(media)
    assert any(shelf.get(link, cookies=buyer).content == new for link in shelf.links(media, buyer))
    main.parent.mkdir(parents=True, exist_ok=True)
    (main.parent / "later-newest.jpg").write_bytes(new)
    path = shelf.paths(media)[0].replace(main.name, "later-newest.jpg")
    shelf.site.eval(_REPLACE, id=media, to=path)
    assert _public(shelf) == []
    assert "later-newest" in shelf.paths(media)[0]
    assert shelf.site.eval("return \\Bitcache\\Files\\Check::run();") == []
    shelf.unprice(media)
    assert len(_public(shelf)) > before
    shelf.price(media)
    shelf.site.eval("wp_delete_attachment( $input['id'], true );", id=media)
    assert shelf.site.eval("return \\Bitcache\\Files\\Check::run();") == []


def _public(shelf: Shelf) -> list[str]:
    return sorted(str(path) for path in shelf.uploads.rglob("later*"))


#: A web server that gives out files as they lie there, PHP or not.
_OPEN = """<?php
add_filter( 'pre_http_request', function ( $answer, $arguments, $url ) {
    $path = (string) parse_url( $url, PHP_URL_PATH );
    return false === strpos( $path, '/private-files/' ) ? $answer : array( 'headers' => array(),
        'body' => file_get_contents( ABSPATH . $path ), 'cookies' => array(), 'filename' => null,
        'response' => array( 'code' => 200, 'message' => 'OK' ) );
}, 5, 3 );
"""


def test_a_server_that_gives_out_everything_is_noticed(shelf: Shelf) -> None:
    media = shelf.upload("later.pdf", b"%PDF-1.4\n" + picture("later", 80, 80))
    (shelf.site.content / "mu-plugins" / "open.php").write_text(_OPEN)
    shelf.site.eval("delete_option( 'bitcache_private_probe' );")
    shelf.price(media)
    found = shelf.site.eval("return \\Bitcache\\Files\\Check::run();")
    assert {row["kind"] for row in found if row["id"] in {0, media}} >= {"public", "served"}
    with contextlib.closing(shelf.site.logged_in("admin")) as admin:
        assert "Your web server hands out files from" in admin.get("wp-admin/upload.php").text
    # The cron goes on as soon as it is mended.
    (shelf.site.content / "mu-plugins" / "open.php").unlink()
    shelf.site.eval("\\Bitcache\\Files\\Probe::is_open(); \\Bitcache\\Files\\Check::finish();")
    assert _public(shelf) == []
    assert shelf.site.eval("return \\Bitcache\\Files\\Check::run();") == []
