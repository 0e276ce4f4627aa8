"""Passwords: how they are compared and kept (Argon2id, RFC 9106, by argon2-cffi).

Prepared as RFC 8265 says for OpaqueString: every kind of space is a space, and what can be
written in several ways is written in one (NFC, not NFKC: nothing that differs to the eye
becomes the same). Long is good and nothing else is asked for.
"""

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from bitcache_server.domain.errors import InvalidRequest, RateLimited
from bitcache_server.i18n import mark as _

MIN_CHARS = 10
#: Nobody types more; Argon2 would read it all.
MAX_CHARS = 1_000
TOO_SHORT = _("A password has at least 10 characters. A few words do well.")
TOO_LONG = _("A password has at most 1,000 characters.")
NOT_TYPED = _("The password contains a character that cannot be typed everywhere.")
GUESSED = _("Nobody should guess the password from your name. Choose another.")

#: Each comparison takes 64 MiB: strangers who try many at once must not fill the memory.
AT_ONCE = 4
WAIT_S = 5.0
_room = threading.BoundedSemaphore(AT_ONCE)
#: The library's choice is RFC 9106's for servers with little memory: 64 MiB, three rounds.
HASHER = PasswordHasher()


@dataclass(frozen=True)
class Verdict:
    """Whether a password is right, and what to keep instead where the parameters are old."""

    is_right: bool
    new_hash: str | None = None


def new_password_hash(text: str, *names: str) -> str:
    """Return what is stored of a new password; raise InvalidRequest where it will not do.

    ``names`` are what everybody knows of the person: the password is none of them.
    """
    password = _prepared(text)
    if password is None:
        raise InvalidRequest(TOO_LONG if len(text) > MAX_CHARS else NOT_TYPED)
    if len(password) < MIN_CHARS:
        raise InvalidRequest(TOO_SHORT)
    if password.casefold() in {_same(name) for name in names}:
        raise InvalidRequest(GUESSED)
    with _one_of_few():
        return HASHER.hash(password)


def check_password(stored: str | None, text: str) -> Verdict:
    """Compare a password with what is stored of it. It takes as long where nothing is.

    Raises RateLimited while too many others are compared.
    """
    with _one_of_few():
        return _check(stored, text)


def _check(stored: str | None, text: str) -> Verdict:
    password = _prepared(text)
    try:
        HASHER.verify(stored or _nobodys(), password or "")
    except (VerificationError, InvalidHashError):
        return Verdict(False)
    if stored is None or password is None:
        return Verdict(False)
    renew = HASHER.check_needs_rehash(stored)
    return Verdict(True, HASHER.hash(password) if renew else None)


@contextmanager
def _one_of_few() -> Iterator[None]:
    if not _room.acquire(timeout=WAIT_S):
        raise RateLimited("Many people sign in at this moment. Try again soon.", retry_after_s=5)
    try:
        yield
    finally:
        _room.release()


def _prepared(text: str) -> str | None:
    """Return a password as it is compared; None for what cannot be one."""
    if len(text) > MAX_CHARS:
        return None
    spaced = "".join(" " if unicodedata.category(char) == "Zs" else char for char in text)
    password = unicodedata.normalize("NFC", spaced)
    # Control characters, half characters: what no keyboard gives in the same way twice.
    bad = any(unicodedata.category(char) in ("Cc", "Cs") for char in password)
    return None if bad else password


def _same(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


@cache
def _nobodys() -> str:
    """Return a hash that no password has: what an unknown name is compared with."""
    return HASHER.hash("nobody's password, only for the time that it takes")
