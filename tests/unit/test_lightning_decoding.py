"""BOLT 11 texts: the specification's own examples, and everything that people type."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.domain.errors import AddressInvalid
from bitcache_server.rails.lightning.decoding import (
    decode,
    description_hash_of,
    has_amount,
    looks_like_invoice,
    preimage_fits,
)
from bitcache_server.rails.lightning.invoice_making import Wording, scripted_preimage, sign_invoice

KEY = "e126f68f7eafcc8b74f54d269fe206be715000f94dac067d1c04a8ca3b2db734"
PAYEE = "03e7156ae33b0a208d0744199163177e909e80176e55d97a2f221ede0f934dd9ad"
PAYMENT_HASH = "0001020304050607080900010203040506070809000102030405060708090102"
#: BOLT 11, "Examples": 2500 uBTC for a cup of coffee, expiring after a minute.
COFFEE = (
    "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqq"
    "syqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2"
    "087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh"
)
#: BOLT 11, "Examples of Invalid Invoices".
INVALID = {
    "checksum": COFFEE[:-1] + "q",
    "no separator": "pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sx",
    "mixed case": "LNBC2500u" + COFFEE[9:],
    "short signature": (
        "lnbc1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5"
        "sxxmmwwd5kgetjypeh2ursdae8g6na6hlh"
    ),
    "multiplier": "lnbc2500x1" + COFFEE[10:],
    "fraction of a msat": (
        "lnbc2500000001p1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7"
        "enxv4jsxqzpu7hqtk93pkf7sw55rdv4k9z2vj050rxdr6za9ekfs3nlt5lr89jqpdmxsmlj9urqumg0h9wzpqecw7th56t"
        "dms40p2ny9q4ddvjsedzcplva53s"
    ),
}


def _wording(amount_msat: int = 12_345, memo: str = "tea", description_hash: str = "") -> Wording:
    return Wording(amount_msat, memo, description_hash, 600)


def test_the_specifications_example_is_read() -> None:
    found = decode(COFFEE, "mainnet")
    assert found.bolt11 == COFFEE
    assert found.payment_hash == PAYMENT_HASH
    assert found.amount_msat == 250_000_000
    assert (found.created_at, found.expires_at) == (1_496_314_658, 1_496_314_658 + 60)
    assert (found.memo, found.description_hash) == ("1 cup coffee", None)
    assert found.payee == PAYEE


@pytest.mark.parametrize(
    "text", [COFFEE.upper(), f"lightning:{COFFEE}", f" LIGHTNING:{COFFEE.upper()}\n"]
)
def test_what_a_camera_or_a_link_brings_is_the_same(text: str) -> None:
    assert looks_like_invoice(text)
    assert decode(text, "mainnet") == decode(COFFEE, "mainnet")


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID.keys())
def test_the_specifications_invalid_examples_are_refused(text: str) -> None:
    with pytest.raises(AddressInvalid) as caught:
        decode(text, "mainnet")
    assert text not in caught.value.detail


@pytest.mark.parametrize(
    ("network", "prefix", "name"),
    [
        ("mainnet", "bcrt", "regtest"),
        ("regtest", "bc", "mainnet"),
        ("signet", "tb", "testnet"),
        ("testnet", "tbs", "signet"),
        ("mainnet", "sb", "another network"),
    ],
)
def test_another_network_is_named(network: str, prefix: str, name: str) -> None:
    with pytest.raises(AddressInvalid, match=f"invoice of {name}.*pays on {network}"):
        decode(f"ln{prefix}2500u{COFFEE[9:]}", network)


@pytest.mark.parametrize(
    "text",
    ["", "  ", "ada@example.com", "lnurl1dp68gurn8ghj7", "bc1qfoo", "lnbc", "ü" * 9, "1" * 9999],
)
def test_other_things_are_no_invoice(text: str) -> None:
    with pytest.raises(AddressInvalid):
        decode(text, "mainnet")


@pytest.mark.parametrize(("text", "answer"), [("lnbc1", True), ("lightning:LNTB", True)])
def test_an_invoice_is_recognised_by_its_head(text: str, answer: bool) -> None:
    assert looks_like_invoice(text) is answer
    assert not looks_like_invoice("lnurl1dp68gurn8ghj7")
    assert not looks_like_invoice("ada@lnbc.example")


@given(st.integers(0, len(COFFEE) - 1), st.sampled_from("023456789acdefghjklmnpqrstuvwxyz!ü1b"))
def test_one_changed_character_is_noticed(position: int, character: str) -> None:
    text = COFFEE[:position] + character + COFFEE[position + 1 :]
    if text != COFFEE:
        with pytest.raises(AddressInvalid):
            decode(text, "mainnet")


@given(st.text(max_size=80))
def test_no_text_ends_in_another_error(text: str) -> None:
    for candidate in (text, f"lnbc1{text}", f"lightning:lnbcrt{text}"):
        with pytest.raises(AddressInvalid):
            decode(candidate, "mainnet")


@pytest.mark.parametrize(
    "amount_msat", [1, 999, 1_000, 12_345, 250_000_000, 99_999_999_999, 100_000_000_000]
)
def test_every_amount_is_read_to_the_msat(amount_msat: int) -> None:
    issued = sign_invoice(_wording(amount_msat), 1_800_000_000, KEY)
    found = decode(issued.bolt11, "regtest")
    assert (found.amount_msat, found.payment_hash) == (amount_msat, issued.payment_hash)
    assert (found.created_at, found.expires_at) == (1_800_000_000, 1_800_000_600)
    assert found.payee == PAYEE


@pytest.mark.parametrize("memo", ["", "tea", "Tee für zwei · ☕", "x" * 600])
def test_every_memo_is_read(memo: str) -> None:
    found = decode(sign_invoice(_wording(memo=memo), 1_800_000_000, KEY).bolt11, "regtest")
    assert (found.memo, found.description_hash) == (memo, None)


def test_a_description_is_committed_to_by_its_hash() -> None:
    expected = hashlib.sha256("to the létter".encode()).hexdigest()
    assert description_hash_of("to the létter") == expected
    found = decode(sign_invoice(_wording(description_hash=expected), 0, KEY).bolt11, "regtest")
    assert (found.memo, found.description_hash) == (None, expected)


@pytest.mark.parametrize("amount_msat", [0, 1, 10, 1_000, 11_000])
def test_an_invoice_tells_whether_it_fixes_the_amount(amount_msat: int) -> None:
    invoice = sign_invoice(_wording(amount_msat), 1_800_000_000, KEY).bolt11
    assert has_amount(invoice) is (amount_msat > 0)


def test_an_invoice_without_an_amount_leaves_it_to_the_payer() -> None:
    assert (
        decode(sign_invoice(_wording(0), 1_800_000_000, KEY).bolt11, "regtest").amount_msat is None
    )


def test_a_preimage_fits_one_hash_only() -> None:
    issued = sign_invoice(_wording(), 1_800_000_000, KEY)
    preimage = scripted_preimage(issued.bolt11)
    assert preimage_fits(preimage, issued.payment_hash)
    assert preimage_fits(preimage.upper(), issued.payment_hash.upper())
    for wrong in ("", "0" * 64, preimage[:-2], f"{preimage}00", "not hex at all", "ü" * 64):
        assert not preimage_fits(wrong, issued.payment_hash)
