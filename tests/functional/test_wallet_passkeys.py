"""Passkeys: several for a wallet, each for its own, each challenge once."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from bitcache_server.models.wallets import OneTimeCode, Passkey
from bitcache_server.services.passkeys import (
    CHALLENGE_LIFETIME_S,
    MAX_PASSKEYS,
    passkeys_of,
)
from bitcache_server.services.relying_party import RelyingParty, relying_party
from bitcache_server.services.wallets import CONFIRMATION_AGE_S, SESSION_AGE_S
from tests.support.api import PROBLEM
from tests.support.authenticator import Authenticator
from tests.support.wallet_browser import Reader, in_own_context
from tests.support.world import PUBLIC_URL, World, make_settings

SIGN_IN = "/wallet/passkeys/sign-in"
CONFIRM = "/wallet/passkeys/confirm"
REGISTER = "/wallet/passkeys"


def refused(answer: TestResponse, status: int = 403, code: str = "passkey_invalid") -> bool:
    assert (answer.status_code, answer.mimetype) == (status, PROBLEM), answer.text
    assert "Set-Cookie" not in answer.headers
    return bool(answer.get_json()["code"] == code)


def send(reader: Reader, path: str, credential: dict[str, Any]) -> TestResponse:
    return reader.call(path, {"credential": credential})


def test_a_passkey_signs_in_on_a_browser_that_knows_nobody(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    options = reader.options("register")
    assert options["rp"]["id"] == "pay.example"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "preferred"
    key = reader.add_passkey()
    other = Reader(shop)
    asked = other.options("sign_in")
    # No name and no list: the browser shows what it has.
    assert asked["allowCredentials"] == []
    assert reader.wallet_id not in json.dumps(asked)
    assert other.show_passkey("sign_in", key).status_code == 200
    assert other.wallet_id == reader.wallet_id
    assert other.is_signed_in()


def test_several_passkeys_and_one_is_removed(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    first, second = reader.add_passkey(), reader.add_passkey()
    known = {one["id"] for one in reader.options("register")["excludeCredentials"]}
    assert known == {first.credential_id, second.credential_id}
    assert Reader(shop).show_passkey("sign_in", first).status_code == 200
    assert reader.post("/wallet/passkeys/remove", passkey=first.credential_id).status_code == 303
    assert refused(Reader(shop).show_passkey("sign_in", first))
    assert Reader(shop).show_passkey("sign_in", second).status_code == 200
    [left] = passkeys_of(shop.session, reader.wallet_id)
    assert (left.credential_id, left.label) == (second.credential_id, "Firefox on Linux")


def test_there_is_an_end_to_passkeys(sqlite_world: World) -> None:
    reader = Reader(sqlite_world)
    reader.open_wallet()
    for _ in range(MAX_PASSKEYS):
        reader.add_passkey()
    answer = reader.call("/wallet/passkeys/options", {"purpose": "register"})
    assert refused(answer, 422, "invalid_request")


def test_a_passkey_of_another_wallet_opens_only_its_own(shop: World) -> None:
    mine, theirs = Reader(shop), Reader(shop)
    mine.open_wallet()
    theirs.open_wallet()
    my_key, their_key = mine.add_passkey(), theirs.add_passkey()
    shop.clock.pass_time(CONFIRMATION_AGE_S + 1)
    # With a challenge of mine, in my browser: still not my passkey.
    credential = their_key.get(mine.options("confirm"))
    assert refused(send(mine, CONFIRM, credential))
    # It claims to be my account.
    their_key.device.user_handle = mine.wallet_id.encode()
    assert refused(Reader(shop).show_passkey("sign_in", their_key))
    their_key.device.user_handle = theirs.wallet_id.encode()
    # It claims to be my passkey.
    forged = their_key.get(Reader(shop).options("sign_in"))
    forged |= {"id": my_key.credential_id, "rawId": my_key.credential_id}
    assert refused(send(Reader(shop), SIGN_IN, forged))
    other = Reader(shop)
    assert other.show_passkey("sign_in", their_key).status_code == 200
    assert other.wallet_id == theirs.wallet_id
    assert mine.call("/wallet/passkeys/options", {"purpose": "register"}).status_code == 403
    assert mine.show_passkey("confirm", my_key).status_code == 200
    assert mine.call("/wallet/passkeys/options", {"purpose": "register"}).status_code == 200


def test_a_passkey_is_removed_from_its_own_wallet_only(shop: World) -> None:
    mine, theirs = Reader(shop), Reader(shop)
    mine.open_wallet()
    theirs.open_wallet()
    key = mine.add_passkey()
    theirs.post("/wallet/passkeys/remove", passkey=key.credential_id)
    assert Reader(shop).show_passkey("sign_in", key).status_code == 200


def test_adding_and_removing_need_a_confirmation(shop: World) -> None:
    owner, thief = Reader(shop), Reader(shop)
    owner.open_wallet()
    key = owner.add_passkey()
    shop.clock.pass_time(CONFIRMATION_AGE_S + 1)
    thief.cookie = str(owner.cookie)
    answer = thief.call("/wallet/passkeys/options", {"purpose": "register"})
    assert refused(answer, 403, "confirmation_required")
    form = thief.post("/wallet/passkeys/remove", passkey=key.credential_id)
    assert form.headers["Location"].startswith("/wallet/confirm?next=")
    assert [one.credential_id for one in passkeys_of(shop.session, owner.wallet_id)] == [
        key.credential_id
    ]
    assert owner.show_passkey("confirm", key).status_code == 200
    owner.add_passkey()


def test_a_challenge_counts_once(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    key = reader.add_passkey()
    first = Reader(shop)
    credential = key.get(first.options("sign_in"))
    assert send(first, SIGN_IN, credential).status_code == 200
    # The very answer again, from a thief who has read it.
    assert refused(send(Reader(shop), SIGN_IN, credential))
    # The same challenge signed anew, with a counter that has gone on.
    options = {"challenge": challenge_in(credential), "rpId": "pay.example"}
    assert refused(send(Reader(shop), SIGN_IN, key.get(options)))


def challenge_in(credential: dict[str, Any]) -> str:
    data = credential["response"]["clientDataJSON"]
    return str(json.loads(base64.urlsafe_b64decode(data + "==="))["challenge"])


def test_a_challenge_is_for_one_purpose_and_one_browser(shop: World) -> None:
    reader, other = Reader(shop), Reader(shop)
    reader.open_wallet()
    key = reader.add_passkey()
    other.show_passkey("sign_in", key)
    sign_in, confirm = reader.options("sign_in"), reader.options("confirm")
    register = reader.options("register")
    assert refused(send(reader, CONFIRM, key.get(sign_in)))
    assert refused(send(Reader(shop), SIGN_IN, key.get(confirm)))
    assert refused(send(other, CONFIRM, key.get(confirm)))
    assert refused(send(other, REGISTER, Authenticator(PUBLIC_URL).create(register)))
    made_here = Authenticator(PUBLIC_URL).create({**register, "challenge": sign_in["challenge"]})
    assert refused(send(reader, REGISTER, made_here))
    # Each is good where it belongs: none of the tries has used one up.
    assert send(reader, CONFIRM, key.get(confirm)).status_code == 200
    assert send(reader, REGISTER, Authenticator(PUBLIC_URL).create(register)).status_code == 201
    assert send(Reader(shop), SIGN_IN, key.get(sign_in)).status_code == 200


@pytest.mark.parametrize(
    ("shift_s", "good"),
    [
        (0, True),
        (CHALLENGE_LIFETIME_S - 1, True),
        (CHALLENGE_LIFETIME_S, False),
        (SESSION_AGE_S, False),
        (-60, True),
        (-61, False),
        (-86_400, False),
    ],
)
def test_a_challenge_is_over_soon_also_when_the_clock_jumps(
    sqlite_world: World, shift_s: int, good: bool
) -> None:
    reader = Reader(sqlite_world)
    reader.open_wallet()
    key = reader.add_passkey()
    other = Reader(sqlite_world)
    options = other.options("sign_in")
    sqlite_world.clock.now += shift_s
    answer = send(other, SIGN_IN, key.get(options))
    assert (answer.status_code == 200) is good
    assert good or refused(answer)


def test_challenges_cost_the_database_nothing_until_they_are_used(shop: World) -> None:
    stranger = Reader(shop)
    for _ in range(5):
        stranger.options("sign_in")
    assert shop.session.scalars(select(OneTimeCode)).all() == []


def test_a_counter_that_goes_back_is_refused(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    key = reader.add_passkey()
    assert Reader(shop).show_passkey("sign_in", key).status_code == 200
    key.device.sign_count = 40
    assert Reader(shop).show_passkey("sign_in", key).status_code == 200
    for copied in (0, 39, 40):
        # Each use adds one; the last that was accepted said 41.
        key.device.sign_count = copied
        assert refused(Reader(shop).show_passkey("sign_in", key))
    assert Reader(shop).show_passkey("sign_in", key).status_code == 200
    shop.session.rollback()
    assert shop.session.scalars(select(Passkey.sign_count)).one() == 42


def test_a_passkey_without_a_counter_works(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    key = reader.add_passkey()
    for _ in range(3):
        # What phones that synchronise their passkeys send.
        key.device.sign_count = -1
        assert Reader(shop).show_passkey("sign_in", key).status_code == 200
    shop.session.rollback()
    assert shop.session.scalars(select(Passkey.sign_count)).one() == 0


def test_another_origin_is_refused(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    key = reader.add_passkey()
    for origin in ("https://evil.example", "http://pay.example", "https://pay.example:444"):
        key.origin = origin
        assert refused(Reader(shop).show_passkey("sign_in", key))
        made = Authenticator(origin).create(reader.options("register"))
        assert refused(send(reader, REGISTER, made))


def test_a_changed_answer_is_refused(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    key = reader.add_passkey()
    for name in ("signature", "authenticatorData", "clientDataJSON", "userHandle"):
        credential = key.get(Reader(shop).options("sign_in"))
        text = credential["response"][name]
        changed = text[:10] + ("A" if text[10] != "A" else "B") + text[11:]
        credential["response"][name] = changed
        assert refused(send(Reader(shop), SIGN_IN, credential)), name


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"id": "x"},
        {"id": None, "response": None},
        {"id": "x", "rawId": "x", "type": "public-key", "response": {"clientDataJSON": 7}},
        {"response": {"clientDataJSON": "AAAA"}},
        {"response": {"clientDataJSON": "\x00"}},
        {"response": {"clientDataJSON": "W10"}},
        {"response": {"clientDataJSON": "bnVsbA"}},
        {"response": {"clientDataJSON": "x" * 100_000}},
        {"id": "\ud800", "response": {"clientDataJSON": "\ud800"}},
    ],
)
def test_nonsense_is_refused(sqlite_world: World, credential: dict[str, Any]) -> None:
    reader = Reader(sqlite_world)
    reader.open_wallet()
    for path in (SIGN_IN, CONFIRM, REGISTER):
        answer = send(reader, path, credential)
        assert answer.status_code in (400, 403, 422), answer.text
        assert answer.mimetype == PROBLEM


def test_an_id_that_no_database_takes_is_refused(shop: World) -> None:
    reader = Reader(shop)
    reader.open_wallet()
    key = reader.add_passkey()
    for bad in ("\x00", "x" * 2_000, "'; drop table passkeys", "ü", ""):
        credential = key.get(Reader(shop).options("sign_in"))
        credential["id"] = bad
        assert refused(send(Reader(shop), SIGN_IN, credential))
    key.device.cred_init = lambda rp_id, handle: None
    key.device.credential_id = b"x" * 1_024
    assert refused(send(reader, REGISTER, key.create(reader.options("register"))))


def test_one_passkey_belongs_to_one_wallet(shop: World) -> None:
    mine, theirs = Reader(shop), Reader(shop)
    mine.open_wallet()
    theirs.open_wallet()
    key = mine.add_passkey()
    key.device.cred_init = lambda rp_id, handle: None
    assert refused(send(theirs, REGISTER, key.create(theirs.options("register"))))
    assert Reader(shop).show_passkey("sign_in", key).status_code == 200


def test_two_answers_at_once_open_one_session(shop: World) -> None:
    from concurrent.futures import ThreadPoolExecutor

    reader = Reader(shop)
    reader.open_wallet()
    key = reader.add_passkey()
    credential = key.get(Reader(shop).options("sign_in"))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: send(Reader(shop), SIGN_IN, credential), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 403, 403, 403]


@pytest.mark.parametrize(
    ("public_url", "party"),
    [
        ("https://pay.example", RelyingParty("pay.example", "https://pay.example")),
        ("https://pay.example:8443", RelyingParty("pay.example", "https://pay.example:8443")),
        ("http://localhost:8402", RelyingParty("localhost", "http://localhost:8402")),
        ("http://127.0.0.1:8402", None),
        ("https://192.0.2.7", None),
        ("https://[2001:db8::1]:8443", None),
        ("http://pay.example", None),
    ],
)
def test_whom_passkeys_are_made_for(
    tmp_path: Any, public_url: str, party: RelyingParty | None
) -> None:
    assert relying_party(make_settings(tmp_path, public_url=public_url)) == party


def test_without_a_domain_there_are_no_passkeys_and_the_page_says_so(
    start_world: Callable[..., World],
) -> None:
    world = start_world(public_url="http://127.0.0.1:8402")
    client = world.app.test_client()
    page = in_own_context(lambda: client.get("/wallet/sign-in"))
    assert "There are no passkeys at this address" in page.text
    assert "data-passkey" not in page.text
    answer = in_own_context(
        lambda: client.post("/wallet/passkeys/options", json={"purpose": "sign_in"})
    )
    assert refused(answer, 422, "invalid_request")
