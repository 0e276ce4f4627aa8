"""Signing in with a Lightning wallet (LUD-04): the browser that asked goes on, nobody else."""

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import lnurl
import pytest
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from lnurl.helpers import lnurlauth_derive_linking_key, lnurlauth_signature
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from bitcache_server.models.wallets import LnurlChallenge, LnurlKey
from bitcache_server.services.wallet_keys import (
    KEPT_S,
    LIFETIME_S,
    MAX_KEYS,
    forget_challenges,
)
from bitcache_server.services.wallets import CONFIRMATION_AGE_S
from tests.support.api import open_world
from tests.support.shops import assert_nothing_lost
from tests.support.wallet_browser import HOST, Reader
from tests.support.world import PUBLIC_URL, World

LOGIN_COOKIE = "__Host-bitcache_wallet_login"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Phone:
    """A Lightning wallet on a phone: scans a code, signs for the host that it names (LUD-05)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seed = secrets.token_hex(32)

    @property
    def key(self) -> str:
        """Return the key that this server knows the wallet by."""
        secret, _ = lnurlauth_derive_linking_key(self.seed, HOST)
        return PrivateKey(secret).public_key.format().hex()

    def scan(self, code: str, **changes: str) -> dict[str, str]:
        """Sign what a code says and send it; return the answer."""
        return dict(self.send(code, **changes).get_json())

    def send(self, code: str, **changes: str) -> TestResponse:
        """Do as ``scan``, and return the whole answer."""
        url = urlsplit(str(lnurl.decode(code).url))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        assert url.hostname == HOST
        assert query["tag"] == "login"
        secret, _ = lnurlauth_derive_linking_key(self.seed, HOST)
        key, signature = lnurlauth_signature(query["k1"], secret)
        query |= {"key": key, "sig": signature, **changes}
        stranger = self.world.app.test_client(use_cookies=False)
        return stranger.get(url.path, query_string=query, base_url=PUBLIC_URL)


UNCOUNTED = {"limit_recoveries_per_address": "999/minute"}


@pytest.fixture
def either_shop(database_url: str, tmp_path: Path) -> Iterator[World]:
    """Return a world that does not count the tries, once on each engine."""
    with open_world(database_url, tmp_path, **UNCOUNTED) as made:
        yield made
        assert_nothing_lost(made)


@pytest.fixture
def shop(start_world: Callable[..., World]) -> Iterator[World]:
    """Return one for what is the same on both."""
    made = start_world(**UNCOUNTED)
    yield made
    assert_nothing_lost(made)


@pytest.fixture
def phone(request: pytest.FixtureRequest) -> Phone:
    either = "either_shop" in request.fixturenames
    return Phone(request.getfixturevalue("either_shop" if either else "shop"))


def begin(reader: Reader, purpose: str, **form: str) -> str:
    """Ask for a code; return the path of its page."""
    answer = reader.post("/wallet/lightning", purpose=purpose, **form)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"].partition("?")[0]


def code_on(page: TestResponse) -> str:
    """Return what a wallet scans."""
    match = re.search(r'href="lightning:(LNURL1[0-9A-Z]+)"', page.text)
    assert match is not None, page.text
    return match[1]


def sign(reader: Reader, phone: Phone, purpose: str) -> str:
    """Ask for a code and let a phone sign it; return the page's path."""
    path = begin(reader, purpose)
    assert phone.scan(code_on(reader.get(path))) == {"status": "OK"}
    return path


def added(reader: Reader, phone: Phone) -> None:
    """Let a phone open the reader's wallet."""
    path = sign(reader, phone, "add")
    answer = reader.post(path)
    assert answer.headers["Location"] == "/wallet/security?done=lightning", answer.text


def in_new_wallet(reader: Reader, phone: Phone) -> None:
    """Give the reader a wallet that their phone opens."""
    reader.open_wallet()
    added(reader, phone)


def rows(shop: World, model: type[LnurlKey | LnurlChallenge]) -> int:
    shop.session.rollback()
    return shop.session.scalar(select(func.count()).select_from(model)) or 0


def test_add_a_wallet_and_sign_in_with_it_elsewhere(either_shop: World, phone: Phone) -> None:
    reader, other = Reader(either_shop), Reader(either_shop, "192.0.2.44")
    in_new_wallet(reader, phone)
    page = reader.get("/wallet/security").text
    assert f"{phone.key[:8]}…{phone.key[-8:]}" in page
    path = begin(other, "sign_in")
    waiting = other.get(path)
    assert 'http-equiv="refresh"' in waiting.text
    assert phone.scan(code_on(waiting), action="login") == {"status": "OK"}
    signed = other.get(path)
    assert 'http-equiv="refresh"' not in signed.text
    assert "Sign in</button>" in signed.text
    assert other.cookie is None
    answer = other.post(path)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/wallet")
    assert other.wallet_id == reader.wallet_id
    assert other.is_signed_in()


def test_the_code_is_one_that_wallets_read(shop: World, phone: Phone) -> None:
    reader = Reader(shop)
    path = begin(reader, "sign_in")
    page = reader.get(path)
    decoded = str(lnurl.decode(code_on(page)).url)
    k1 = path.rpartition("/")[2]
    assert decoded == f"{PUBLIC_URL}/lnurl/auth?tag=login&k1={k1}&action=login"
    assert lnurl.decode(code_on(page)).is_login
    picture = reader.get(f"{path}/qr.svg")
    assert picture.mimetype == "image/svg+xml"
    assert picture.data.startswith(b"<svg")


def test_where_to_go_on(shop: World, phone: Phone) -> None:
    reader, other = Reader(shop), Reader(shop)
    in_new_wallet(reader, phone)
    for wanted, reached in (("/wallet/top-up", "/wallet/top-up"), ("https://x.example", "/wallet")):
        answer = other.post("/wallet/lightning", purpose="sign_in", next=wanted)
        path, _, query = answer.headers["Location"].partition("?")
        assert parse_qs(query)["next"] == [reached]
        phone.scan(code_on(other.get(path)))
        assert other.post(path, next=reached).headers["Location"] == reached


def test_a_new_wallet_for_whoever_has_none(either_shop: World, phone: Phone) -> None:
    reader, later = Reader(either_shop), Reader(either_shop)
    path = sign(reader, phone, "sign_in")
    page = reader.get(path).text
    assert "Open a new balance with it" in page
    assert reader.post(path).status_code == 403
    assert reader.cookie is None
    assert reader.post(path, new="1").status_code == 303
    path = sign(later, phone, "sign_in")
    assert "Open a new balance" not in later.get(path).text
    assert later.post(path, new="1").status_code == 303
    assert later.wallet_id == reader.wallet_id
    assert rows(either_shop, LnurlKey) == 1


def test_an_unknown_wallet_takes_nobody_away_from_theirs(shop: World, phone: Phone) -> None:
    reader = Reader(shop)
    wallet_id = reader.open_wallet()
    path = sign(reader, phone, "sign_in")
    assert "opens no balance here yet" in reader.get(path).text
    # Nothing else opens this browser's wallet: that must be said before it is left.
    assert reader.post(path, new="1").status_code == 403
    assert reader.wallet_id == wallet_id
    assert rows(shop, LnurlKey) == 0


def test_confirm_before_what_matters(either_shop: World, phone: Phone) -> None:
    reader = Reader(either_shop)
    in_new_wallet(reader, phone)
    either_shop.clock.pass_time(CONFIRMATION_AGE_S + 1)
    answer = reader.post("/wallet/lightning", purpose="add", referer="/wallet/security")
    assert answer.headers["Location"] == "/wallet/confirm?next=%2Fwallet%2Fsecurity"
    assert "Confirm with your Lightning wallet" in reader.get("/wallet/confirm").text
    before = reader.cookie
    path = sign(reader, phone, "confirm")
    assert reader.post(path, next="/wallet/security").headers["Location"] == "/wallet/security"
    assert reader.cookie != before
    copy = Reader(either_shop)
    assert before is not None
    copy.cookie = before
    assert not copy.is_signed_in()
    assert begin(reader, "add")


def test_confirmation_takes_the_wallets_own_key(shop: World, phone: Phone) -> None:
    reader, stranger = Reader(shop), Phone(shop)
    in_new_wallet(reader, phone)
    other = Reader(shop)
    in_new_wallet(other, stranger)
    shop.clock.pass_time(CONFIRMATION_AGE_S + 1)
    for wrong in (stranger, Phone(shop)):
        path = sign(reader, wrong, "confirm")
        assert reader.post(path).status_code == 403
        assert begins_with_confirmation(reader)


def begins_with_confirmation(reader: Reader) -> bool:
    answer = reader.post("/wallet/lightning", purpose="add", referer="/wallet/security")
    return answer.headers["Location"].startswith("/wallet/confirm")


def test_nobody_else_goes_on(shop: World, phone: Phone) -> None:
    owner, reader, thief = Reader(shop), Reader(shop), Reader(shop)
    in_new_wallet(owner, phone)
    path = begin(reader, "sign_in")
    code = code_on(reader.get(path))
    # Who photographs the screen sees the code, and gets no page for it before or after.
    assert thief.get(path).status_code == 403
    phone.scan(code)
    assert thief.get(path).status_code == 403
    assert thief.post(path).status_code == 403
    own = begin(thief, "sign_in")
    assert thief.post(path).status_code == 403
    assert thief.post(own).status_code == 403
    assert thief.cookie is None
    assert reader.post(path).status_code == 303


def test_the_first_signature_counts(either_shop: World, phone: Phone) -> None:
    """Somebody who scans the screen first is seen: the reader's own wallet says so."""
    reader, thief = Reader(either_shop), Phone(either_shop)
    reader.open_wallet()
    path = begin(reader, "add")
    code = code_on(reader.get(path))
    assert thief.scan(code) == {"status": "OK"}
    answer = phone.scan(code)
    assert (answer["status"], answer["code"]) == ("ERROR", "login_invalid")
    assert "used" in answer["reason"]
    assert "Go on only if your own wallet said that it worked" in reader.get(path).text
    assert rows(either_shop, LnurlKey) == 0


def test_a_code_goes_on_once(either_shop: World, phone: Phone) -> None:
    reader = Reader(either_shop)
    in_new_wallet(reader, phone)
    path = begin(reader, "sign_in")
    secret = reader.client.get_cookie(LOGIN_COOKIE, HOST)
    assert secret is not None
    phone.scan(code_on(reader.get(path)))
    assert reader.post(path).status_code == 303
    other = Reader(either_shop)
    other.client.set_cookie(LOGIN_COOKIE, secret.value, domain=HOST, secure=True)
    assert other.post(path).status_code == 403
    assert reader.client.get_cookie(LOGIN_COOKIE, HOST) is None


def test_a_code_is_for_one_purpose_and_one_session(shop: World, phone: Phone) -> None:
    """The form says nothing about the purpose: what counts is what was asked for."""
    reader, twin = Reader(shop), Reader(shop)
    in_new_wallet(reader, phone)
    assert reader.cookie is not None
    path = sign(reader, phone, "confirm")
    secret = reader.client.get_cookie(LOGIN_COOKIE, HOST)
    assert secret is not None
    twin.open_wallet()
    twin.client.set_cookie(LOGIN_COOKIE, secret.value, domain=HOST, secure=True)
    assert twin.post(path).status_code == 403
    nobody = Reader(shop)
    nobody.client.set_cookie(LOGIN_COOKIE, secret.value, domain=HOST, secure=True)
    assert nobody.post(path).headers["Location"].startswith("/wallet/sign-in")
    assert nobody.cookie is None


def test_a_code_lives_for_minutes(either_shop: World, phone: Phone) -> None:
    owner, reader = Reader(either_shop), Reader(either_shop)
    in_new_wallet(owner, phone)
    unsigned, signed = begin(reader, "sign_in"), Reader(either_shop)
    code = code_on(reader.get(unsigned))
    path = sign(signed, phone, "sign_in")
    either_shop.clock.pass_time(LIFETIME_S)
    assert phone.scan(code)["status"] == "ERROR"
    assert reader.get(unsigned).status_code == 403
    assert signed.post(path).status_code == 403
    assert signed.cookie is None
    assert forget_challenges(either_shop.deps, either_shop.session) == 0
    either_shop.clock.pass_time(KEPT_S + 1)
    assert forget_challenges(either_shop.deps, either_shop.session) == 3
    assert rows(either_shop, LnurlChallenge) == 0


def test_a_key_that_was_removed_opens_nothing(shop: World, phone: Phone) -> None:
    reader, other = Reader(shop), Reader(shop)
    in_new_wallet(reader, phone)
    path = sign(other, phone, "sign_in")
    answer = reader.post("/wallet/lightning/remove", key=phone.key)
    assert answer.headers["Location"] == "/wallet/security?done=lightning_removed"
    assert phone.key[:8] not in reader.get("/wallet/security").text
    # Also not with what it signed before.
    assert other.post(path).status_code == 403
    assert other.cookie is None


def test_a_key_is_removed_by_its_owner_who_confirms(shop: World, phone: Phone) -> None:
    reader, stranger = Reader(shop), Reader(shop)
    in_new_wallet(reader, phone)
    stranger.open_wallet()
    stranger.post("/wallet/lightning/remove", key=phone.key)
    assert rows(shop, LnurlKey) == 1
    shop.clock.pass_time(CONFIRMATION_AGE_S + 1)
    answer = reader.post("/wallet/lightning/remove", key=phone.key, referer="/wallet/security")
    assert answer.headers["Location"].startswith("/wallet/confirm")
    assert "Remove" not in reader.get("/wallet/security").text
    assert rows(shop, LnurlKey) == 1


def test_a_key_opens_one_wallet(either_shop: World, phone: Phone) -> None:
    reader, other = Reader(either_shop), Reader(either_shop)
    in_new_wallet(reader, phone)
    other.open_wallet()
    path = sign(other, phone, "add")
    answer = other.post(path)
    assert answer.status_code == 403
    assert "opens a balance here already" in answer.text
    assert other.post(path).status_code == 403
    assert rows(either_shop, LnurlKey) == 1


def test_a_wallet_with_a_key_is_secured(shop: World, phone: Phone) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    assert "Only this browser opens your balance" in reader.get("/wallet/security").text
    added(reader, phone)
    assert "Only this browser" not in reader.get("/wallet/security").text
    assert reader.post("/wallet/sign-out").status_code == 303


def test_a_deleted_wallet_forgets_its_keys(either_shop: World, phone: Phone) -> None:
    reader, later = Reader(either_shop), Reader(either_shop)
    in_new_wallet(reader, phone)
    assert phone.key in reader.get("/wallet/export.json").text
    assert reader.post("/wallet/delete", understood="1").status_code == 303
    assert rows(either_shop, LnurlKey) == 0
    path = sign(later, phone, "sign_in")
    assert later.post(path).status_code == 403


def test_no_more_keys_than_anybody_has(shop: World, phone: Phone) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    for _ in range(MAX_KEYS):
        added(reader, Phone(shop))
    answer = reader.post("/wallet/lightning", purpose="add")
    assert answer.status_code == 422
    assert rows(shop, LnurlKey) == MAX_KEYS


def test_signatures_that_are_none(shop: World, phone: Phone) -> None:
    reader = Reader(shop)
    path = begin(reader, "sign_in")
    code = code_on(reader.get(path))
    neighbour = Reader(shop)
    other = code_on(neighbour.get(begin(neighbour, "sign_in")))
    k1_of_other = parse_qs(urlsplit(str(lnurl.decode(other).url)).query)["k1"][0]
    for changes in (
        {"sig": ""},
        {"sig": "00" * 70},
        {"sig": "30" * 70},
        {"sig": "xx"},
        {"key": ""},
        {"key": "02" + "00" * 32},
        {"key": "04" + "11" * 64},
        {"key": Phone(shop).key},
        {"key": "02" + "\u0660" * 64},
        {"k1": ""},
        {"k1": "00" * 32},
        {"k1": k1_of_other},
        {"tag": "withdrawRequest"},
    ):
        answer = phone.scan(code, **changes)
        assert (answer["status"], answer["code"]) == ("ERROR", "login_invalid"), changes
    assert 'http-equiv="refresh"' in reader.get(path).text
    assert phone.scan(code) == {"status": "OK"}


def test_capitals_and_a_high_s_are_read(shop: World, phone: Phone) -> None:
    """A wallet may write hex in capitals; libsecp256k1 takes low-S signatures only (BIP 146)."""
    reader = Reader(shop)
    path = begin(reader, "sign_in")
    code = code_on(reader.get(path))
    k1 = path.rpartition("/")[2]
    secret, _ = lnurlauth_derive_linking_key(phone.seed, HOST)
    _, low = lnurlauth_signature(k1, secret)
    r, s = decode_dss_signature(bytes.fromhex(low))
    high = encode_dss_signature(r, ORDER - s).hex()
    assert high != low
    assert phone.scan(code, key=phone.key.upper(), sig=high.upper()) == {"status": "OK"}


def test_other_sites_cannot_begin_or_finish(shop: World, phone: Phone) -> None:
    reader, victim = Reader(shop), Reader(shop)
    in_new_wallet(reader, phone)
    foreign = "https://evil.example"
    for purpose in ("sign_in", "add", "confirm"):
        answer = victim.post("/wallet/lightning", origin=foreign, purpose=purpose)
        assert answer.status_code == 403
    assert reader.post("/wallet/lightning/remove", origin=foreign, key=phone.key).status_code == 403
    path = sign(victim, phone, "sign_in")
    assert victim.post(path, origin=foreign).status_code == 403
    assert victim.cookie is None


def test_the_browser_keeps_a_secret_that_no_script_reads(shop: World) -> None:
    answer = Reader(shop).post("/wallet/lightning", purpose="sign_in")
    [cookie] = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith(f"{LOGIN_COOKIE}=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    shop.session.rollback()
    stored = shop.session.scalars(select(LnurlChallenge)).one()
    secret = cookie.partition("=")[2].partition(";")[0]
    assert secret not in str(vars(stored))
    assert secret not in answer.headers["Location"]


def test_answers_for_wallets_in_browsers(shop: World, phone: Phone) -> None:
    reader = Reader(shop)
    answer = phone.send(code_on(reader.get(begin(reader, "sign_in"))))
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


def test_what_for_is_one_of_three(shop: World) -> None:
    reader = Reader(shop)
    assert reader.post("/wallet/lightning", purpose="steal").status_code == 422
    for purpose in ("add", "confirm"):
        answer = reader.post("/wallet/lightning", purpose=purpose)
        assert answer.headers["Location"].startswith("/wallet/sign-in")
    assert rows(shop, LnurlChallenge) == 0


def test_no_codes_where_no_wallet_would_follow(start_world: Callable[..., World]) -> None:
    world = start_world(public_url="http://pay.example")
    client = world.app.test_client()
    page = client.get("/wallet/sign-in", base_url="http://pay.example")
    assert "Lightning" not in page.text
    answer = client.post(
        "/wallet/lightning", data={"purpose": "sign_in"}, base_url="http://pay.example"
    )
    assert answer.status_code == 422


def test_asking_for_codes_is_limited(start_world: Callable[..., World]) -> None:
    world = start_world(limit_recoveries_per_address="3/hour")
    reader = Reader(world)
    answers = [reader.post("/wallet/lightning", purpose="sign_in").status_code for _ in range(5)]
    assert answers == [303, 303, 303, 429, 429]
    assert rows(world, LnurlChallenge) == 3
