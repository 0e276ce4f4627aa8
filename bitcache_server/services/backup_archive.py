"""The file that a backup is: a tar of the database, the files for sale, and a manifest.

The manifest comes last and names the SHA-256 of every part, so a file that was cut off or
changed is refused. It is signed with a key derived from the server's ``secret_key``
(itsdangerous): who can write where backups lie cannot make one.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from itsdangerous import BadSignature, Signer
from pydantic import BaseModel, ConfigDict, ValidationError

from bitcache_server.domain.errors import BackupInvalid

FORMAT = 1
DATABASE = "database"
FILES = "files"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
#: What is opened with the rights of its owner alone: it holds the keys that sign grants.
PRIVATE = 0o600

_SALT = b"bitcache.backup.v1"
_CHUNK_BYTES = 1 << 20
_MAX_SMALL_BYTES = 256_000_000
_CUT_OFF = "The file is no backup of Bitcache, or it was cut off."
_CHANGED = "The file was changed or damaged after it was made: {part} differs."


class ArchivePart(BaseModel):
    """One member of the archive."""

    name: str
    size_bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a backup says of itself."""

    model_config = ConfigDict(extra="forbid")

    format: int
    id: str
    bitcache: str
    """The version that made it."""
    engine: str
    revision: str
    """The newest step of the migrations that the database had."""
    taken_at: int
    with_files: bool
    rows: dict[str, int]
    """How many rows each table had."""
    parts: list[ArchivePart]


class ArchiveWriter:
    """Writes parts one after the other to a stream that need not be a file."""

    def __init__(self, stream: BinaryIO, secret_key: str, taken_at: int) -> None:
        # ``|`` writes forward only, so that a pipe will do.
        self._tar = tarfile.open(  # noqa: SIM115  # ``finish`` closes it
            fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT
        )
        self._secret_key = secret_key
        self._taken_at = taken_at
        self.parts: list[ArchivePart] = []

    def add(self, name: str, source: BinaryIO) -> None:
        """Add a part. Raises OSError when it becomes shorter meanwhile."""
        size = os.fstat(source.fileno()).st_size
        read = _Hashing(source)
        self._tar.addfile(self._info(name, size), read)
        self.parts.append(ArchivePart(name=name, size_bytes=size, sha256=read.hexdigest()))

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest and its signature, and end the archive."""
        text = manifest.model_dump_json(indent=2).encode()
        signed = {
            "sha256": hashlib.sha256(text).hexdigest(),
            "signature": _signer(self._secret_key).get_signature(text).decode(),
        }
        for name, data in ((MANIFEST, text), (SIGNATURE, json.dumps(signed).encode())):
            self._tar.addfile(self._info(name, len(data)), io.BytesIO(data))
        self._tar.close()

    def _info(self, name: str, size: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size, self._taken_at, PRIVATE
        return info


class _Hashing(io.RawIOBase):
    """Hashes what is read through it."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        data = self._source.read(size)
        self._hash.update(data)
        return data

    def hexdigest(self) -> str:
        """Return the hash of all that was read."""
        return self._hash.hexdigest()


def _signer(secret_key: str) -> Signer:
    return Signer(secret_key, salt=_SALT, key_derivation="hmac", digest_method=hashlib.sha256)


def unpack(stream: BinaryIO, folder: Path, secret_key: str | None) -> Manifest:
    """Write the parts below a folder and return the manifest; each part was checked.

    ``secret_key`` None leaves the signature alone. Raises BackupInvalid.
    """
    small: dict[str, bytes] = {}
    found: dict[str, ArchivePart] = {}
    with _reading():
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isreg() else None
                if source is None or member.name in small or member.name in found:
                    raise BackupInvalid(_CUT_OFF)
                if member.name in (MANIFEST, SIGNATURE):
                    small[member.name] = source.read(_MAX_SMALL_BYTES)
                else:
                    path = folder / safe_name(member.name)
                    found[member.name] = _write(member.name, source, path)
        manifest = _read_manifest(small, secret_key)
    _compare(manifest, found)
    return manifest


@contextmanager
def _reading() -> Iterator[None]:
    """Say what a damaged archive is, whichever way the library finds it."""
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, KeyError, ValidationError):
        raise BackupInvalid(_CUT_OFF) from None


def safe_name(name: str) -> PurePosixPath:
    """Return a part's name as a path that stays below its folder; raise BackupInvalid."""
    path = PurePosixPath(name)
    plain = "\x00" not in name and str(path) == name and not path.is_absolute()
    inside = path.parts[:1] == (FILES,) and len(path.parts) > 1 and ".." not in path.parts
    if not plain or not (inside or name == DATABASE):
        raise BackupInvalid(_CUT_OFF)
    return path


def _write(name: str, source: IO[bytes], path: Path) -> ArchivePart:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "wb") as target:
        while data := source.read(_CHUNK_BYTES):
            digest.update(data)
            size += len(data)
            target.write(data)
        target.flush()
        os.fsync(target.fileno())
    return ArchivePart(name=name, size_bytes=size, sha256=digest.hexdigest())


def _read_manifest(small: Mapping[str, bytes], secret_key: str | None) -> Manifest:
    text = small[MANIFEST]
    signed = json.loads(small[SIGNATURE])
    if hashlib.sha256(text).hexdigest() != signed["sha256"]:
        raise BackupInvalid(_CHANGED.format(part="the manifest"))
    if secret_key is not None:
        _check_signature(text, str(signed["signature"]), secret_key)
    if json.loads(text).get("format") != FORMAT:
        raise BackupInvalid("A newer version of Bitcache made this backup: install that one.")
    return Manifest.model_validate_json(text)


def _check_signature(text: bytes, signature: str, secret_key: str) -> None:
    signer = _signer(secret_key)
    try:
        signer.unsign(text + signer.sep + signature.encode())
    except BadSignature:
        raise BackupInvalid(
            "The backup was not made with this server's secret_key, or somebody changed it. "
            "Restore that key first: without it, grants, links and stored secrets are worthless. "
            "`--other-key` takes the backup all the same."
        ) from None


def _compare(manifest: Manifest, found: Mapping[str, ArchivePart]) -> None:
    promised = {part.name: part for part in manifest.parts}
    if len(promised) != len(manifest.parts) or DATABASE not in promised:
        raise BackupInvalid(_CUT_OFF)
    for name in sorted(promised.keys() | found.keys()):
        if promised.get(name) != found.get(name):
            raise BackupInvalid(_CHANGED.format(part=name))
