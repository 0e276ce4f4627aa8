"""GET /v1/files/{item_id}"""

import os

import pytest
from werkzeug.test import TestResponse

from tests.functional.test_http_downloads import SIZE, SONG, add_file
from tests.support.api import assert_refused, call
from tests.support.world import ORIGIN, World


def bought(world: World, item_id: str | None = None) -> tuple[str, str]:
    """Buy a file; return its path and the grant."""
    purchase = world.buy(item_id or world.file_id)
    world.pay(purchase)
    return f"/v1/files/{item_id or world.file_id}", world.grant(purchase)


def fetch(world: World, path: str, grant: str, method: str = "GET", **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(world, method, path, grant, headers=named)


def test_the_file_whole_and_in_parts(world: World) -> None:
    path, grant = bought(world)
    whole = fetch(world, path, grant)
    assert (whole.status_code, whole.data, whole.content_length) == (200, SONG, SIZE)
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["Cache-Control"] == "private, no-store"
    assert whole.headers["Content-Disposition"] == "attachment; filename=song.ogg"
    assert {"default-src 'none'", "sandbox"} <= set(
        whole.headers["Content-Security-Policy"].split("; ")
    )
    part = fetch(world, path, grant, Range="bytes=100-199")
    assert (part.status_code, part.data) == (206, SONG[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{SIZE}"
    odd = fetch(world, path, grant, Range=f"bytes={SIZE}-")
    assert_refused(world, odd, 416, "range_not_satisfiable")


def test_conditions(sqlite_world: World) -> None:
    world = sqlite_world
    path, grant = bought(world)
    first = fetch(world, path, grant)
    etag, changed = first.headers["ETag"], first.headers["Last-Modified"]
    assert fetch(world, path, grant, If_None_Match=etag).status_code == 304
    assert fetch(world, path, grant, If_Modified_Since=changed).status_code == 304
    rest = fetch(world, path, grant, Range="bytes=1000-", If_Range=etag)
    assert (rest.status_code, rest.data == SONG[1000:]) == (206, True)
    file = world.deps.settings.files_dir / "song.ogg"
    file.write_bytes(SONG[::-1])
    os.utime(file, (2_000_000_000, 2_000_000_000))
    anew = fetch(world, path, grant, Range="bytes=1000-", If_Range=etag)
    assert (anew.status_code, anew.data == SONG[::-1]) == (200, True)
    assert fetch(world, path, grant, If_None_Match=etag).status_code == 200


def test_a_head_says_the_same_and_sends_nothing(sqlite_world: World) -> None:
    path, grant = bought(sqlite_world)
    answer = fetch(sqlite_world, path, grant, "HEAD")
    assert (answer.status_code, answer.data, answer.content_length) == (200, b"", SIZE)
    assert answer.headers["ETag"] == fetch(sqlite_world, path, grant).headers["ETag"]


@pytest.mark.parametrize("headers", [{}, {"Accept": "text/html"}, {"Origin": ORIGIN}])
def test_without_a_grant(sqlite_world: World, headers: dict[str, str]) -> None:
    """Where nothing is sold over Lightning, a grant is the only way."""
    world = sqlite_world
    answer = call(world, "GET", f"/v1/files/{world.file_id}", headers=headers)
    assert_refused(world, answer, 401, "grant_missing")


def test_a_grant_opens_its_own_file_and_no_other(world: World) -> None:
    other = add_file(world, "other.txt", b"other")
    path, grant = bought(world)
    purchase = world.buy()
    world.pay(purchase)
    for wrong, token, status, code in (
        (f"/v1/files/{other}", grant, 403, "grant_invalid"),
        (path, grant[:-1] + ("A" if grant[-1] != "A" else "E"), 403, "grant_invalid"),
        (f"/v1/files/{world.article_id}", world.grant(purchase), 409, "wrong_kind"),
        ("/v1/files/it_unknown", grant, 404, "unknown_item"),
    ):
        assert_refused(world, fetch(world, wrong, token), status, code)
    (world.deps.settings.files_dir / "song.ogg").unlink()
    assert_refused(world, fetch(world, path, grant), 404, "file_missing")
