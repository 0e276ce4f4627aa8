"""What is wrong with a wallet's connection text, said without a word of it: it is a secret."""

import re
from urllib.parse import parse_qs

SCHEME = "nostr+walletconnect://"
_KEY = re.compile(r"[0-9a-fA-F]{64}")
_RELAY = re.compile(r"wss?://[^/?#\s]+\S*")


def what_is_wrong(text: str) -> str:
    """Return a sentence about a text that the library does not take (NIP-47, "connection URI")."""
    if not text.startswith(SCHEME):
        return f"A wallet connection begins with {SCHEME}."
    key, _, query = text.removeprefix(SCHEME).partition("?")
    given = parse_qs(query)
    relays = given.get("relay", [])
    secret = given.get("secret", [""])[0]
    lacks = [
        words
        for found, words in (
            (_KEY.fullmatch(key), "public key (64 hex digits behind the //)"),
            (any(map(_RELAY.fullmatch, relays)), "relay (relay=wss://…)"),
            (_KEY.fullmatch(secret), "secret (secret= and 64 hex digits)"),
        )
        if not found
    ]
    if lacks:
        return f"The wallet connection has no {', no '.join(lacks)}. Copy the whole text again."
    return "The wallet connection has a relay or a secret that cannot be. Copy the text again."
