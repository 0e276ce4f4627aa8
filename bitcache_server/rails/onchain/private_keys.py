"""Recognise private keys in what people paste, so that none is ever stored.

Shape is enough: a private key with a slip of the pen is refused as well.
"""

import re
import unicodedata

_BASE58 = "[1-9A-HJ-NP-Za-km-z]"
#: A shape counts only where a word begins: inside a long public key it is chance.
_START = rf"(?<!{_BASE58})"
#: BIP 39 has at least twelve words, and so have the seeds of other wallets.
_MIN_PHRASE_WORDS = 12

_SHAPES = (
    # Extended private keys of BIP 32 and SLIP-132, whole or cut off.
    re.compile(rf"{_START}(?i:[xyztuv]prv){_BASE58}"),
    # Wallet import format: mainnet 5, K, L; test networks 9, c.
    re.compile(rf"{_START}(?:[59]{_BASE58}{{50}}|[KLc]{_BASE58}{{51}})"),
    # Encrypted private keys (BIP 38).
    re.compile(rf"{_START}6P{_BASE58}{{56}}"),
    # Mini private keys, as on coins.
    re.compile(rf"^S{_BASE58}{{21,29}}$"),
    # A key or a seed in hex. A public key has 33 or 65 bytes; 32 only inside tr().
    re.compile(r"(?<!tr\()\b(?:0x)?(?:[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128})\b"),
)
_PHRASE = re.compile(r"[\w\s.,;:()-]+")
_WORD = re.compile(r"[^\W\d_]+")


def looks_private(text: str) -> bool:
    """Return whether the text is or contains anything in the shape of a private key."""
    return _is_phrase(text) or any(shape.search(text) for shape in _SHAPES)


def _is_phrase(text: str) -> bool:
    """Return whether it is a list of words in any language, numbered or not."""
    text = unicodedata.normalize("NFKC", text)
    if not _PHRASE.fullmatch(text) or len(text.split()) < _MIN_PHRASE_WORDS:
        return False
    return len(_WORD.findall(text)) >= _MIN_PHRASE_WORDS
