"""Signing in with a password and a one-time password, and what thieves get out of it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from bitcache_server.models.accounts import Account, AccountSession
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import OneTimeCode
from bitcache_server.services import passwords
from tests.support.account_browser import (
    COOKIE,
    OPEN,
    PASSWORD,
    Visitor,
    account_of,
    deeds,
    proof_on,
)
from tests.support.api import open_world
from tests.support.shops import assert_nothing_lost
from tests.support.world import World

CODE = "/account/sign-in/code"


@pytest.fixture
def either(database_url: str, tmp_path: Path) -> Iterator[World]:
    """Return a server with an account of Ada's, once on each engine."""
    with open_world(database_url, tmp_path, **OPEN) as made:
        assert Visitor(made).sign_up().status_code == 303
        yield made
        assert_nothing_lost(made)


@pytest.fixture
def world(start_world: Callable[..., World]) -> World:
    made = start_world(**OPEN)
    assert Visitor(made).sign_up().status_code == 303
    return made


def test_a_password_signs_in_and_leads_on(either: World) -> None:
    visitor = Visitor(either)
    answer = visitor.enter(login=" Ada ", next="/account/security")
    assert (answer.status_code, answer.location) == (303, "/account/security")
    line = answer.headers["Set-Cookie"]
    attributes = {part.strip() for part in line.split(";")[1:]}
    assert line.startswith(f"{COOKIE}=ac_")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=2592000"} <= attributes
    assert visitor.is_signed_in()
    assert "account.signed_in_by_password" in deeds(either, visitor.account_id)


def test_a_wrong_name_and_a_wrong_password_look_the_same(
    either: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
            compared.append(str(hash))
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "HASHER", Counting())
    before = (len(deeds(either, account_of(either).id)), _codes(either))
    pages = []
    for login, password in (("ada", "wrong password"), ("eve", PASSWORD)):
        answer = Visitor(either).enter(login, password)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers
        pages.append(answer.text.replace(f'value="{login}"', ""))
    assert pages[0] == pages[1]
    # Each was compared once by Argon2 with the same effort, and each has written one row.
    assert len(compared) == 2
    assert {text.rpartition("$")[0].rpartition("$")[0] for text in compared} == {
        "$argon2id$v=19$m=65536,t=3,p=4"
    }
    after = (len(deeds(either, account_of(either).id)), _codes(either))
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)


def _codes(world: World) -> int:
    world.session.rollback()
    return len(world.session.scalars(select(OneTimeCode.code_hash)).all())


@pytest.mark.parametrize(
    "password", ["", "x", PASSWORD.upper(), f"{PASSWORD} ", "\x00" * 20, "\ud800", "x" * 100_000]
)
def test_what_is_not_the_password_does_not_open(world: World, password: str) -> None:
    sent = password.encode("utf-8", "replace").decode()
    answer = Visitor(world).enter(password=sent)
    assert answer.status_code == (422 if "\x00" in sent else 403)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("login", ["", "x" * 100_000, "\x00", "ada'--", "%", "closed ac_x"])
def test_names_that_nobody_has(world: World, login: str) -> None:
    assert Visitor(world).enter(login).status_code == (422 if "\x00" in login else 403)


def test_a_password_in_another_way_of_writing(world: World) -> None:
    # é in one character, and in two, as a Mac types it; a space that does not break.
    Visitor(world).sign_up(login="eve", password="caf\u00e9 au lait")
    for same in ("cafe\u0301 au lait", "caf\u00e9\u00a0au\u00a0lait"):
        assert Visitor(world).enter("eve", same).status_code == 303
    assert Visitor(world).enter("eve", "cafe au lait").status_code == 403


def test_an_old_hash_is_replaced_by_one_of_today(world: World) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with write_transaction(world.session):
        world.session.execute(update(Account).values(password_hash=old))
    assert Visitor(world).enter(password="wrong password").status_code == 403
    assert account_of(world).password_hash == old
    assert Visitor(world).enter().status_code == 303
    assert "m=65536" in str(account_of(world).password_hash)
    assert Visitor(world).enter().status_code == 303


def test_a_one_time_password_is_asked_for_and_counts_once(either: World) -> None:
    owner = Visitor(either)
    owner.enter()
    app = owner.set_up_totp()
    # The one that has turned them on is used up.
    used = app.at(either.clock())
    thief = Visitor(either)
    answer = thief.enter()
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    proof = proof_on(answer)
    assert thief.post(CODE, proof=proof, code=used).status_code == 403
    either.clock.pass_time(30)
    code = app.at(either.clock())
    for wrong in ("", "000000", "١٢٣٤٥٦", "x" * 500, f"{(int(code) + 1) % 1_000_000:06d}"):
        assert thief.post(CODE, proof=proof, code=wrong).status_code == 403, wrong
    visitor = Visitor(either)
    shown = proof_on(visitor.enter())
    spaced = f" {code[:3]} {code[3:]} "
    assert visitor.post(CODE, proof=shown, code=spaced, next="/account").location == "/account"
    # Neither the code nor the proof works again.
    assert thief.post(CODE, proof=proof, code=code).status_code == 403
    either.clock.pass_time(30)
    fresh = app.at(either.clock())
    assert Visitor(either).post(CODE, proof=shown, code=fresh).status_code == 403
    assert thief.cookie is None
    names = deeds(either, visitor.account_id)
    assert names.count("account.signed_in_by_password_and_code") == 1


@pytest.mark.parametrize(
    ("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
def test_clocks_may_differ_by_one_step(world: World, steps: int, good: bool) -> None:
    owner = Visitor(world)
    owner.enter()
    app = owner.set_up_totp()
    world.clock.pass_time(300)
    proof = proof_on(Visitor(world).enter())
    code = app.at(world.clock() + steps * 30)
    answer = Visitor(world).post(CODE, proof=proof, code=code)
    assert (answer.status_code == 303) is good


def test_a_proof_ends_with_its_time_and_with_the_password(world: World) -> None:
    owner = Visitor(world)
    owner.enter()
    app = owner.set_up_totp()
    early, late = (proof_on(Visitor(world).enter()) for _ in range(2))
    assert owner.post("/account/security/password", password="four white swans").location
    world.clock.pass_time(30)
    code = app.at(world.clock())
    assert Visitor(world).post(CODE, proof=early, code=code).status_code == 403
    fresh = proof_on(Visitor(world).enter(password="four white swans"))
    world.clock.pass_time(300)
    code = app.at(world.clock())
    for proof in (late, fresh, "", "nonsense", f"{owner.account_id}.x"):
        assert Visitor(world).post(CODE, proof=proof, code=code).status_code == 403


def test_guessing_is_stopped_for_the_account_from_wherever(
    start_world: Callable[..., World],
) -> None:
    world = start_world(**(OPEN | {"limit_sign_ins_per_account": "4/hour"}))
    owner = Visitor(world)
    owner.sign_up()
    key = owner.add_passkey()
    cookie = owner.cookie
    # Each from another address, in another case: one account.
    tries = [
        Visitor(world, f"203.0.113.{n}").enter(name, "wrong password").status_code
        for n, name in enumerate(("ada", "ADA", " ada", "Ada ", "ada", "ada"))
    ]
    assert tries == [403, 403, 403, 403, 429, 429]
    assert Visitor(world, "192.0.2.1").enter().status_code == 429
    # Nobody is locked out by that: not by passkey, nor where they are signed in.
    assert Visitor(world, "192.0.2.1").show_passkey("sign_in", key).status_code == 200
    assert owner.cookie == cookie
    world.clock.pass_time(601)
    assert owner.post("/account/confirm", password=PASSWORD).status_code == 303
    # An unknown name is counted in the same way.
    unknown = [Visitor(world).enter("eve", "x").status_code for _ in range(5)]
    assert unknown == [403, 403, 403, 403, 429]


def test_right_passwords_are_not_counted(start_world: Callable[..., World]) -> None:
    world = start_world(**(OPEN | {"limit_sign_ins_per_account": "2/hour"}))
    Visitor(world).sign_up()
    assert [Visitor(world).enter().status_code for _ in range(4)] == [303] * 4


def test_guesses_of_one_time_passwords_are_counted_with_the_passwords(
    start_world: Callable[..., World],
) -> None:
    world = start_world(**(OPEN | {"limit_sign_ins_per_account": "3/hour"}))
    owner = Visitor(world)
    owner.sign_up()
    owner.set_up_totp()
    proof = proof_on(Visitor(world).enter())
    tries = [Visitor(world).post(CODE, proof=proof, code="000000").status_code for _ in range(4)]
    assert tries == [403, 403, 403, 429]
    assert Visitor(world).enter().status_code == 429


def test_an_address_is_stopped_and_others_are_not(start_world: Callable[..., World]) -> None:
    world = start_world(**(OPEN | {"limit_sign_ins_per_address": "3/hour"}))
    Visitor(world, "192.0.2.1").sign_up()
    thief = Visitor(world, "203.0.113.9")
    tries = [thief.enter(f"name{n}", "x").status_code for n in range(5)]
    assert tries == [403, 403, 403, 429, 429]
    assert Visitor(world, "192.0.2.1").enter().status_code == 303


def test_guessing_with_a_stolen_cookie_is_stopped(start_world: Callable[..., World]) -> None:
    world = start_world(**(OPEN | {"limit_sign_ins_per_account": "3/hour"}))
    owner, thief = Visitor(world), Visitor(world, "203.0.113.9")
    owner.sign_up()
    thief.cookie = str(owner.cookie)
    tries = [thief.post("/account/confirm", password="x").status_code for _ in range(5)]
    assert tries == [403, 403, 403, 429, 429]
    # The owner still gets in, and ends it.
    other = Visitor(world, "192.0.2.1")
    assert other.enter().status_code == 303
    assert other.post("/account/sessions/end-others").status_code == 303
    assert not thief.is_signed_in()


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/dashboard/\r\nLocation: https://evil.example",
        "javascript:alert(1)",
        "/account@evil.example",
        "dashboard",
        "/widget.js",
    ],
)
def test_nobody_is_led_to_another_site(world: World, wanted: str) -> None:
    visitor = Visitor(world)
    assert visitor.enter(next=wanted).location == "/dashboard"
    assert visitor.post("/account/confirm", password=PASSWORD, next=wanted).location == "/dashboard"
    page = visitor.get(f"/account/sign-in?next={quote(wanted)}")
    # The links to other languages carry the query along, and lead to this page only.
    assert set(re.findall(r'name="next" value="([^"]*)"', page.text)) == {"/dashboard"}
    assert set(re.findall(r'data-next="([^"]*)"', page.text)) == {"/dashboard"}
    assert re.findall(r'href="(?![?#]|/(?!/))[^"]*', page.text) == []
    assert Visitor(world).sign_up(login="eve", next=wanted).location == "/dashboard"


def test_a_session_is_new_with_each_sign_in(world: World) -> None:
    visitor = Visitor(world)
    # What somebody has put into the browser beforehand is not taken over.
    planted = f"ac_{'x' * 22}.as_{'x' * 22}.{'x' * 43}"
    visitor.cookie = planted
    visitor.enter()
    first = str(visitor.cookie)
    assert first.split(".")[1:] != planted.split(".")[1:]
    visitor.enter()
    second = str(visitor.cookie)
    assert second.split(".")[1] != first.split(".")[1]
    thief = Visitor(world)
    thief.cookie = first
    assert not thief.is_signed_in()
    world.session.rollback()
    living = select(AccountSession.id).where(AccountSession.revoked_at.is_(None))
    # That of the sign-up, and this one.
    assert len(world.session.scalars(living).all()) == 2


def test_a_confirmation_gives_a_new_secret(world: World) -> None:
    owner, thief = Visitor(world), Visitor(world, "203.0.113.9")
    owner.enter()
    world.clock.pass_time(601)
    assert "Confirm that it is me" in owner.get("/account/security").text
    thief.cookie = str(owner.cookie)
    answer = owner.post("/account/confirm", password=PASSWORD, next="/account/security")
    assert answer.location == "/account/security"
    assert "Confirm that it is me" not in owner.get("/account/security").text
    assert not thief.is_signed_in()


def test_a_confirmation_asks_for_the_one_time_password(world: World) -> None:
    owner = Visitor(world)
    owner.enter()
    app = owner.set_up_totp()
    world.clock.pass_time(601)
    assert 'name="code"' in owner.get("/account/confirm").text
    assert owner.post("/account/confirm", password=PASSWORD).status_code == 403
    code = app.at(world.clock())
    assert owner.post("/account/confirm", password="wrong", code=code).status_code == 403
    assert owner.post("/account/confirm", password=PASSWORD, code=code).status_code == 303


def test_pages_that_need_somebody_lead_to_the_sign_in(world: World) -> None:
    for path in ("/account", "/account/security", "/account/confirm", "/account/totp"):
        answer = Visitor(world).get(path)
        assert answer.location == f"/account/sign-in?next={quote(path, safe='')}"
