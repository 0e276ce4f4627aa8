import base64
import hashlib
import json
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from bitcache_server.domain.errors import (
    BitcacheError,
    GrantExpired,
    GrantInvalid,
    GrantMissing,
    InvalidRequest,
    LinkInvalid,
    ReceiptInvalid,
)
from bitcache_server.tokens.codec import MAX_TOKEN_CHARS
from bitcache_server.tokens.downloads import DownloadClaims
from bitcache_server.tokens.grants import GRANT_PURPOSE, GrantClaims, GrantSigner, claimed_site
from bitcache_server.tokens.receipts import ReceiptClaims, check_receipt, issue_receipt
from bitcache_server.tokens.secrets import (
    hash_secret,
    new_grant_secret,
    new_id,
    new_site_secret,
    secret_matches,
    site_of_secret,
)
from bitcache_server.tokens.verifier import challenge_of, check_challenge_format, matches

SECRET, OLDER = "bcgk_" + "n" * 43, "bcgk_" + "o" * 43
SIGNER = GrantSigner((SECRET, OLDER))
NOW = 1_800_000_000
CLAIMS = GrantClaims("st_a", "it_a", "in_a", 5_000, NOW, NOW + 3_600, 2)
TOKEN = SIGNER.issue(CLAIMS)

times = st.integers(1, 2**33)
texts = st.text(max_size=100).filter(lambda text: text.isprintable() or text.isascii())
claims_of_any_kind = st.builds(
    GrantClaims, texts, texts, texts, st.integers(0, 10**15), times, st.none() | times,
    st.integers(0, 2**31),
)  # fmt: skip


@given(claims_of_any_kind, times)
def test_a_grant_says_what_was_put_in(claims: GrantClaims, now: int) -> None:
    token = SIGNER.issue(claims)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", token)
    if claims.expires_at is not None and now >= claims.expires_at:
        with pytest.raises(GrantExpired):
            SIGNER.check(token, site=claims.site, item=claims.item, now=now)
    else:
        assert SIGNER.check(token, site=claims.site, item=claims.item, now=now) == claims
        assert SIGNER.check(token, site=claims.site, now=now) == claims


@pytest.mark.parametrize(
    "site", ["st_" + "aA0-_" * 4, "\ud800", "\x00", "", "a b", "\u00e9", "s" * 65]
)
def test_only_an_id_is_looked_up_before_the_grant_is_verified(site: str) -> None:
    payload = base64.urlsafe_b64encode(json.dumps({"s": site}).encode()).rstrip(b"=").decode()
    token = f"{payload}.a0nSAA.{'A' * 43}"
    if site.startswith("st_"):
        assert claimed_site(token) == site
        return
    with pytest.raises(GrantInvalid):
        claimed_site(token)


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_no_character_can_be_changed(position: int, character: str) -> None:
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    if changed != TOKEN:
        with pytest.raises(GrantInvalid):
            SIGNER.check(changed, site="st_a", item="it_a", now=NOW)


@given(st.text() | st.text("abcdefgABCDEFG0123_-.", min_size=40))
def test_any_text_is_refused_quietly(text: str) -> None:
    for call in (
        lambda: SIGNER.check(text, site="st_a", now=NOW),
        lambda: claimed_site(text),
        lambda: SIGNER.check_download(text, site="st_a", item="it_a", now=NOW),
        lambda: check_receipt(SIGNER, text, site="st_a"),
    ):
        with pytest.raises(BitcacheError) as caught:
            call()
        assert len(text) < 4 or text not in caught.value.detail


@pytest.mark.parametrize("token", [None, ""])
def test_no_grant(token: str | None) -> None:
    with pytest.raises(GrantMissing):
        SIGNER.check(token, site="st_a", now=NOW)


def test_a_detail_repeats_neither_token_nor_claims() -> None:
    for token, site, now in (
        (TOKEN, "st_b", NOW),
        (TOKEN[:-1], "st_a", NOW),
        (TOKEN, "st_a", 2**40),
    ):
        with pytest.raises(BitcacheError) as caught:
            SIGNER.check(token, site=site, now=now)
        assert not re.search(r"eyJ|st_|it_|in_|bcgk", caught.value.detail + str(caught.value))
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_rotation() -> None:
    """The newest secret signs, the one before verifies, the one before that does not."""
    before = GrantSigner((OLDER,)).issue(CLAIMS)
    assert SIGNER.check(before, site="st_a", now=NOW) == CLAIMS
    assert GrantSigner((SECRET,)).check(TOKEN, site="st_a", now=NOW) == CLAIMS
    for secrets, token in (((SECRET,), before), ((OLDER,), TOKEN)):
        with pytest.raises(GrantInvalid):
            GrantSigner(secrets).check(token, site="st_a", now=NOW)


@pytest.mark.parametrize("secrets", [(), ("",), (SECRET, "")])
def test_a_signer_needs_secrets(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="secret"):
        GrantSigner(secrets)


def test_a_token_of_another_purpose_opens_nothing() -> None:
    receipt = issue_receipt(SIGNER, ReceiptClaims("st_a", "it_a", "in_a", 5_000, NOW))
    link = SIGNER.issue_download(DownloadClaims("st_a", "it_a", "in_a", 0, NOW + 60))
    for token in (receipt, link):
        with pytest.raises(GrantInvalid):
            SIGNER.check(token, site="st_a", item="it_a", now=NOW)
    for token in (receipt, TOKEN):
        with pytest.raises(LinkInvalid):
            SIGNER.check_download(token, site="st_a", item="it_a", now=NOW)
    for token in (link, TOKEN):
        with pytest.raises(ReceiptInvalid):
            check_receipt(SIGNER, token, site="st_a")


def stock_serializer() -> URLSafeTimedSerializer:
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeTimedSerializer(SECRET, GRANT_PURPOSE, signer_kwargs=options)


def test_an_unchanged_itsdangerous_reads_our_grants() -> None:
    payload, signed_at = stock_serializer().loads(TOKEN, return_timestamp=True)
    assert payload == {"s": "st_a", "i": "it_a", "h": "in_a", "p": 5_000, "e": NOW + 3_600, "r": 2}
    assert signed_at.timestamp() == NOW


def test_a_rightly_signed_bomb_is_not_inflated() -> None:
    bomb = stock_serializer().dumps({"s": "0" * 2_000_000})
    assert len(bomb) < MAX_TOKEN_CHARS
    with pytest.raises(GrantInvalid):
        SIGNER.check(bomb, site="st_a", now=NOW)
    packed = base64.urlsafe_b64encode(zlib.compress(b"[" * 2_000_000)).rstrip(b"=").decode()
    for token in (bomb, f".{packed}.a0nSAA.{'A' * 43}", f"{packed}.a0nSAA.{'A' * 43}"):
        with pytest.raises(GrantInvalid):
            claimed_site(token)


def test_deeply_nested_claims_that_nobody_signed() -> None:
    nested = base64.urlsafe_b64encode(b"[" * 2_900).rstrip(b"=").decode()
    with pytest.raises(GrantInvalid):
        claimed_site(f"{nested}.a0nSAA.{'A' * 43}")


def test_claims_too_large_for_a_token_are_not_signed() -> None:
    with pytest.raises(ValueError, match="characters"):
        SIGNER.issue(GrantClaims("s" * 4_000, "i", "h", 1, NOW, None, 0))


def test_huge_texts_are_refused_at_once() -> None:
    """Work that grows faster than the text would outlast the time limit of all tests."""
    for text in ("A" * 10_000_000, TOKEN * 50_000, "." * 5_000_000):
        with pytest.raises(GrantInvalid):
            SIGNER.check(text, site="st_a", now=NOW)


def test_receipts_keep_their_content_hash() -> None:
    for content in (None, "ab" * 32):
        claims = ReceiptClaims("st_a", "it_a", "in_a", 5_000, NOW, content)
        assert check_receipt(SIGNER, issue_receipt(SIGNER, claims), site="st_a") == claims


# The example of RFC 7636, appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_example_of_rfc_7636() -> None:
    assert challenge_of(VERIFIER) == CHALLENGE
    assert matches(VERIFIER, CHALLENGE)
    assert check_challenge_format(CHALLENGE) == CHALLENGE


@given(st.text("abcXYZ019-._~", min_size=43, max_size=128), st.text(max_size=60))
def test_a_verifier_matches_its_own_challenge_only(verifier: str, other: str) -> None:
    challenge = check_challenge_format(challenge_of(verifier))
    assert matches(verifier, challenge)
    assert not matches(verifier, other)
    assert not matches(verifier[:-1] + ("b" if verifier[-1] == "a" else "a"), challenge)


@pytest.mark.parametrize(
    "verifier",
    ["", "a" * 42, "a" * 129, "a" * 42 + "+", "a" * 42 + " ", "a" * 43 + "\n", "\u00e9" * 43,
     "\ud800" * 43, "a" * 10**6, CHALLENGE + "="],
    ids=lambda text: ascii(text)[:20],
)  # fmt: skip
def test_texts_that_are_no_verifier(verifier: str) -> None:
    digest = hashlib.sha256(verifier.encode("utf-8", "replace")).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert not matches(verifier, challenge)
    with pytest.raises(InvalidRequest):
        challenge_of(verifier)


@pytest.mark.parametrize(
    "challenge",
    ["", CHALLENGE[:-1], CHALLENGE + "=", CHALLENGE + "\n", CHALLENGE[:-1] + "N",
     "+" + CHALLENGE[1:], "\u00e9" * 43, hashlib.sha256(b"").hexdigest(), "a" * 10**6],
    ids=lambda text: ascii(text)[:20],
)  # fmt: skip
def test_texts_that_are_no_challenge(challenge: str) -> None:
    with pytest.raises(InvalidRequest):
        check_challenge_format(challenge)
    assert not matches(VERIFIER, challenge)


def test_a_strange_stored_challenge_matches_nothing() -> None:
    assert not matches(VERIFIER, "\ud800")


def test_ids() -> None:
    ids = {new_id("it") for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(re.fullmatch(r"it_[A-Za-z0-9_-]{22}", one) for one in ids)


def test_site_secrets_name_their_site() -> None:
    for _ in range(200):  # ids with - and _ in any place
        site = new_id("st")
        secret = new_site_secret(site)
        assert site_of_secret(secret) == site
        assert secret_matches(secret, hash_secret(secret))
        assert not secret_matches(new_site_secret(site), hash_secret(secret))
        assert secret not in hash_secret(secret)


@pytest.mark.parametrize("secret", ["", "bcsk_", "bcsk_" + "a" * 66, "\ud800", "a" * 10**6])
def test_texts_that_are_no_site_secret(secret: str) -> None:
    assert site_of_secret(secret) is None
    assert not secret_matches(secret, hash_secret("other"))


def test_the_hash_of_a_secret_is_plain_sha256() -> None:
    assert hash_secret("abc") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("site", ["", "it_" + "a" * 22, "st_", "st_" + "a" * 21, "st_" + "a" * 23])
def test_only_sites_have_site_secrets(site: str) -> None:
    with pytest.raises(ValueError, match="site"):
        new_site_secret(site)


def test_grant_secrets() -> None:
    made = {new_grant_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"bcgk_[A-Za-z0-9_-]{43}", secret) for secret in made)


def test_claims_stand_in_the_token_as_documented() -> None:
    payload = TOKEN.split(".", maxsplit=1)[0]
    text = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode("ascii")
    assert text == '{"s":"st_a","i":"it_a","h":"in_a","p":5000,"e":1800003600,"r":2}'
    assert json.loads(text)["p"] == CLAIMS.price_msat
