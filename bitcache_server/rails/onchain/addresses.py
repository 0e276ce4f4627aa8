"""Where money can be sent: addresses of this network, and what one more output costs.

An address is Base58Check (P2PKH, P2SH) or SegWit (BIP 173, BIP 350 for Taproot).
"""

import re
from collections.abc import Sequence

from embit import bech32
from embit.base import EmbitError
from embit.script import Script, address_to_scriptpubkey

from bitcache_server.domain.errors import AddressInvalid
from bitcache_server.rails.onchain.networks import NETWORKS, Network
from bitcache_server.rails.onchain.private_keys import looks_private

#: BIP 173: nothing longer has a checksum that can be trusted.
MAX_LENGTH = 90
#: BIP 141: eight bytes of amount and one that says how long the script is.
_OUTPUT_FRAME_VB = 9
#: Bitcoin Core's GetDustThreshold (src/policy/policy.cpp): an output below the fee of
#: making and spending it, at 3 sat per byte, is not passed on.
_DUST_SAT_PER_VB = 3
_SPEND_VB = 148
_SPEND_WITNESS_VB = 67

#: Witness version and length: P2WPKH, P2WSH, P2TR. Anybody could spend from others.
_KNOWN_PROGRAMS = {(0, 20), (0, 32), (1, 32)}
_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]{26,35}")
_EXTENDED_KEY = re.compile(r"\[?[\w/'h]*\]?[xyztuvXYZTUV]pub\w{20,}")
_LIGHTNING = re.compile(r"(?i)(?:lightning:|ln(?:bc|tb|tbs|bcrt)\d|lnurl1)\w*|[^@\s]+@[^@\s]+\.\w+")


def normal_address(text: str, network: Network) -> str:
    """Return the address in the form in which it is kept: SegWit in lower case.

    Raises AddressInvalid, in words for the person who typed it. The words never
    repeat the text: it may be a secret.
    """
    address = text.strip()
    _refuse_other_things(address)
    if _is_segwit(address):
        return _normal_segwit(address, network)
    if _BASE58.fullmatch(address):
        return _checked_base58(address, network)
    raise AddressInvalid("That is no Bitcoin address.", is_meant=False)


def script_of(address: str) -> Script:
    """Return the output script of an address in normal form."""
    return address_to_scriptpubkey(address)


def output_vb(script: Script) -> int:
    """Return the virtual bytes of an output with that script."""
    return _OUTPUT_FRAME_VB + len(script.data)


def dust_sat(script: Script) -> int:
    """Return the least amount that the network passes on to that script."""
    is_witness = script.script_type() in ("p2wpkh", "p2wsh", "p2tr")
    spend_vb = _SPEND_WITNESS_VB if is_witness else _SPEND_VB
    return _DUST_SAT_PER_VB * (output_vb(script) + spend_vb)


def _refuse_other_things(address: str) -> None:
    if not address:
        raise AddressInvalid("Enter a Bitcoin address.")
    if looks_private(address):
        raise AddressInvalid(
            "That looks like a private key or a seed. Nobody needs it to pay you, and it was not"
            " stored. Enter an address of your wallet."
        )
    if address.lower().startswith("bitcoin:"):
        raise AddressInvalid("Enter the address alone, without bitcoin: and what follows ?.")
    if _EXTENDED_KEY.match(address):
        raise AddressInvalid("That is an extended public key. Enter one address of that wallet.")
    if _LIGHTNING.fullmatch(address):
        words = "That is for Lightning. Enter an on-chain Bitcoin address."
        raise AddressInvalid(words, is_meant=False)
    if len(address) > MAX_LENGTH or not address.isascii():
        raise AddressInvalid("That is no Bitcoin address.", is_meant=False)


def _is_segwit(address: str) -> bool:
    prefixes = {net.embit["bech32"] for net in NETWORKS.values()}
    return address.lower().rpartition("1")[0] in prefixes


def _normal_segwit(address: str, network: Network) -> str:
    normal = address.lower()
    prefix = normal.rpartition("1")[0]
    try:
        # Given as it was typed: mixed case is a typing error (BIP 173).
        version, program = bech32.decode(prefix, address)
    except (EmbitError, ValueError, TypeError, IndexError):
        version = None
    if version is None:
        raise _typing_error()
    _check_network([n for n in NETWORKS.values() if n.embit["bech32"] == prefix], network)
    if (version, len(program)) not in _KNOWN_PROGRAMS:
        raise AddressInvalid("That is a kind of address that nobody can spend from safely yet.")
    return normal


def _checked_base58(address: str, network: Network) -> str:
    try:
        script = address_to_scriptpubkey(address)
        mine = [n for n in NETWORKS.values() if script.address(n.embit) == address]
    except (EmbitError, ValueError, TypeError, IndexError, AttributeError):
        mine = []
    if not mine:
        raise _typing_error()
    _check_network(mine, network)
    return address


def _check_network(mine: Sequence[Network], network: Network) -> None:
    if network not in mine:
        names = " or ".join(n.name for n in mine)
        raise AddressInvalid(f"That is an address of {names}. This server pays on {network.name}.")


def _typing_error() -> AddressInvalid:
    return AddressInvalid("The address is damaged: a character is missing or changed.")
