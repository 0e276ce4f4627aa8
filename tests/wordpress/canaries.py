"""Words and pictures that nobody has but who planted them, and a machine that finds them."""

import base64
import html
import io
import random
import re
import string
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from PIL import Image

#: Bytes of a picture that are looked for; a preview of it shares none of so many.
PIECE = 48
_WORD = re.compile("qz[a-z]{14}")


def word(name: str) -> str:
    """Return a word for a name: the same one each time, and in no text of the world."""
    letters = random.Random(f"canary {name}").choices(string.ascii_lowercase, k=14)
    return "qz" + "".join(letters)


@dataclass(frozen=True)
class Canary:
    """What must not be seen, and where it was planted."""

    name: str
    words: tuple[str, ...] = ()
    pieces: tuple[bytes, ...] = ()
    """Of paid files."""


class Finder:
    """Looks for many canaries at once."""

    def __init__(self, canaries: Iterable[Canary]) -> None:
        self._words = {text: canary for canary in canaries for text in canary.words}
        self._needles = [
            (needle, form, canary)
            for text, canary in self._words.items()
            for form, needle in _disguises(text)
        ]
        self._needles += [
            (piece, "bytes of a paid file", canary)
            for canary in canaries
            for piece in canary.pieces
        ]

    def find(self, body: bytes) -> dict[str, str]:
        """Return the canaries that an answer shows: name to how it is seen."""
        found = {canary.name: form for needle, form, canary in self._needles if needle in body}
        for form, text in _readings(body):
            for one in set(_WORD.findall(text)) & self._words.keys():
                at = text.index(one)
                around = text[max(0, at - 80) : at + 40]
                found.setdefault(self._words[one].name, f"{form}: {around!r}")
        return found


def _readings(body: bytes) -> Iterator[tuple[str, str]]:
    """Give an answer as it is, and as who undoes its escapes would read it."""
    text = body.decode("utf-8", errors="replace").lower()
    yield "as it is", text
    if "&#" in text:
        yield "entities", html.unescape(text)
    if "%7" in text:
        yield "percent", urllib.parse.unquote(text)
    if "\\u00" in text:
        yield "escapes", re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), text)


def _disguises(text: str) -> Iterator[tuple[str, bytes]]:
    raw = text.encode()
    for shift in range(3):
        # What stands before it decides where its letters fall; the edges are cut off.
        coded = base64.b64encode(b"x" * shift + raw)
        yield "base64", coded[4 if shift else 0 : len(coded) - 4]
    yield "hex", raw.hex().encode()
    yield "backwards", raw[::-1]


def pieces_of(data: bytes) -> tuple[bytes, ...]:
    """Return stretches of a file by which it is known, also when only a part of it is sent."""
    inner = range(len(data) // 4, len(data) - PIECE, max(len(data) // 8, 1))
    return tuple(data[at : at + PIECE] for at in inner)


def picture(name: str, width: int = 1_400, height: int = 1_000) -> bytes:
    """Return a JPEG of noise: no two names give the same, and no two sizes share bytes."""
    noise = random.Random(f"picture {name}").randbytes((width // 4) * (height // 4) * 3)
    image = Image.frombytes("RGB", (width // 4, height // 4), noise).resize((width, height))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()
