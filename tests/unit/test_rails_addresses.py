"""Where money can be sent: addresses of the right network, in one form, refused in words."""

import pytest
from embit import bech32
from embit.networks import NETWORKS as EMBIT
from embit.script import Script

from bitcache_server.domain.errors import AddressInvalid
from bitcache_server.rails.onchain.addresses import (
    dust_sat,
    normal_address,
    output_vb,
    script_of,
)
from bitcache_server.rails.onchain.networks import NETWORKS, network_by_name

HASH = bytes(range(1, 21))
LONG_HASH = bytes(range(1, 33))
SCRIPTS = {
    "p2pkh": Script(b"\x76\xa9\x14" + HASH + b"\x88\xac"),
    "p2sh": Script(b"\xa9\x14" + HASH + b"\x87"),
    "p2wpkh": Script(b"\x00\x14" + HASH),
    "p2wsh": Script(b"\x00\x20" + LONG_HASH),
    "p2tr": Script(b"\x51\x20" + LONG_HASH),
}
EMBIT_NAMES = {"mainnet": "main", "testnet": "test", "signet": "signet", "regtest": "regtest"}
REGTEST = network_by_name("regtest")


def _address(kind: str, network: str) -> str:
    return str(SCRIPTS[kind].address(EMBIT[EMBIT_NAMES[network]]))


def _refusal(text: str, network: str = "regtest") -> str:
    with pytest.raises(AddressInvalid) as caught:
        normal_address(text, network_by_name(network))
    return caught.value.detail


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", SCRIPTS)
def test_each_kind_is_taken_on_its_network(kind: str, network: str) -> None:
    address = _address(kind, network)
    assert normal_address(f" {address}\n", network_by_name(network)) == address
    assert script_of(address) == SCRIPTS[kind]


@pytest.mark.parametrize("address", [
    # BIP 173 and BIP 350 give these as valid.
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
])  # fmt: skip
def test_the_examples_of_the_specification(address: str) -> None:
    assert normal_address(address, network_by_name("mainnet")) == address.lower()


@pytest.mark.parametrize("kind", ["p2wpkh", "p2wsh", "p2tr"])
def test_upper_case_is_the_same_segwit_address(kind: str) -> None:
    address = _address(kind, "regtest")
    assert normal_address(address.upper(), REGTEST) == address


def test_mixed_case_is_a_typing_error() -> None:
    address = _address("p2wpkh", "regtest")
    assert "damaged" in _refusal(address[:20] + address[20:].upper())


@pytest.mark.parametrize("kind", ["p2pkh", "p2sh"])
def test_base58_keeps_its_case(kind: str) -> None:
    assert _refusal(_address(kind, "regtest").lower())


@pytest.mark.parametrize("theirs", NETWORKS)
@pytest.mark.parametrize("ours", NETWORKS)
@pytest.mark.parametrize("kind", SCRIPTS)
def test_another_network_is_named(kind: str, ours: str, theirs: str) -> None:
    address = _address(kind, theirs)
    if address == _address(kind, ours):  # the test networks share some forms
        return
    words = _refusal(address, ours)
    assert theirs in words
    assert words.endswith(f"This server pays on {ours}.")
    assert address not in words


@pytest.mark.parametrize("kind", SCRIPTS)
def test_one_wrong_character_is_noticed(kind: str) -> None:
    address = _address(kind, "regtest")
    for place in range(8, len(address)):
        other = "q" if address[place] != "q" else "p"
        assert _refusal(address[:place] + other + address[place + 1 :])


@pytest.mark.parametrize("cut", [1, 2, 10])
@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_shortened_address_is_refused(kind: str, cut: int) -> None:
    assert _refusal(_address(kind, "regtest")[:-cut])


@pytest.mark.parametrize(
    ("version", "length"), [(1, 2), (1, 20), (1, 33), (2, 32), (3, 20), (16, 2), (16, 40)]
)
def test_what_anybody_could_spend_is_refused(version: int, length: int) -> None:
    address = bech32.encode("bcrt", version, bytes(length))
    assert "nobody can spend" in _refusal(address)


def test_taproot_with_the_checksum_of_segwit_is_refused() -> None:
    data = [1, *bech32.convertbits(LONG_HASH, 8, 5)]
    address = bech32.bech32_encode(bech32.Encoding.BECH32, "bcrt", data)
    assert "damaged" in _refusal(address)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "Enter"),
        ("bitcoin:bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080?amount=1", "alone"),
        ("BITCOIN:BCRT1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KYGT080", "alone"),
        ("lnbc20m1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqf", "Lightning"),
        ("LNURL1DP68GURN8GHJ7UM9WFMXJCM99E3K7MF0V9CXJ0M385EKVCENXC6R2C35XVUKXEFC", "Lightning"),
        ("ada@example.org", "Lightning"),
        ("cTpB4YiyKiBcPxnefsDpbnDxFDffjqJob8wGCEDXxgQ7zQoMXJdH", "private key"),
        ("abandon " * 11 + "about", "private key"),
        (
            "tpubDDXFHr67Ro2tHKVWG2gNjjijKUH1Lyv5NKFYdJnuaLGVNBVwyV5AbykhR43iy8wYozEMbw2QfmAqZhb"
            "8gnuL5mm9sZh8YsR6FjGAbew1xoT",
            "extended public key",
        ),
        ("OP_RETURN 68656c6c6f", "no Bitcoin address"),
        ("6a0568656c6c6f", "no Bitcoin address"),
        ("x" * 91, "no Bitcoin address"),
        ("1" * 30, "damaged"),
        ("bcrt1", "damaged"),
        ("bcrt1ü", "no Bitcoin address"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "damaged"),
        ("ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9", "no Bitcoin address"),
    ],
)
def test_other_things_are_refused_in_words(text: str, word: str) -> None:
    words = _refusal(text)
    assert word in words
    if text:
        assert text not in words


def test_sizes_and_dust_are_those_of_bitcoin_core() -> None:
    sizes = {kind: output_vb(script) for kind, script in SCRIPTS.items()}
    assert sizes == {"p2pkh": 34, "p2sh": 32, "p2wpkh": 31, "p2wsh": 43, "p2tr": 43}
    dust = {kind: dust_sat(script) for kind, script in SCRIPTS.items()}
    assert dust == {"p2pkh": 546, "p2sh": 540, "p2wpkh": 294, "p2wsh": 330, "p2tr": 330}
