import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.domain.errors import FileMissing, FilePathRefused
from bitcache_server.storage.base import FileStore
from bitcache_server.storage.local import (
    SAFE_TYPES,
    UNKNOWN_TYPE,
    LocalFiles,
    content_type_of,
    download_name,
)

SECRET = b"outside of the folder"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder for sale with something next to it that is not."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "files-of-others").mkdir()
    (tmp_path / "files-of-others" / "a.txt").write_bytes(SECRET)
    folder = tmp_path / "files"
    (folder / "books").mkdir(parents=True)
    (folder / "books" / "one.pdf").write_bytes(b"%PDF-1.7 one")
    (folder / ".env").write_bytes(SECRET)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(SECRET)
    return folder


@pytest.fixture
def files(root: Path) -> FileStore:
    return LocalFiles(root)


def test_a_file_is_described_and_read(files: FileStore, root: Path) -> None:
    os.utime(root / "books" / "one.pdf", (1, 1_700_000_000.9))
    stored = files.describe("books/one.pdf")
    assert stored.path == root / "books" / "one.pdf"
    assert (stored.name, stored.size_bytes) == ("one.pdf", 12)
    assert (stored.content_type, stored.modified_at) == ("application/pdf", 1_700_000_000)
    with files.open("books/one.pdf") as stream:
        assert stream.read() == b"%PDF-1.7 one"


@pytest.mark.parametrize(
    "name",
    [
        "\u4e2d\u6587 \u05d0.pdf",
        "a \"b\" 'c'; d=e.pdf",
        "%2e%2e",
        "a..b",
        "x" * 255,
        " a ",
        "-rf",
        "~",
    ],
)
def test_unusual_names(files: FileStore, root: Path, name: str) -> None:
    (root / name).write_bytes(b"x")
    assert files.describe(name).name == name
    assert files.describe(name).size_bytes == 1


@pytest.mark.parametrize(
    "path",
    ["", "/", "/etc/passwd", "..", "../secret.txt", "books/../../secret.txt",
     "books/../books/one.pdf", "./books/one.pdf", "books//one.pdf", "books/one.pdf/", "books/",
     "books\\one.pdf", "..\\secret.txt", "books/one.pdf\x00", "\x00", "a\nb", "a\x7fb", "a\x9fb",
     "\ud800", ".env", ".git/config", "books/.hidden", "a/" * 600 + "b", "x" * 2_000],
    ids=lambda path: ascii(path)[:30],
)  # fmt: skip
def test_paths_that_are_refused_by_their_spelling(files: FileStore, path: str) -> None:
    for call in (files.describe, files.open):
        with pytest.raises(FilePathRefused) as caught:
            call(path)
        assert "/" not in caught.value.detail


@pytest.mark.parametrize(
    "path", ["no.pdf", "books/no.pdf", "books/one.pdf/x", "x" * 300, "books/" + "y" * 300, "C:/a"]
)
def test_files_that_are_not_there(files: FileStore, path: str) -> None:
    for call in (files.describe, files.open):
        with pytest.raises(FileMissing):
            call(path)


@given(st.text("./\\ab\x00~", max_size=24))
def test_no_spelling_reaches_the_outside(text: str) -> None:
    files = LocalFiles(Path(__file__).parent)
    for path in (text, f"{text}/test_storage.py", f"../{text}", f"{text}/etc/passwd"):
        try:
            stored = files.describe(path)
        except (FilePathRefused, FileMissing):
            continue
        assert stored.path.is_relative_to(Path(__file__).parent.resolve())


def test_links_that_leave_the_folder(files: FileStore, root: Path) -> None:
    (root / "to-file.txt").symlink_to("../secret.txt")
    (root / "to-folder").symlink_to("/etc")
    (root / "to-neighbour").symlink_to("../files-of-others")
    (root / "hop.txt").symlink_to("to-file.txt")
    for path in ("to-file.txt", "to-folder/passwd", "to-neighbour/a.txt", "hop.txt"):
        for call in (files.describe, files.open):
            with pytest.raises(FilePathRefused):
                call(path)


def test_links_that_leave_the_folder_of_a_site(files: FileStore, root: Path) -> None:
    for site in ("st_a", "st_b"):
        (root / site / "deep").mkdir(parents=True)
        (root / site / "deep" / "x.pdf").write_bytes(site.encode())
    (root / "st_a" / "own.pdf").symlink_to("deep/x.pdf")
    assert files.describe("st_a/own.pdf").size_bytes == 4
    (root / "st_a" / "there.pdf").symlink_to("../st_b/deep/x.pdf")
    (root / "st_a" / "nowhere.pdf").symlink_to("../st_b/deep/nothing.pdf")
    (root / "st_a" / "deep" / "up").symlink_to("../..")
    # Whether there is something is not told.
    for path in ("st_a/there.pdf", "st_a/nowhere.pdf", "st_a/deep/up/st_b/deep/x.pdf"):
        for call in (files.describe, files.open):
            with pytest.raises(FilePathRefused):
                call(path)


def test_links_that_stay_inside_may_be_used(files: FileStore, root: Path) -> None:
    (root / "latest.pdf").symlink_to("books/one.pdf")
    stored = files.describe("latest.pdf")
    assert (stored.name, stored.path) == ("latest.pdf", root / "books" / "one.pdf")
    with files.open("latest.pdf") as stream:
        assert stream.read() == b"%PDF-1.7 one"


def test_the_folder_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert LocalFiles(tmp_path / "link").describe("books/one.pdf").size_bytes == 12


def test_links_in_a_circle_and_to_nowhere(files: FileStore, root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    (root / "c").symlink_to("nowhere")
    for path in ("a", "b/x", "c"):
        for call in (files.describe, files.open):
            with pytest.raises(FileMissing):
                call(path)


def test_only_regular_files_and_no_waiting(files: FileStore, root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "null").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "socket"))
        for path in ("pipe", "null", "books"):
            for call in (files.describe, files.open):
                with pytest.raises(FilePathRefused):
                    call(path)
        with pytest.raises(FilePathRefused):
            files.describe("socket")
        with pytest.raises(FileMissing):
            files.open("socket")


def test_a_link_that_takes_the_place_of_a_file_is_not_followed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = LocalFiles(root)
    path = root / "books" / "one.pdf"
    resolved = files.describe("books/one.pdf").path
    path.unlink()
    path.symlink_to("../../secret.txt")
    monkeypatch.setattr(files, "_resolve", lambda _: resolved)
    with pytest.raises(FileMissing):
        files.open("books/one.pdf")


def test_a_file_that_vanished(files: FileStore, root: Path) -> None:
    stored = files.describe("books/one.pdf")
    stored.path.unlink()
    with pytest.raises(FileMissing) as caught:
        files.describe("books/one.pdf")
    assert str(root) not in caught.value.detail
    with pytest.raises(FileMissing):
        files.open("books/one.pdf")


def test_a_folder_that_appears_later(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path / "later")
    with pytest.raises(FileMissing):
        files.describe("a.txt")
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a.txt").write_bytes(b"a")
    assert files.describe("a.txt").size_bytes == 1


@pytest.mark.parametrize(
    "name",
    ["a.html", "a.htm", "a.xhtml", "a.svg", "a.SVG", "a.svgz", "a.xml", "a.xsl", "a.js", "a.mjs",
     "a.css", "a.swf", "a.php", "a.wasm", "a.mht", "a.hta", "a.exe", "a.pdf.html", "html", "pdf",
     "a.", "a", "a.pdf ", "mp3/a"],
)  # fmt: skip
def test_types_that_a_browser_could_run_or_does_not_know(name: str) -> None:
    assert content_type_of(name) == UNKNOWN_TYPE


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.pdf", "application/pdf"), ("a.PDF", "application/pdf"),
     ("x/a.html.epub", "application/epub+zip"), ("a.tar.gz", "application/gzip"),
     ("a.mp3", "audio/mpeg"), ("a.txt", "text/plain")],
)  # fmt: skip
def test_types_that_are_named(name: str, media_type: str) -> None:
    assert content_type_of(name) == media_type


def test_no_safe_type_is_one_that_runs() -> None:
    for media_type in SAFE_TYPES.values():
        assert not any(word in media_type for word in ("html", "svg", "+xml", "/xml", "script"))


def test_a_name_shows_what_it_is() -> None:
    assert download_name("photo\u202egpj.exe") == "photogpj.exe"
    assert download_name("a\u2066b\u200fc.pdf") == "abc.pdf"
    assert download_name("\u0645\u06cc\u200c\u062e.pdf") == "\u0645\u06cc\u200c\u062e.pdf"
    assert download_name("\u202e") == "file"
    assert download_name("\u4e2d\u05d0\U0001f511.pdf") == "\u4e2d\u05d0\U0001f511.pdf"
