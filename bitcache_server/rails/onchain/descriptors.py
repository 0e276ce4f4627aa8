"""Where a merchant's money goes: descriptors (BIP 380 to 389) and extended public keys.

What is stored is always a descriptor in normal form: public, ranged, one branch,
with a checksum. Messages never repeat what was typed: it may be a secret.
"""

import re
from functools import lru_cache

from embit.base import EmbitError
from embit.bip32 import HDKey
from embit.descriptor import Descriptor
from embit.descriptor.checksum import checksum

from bitcache_server.domain.errors import DescriptorInvalid, PrivateKeyRefused
from bitcache_server.rails.onchain.networks import Network, network_by_name
from bitcache_server.rails.onchain.private_keys import looks_private

#: A descriptor of fifteen keys with their origins has about 2,500 characters.
MAX_LENGTH = 4_000
#: BIP 32: indices from here on are hardened and cannot come from a public key.
MAX_INDEX = 2**31 - 1
_CACHE_SIZE = 4_096

_ORIGIN = r"\[[0-9a-fA-F]{8}(?:/\d{1,10}[h'H]?)*\]"
_XPUB = r"[1-9A-HJ-NP-Za-km-z]{111,112}"
_KEY = rf"(?:{_ORIGIN})?{_XPUB}(?:/\d{{1,10}})*(?:/<\d{{1,10}};\d{{1,10}}>)?(?:/\d{{1,10}})*/\*"
_MULTI = rf"(?:sorted)?multi\(\d{{1,2}}(?:,{_KEY})+\)"
_DESCRIPTOR = re.compile(
    rf"(?:pkh\({_KEY}\)|wpkh\({_KEY}\)|sh\(wpkh\({_KEY}\)\)|tr\({_KEY}\)"
    rf"|wsh\({_MULTI}\)|sh\({_MULTI}\)|sh\(wsh\({_MULTI}\)\))"
)
_BARE_KEY = re.compile(rf"(?P<origin>{_ORIGIN})?(?P<key>{_XPUB})")
#: More keys make coins that nobody can spend: 520 bytes of script in sh(), 20 keys in wsh().
_MAX_KEYS_SH = 15
_MAX_KEYS_WSH = 20
_HARDENED_STEP = re.compile(r"[1-9A-HJ-NP-Za-km-z]{100,}[^,)]*/[\d*]+[h'H]")

#: SLIP-132: how bare keys begin, and the script that this stands for. An xpub says
#: nothing about scripts; today's wallets mean SegWit by it.
_SCRIPTS = {"x": "wpkh({})", "y": "sh(wpkh({}))", "z": "wpkh({})"}
_TEST_LETTERS = {"t": "x", "u": "y", "v": "z"}
#: BIP 44, 49, 84 and 86: the purpose in a key's origin, where it has one, says more.
_PURPOSES = {"44": "pkh({})", "49": "sh(wpkh({}))", "84": "wpkh({})", "86": "tr({})"}


def normalise(text: str, network: str) -> str:
    """Return the descriptor in normal form: the receive branch, with a checksum.

    Accepts pkh, wpkh, sh(wpkh), tr and multi-signature descriptors, and bare
    extended public keys. Raises PrivateKeyRefused or DescriptorInvalid.
    """
    net = network_by_name(network)
    text = _checked_text(text)
    if bare := _BARE_KEY.fullmatch(text):
        body = _descriptor_of_key(bare["key"], bare["origin"] or "", net)
    else:
        body = _without_checksum(text)
    descriptor = _parse(body, net).branch(0)
    body = descriptor.to_string()
    return f"{body}#{checksum(body)}"


def derive(descriptor: str, index: int, network: str) -> tuple[str, str]:
    """Return the address and the script in hex at an index of a normal-form descriptor.

    Raises DescriptorInvalid if the descriptor is damaged or the index out of range.
    """
    if not 0 <= index <= MAX_INDEX:
        raise DescriptorInvalid(f"An address index must be between 0 and {MAX_INDEX}.")
    script = _parsed(descriptor, network).derive(index).script_pubkey()
    return str(script.address(network_by_name(network).embit)), script.data.hex()


@lru_cache(maxsize=_CACHE_SIZE)
def _parsed(descriptor: str, network: str) -> Descriptor:
    return _parse(_without_checksum(_checked_text(descriptor)), network_by_name(network))


def _checked_text(text: str) -> str:
    """Return the text without outer blanks, if it can be anything of use at all."""
    if len(text) > MAX_LENGTH:
        raise DescriptorInvalid(f"That is longer than {MAX_LENGTH} characters.")
    text = text.strip()
    if not text:
        raise DescriptorInvalid("Enter a descriptor or an extended public key.")
    if looks_private(text):
        raise PrivateKeyRefused(
            "That looks like a private key or a seed. Bitcache needs only the public key and"
            " has not stored it. Export the extended public key or the descriptor instead."
        )
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise DescriptorInvalid("It contains characters that no descriptor has.")
    return text


def _without_checksum(text: str) -> str:
    """Verify the part after ``#`` if there is one (BIP 380); embit would ignore it."""
    body, mark, given = text.partition("#")
    if mark and given != _checksum(body):
        raise DescriptorInvalid("The checksum after # is wrong: a character is missing or changed.")
    return body


def _checksum(body: str) -> str:
    try:
        return str(checksum(body))
    except EmbitError:
        raise DescriptorInvalid("It contains characters that no descriptor has.") from None


def _descriptor_of_key(key: str, origin: str, net: Network) -> str:
    """Return the descriptor that a bare key stands for; its receive branch is ``/0/*``."""
    parsed = _public_key(key)
    _check_network(parsed, net)
    letter = _TEST_LETTERS.get(key[0], key[0])
    if letter not in _SCRIPTS:
        raise DescriptorInvalid(
            "That is a key of a multi-signature wallet. Export the wallet's descriptor instead."
        )
    purpose = re.match(r"\[\w{8}/(\d+)[h'H]", origin)
    script = _PURPOSES.get(purpose[1] if purpose and letter == "x" else "", _SCRIPTS[letter])
    return script.format(f"{origin}{parsed.to_base58(net.embit['xpub'])}/0/*")


def _parse(body: str, net: Network) -> Descriptor:
    _check_form(body)
    keys = re.findall(_XPUB, body)
    if len(keys) > (_MAX_KEYS_WSH if "wsh(" in body else _MAX_KEYS_SH):
        raise DescriptorInvalid("It has more keys than a script can have.")
    for key in keys:
        parsed = _public_key(key)
        _check_network(parsed, net)
        if parsed.version != net.embit["xpub"]:
            raise DescriptorInvalid(
                "Inside a descriptor a key must begin with xpub (tpub on test networks)."
            )
    try:
        descriptor = Descriptor.from_string(body)
        for index in (0, MAX_INDEX):
            descriptor.derive(index).script_pubkey()
    except (EmbitError, ValueError, ArithmeticError, LookupError, AssertionError):
        raise DescriptorInvalid("The descriptor cannot be used to derive addresses.") from None
    return descriptor


def _check_form(body: str) -> None:
    """Raise DescriptorInvalid with the likeliest reason if the grammar does not fit."""
    if _DESCRIPTOR.fullmatch(body):
        return
    if _HARDENED_STEP.search(body):
        raise DescriptorInvalid(
            "A step after the key is hardened (h or '): addresses cannot be derived from a"
            " public key that way. Export the account's extended public key."
        )
    if re.search(_XPUB, body) and "*" not in body:
        raise DescriptorInvalid(
            "It gives one address only. It must end in /* to give each buyer another one."
        )
    raise DescriptorInvalid(
        "That is neither a descriptor of a kind that is supported (wpkh, pkh, sh(wpkh), tr,"
        " multi-signature; keys ending in /*) nor an extended public key."
    )


def _public_key(key: str) -> HDKey:
    try:
        parsed = HDKey.from_base58(key)
    except (EmbitError, ValueError, ArithmeticError, LookupError):
        raise DescriptorInvalid(
            "An extended public key in it is damaged: a character is missing or changed."
        ) from None
    if parsed.is_private:
        raise PrivateKeyRefused
    return parsed


def _check_network(key: HDKey, net: Network) -> None:
    known = {version for name, version in net.embit.items() if name.endswith("pub")}
    if key.version not in known:
        wanted = "xpub, ypub or zpub" if net.is_mainnet else "tpub, upub or vpub"
        raise DescriptorInvalid(
            f"The key belongs to another network. On {net.name} a key begins with {wanted}."
        )
