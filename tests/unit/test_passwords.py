"""Passwords: how they are prepared, compared and kept."""

import pytest
from argon2 import PasswordHasher

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.services import passwords
from bitcache_server.services.passwords import Verdict, check_password, new_password_hash


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use cheap parameters: these tests are about what is hashed, not how slowly."""
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(1, 8, 1))
    passwords._nobodys.cache_clear()


def test_long_and_foreign_passwords_work() -> None:
    for password in (
        "a" * 1_000,
        "пароль из слов",
        "كلمة سر طويلة",
        "🐦" * 10,
        " leading and trailing ",
    ):
        stored = new_password_hash(password)
        assert check_password(stored, password) == Verdict(True)
        assert not check_password(stored, password + "x").is_right


@pytest.mark.parametrize(
    "password",
    ["", "nine char", "x" * 1_001, "null\x00byte here", "a new\nline in it", "half \ud800 of one"],
)
def test_what_no_password_may_be(password: str) -> None:
    with pytest.raises(InvalidRequest):
        new_password_hash(password)
    assert not check_password(new_password_hash("three grey herons"), password).is_right
    assert not check_password(None, password).is_right


def test_a_password_is_no_name_of_its_owner() -> None:
    for name in ("Ada Lovelace", "ADA LOVELACE", "ada lovelace"):
        with pytest.raises(InvalidRequest, match="guess"):
            new_password_hash("Ada Lovelace", "ada", name)


def test_nothing_is_cut_off_at_the_end() -> None:
    stored = new_password_hash("x" * 999 + "a")
    assert not check_password(stored, "x" * 999 + "b").is_right


def test_letters_that_look_alike_stay_different() -> None:
    # NFC keeps what NFKC would make the same.
    assert not check_password(new_password_hash("\ufb01ne weather"), "fine weather").is_right


def test_what_is_stored_may_be_broken() -> None:
    assert not check_password("not a hash", "three grey herons").is_right


def test_nobodys_password_opens_nothing() -> None:
    assert not check_password(None, "nobody's password, only for the time that it takes").is_right
