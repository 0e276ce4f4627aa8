"""Files in a folder of this machine.

A path comes from a merchant over the API and must not reach anything but
regular, visible files inside the folder: not by ``..``, not by a symbolic
link, and not by a device or a pipe that would block the process. Where it
names a folder it stays in there, too: each site has one, and its links must
not lead to the files of others.
"""

import os
import stat
import unicodedata
from pathlib import Path
from typing import BinaryIO

from bitcache_server.domain.errors import FileMissing, FilePathRefused
from bitcache_server.storage.base import StoredFile

MAX_PATH_CHARS = 1024
UNKNOWN_TYPE = "application/octet-stream"

#: What may be named by its type. Everything else is a stream of bytes, above all what
#: a browser could run on our origin: HTML, SVG, XML, scripts. A list of what is safe
#: stays safe when somebody invents another format.
SAFE_TYPES = {
    "7z": "application/x-7z-compressed", "aac": "audio/aac", "avif": "image/avif",
    "csv": "text/csv", "docx": "application/vnd.openxmlformats-officedocument"
    ".wordprocessingml.document", "epub": "application/epub+zip", "flac": "audio/flac",
    "gif": "image/gif", "gz": "application/gzip", "jpeg": "image/jpeg", "jpg": "image/jpeg",
    "json": "application/json", "m4a": "audio/mp4", "m4v": "video/mp4", "md": "text/plain",
    "mkv": "video/x-matroska", "mobi": "application/x-mobipocket-ebook", "mov": "video/quicktime",
    "mp3": "audio/mpeg", "mp4": "video/mp4", "oga": "audio/ogg", "ogg": "audio/ogg",
    "ogv": "video/ogg", "opus": "audio/ogg", "otf": "font/otf", "pdf": "application/pdf",
    "png": "image/png", "pptx": "application/vnd.openxmlformats-officedocument"
    ".presentationml.presentation", "rar": "application/vnd.rar", "tar": "application/x-tar",
    "tif": "image/tiff", "tiff": "image/tiff", "ttf": "font/ttf", "txt": "text/plain",
    "wav": "audio/wav", "webm": "video/webm", "webp": "image/webp", "xlsx": "application/"
    "vnd.openxmlformats-officedocument.spreadsheetml.sheet", "zip": "application/zip",
}  # fmt: skip

_DIRECTION_MARKS = dict.fromkeys(
    [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)


class LocalFiles:
    """The files below ``root``. The folder may appear, vanish and change at any time."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def describe(self, relative_path: str) -> StoredFile:
        """Return the file; raise FilePathRefused or FileMissing."""
        path = self._resolve(relative_path)
        try:
            status = path.stat()
        except OSError:
            raise _missing() from None
        _check_regular(status)
        return StoredFile(
            path=path,
            name=download_name(relative_path.rpartition("/")[2]),
            size_bytes=status.st_size,
            content_type=content_type_of(relative_path),
            modified_at=int(status.st_mtime),
        )

    def open(self, relative_path: str) -> BinaryIO:
        """Return the file's bytes for reading; raise as ``describe`` does.

        The file is looked at again once it is open: a pipe would block without
        O_NONBLOCK, and a link that has just taken the file's place is not followed.
        """
        path = self._resolve(relative_path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            raise _missing() from None
        try:
            _check_regular(os.fstat(descriptor))
        except FilePathRefused:
            os.close(descriptor)
            raise
        return os.fdopen(descriptor, "rb")

    def _resolve(self, relative_path: str) -> Path:
        """Return the absolute path without links; raise FilePathRefused or FileMissing.

        There may be nothing at it: whether a link that leads away leads to something is
        not told.
        """
        _check_spelling(relative_path)
        try:
            root = self._root.resolve(strict=True)
            folder = root.joinpath(relative_path.partition("/")[0]).resolve()
            path = root.joinpath(relative_path).resolve()
        except (OSError, RuntimeError):  # RuntimeError: links in a circle.
            raise _missing() from None
        if not (path.is_relative_to(root) and path.is_relative_to(folder)):
            raise FilePathRefused("The path leaves its folder.")
        return path


def _check_spelling(relative_path: str) -> None:
    """Refuse what no path of a file for sale looks like, before the disk is asked."""
    if not 0 < len(relative_path) <= MAX_PATH_CHARS:
        raise FilePathRefused(f"A path has 1 to {MAX_PATH_CHARS} characters.")
    if "\\" in relative_path or any(_is_control(char) for char in relative_path):
        raise FilePathRefused("A path has no backslashes and no control characters.")
    parts = relative_path.split("/")
    if any(part == "" or part.startswith(".") for part in parts):
        # Hidden files are settings and version control, and ``..`` is one of them, too.
        raise FilePathRefused("A path is relative, without empty parts and without hidden names.")


def _is_control(char: str) -> bool:
    """Say whether it is a control character (Cc) or half of a surrogate pair (Cs)."""
    return unicodedata.category(char) in ("Cc", "Cs")


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FilePathRefused("That is not a file.")


def _missing() -> FileMissing:
    """Return the error. It says the same whether a file is absent or not readable."""
    return FileMissing("There is no readable file at this path in the files folder.")


def content_type_of(name: str) -> str:
    """Return the media type by the extension; an unknown or dangerous one is plain bytes."""
    extension = name.rpartition("/")[2].rpartition(".")[2]
    return SAFE_TYPES.get(extension.lower(), UNKNOWN_TYPE) if "." in name else UNKNOWN_TYPE


def download_name(name: str) -> str:
    """Return the name without characters that turn the writing direction.

    One of them shows ``photo\\u202egpj.exe`` to the reader as a photo (UAX 9, section 2).
    """
    return name.translate(_DIRECTION_MARKS) or "file"
