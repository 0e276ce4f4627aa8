"""Links by mail: is the address theirs, and a new password for who has forgotten it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.account_browser import (
    OPEN,
    PASSWORD,
    Visitor,
    account_of,
    code_in,
    deeds,
    mails,
    proof_on,
)
from tests.support.api import open_world
from tests.support.shops import assert_nothing_lost
from tests.support.world import World

ADDRESS = "ada@example.org"
NEW = "four white swans"
MAIL = OPEN | {"smtp_url": "smtp://localhost:1", "mail_from": "pay@pay.example"}


@pytest.fixture
def either(database_url: str, tmp_path: Path) -> Iterator[World]:
    """Return a server with a mail server, once on each engine."""
    with open_world(database_url, tmp_path, **MAIL) as made:
        yield made
        assert_nothing_lost(made)


@pytest.fixture
def world(start_world: Callable[..., World]) -> World:
    return start_world(**MAIL)


def ada(world: World) -> Visitor:
    """Return Ada's browser, whose address is verified."""
    owner = Visitor(world)
    owner.sign_up(login=ADDRESS)
    [(to, text)] = mails(world)
    assert to == ADDRESS
    assert owner.post("/account/email", code=code_in(text)).location == "/account?done=email"
    return owner


def ask(world: World, login: str = ADDRESS) -> str:
    """Ask for a link; return the page that follows."""
    answer = Visitor(world).post("/account/forgotten", login=login)
    assert answer.status_code == 303
    return str(answer.location)


def link(world: World) -> str:
    """Ask for a link and return the code in it."""
    before = mails(world)
    ask(world)
    [(_, text)] = [one for one in mails(world) if one not in before]
    return code_in(text)


def reset(world: World, code: str, password: str = NEW) -> int:
    return Visitor(world).post("/account/reset", code=code, password=password).status_code


def test_an_address_counts_once_a_link_was_pressed(either: World) -> None:
    owner = Visitor(either)
    owner.sign_up(login=ADDRESS)
    [(_, text)] = mails(either)
    code = code_in(text)
    # Opening the link is not enough: machines read mail as well.
    assert Visitor(either).get(f"/account/email?code={quote(code)}").status_code == 200
    assert account_of(either, ADDRESS).email_verified_at is None
    assert Visitor(either).post("/account/email", code=code).status_code == 303
    assert account_of(either, ADDRESS).email_verified_at == either.clock()
    for wrong in (code, "", "x", f"{owner.account_id}.x", "\x07", "x" * 9_000):
        assert Visitor(either).post("/account/email", code=wrong).status_code == 403


def test_another_address_begins_anew(world: World) -> None:
    owner = ada(world)
    assert owner.post("/account/address", email="nobody").status_code == 422
    assert owner.post("/account/address", email="new@example.org").location == "/account?done=mail"
    stale = code_in(mails(world)[-1][1])
    assert account_of(world, ADDRESS).email_verified_at is None
    # Mail for a new password goes nowhere until then.
    count = len(mails(world))
    ask(world)
    assert len(mails(world)) == count
    owner.post("/account/address", email="third@example.org")
    assert owner.post("/account/email", code=stale).status_code == 403
    assert owner.post("/account/address", email="").status_code == 303
    assert account_of(world, ADDRESS).email is None


def test_an_address_is_for_whoever_confirms_it(either: World) -> None:
    squatter = Visitor(either)
    squatter.sign_up(login=ADDRESS)
    owner = Visitor(either)
    owner.sign_up(login="ada")
    owner.post("/account/address", email=ADDRESS)
    assert owner.post("/account/login", login=ADDRESS).status_code == 409
    first, second = [code_in(text) for _, text in mails(either)]
    assert owner.post("/account/email", code=second).status_code == 303
    assert squatter.is_signed_in()
    assert ADDRESS not in squatter.get("/account").text
    assert "Changed the name to sign in with" in squatter.get("/account/log").text
    # The link to the address that is theirs no more confirms nothing.
    assert squatter.post("/account/email", code=first).status_code == 403
    assert owner.post("/account/login", login=ADDRESS).status_code == 303
    assert account_of(either, ADDRESS).id == owner.account_id
    assert Visitor(either).enter(ADDRESS).status_code == 303


def test_an_address_that_was_confirmed_stays_a_name_to_sign_in_with(either: World) -> None:
    owner = ada(either)
    other = Visitor(either)
    other.sign_up(login="bob")
    other.post("/account/address", email=ADDRESS)
    assert other.post("/account/email", code=code_in(mails(either)[-1][1])).status_code == 303
    assert account_of(either, ADDRESS).id == owner.account_id


def test_nobody_learns_which_names_there_are(either: World) -> None:
    ada(either)
    Visitor(either).sign_up(login="unverified@example.org")
    count = len(mails(either))
    pages = {
        ask(either, login)
        for login in (ADDRESS, "nobody", "unverified@example.org", "", "x" * 9_000, "'")
    }
    assert pages == {"/account/sign-in?done=asked"}
    assert len(mails(either)) == count + 1


def test_a_link_sets_a_new_password_once(either: World) -> None:
    owner = ada(either)
    code = link(either)
    page = Visitor(either).get(f"/account/reset?code={quote(code)}")
    assert page.status_code == 200
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert reset(either, code, "short") == 422
    answer = Visitor(either).post("/account/reset", code=code, password=NEW)
    assert answer.location == "/account/sign-in?done=password"
    # Nobody is signed in by it, and whoever was is no longer.
    assert not owner.is_signed_in()
    assert Visitor(either).enter(ADDRESS).status_code == 403
    assert Visitor(either).enter(ADDRESS, NEW).status_code == 303
    assert reset(either, code, "five black crows") == 403
    assert Visitor(either).enter(ADDRESS, NEW).status_code == 303
    assert {"account.reset_asked", "account.password_changed"} <= set(
        deeds(either, account_of(either, ADDRESS).id)
    )


def test_a_link_leaves_the_one_time_password_in_its_place(world: World) -> None:
    owner = ada(world)
    app = owner.set_up_totp()
    assert reset(world, link(world)) == 303
    asked = Visitor(world).enter(ADDRESS, NEW)
    assert asked.status_code == 200
    world.clock.pass_time(30)
    code = app.at(world.clock())
    answer = Visitor(world).post("/account/sign-in/code", proof=proof_on(asked), code=code)
    assert answer.status_code == 303


def test_links_end(world: World) -> None:
    owner = ada(world)
    old, newer = link(world), link(world)
    assert reset(world, newer) == 303
    # The older one was to replace a password that is gone.
    assert reset(world, old, PASSWORD) == 403
    late = link(world)
    world.clock.pass_time(1_800)
    assert reset(world, late) == 403
    for wrong in ("", "x", f"{owner.account_id}.x", late[:-1], "x" * 9_000):
        assert reset(world, wrong) == 403
    verify = code_in(mails(world)[0][1])
    assert reset(world, verify) == 403


def test_a_mailbox_is_not_filled(start_world: Callable[..., World]) -> None:
    world = start_world(**(MAIL | {"limit_sign_ups_per_address": "3/hour"}))
    ada(world)
    answers = [
        Visitor(world, f"203.0.113.{n}").post("/account/forgotten", login=login).status_code
        for n, login in enumerate((ADDRESS, ADDRESS.upper(), ADDRESS, f" {ADDRESS}"))
    ]
    assert answers == [303, 303, 303, 429]


def test_mail_speaks_the_language_of_its_reader_and_carries_no_markup(world: World) -> None:
    owner = Visitor(world)
    owner.sign_up(login=ADDRESS, name="<b>Ada</b>\r\nBcc: eve@evil.example")
    assert mails(world) == []
    owner.sign_up(login=ADDRESS, name="<b>Ada</b>")
    [(to, text)] = mails(world)
    assert to == ADDRESS
    assert "<b>" not in text
    assert "https://pay.example/account/email?code=" in text


def test_without_a_mail_server_nothing_is_promised(start_world: Callable[..., World]) -> None:
    world = start_world(**OPEN)
    owner = Visitor(world)
    owner.sign_up(login=ADDRESS)
    assert "/account/forgotten" not in owner.get("/account/recover").text
    assert ask(world) == "/account/sign-in?done=asked"
    assert mails(world) == []
