"""The contract of a place that keeps files."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class StoredFile:
    """A file that can be handed out now."""

    path: Path
    """Where it lies, without symbolic links. Not for the outside."""
    name: str
    """What a reader's computer may call it."""
    size_bytes: int
    content_type: str
    """Never one that a browser would run."""
    modified_at: int


class FileStore(Protocol):
    """Read access to files by the path that the merchant gave."""

    def describe(self, relative_path: str) -> StoredFile:
        """Return the file; raise FilePathRefused or FileMissing."""

    def open(self, relative_path: str) -> BinaryIO:
        """Return the file's bytes for reading; raise as ``describe`` does."""
