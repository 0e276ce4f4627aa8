"""Where the money goes: published vectors, and everything that must be refused."""

import hashlib

import pytest
from embit import bip39
from embit.bip32 import HDKey
from embit.descriptor.checksum import checksum
from embit.networks import NETWORKS as EMBIT_NETWORKS
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.domain.errors import (
    ConfigurationError,
    DescriptorInvalid,
    PrivateKeyRefused,
)
from bitcache_server.rails.onchain.descriptors import MAX_INDEX, MAX_LENGTH, derive, normalise

PHRASE = "abandon " * 11 + "about"
_ROOT = HDKey.from_seed(bip39.mnemonic_to_seed(PHRASE))


def _account(path: str, kind: str, network: str = "main") -> str:
    """Return an account's extended public key of the phrase that the BIPs use."""
    return str(_ROOT.derive(path).to_public().to_base58(EMBIT_NETWORKS[network][kind]))


XPUB = _account("m/84h/0h/0h", "xpub")
ZPUB = _account("m/84h/0h/0h", "zpub")
TPUB = _account("m/84h/1h/0h", "xpub", "test")
# BIP 383's two keys.
KEY_1 = (
    "xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2gr"
    "BGRjaDMzQLcgJvLJuZZvRcEL"
)
KEY_2 = (
    "xpub68NZiKmJWnxxS6aaHmn81bvJeTESw724CRDs6HbuccFQN9Ku14VQrADWgqbhhTHBaohPX4CjNLf9fq9MYo6"
    "oDaPPLPxSb7gwQN3ih19Zm4Y"
)
SORTED = f"sortedmulti(2,{KEY_1}/*,{KEY_2}/0/0/*)"
BIP_383_SCRIPTS = (
    "5221025d5fc65ebb8d44a5274b53bac21ff8307fec2334a32df05553459f8b1f7fe1b62102fbd47cc8034098f0"
    "e6a94c6aeee8528abf0a2153a5d8e46d325b7284c046784652ae",
    "52210264fd4d1f5dea8ded94c61e9641309349b62f27fbffe807291f664e286bfbe6472103f4ece6dfccfa37b2"
    "11eb3d0af4d0c61dba9ef698622dc17eecdf764beeb005a652ae",
    "5221022ccabda84c30bad578b13c89eb3b9544ce149787e5b538175b1d1ba259cbb83321024d902e1a2fc7a875"
    "5ab5b694c575fce742c48d9ff192e63df5193e4c7afe1f9c52ae",
)


@pytest.mark.parametrize(
    ("text", "network", "addresses"),
    [
        # BIP 84's vectors.
        (
            "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUU"
            "kgDKf31mGDtKsAYz2oz2AGutZYs",
            "mainnet",
            [
                "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
                "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g",
            ],
        ),
        # BIP 86's vectors.
        (
            "tr(xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLpr"
            "Q3VCECoY49yfdDEHGCtMMj92pReUsQ/0/*)",
            "mainnet",
            [
                "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
                "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh",
            ],
        ),
        # BIP 49's vector, and BIP 44's first address for the same phrase.
        (
            f"sh(wpkh({_account('m/49h/1h/0h', 'xpub', 'test')}/0/*))",
            "testnet",
            ["2Mww8dCYPUpKHofjgcXcBCEGmniw9CoaiD2"],
        ),
        (
            f"pkh({_account('m/44h/0h/0h', 'xpub')}/0/*)",
            "mainnet",
            ["1LqBGSKuX5yYUonjxT5qGfpUsXKYYWeabA"],
        ),
    ],
    ids=["BIP 84", "BIP 86", "BIP 49", "BIP 44"],
)
def test_published_addresses(text: str, network: str, addresses: list[str]) -> None:
    descriptor = normalise(text, network)
    assert [derive(descriptor, i, network)[0] for i in range(len(addresses))] == addresses


def test_published_multisignature_scripts() -> None:
    descriptor = normalise(f"wsh({SORTED})", "mainnet")
    for index, script in enumerate(BIP_383_SCRIPTS):
        expected = "0020" + hashlib.sha256(bytes.fromhex(script)).hexdigest()
        assert derive(descriptor, index, "mainnet")[1] == expected


def test_the_checksum_is_that_of_bip_380() -> None:
    assert checksum("raw(deadbeef)") == "89f8spxm"


@pytest.mark.parametrize(
    ("network", "beginning"),
    [("testnet", "tb1q"), ("signet", "tb1q"), ("regtest", "bcrt1q")],
)
def test_networks_have_their_own_addresses(network: str, beginning: str) -> None:
    address, script = derive(normalise(f"wpkh({TPUB}/0/*)", network), 5, network)
    assert address.startswith(beginning)
    assert script.startswith("0014")


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (XPUB, f"wpkh({XPUB}/0/*)"),
        (ZPUB, f"wpkh({XPUB}/0/*)"),
        (_account("m/84h/0h/0h", "ypub"), f"sh(wpkh({XPUB}/0/*))"),
        (f"  {XPUB}\n", f"wpkh({XPUB}/0/*)"),
        (f"[73c5da0a/84'/0'/0']{XPUB}", f"wpkh([73c5da0a/84h/0h/0h]{XPUB}/0/*)"),
        (f"[73C5DA0A/44h/0h/0h]{XPUB}", f"pkh([73c5da0a/44h/0h/0h]{XPUB}/0/*)"),
        (f"[73c5da0a/49H/0H/0H]{XPUB}", f"sh(wpkh([73c5da0a/49h/0h/0h]{XPUB}/0/*))"),
        (f"[73c5da0a/86h/0h/0h]{XPUB}", f"tr([73c5da0a/86h/0h/0h]{XPUB}/0/*)"),
        (f"[73c5da0a/45h]{XPUB}", f"wpkh([73c5da0a/45h]{XPUB}/0/*)"),
        (f"[73c5da0a/44h/0h/0h]{ZPUB}", f"wpkh([73c5da0a/44h/0h/0h]{XPUB}/0/*)"),
        (f"wpkh({XPUB}/<0;1>/*)", f"wpkh({XPUB}/0/*)"),
        (f"wpkh({XPUB}/*)", f"wpkh({XPUB}/*)"),
        (f"tr({XPUB}/<5;6>/2/*)", f"tr({XPUB}/5/2/*)"),
        (f"sh({SORTED})", f"sh({SORTED})"),
        (f"sh(wsh({SORTED}))", f"sh(wsh({SORTED}))"),
        (
            f"wsh(multi(1,{KEY_1}/<1;2>/*,{KEY_2}/<3;4>/0/*))",
            f"wsh(multi(1,{KEY_1}/1/*,{KEY_2}/3/0/*))",
        ),
    ],
)
def test_normal_form(text: str, body: str) -> None:
    normal = normalise(text, "mainnet")
    assert normal == f"{body}#{checksum(body)}"
    assert normalise(normal, "mainnet") == normal


@pytest.mark.parametrize("kind", ["xpub", "ypub", "zpub"])
def test_bare_keys_of_test_networks(kind: str) -> None:
    key = _account("m/84h/1h/0h", kind, "test")
    assert TPUB in normalise(key, "regtest")


def test_branches_give_the_receive_addresses() -> None:
    both = normalise(f"wpkh({TPUB}/<0;1>/*)", "regtest")
    assert derive(both, 3, "regtest") == derive(normalise(TPUB, "regtest"), 3, "regtest")
    change = normalise(f"wpkh({TPUB}/1/*)", "regtest")
    assert derive(both, 3, "regtest") != derive(change, 3, "regtest")


def test_each_index_has_its_own_address() -> None:
    descriptor = normalise(TPUB, "regtest")
    assert len({derive(descriptor, index, "regtest") for index in range(50)}) == 50
    assert derive(descriptor, MAX_INDEX, "regtest")


@pytest.mark.parametrize("index", [-1, MAX_INDEX + 1])
def test_an_index_out_of_range_is_refused(index: int) -> None:
    with pytest.raises(DescriptorInvalid):
        derive(normalise(TPUB, "regtest"), index, "regtest")


_WIF = "L4rK1yDtCWekvXuE6oXD9jCYfFNV2cWRpVuPLBcCU2z8TrisoyY1"
_TPRV = str(_ROOT.derive("m/84h/1h/0h").to_base58(EMBIT_NETWORKS["test"]["xprv"]))
SECRETS = {
    "xprv": str(_ROOT.to_base58()),
    "tprv": _TPRV,
    **{
        kind: str(_ROOT.to_base58(EMBIT_NETWORKS[network][name]))
        for kind, network, name in [
            ("yprv", "main", "yprv"),
            ("zprv", "main", "zprv"),
            ("uprv", "test", "yprv"),
            ("vprv", "test", "zprv"),
            ("Zprv", "main", "Zprv"),
        ]
    },
    "cut off": str(_ROOT.to_base58())[:60],
    "mistyped": str(_ROOT.to_base58())[:-1] + "1",
    "in a descriptor": f"wpkh([73c5da0a/84h/1h/0h]{_TPRV}/0/*)",
    "in a multisignature": f"wsh(sortedmulti(1,{TPUB}/*,{_TPRV}/*))",
    "with a checksum": f"wpkh({_TPRV}/0/*)#{checksum(f'wpkh({_TPRV}/0/*)')}",
    "compressed WIF": _WIF,
    "uncompressed WIF": "5KYZdUEo39z3FPrtuX2QbbwGnNP5zTd7yyr2SC1j299sBCnWjss",
    "testnet WIF": "cTpB4YiyKiBcPxnefsDpbnDxFDffjqJob8wGCEDXxgQ7zQoMXJdH",
    "WIF in a descriptor": f"wpkh({_WIF})",
    "BIP 38": "6PRVWUbkzzsbcVac2qwfssoUJAN1Xhrg6bNk8J7Nzm5H7kxEbn2Nh2ZoGg",
    "mini key": "S6c56bnXQiBjk9mqSYE7ykVQ7NzrRy",
    "hex": "1e99423a4ed27608a15a2616a2b0e9e52ced330ac530edcc32c8ffc6a526aedd",
    "hex with 0x": "0x1E99423A4ED27608A15A2616A2B0E9E52CED330AC530EDCC32C8FFC6A526AEDD",
    "seed in hex": bip39.mnemonic_to_seed(PHRASE).hex(),
    "phrase": PHRASE,
    "phrase in lines": PHRASE.replace(" ", "\n"),
    "numbered phrase": " ".join(f"{n}. {word}" for n, word in enumerate(PHRASE.split(), 1)),
    "mistyped phrase": PHRASE.replace("about", "abuot"),
    "Japanese phrase": "\u3000".join(["あいこくしん"] * 11 + ["あおぞら"]),
    "Spanish phrase": " ".join(["ábaco"] * 23 + ["zurdo"]),
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS.keys())
@pytest.mark.parametrize("network", ["mainnet", "regtest"])
def test_private_keys_are_refused_and_never_repeated(secret: str, network: str) -> None:
    with pytest.raises(PrivateKeyRefused) as caught:
        normalise(secret, network)
    message = f"{caught.value} {caught.value.detail} {caught.value.args}"
    assert not any(part in message for part in secret.split() if len(part) > 8)


def test_public_keys_are_not_taken_for_private_ones() -> None:
    for account in range(200):
        assert normalise(_account(f"m/84h/1h/{account}h", "xpub", "test"), "regtest")


BAD: dict[str, tuple[str, str]] = {
    "nothing": ("", "Enter"),
    "blanks": (" \t\n", "Enter"),
    "too long": ("x" * (MAX_LENGTH + 1), "longer"),
    "null byte": (f"wpkh({TPUB}/0/*)\0", "characters"),
    "inner null byte": (f"wpkh({TPUB}\0/0/*)", "characters"),
    "inner blank": (f"wpkh( {TPUB}/0/*)", "characters"),
    "letters from elsewhere": (f"wpkh({TPUB}/\uff10/*)", "characters"),
    "an address": ("bcrt1qcr8te4kr609gcawutmrza0j4xv80jy8zeqchgx", "neither"),
    "a mistyped key": (TPUB[:50] + "x" + TPUB[51:], "damaged"),
    "a key cut off": (TPUB[:-1], "neither"),
    "wrong checksum": (f"wpkh({TPUB}/0/*)#qqqqqqqq", "checksum"),
    "empty checksum": (f"wpkh({TPUB}/0/*)#", "checksum"),
    "long checksum": (f"wpkh({TPUB}/0/*)#{checksum(f'wpkh({TPUB}/0/*)')}q", "checksum"),
    "one address": (f"wpkh({TPUB}/0/5)", "one address"),
    "one address of the account": (f"wpkh({TPUB})", "one address"),
    "a hardened step": (f"wpkh({TPUB}/0h/*)", "hardened"),
    "hardened children": (f"wpkh({TPUB}/0/*')", "hardened"),
    "hardened H": (f"wpkh({TPUB}/0H/*)", "hardened"),
    "mainnet key": (XPUB, "another network"),
    "mainnet key in a descriptor": (f"wpkh({XPUB}/0/*)", "another network"),
    "SLIP-132 in a descriptor": (
        f"wpkh({_account('m/84h/1h/0h', 'zpub', 'test')}/0/*)",
        "must begin with",
    ),
    "multisignature key": (_account("m/48h/1h/0h", "Zpub", "test"), "multi-signature"),
    "public key": (f"wpkh(02{'ab' * 32})", "neither"),
    "taproot key": (f"tr({'ab' * 32})", "neither"),
    "script tree": (f"tr({TPUB}/0/*,pk({TPUB}/1/*))", "neither"),
    "bare multisignature": (f"multi(1,{TPUB}/*)", "neither"),
    "uncommon script": (f"wsh(pk({TPUB}/*))", "neither"),
    "raw script": ("raw(deadbeef)", "neither"),
    "address descriptor": ("addr(bcrt1qcr8te4kr609gcawutmrza0j4xv80jy8zeqchgx)", "neither"),
    "two wildcards": (f"wpkh({TPUB}/*/*)", "neither"),
    "two branchings": (f"wpkh({TPUB}/<0;1>/<2;3>/*)", "neither"),
    "empty branching": (f"wpkh({TPUB}/<>/*)", "neither"),
    "open branching": (f"wpkh({TPUB}/<0/*)", "neither"),
    "open bracket": (f"wpkh({TPUB}/0/*", "neither"),
    "two descriptors": (f"wpkh({TPUB}/0/*)wpkh({TPUB}/0/*)", "neither"),
    "step too large": (f"wpkh({TPUB}/2147483648/*)", "cannot be used"),
    "negative step": (f"wpkh({TPUB}/-1/*)", "neither"),
    "too deep": (f"wpkh({TPUB}{'/0' * 300}/*)", "cannot be used"),
    "threshold 0": (f"wsh(multi(0,{TPUB}/*))", "cannot be used"),
    "threshold too high": (f"wsh(multi(2,{TPUB}/*))", "cannot be used"),
    "too many keys in sh": (f"sh(multi(1{f',{TPUB}/*' * 16}))", "more keys"),
    "too many keys in wsh": (f"wsh(multi(1{f',{TPUB}/*' * 21}))", "more keys"),
    "bad fingerprint": (f"wpkh([73c5da0/84h]{TPUB}/0/*)", "neither"),
}


@pytest.mark.parametrize(("text", "reason"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_used_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(DescriptorInvalid) as caught:
        normalise(text, "regtest")
    assert reason in caught.value.detail
    assert TPUB not in caught.value.detail


def test_as_many_keys_as_a_script_can_have() -> None:
    assert normalise(f"sh(multi(1{f',{TPUB}/*' * 15}))", "regtest")
    assert normalise(f"wsh(multi(1{f',{TPUB}/*' * 20}))", "regtest")


def test_an_unknown_network_is_a_setting_gone_wrong() -> None:
    with pytest.raises(ConfigurationError):
        normalise(TPUB, "testnet9")


def test_a_stored_descriptor_that_was_changed_is_noticed() -> None:
    normal = normalise(TPUB, "regtest")
    with pytest.raises(DescriptorInvalid):
        derive(normal.replace("/0/*", "/1/*"), 0, "regtest")


_PIECES = st.sampled_from(
    [TPUB, XPUB, KEY_1, "wpkh(", "tr(", "sh(", "wsh(", "multi(", "sortedmulti(", "1,", ")", "/0",
     "/*", "/<0;1>", "#", "[73c5da0a/84h]", "'", "h", ",", "*", "\0", "é", "0" * 40]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(_PIECES, max_size=12).map("".join)))
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        normal = normalise(text, "regtest")
    except (DescriptorInvalid, PrivateKeyRefused):
        return  # any other exception fails this test
    assert derive(normal, 0, "regtest")[0]
