"""Where an account is open, and what ends it: signing out, theft, closing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bitcache_server.models.accounts import Account, Membership
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import Passkey, RecoveryCode
from bitcache_server.services.account_sessions import SESSION_AGE_S
from bitcache_server.services.browsers import SEEN_EVERY_S
from bitcache_server.services.members import Role
from bitcache_server.services.people import add_member
from tests.support.account_browser import OPEN, Visitor, account_of, deeds
from tests.support.api import open_world
from tests.support.shops import assert_nothing_lost
from tests.support.world import World

CLOSE = "/account/close"


@pytest.fixture
def either(database_url: str, tmp_path: Path) -> Iterator[World]:
    """Return a server that lets everybody in, once on each engine."""
    with open_world(database_url, tmp_path, **OPEN) as made:
        yield made
        assert_nothing_lost(made)


@pytest.fixture
def world(start_world: Callable[..., World]) -> World:
    return start_world(**OPEN)


def pair(world: World) -> tuple[Visitor, Visitor]:
    """Return two browsers of Ada's."""
    first, second = Visitor(world), Visitor(world)
    first.sign_up()
    second.enter()
    return first, second


def test_a_stolen_cookie_dies_with_its_session(either: World) -> None:
    owner, other = pair(either)
    thief = Visitor(either, "203.0.113.9")
    thief.cookie = str(owner.cookie)
    assert thief.is_signed_in()
    page = other.get("/account/security").text
    assert page.count("Firefox on Linux</bdi>") == 2
    assert owner.session_id in page
    assert other.post("/account/sessions/end", device=owner.session_id).status_code == 303
    assert [one.is_signed_in() for one in (owner, other, thief)] == [False, True, False]
    merchant = either.session.scalars(
        select(Membership.merchant_id).where(Membership.account_id == other.account_id)
    ).one()
    assert thief.get(f"/dashboard/{merchant}").location.startswith("/account/sign-in")
    assert "account.session_ended" in deeds(either, other.account_id)


def test_signing_out_ends_the_session_itself(world: World) -> None:
    owner, other = pair(world)
    copy = Visitor(world)
    copy.cookie = str(owner.cookie)
    answer = owner.post("/account/sign-out")
    assert answer.location == "/account/sign-in"
    assert owner.cookie is None
    assert [one.is_signed_in() for one in (owner, copy, other)] == [False, False, True]
    # Once more does no harm.
    assert owner.post("/account/sign-out").status_code == 303


def test_all_others_are_ended_and_no_other_account_is_touched(world: World) -> None:
    owner, other = pair(world)
    stranger = Visitor(world)
    stranger.sign_up(login="eve")
    assert stranger.post("/account/sessions/end", device=owner.session_id).status_code == 303
    assert owner.is_signed_in()
    assert owner.post("/account/sessions/end", device=owner.session_id).status_code == 422
    assert other.post("/account/sessions/end-others").status_code == 303
    assert [one.is_signed_in() for one in (owner, other, stranger)] == [False, True, True]


def test_a_wallets_cookie_is_none_of_an_account(world: World) -> None:
    owner, reader = Visitor(world), Visitor(world)
    owner.sign_up()
    reader.cookie = str(owner.cookie).replace("ac_", "wa_").replace("as_", "ws_")
    assert not reader.is_signed_in()


def test_a_browser_that_was_away_too_long_is_signed_out(world: World) -> None:
    owner = Visitor(world)
    owner.sign_up()
    world.clock.pass_time(SEEN_EVERY_S)
    assert "Set-Cookie" in owner.get("/account/security").headers
    world.clock.pass_time(SESSION_AGE_S)
    assert owner.is_signed_in()
    world.clock.pass_time(SESSION_AGE_S + 1)
    assert not owner.is_signed_in()


def test_the_last_owner_of_a_merchant_cannot_close_the_account(either: World) -> None:
    owner, other = Visitor(either), Visitor(either)
    owner.sign_up()
    other.sign_up(login="eve")
    either.session.rollback()
    mine = either.session.scalars(
        select(Membership.merchant_id).where(Membership.account_id == owner.account_id)
    ).one()
    either.session.rollback()
    answer = owner.post(CLOSE, understood="1")
    assert answer.status_code == 409
    assert "only owner" in answer.text
    assert owner.is_signed_in()
    with write_transaction(either.session):
        add_member(either.deps, either.session, mine, other.account_id, Role.EDITOR)
    assert owner.post(CLOSE, understood="1").status_code == 409
    with write_transaction(either.session):
        membership = either.session.get_one(Membership, (mine, other.account_id))
        membership.role = Role.OWNER.value
    assert owner.post(CLOSE).status_code == 422
    assert owner.post(CLOSE, understood="1").location == "/account/sign-in?done=closed"
    assert owner.cookie is None
    assert other.get(f"/dashboard/{mine}").status_code == 200


def test_a_closed_account_opens_for_nobody(either: World) -> None:
    owner, other = pair(either)
    key, code = owner.add_passkey(), owner.make_recovery_code()
    account_id = owner.account_id
    with write_transaction(either.session):
        for membership in either.session.scalars(select(Membership)):
            either.session.delete(membership)
    assert owner.post(CLOSE, understood="1").status_code == 303
    assert not other.is_signed_in()
    assert Visitor(either).enter().status_code == 403
    assert Visitor(either).show_passkey("sign_in", key).status_code == 403
    assert Visitor(either).post("/account/recover", code=code).status_code == 403
    either.session.rollback()
    assert either.session.scalars(select(Passkey)).all() == []
    assert either.session.scalars(select(RecoveryCode)).all() == []
    row = either.session.get_one(Account, account_id)
    assert (row.email, row.password_hash, row.totp_sealed) == (None, None, None)
    assert row.closed_at == either.clock()
    assert deeds(either, account_id).count("account.closed") == 1
    # The name to sign in with is free again; the merchant and its sales stay.
    assert Visitor(either).sign_up().status_code == 303
    assert account_of(either).id != account_id
    assert len(either.session.scalars(select(Merchant)).all()) == 3


def test_the_profile_is_changed(either: World) -> None:
    owner = Visitor(either)
    owner.sign_up()
    answer = owner.post("/account", name="Ada <King>", locale="de")
    assert answer.location == "/account?done=saved"
    page = owner.get("/account")
    assert '<html lang="de"' in page.text
    assert "Ada &lt;King&gt;" in page.text
    for name, locale in (("", ""), ("Ada", "xx"), ("x" * 101, "de")):
        assert owner.post("/account", name=name, locale=locale).status_code == 422
    assert account_of(either).name == "Ada <King>"
    Visitor(either).sign_up(login="eve")
    assert owner.post("/account/login", login="Eve").status_code == 409
    assert owner.post("/account/login", login="countess").location == "/account?done=login"
    assert Visitor(either).enter("countess").status_code == 303
    assert Visitor(either).enter("ada").status_code == 403
