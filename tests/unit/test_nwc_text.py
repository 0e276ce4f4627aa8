"""What is said of a wallet's connection text that cannot be right: what, and nothing of it."""

import pytest

from bitcache_server.domain.errors import ConnectionInvalid
from bitcache_server.rails.lightning.nwc_client import parse_connection, relays_of

KEY, SECRET = "ab" * 32, "cd" * 32
RELAY = "wss://relay.example"
GOOD = f"nostr+walletconnect://{KEY}?relay={RELAY}&secret={SECRET}"
#: Thirty-two bytes that are the x of no point of secp256k1.
NO_POINT = "b8" * 32


def refusal(text: str) -> str:
    with pytest.raises(ConnectionInvalid) as caught:
        parse_connection(text)
    assert SECRET[:-3] not in caught.value.detail
    return caught.value.detail


def test_a_good_one() -> None:
    assert relays_of(f" {GOOD} ") == [RELAY]


@pytest.mark.parametrize("text", ["", "hello", GOOD.replace("://", ":"), f"https://{KEY}"])
def test_one_that_begins_otherwise(text: str) -> None:
    assert "begins with nostr+walletconnect://" in refusal(text)


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("nostr+walletconnect://abc", {"public key", "relay", "secret"}),
        (GOOD.replace(KEY, KEY[:-1]), {"public key"}),
        (GOOD.replace(f"relay={RELAY}&", ""), {"relay"}),
        (GOOD.replace(RELAY, "https://relay.example"), {"relay"}),
        (GOOD.replace(f"&secret={SECRET}", ""), {"secret"}),
        (GOOD[:-3], {"secret"}),
    ],
)
def test_what_is_not_there_is_named(text: str, lacks: set[str]) -> None:
    said = refusal(text)
    assert "begins with" not in said
    assert {part for part in ("public key", "relay", "secret") if f"no {part}" in said} == lacks


def test_a_secret_that_is_no_key() -> None:
    assert "cannot be" in refusal(GOOD.replace(SECRET, "00" * 32))


def test_a_public_key_that_is_no_point_is_said_before_anything_is_asked() -> None:
    assert "no valid key" in refusal(GOOD.replace(KEY, NO_POINT))
