"""The download link: ranges, resuming, names, and nothing that runs on our origin."""

import os
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from bitcache_server.storage.local import LocalFiles
from tests.support.api import assert_problem, assert_refused, call
from tests.support.world import PUBLIC_URL, World

SONG = bytes(range(256)) * 400
SIZE = len(SONG)


def add_file(world: World, name: str, content: bytes) -> str:
    """Put a file for sale; return the item's id."""
    own = world.deps.settings.files_dir / world.site_id
    own.mkdir(exist_ok=True)
    (own / name).write_bytes(content)
    body = {"title": "A file", "price": 7_000, "currency": "SAT", "file_path": name}
    answer = call(world, "POST", "/v1/items", world.secret, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["id"])


def link_of(world: World, item_id: str) -> tuple[str, str]:
    """Buy the file; return the path of a link and the grant."""
    purchase = world.buy(item_id)
    world.pay(purchase)
    grant = world.grant(purchase)
    answer = call(world, "POST", f"/v1/files/{item_id}/link", grant)
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["url"]).removeprefix(PUBLIC_URL), grant


def fetch(world: World, path: str, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(world, "GET", path, headers=named)


def test_ranges(sqlite_world: World) -> None:
    """RFC 9110 §14. What is no range that we serve gets the whole file, as without one."""
    path, _ = link_of(sqlite_world, sqlite_world.file_id)
    whole = fetch(sqlite_world, path)
    assert (whole.status_code, whole.data, whole.content_length) == (200, SONG, SIZE)
    assert whole.headers["Accept-Ranges"] == "bytes"
    for asked, start, end in (
        ("0-0", 0, 1), ("0-99", 0, 100), ("100-", 100, SIZE), (f"{SIZE - 1}-", SIZE - 1, SIZE),
        ("-1", SIZE - 1, SIZE), ("-500", SIZE - 500, SIZE), (f"5-{SIZE * 2}", 5, SIZE),
    ):  # fmt: skip
        part = fetch(sqlite_world, path, Range=f"bytes={asked}")
        assert (part.status_code, part.data == SONG[start:end]) == (206, True), asked
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
        assert part.content_length == end - start
    for asked in (
        "bytes=0-0,5-9", "bytes=0-0, -1", "bytes=a-b", "bytes=", "chars=0-5", "0-5", "bytes=9-5",
        f"bytes=-{SIZE}", f"bytes=-{SIZE * 2}",
    ):  # fmt: skip
        answer = fetch(sqlite_world, path, Range=asked)
        assert (answer.status_code, answer.data == SONG) == (200, True), asked
    for asked in (f"{SIZE}-", f"{SIZE + 5}-{SIZE + 9}", "-0"):
        answer = fetch(sqlite_world, path, Range=f"bytes={asked}")
        assert_problem(answer, 416, "range_not_satisfiable")
        assert answer.headers["Content-Range"] == f"bytes */{SIZE}", asked


def test_a_transfer_that_broke_goes_on_where_it_was(sqlite_world: World) -> None:
    world = sqlite_world
    path, _ = link_of(world, world.file_id)
    first = fetch(world, path, Range="bytes=0-999")
    etag = first.headers["ETag"]
    rest = fetch(world, path, Range="bytes=1000-", If_Range=etag)
    assert (rest.status_code, first.data + rest.data == SONG) == (206, True)
    assert fetch(world, path, If_None_Match=etag).status_code == 304
    file = world.deps.settings.files_dir / "song.ogg"
    file.write_bytes(SONG[::-1])
    os.utime(file, (2_000_000_000, 2_000_000_000))
    # Half of one file and half of another would be neither.
    anew = fetch(world, path, Range="bytes=1000-", If_Range=etag)
    assert (anew.status_code, anew.data == SONG[::-1]) == (200, True)


def test_headers_keep_a_file_from_running_here(sqlite_world: World) -> None:
    world = sqlite_world
    attack = b"<html><script>alert(document.domain)</script></html>"
    for name in ("page.html", "page.HTM", "image.svg", "data.xml", "code.js", "page.xhtml", "none"):
        path, _ = link_of(world, add_file(world, name, attack))
        answer = fetch(world, path)
        assert answer.data == attack
        assert answer.mimetype == "application/octet-stream", name
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "sandbox"} <= set(policy)
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_names_that_need_quoting(sqlite_world: World) -> None:
    world = sqlite_world
    for name in (
        'say "hi"; x=1.txt',
        "größe ☃ 日本.txt",
        "100% %2e%2e.txt",
        "a b+c&d?e#f.txt",
        "'.txt",
    ):
        path, _ = link_of(world, add_file(world, name, b"text"))
        answer = fetch(world, path)
        assert answer.data == b"text", name
        assert download_name(answer) == name
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def download_name(answer: TestResponse) -> str:
    """Return the name that a browser saves the file under (RFC 6266)."""
    from werkzeug.http import parse_options_header

    disposition, options = parse_options_header(answer.headers["Content-Disposition"])
    assert disposition == "attachment"
    return options["filename"]


def test_an_empty_file(sqlite_world: World) -> None:
    path, _ = link_of(sqlite_world, add_file(sqlite_world, "empty.txt", b""))
    answer = fetch(sqlite_world, path)
    assert (answer.status_code, answer.data, answer.content_length) == (200, b"", 0)


def test_links_open_one_file_for_a_while(world: World) -> None:
    other = add_file(world, "other.txt", b"other")
    path, grant = link_of(world, world.file_id)
    _, item_id, token, name = path.strip("/").split("/")
    assert fetch(world, f"/files/{item_id}/{token}/any-name").data == SONG
    # The last letter of a signature is one of sixteen.
    changed = token[:-1] + ("E" if token.endswith("A") else "A")
    for wrong, status, code in (
        (f"/files/{other}/{token}/{name}", 403, "link_invalid"),
        (f"/files/{world.article_id}/{token}/{name}", 403, "link_invalid"),
        (f"/files/it_unknown/{token}/{name}", 404, "unknown_item"),
        (f"/files/{item_id}/{grant}/{name}", 403, "link_invalid"),
        (f"/files/{item_id}/{changed}/{name}", 403, "link_invalid"),
        (f"/files/{item_id}/{token}x/{name}", 403, "link_invalid"),
        (f"/files/{item_id}/{token.replace('.', '')}/{name}", 403, "link_invalid"),
        (f"/files/{item_id}/%E2%98%83/{name}", 403, "link_invalid"),
        (f"/files/{item_id}/{token}", 404, "not_found"),
    ):
        assert_problem(fetch(world, wrong), status, code)
    world.clock.pass_time(world.deps.settings.download_link_lifetime_s - 1)
    assert fetch(world, path).status_code == 200
    world.clock.pass_time(1)
    assert_problem(fetch(world, path), 403, "link_expired")


def test_a_link_ends_with_the_purchase(world: World) -> None:
    purchase = world.buy(world.file_id)
    reference = world.pay(purchase)
    link = call(world, "POST", f"/v1/files/{world.file_id}/link", world.grant(purchase)).get_json()
    path = link["url"].removeprefix(PUBLIC_URL)
    assert fetch(world, path).status_code == 200
    world.rail.double_spend(reference)
    world.check_unconfirmed()
    assert_problem(fetch(world, path), 403, "grant_revoked")


def test_a_file_that_vanished(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = sqlite_world
    path, grant = link_of(world, world.file_id)
    file = world.deps.settings.files_dir / "song.ogg"
    hidden = file.rename(file.with_name("elsewhere.ogg"))
    assert_problem(fetch(world, path), 404, "file_missing")
    answer = call(world, "POST", f"/v1/files/{world.file_id}/link", grant)
    assert_refused(world, answer, 404, "file_missing")
    # The item can still be looked at, and says that it does not know the file.
    assert call(world, "GET", f"/v1/items/{world.file_id}").get_json()["file"] is None
    hidden.rename(file)
    assert fetch(world, path).status_code == 200

    def describe_and_delete(files: LocalFiles, relative_path: str) -> Any:
        stored = describe(files, relative_path)
        Path(stored.path).unlink()
        return stored

    describe = LocalFiles.describe
    monkeypatch.setattr(LocalFiles, "describe", describe_and_delete)
    assert_problem(fetch(world, path), 404, "file_missing")


def test_a_file_that_became_a_way_out_of_the_folder(sqlite_world: World, tmp_path: Path) -> None:
    path, _ = link_of(sqlite_world, sqlite_world.file_id)
    outside = tmp_path / "secret.txt"
    outside.write_text("secret")
    file = sqlite_world.deps.settings.files_dir / "song.ogg"
    file.unlink()
    file.symlink_to(outside)
    assert_problem(fetch(sqlite_world, path), 422, "file_path_refused")
