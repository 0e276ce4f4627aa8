"""L402 tokens: the bytes that others read, what opens, and what never does."""

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymacaroons2 import MACAROON_V2, Macaroon
from pymacaroons2.serializers.binary_serializer import BinarySerializer

from bitcache_server.domain.errors import L402Invalid, PaymentRequired
from bitcache_server.tokens.l402 import L402Claims, check_l402, issue_l402

KEY = "k" * 32
SITE = "https://pay.example"
NOW = 1_800_000_000
PREIMAGE = "ab" * 32
HASH = hashlib.sha256(bytes.fromhex(PREIMAGE)).hexdigest()
CLAIMS = L402Claims(HASH, "in_a", "it_a", 5_000_000, NOW + 3_600, None)
TOKEN = issue_l402(KEY, SITE, CLAIMS)

ids = st.from_regex(r"\A(?:it|in)_[A-Za-z0-9_-]{1,40}\Z")
preimages = st.binary(min_size=32, max_size=32)


def check(
    token: str = TOKEN, preimage: str = PREIMAGE, item: str = "it_a", now: int = NOW, key: str = KEY
) -> L402Claims:
    return check_l402(key, token, preimage, item=item, now=now)


def read(token: str) -> Macaroon:
    return BinarySerializer().deserialize_raw(base64.b64decode(token, validate=True))


def write(macaroon: Macaroon) -> str:
    return base64.b64encode(BinarySerializer().serialize_raw(macaroon)).decode()


def with_caveats(*caveats: str, claims: L402Claims = CLAIMS) -> str:
    """Do what a holder does who passes a weaker token on."""
    macaroon = read(issue_l402(KEY, SITE, claims))
    for caveat in caveats:
        macaroon.add_first_party_caveat(caveat)
    return write(macaroon)


def test_the_library_writes_what_the_go_and_javascript_libraries_write() -> None:
    """The example that the tests of libmacaroons, go-macaroon and js-macaroon share."""
    macaroon = Macaroon(
        location="http://example.org/",
        identifier=b"keyid",
        key=b"this is the key",
        version=MACAROON_V2,
    )
    for caveat in ("account = 3735928559", "user = alice"):
        macaroon.add_first_party_caveat(caveat)
    assert write(macaroon) == (
        "AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAhRhY2NvdW50ID0gMzczNTkyODU1OQACDHVzZXIgPSBhbGlj"
        "ZQAABiBL6WfNHqDGsmuvakqU7psFsViG2guoXoxCqTyNDhJe/A=="
    )


def test_a_token_has_the_form_that_the_reference_implementation_reads() -> None:
    """Standard base64 with padding, format 2, an identifier of 66 bytes, caveats ``a=b``."""
    macaroon = read(TOKEN)
    assert macaroon.version == MACAROON_V2
    assert macaroon.location == SITE
    assert macaroon.identifier_bytes[:34] == b"\x00\x00" + bytes.fromhex(HASH)
    assert len(macaroon.identifier_bytes) == 66
    assert [caveat.caveat_id for caveat in macaroon.caveats] == [
        b"services=bitcache:0",
        b"bitcache_item=it_a",
        b"bitcache_invoice=in_a",
        b"bitcache_amount_msat=5000000",
        b"bitcache_valid_until=1800003600",
    ]
    # What the reference implementation's server takes in the Authorization header.
    assert re.fullmatch("(LSAT|L402) (.*?):([a-f0-9]{64})", f"L402 {TOKEN}:{PREIMAGE}")


@given(
    preimages, ids, ids, st.integers(1, 10**15), st.integers(1, 2**33),
    st.none() | st.integers(1, 99),
)  # fmt: skip
def test_a_token_says_what_was_put_in(
    preimage: bytes, item: str, invoice: str, amount_msat: int, expires_at: int, uses: int | None
) -> None:
    payment_hash = hashlib.sha256(preimage).hexdigest()
    claims = L402Claims(payment_hash, invoice, item, amount_msat, expires_at, uses)
    token = issue_l402(KEY, SITE, claims)
    assert token == issue_l402(KEY, SITE, claims)
    assert check(token, preimage.hex(), item, expires_at - 1) == claims
    assert check(token, preimage.hex().upper(), item, 0) == claims
    with pytest.raises(PaymentRequired):
        check(token, preimage.hex(), item, expires_at)


@given(preimages)
def test_no_other_preimage_opens(preimage: bytes) -> None:
    with pytest.raises(L402Invalid):
        check(preimage=preimage.hex())


@pytest.mark.parametrize(
    "preimage", ["", "ab", PREIMAGE[:-1], PREIMAGE + "ab", "g" * 64, "ä" * 64, HASH, " " + PREIMAGE]
)
def test_what_is_no_preimage_opens_nothing(preimage: str) -> None:
    with pytest.raises(L402Invalid):
        check(preimage=preimage)


@given(st.integers(0, 8 * len(base64.b64decode(TOKEN)) - 1))
def test_a_changed_bit_opens_nothing(bit: int) -> None:
    raw = bytearray(base64.b64decode(TOKEN))
    raw[bit // 8] ^= 1 << bit % 8
    if not 2 <= bit // 8 < 2 + 1 + len(SITE):
        with pytest.raises(PaymentRequired):
            check(base64.b64encode(bytes(raw)).decode())


@given(
    st.text(max_size=600)
    | st.binary(max_size=300).map(lambda raw: base64.b64encode(b"\x02" + raw).decode())
)
def test_anything_else_is_no_token(text: str) -> None:
    with pytest.raises(PaymentRequired):
        check(text)


def test_other_spellings_of_base64_are_read() -> None:
    urlsafe = TOKEN.replace("+", "-").replace("/", "_")
    for spelling in (urlsafe, urlsafe.rstrip("="), TOKEN.rstrip("=")):
        assert check(spelling) == CLAIMS
    with pytest.raises(PaymentRequired):
        check(TOKEN + "A" * 4_096)


def test_another_servers_key_another_item_and_the_end() -> None:
    for arguments in ({"key": "K" * 32}, {"item": "it_b"}, {"now": CLAIMS.expires_at}):
        with pytest.raises(PaymentRequired):
            check(**arguments)
    assert check(now=CLAIMS.expires_at - 1) == CLAIMS


def test_a_holder_can_make_a_token_weaker() -> None:
    sooner = with_caveats(f"bitcache_valid_until={NOW + 60}", "bitcache_max_uses=3")
    assert (check(sooner).expires_at, check(sooner).max_uses) == (NOW + 60, 3)
    with pytest.raises(PaymentRequired):
        check(sooner, now=NOW + 60)
    # Later and more often have no effect: every caveat holds.
    later = with_caveats(
        f"bitcache_valid_until={NOW + 9_999}", "bitcache_max_uses=9", "bitcache_max_uses=4"
    )
    assert (check(later).expires_at, check(later).max_uses) == (CLAIMS.expires_at, 4)
    assert check(with_caveats(f"preimage={PREIMAGE}", "services=other:1,bitcache:0")) == CLAIMS


@pytest.mark.parametrize(
    "caveat",
    [
        "ip=192.0.2.1",
        "bitcache_item=it_b",
        "bitcache_invoice=in_b",
        "bitcache_amount_msat=1",
        "bitcache_valid_until=soon",
        "bitcache_valid_until=-1",
        "bitcache_max_uses=",
        "services=other:0",
        f"preimage={'00' * 32}",
        "no caveat",
        "",
    ],
)
def test_a_caveat_that_does_not_hold_refuses(caveat: str) -> None:
    """Also one that is not known here: who added it meant to forbid something."""
    with pytest.raises(L402Invalid):
        check(with_caveats(caveat))


def test_a_caveat_cannot_be_taken_away_or_added_without_the_signature() -> None:
    macaroon = read(with_caveats("bitcache_max_uses=1"))
    macaroon.caveats.pop()
    with pytest.raises(PaymentRequired):
        check(write(macaroon))
    macaroon = read(TOKEN)
    macaroon.add_third_party_caveat("https://other.example", "a key", "an id")
    with pytest.raises(PaymentRequired):
        check(write(macaroon))


def test_each_token_has_a_key_of_its_own() -> None:
    """Without it, who knows the signature of one could not be kept from making others."""
    other = issue_l402(KEY, SITE, L402Claims(HASH, "in_b", "it_a", 1, NOW + 1, None))
    macaroon, stolen = read(TOKEN), read(other)
    stolen.signature = macaroon.signature
    with pytest.raises(PaymentRequired):
        check(write(stolen))
    assert read(other).identifier_bytes != macaroon.identifier_bytes


def test_the_first_format_is_not_taken() -> None:
    identifier = b"\x00\x00" + b"a" * 64
    old = Macaroon(location=SITE, identifier=identifier, key=b"k" * 32)
    with pytest.raises(PaymentRequired):
        check(base64.b64encode(BinarySerializer().serialize_raw(old)).decode())
