"""A WordPress with files that cost: puts them there, buys them, and asks for them."""

import base64
import hashlib
import html
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.wordpress import WordPresses, WordPressSite
from tests.support.wordpress_servers import private_folder
from tests.wordpress.canaries import picture

LINK = re.compile(r"http[^\"' ,]*bitcache_file=[^\"' ,]+")

_UPLOAD = """
$file = wp_tempnam( $input['name'] );
file_put_contents( $file, base64_decode( $input['bytes'] ) );
$id = media_handle_sideload( array( 'name' => $input['name'], 'tmp_name' => $file ), 0 );
return is_wp_error( $id ) ? $id->get_error_message() : $id;
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
#: Where private files can be: what the site's owner writes into wp-config.php.
PLACES = {
    "beside": "",
    "inside": "define( 'BITCACHE_PRIVATE_DIR', WP_CONTENT_DIR . '/private-files' );",
    "sent": "define( 'BITCACHE_PRIVATE_DIR', '{}' );",
}


@dataclass
class Shelf:
    """A WordPress, and where it keeps its private files."""

    site: WordPressSite
    place: str

    @property
    def server(self) -> str:
        return self.site.layout.server

    @property
    def uploads(self) -> Path:
        return self.site.content / "uploads"

    def keep(self, place: str) -> None:
        """Keep private files there from now on: "beside" the root, "inside" of it, or "sent"."""
        self.place = place
        text = PLACES[place].format(private_folder(self.site.run))
        (self.site.content / "mu-plugins" / "private.php").write_text("<?php " + text)

    def upload(self, name: str, data: bytes, *, first: str = "", **given: str) -> int:
        """Put a file into the media library as a person does; ``first`` is PHP before that."""
        encoded = base64.b64encode(data).decode()
        made = self.site.eval(first + _UPLOAD, name=name, bytes=encoded, **given)
        assert isinstance(made, int), made
        return made

    def picture(self, name: str = "фото größe.jpg") -> int:
        """A JPEG so wide that WordPress scales it, and keeps what was uploaded beside it."""
        return self.upload(name, picture(name, 2_700, 200))

    def binary(self, name: str, data: bytes) -> int:
        """A file of a kind that WordPress does not know."""
        encoded = base64.b64encode(data).decode()
        return int(self.site.eval(_BYTES, name=name, bytes=encoded))

    def paths(self, media: int) -> list[str]:
        code = "return \\Bitcache\\Files\\Paths::of( $input['id'] );"
        return list(self.site.eval(code, id=media))

    def public(self, media: int) -> list[str]:
        return [path for path in self.paths(media) if (self.uploads / path).exists()]

    def contents(self, media: int) -> dict[str, bytes]:
        """Return every file of an attachment that is public."""
        return {path: (self.uploads / path).read_bytes() for path in self.paths(media)}

    def price(self, media: int, amount: str = "0.10") -> None:
        self.site.set_meta(media, _bitcache_price=amount, _bitcache_currency="USD")

    def unprice(self, media: int) -> None:
        self.site.eval("delete_post_meta( $input['id'], '_bitcache_price' );", id=media)

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

    def part(self, post: int, cookies: dict[str, str], key: str = "file") -> str:
        """Return a part as the site gives it to a reader."""
        answer = self.get(
            f"{self.site.url}/?bitcache_content=1&post={post}&part={key}",
            "POST",
            cookies=cookies,
            json={"grant": None},
        )
        assert answer.status_code == httpx.codes.OK, answer.text
        text = "".join([answer.json()["html"], *dict(answer.json()["parts"]).values()])
        assert "wp-content/uploads/2" not in text
        return text

    def links(self, post: int, cookies: dict[str, str], key: str = "file") -> list[str]:
        """Return the links in a part as the site gives it to a reader."""
        return [html.unescape(link) for link in LINK.findall(self.part(post, cookies, key))]


@contextmanager
def opened(wordpresses: WordPresses, place: str, **layout: Any) -> Iterator[Shelf]:
    """Open a new site; at its end PHP must have had no complaint."""
    shelf = Shelf(wordpresses.fresh(**layout), place)
    try:
        shelf.keep(place)
        yield shelf
        complaints = shelf.site.complaints()
    finally:
        shelf.site.stop()
    assert complaints == []
