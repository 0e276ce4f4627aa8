"""Signing up: open, invited or closed; with a password, a passkey or a Lightning wallet."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from bitcache_server.models.accounts import Account, Invitation, Membership
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import LnurlKey, Passkey
from bitcache_server.services.accounts import normalise_login
from bitcache_server.services.invitations import invite
from bitcache_server.services.members import Role
from tests.functional.test_wallet_lightning import Phone, code_on
from tests.support.account_browser import OPEN, Visitor, account_of, deeds
from tests.support.api import open_world
from tests.support.authenticator import Authenticator
from tests.support.shops import assert_nothing_lost
from tests.support.world import PUBLIC_URL, World

SIGN_UP = "/account/sign-up"
FORM = {"login": "ada", "name": "Ada Lovelace", "merchant_name": "Engines"}


@pytest.fixture
def either(database_url: str, tmp_path: Path) -> Iterator[World]:
    """Return a server that lets everybody in, once on each engine."""
    with open_world(database_url, tmp_path, **OPEN) as made:
        yield made
        assert_nothing_lost(made)


@pytest.fixture
def open_server(start_world: Callable[..., World]) -> World:
    return start_world(**OPEN)


def count(world: World, model: Any) -> int:
    world.session.rollback()
    found = world.session.scalar(select(func.count()).select_from(model))
    world.session.rollback()
    return int(found or 0)


def invitation(world: World, **to: Any) -> str:
    """Return the code of a new invitation."""
    with write_transaction(world.session):
        made = invite(world.deps, world.session, **to)
    return made.link.rpartition("/")[2]


def test_a_password_opens_an_account_and_a_merchant(either: World) -> None:
    visitor = Visitor(either)
    answer = visitor.sign_up(login=" \uff21DA ")
    assert (answer.status_code, answer.location) == (303, "/dashboard")
    account = account_of(either)
    assert (account.name, account.email, account.is_operator) == ("Ada Lovelace", None, False)
    assert str(account.password_hash).startswith("$argon2id$")
    role, name = either.session.execute(
        select(Membership.role, Merchant.name)
        .join(Merchant, Merchant.id == Membership.merchant_id)
        .where(Membership.account_id == account.id)
    ).one()
    assert (role, name) == ("owner", "Engines")
    assert visitor.is_signed_in()
    assert set(deeds(either, visitor.account_id)) == {"account.signed_up", "merchant.opened"}
    # It counts as a fresh proof.
    assert visitor.get("/account/close").status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"login": "a"}, 422, "2 to 63 letters"),
        ({"login": "ada lovelace"}, 422, "2 to 63 letters"),
        ({"login": "<b>ada</b>"}, 422, "2 to 63 letters"),
        ({"login": "ada@"}, 422, "not a mail address"),
        ({"login": "x" * 5_000}, 422, "2 to 63 letters"),
        ({"name": " "}, 422, "is empty"),
        ({"name": "x" * 101}, 422, "longer than 100"),
        ({"merchant_name": ""}, 422, "is empty"),
        ({"password": "short"}, 422, "at least 10"),
        ({"password": "x" * 1_001}, 422, "at most 1,000"),
        ({"password": "ten\x07letters"}, 422, "cannot be typed"),
        ({"password": "ADA Lovelace"}, 422, "guess"),
    ],
)
def test_what_does_not_fit_is_shown_again(
    open_server: World, changes: dict[str, str], status: int, words: str
) -> None:
    visitor = Visitor(open_server)
    answer = visitor.sign_up(**changes)
    assert answer.status_code == status
    assert words in answer.text
    assert 'role="alert"' in answer.text
    assert "Set-Cookie" not in answer.headers
    assert count(open_server, Account) == 0
    typed = changes.get("merchant_name", "Engines")
    assert f'value="{typed}"' in answer.text
    assert "three grey herons" not in answer.text


@pytest.mark.parametrize("field", ["login", "name", "merchant_name", "password"])
def test_null_bytes_are_refused(open_server: World, field: str) -> None:
    answer = Visitor(open_server).sign_up(**{field: "ten\x00letters"})
    assert answer.status_code == 422
    assert count(open_server, Account) == 0


def test_a_name_is_taken_in_whatever_case(either: World) -> None:
    Visitor(either).sign_up(login="Straße")
    for login in ("straße", "STRASSE", "strasse"):
        answer = Visitor(either).sign_up(login=login, merchant_name="Mine")
        assert answer.status_code == 409
        assert "This name is taken" in answer.text
    assert count(either, Account) == 1
    assert count(either, Merchant) == 2


def test_names_to_sign_in_with() -> None:
    assert normalise_login(" Ada@Example.ORG ") == "ada@example.org"
    assert normalise_login("Jürgen.2") == "jürgen.2"
    assert normalise_login("آدا") == "آدا"


def test_markup_in_names_is_text_everywhere(open_server: World) -> None:
    bad = "<script>alert(1)</script>"
    visitor = Visitor(open_server)
    visitor.sign_up(name=bad, merchant_name=f'"{bad}')
    for path in ("/account", "/account/security", "/account/close", "/account/confirm"):
        page = visitor.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text, path
    refused = Visitor(open_server).sign_up(login=f'"><img src=x {bad}', name=bad)
    assert "<script>alert" not in refused.text
    assert "<img src=x" not in refused.text


@pytest.mark.parametrize("mode", ["closed", "invited"])
def test_who_is_not_let_in_stays_outside(start_world: Callable[..., World], mode: str) -> None:
    world = start_world(**(OPEN | {"sign_up": mode}))
    visitor = Visitor(world)
    page = visitor.get(SIGN_UP)
    assert "<form" not in page.text
    assert SIGN_UP not in visitor.get("/account/sign-in").text
    code = "nonsense" if mode == "invited" else invitation(world)
    for given in ("", code):
        answer = visitor.sign_up(invitation=given)
        assert answer.status_code in (403, 404, 409, 410), answer.text
    options = visitor.call(f"{SIGN_UP}/passkey/options", FORM)
    assert options.get_json()["code"] == "sign_up_closed"
    assert count(world, Account) == 0


def test_an_invitation_lets_one_in(start_world: Callable[..., World]) -> None:
    world = start_world(**(OPEN | {"sign_up": "invited"}))
    code = invitation(world)
    page = Visitor(world).get(f"{SIGN_UP}?invitation={code}")
    assert 'name="merchant_name"' in page.text
    assert Visitor(world).sign_up(invitation=code).location == "/dashboard"
    again = Visitor(world).sign_up(login="eve", invitation=code)
    assert again.status_code >= 400
    assert count(world, Account) == 1
    world.session.rollback()
    assert world.session.scalars(select(Invitation.used_by)).one() == account_of(world).id


def test_an_invitation_to_a_merchant_needs_no_merchant_of_ones_own(
    start_world: Callable[..., World],
) -> None:
    world = start_world(**(OPEN | {"sign_up": "invited"}))
    code = invitation(world, merchant_id=world.merchant_id, role=Role.ACCOUNTANT)
    path = f"/account/invitations/{code}"
    visitor = Visitor(world)
    page = visitor.get(f"{SIGN_UP}?invitation={code}&next={path}")
    assert 'name="merchant_name"' not in page.text
    answer = visitor.sign_up(invitation=code, merchant_name="", next=path)
    # Not back to the invitation, which is over now.
    assert answer.location == "/dashboard"
    assert visitor.get("/dashboard").location == f"/dashboard/{world.merchant_id}"


def test_a_passkey_opens_an_account(either: World) -> None:
    visitor, key = Visitor(either), Authenticator(PUBLIC_URL, verifies=True)
    options = visitor.call(f"{SIGN_UP}/passkey/options", FORM).get_json(force=True)
    assert options["user"]["name"] == "ada at pay.example"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert count(either, Account) == 0
    body = {**FORM, "user": options["user"]["id"], "credential": key.create(options)}
    answer = visitor.call(f"{SIGN_UP}/passkey", body)
    assert answer.status_code == 201, answer.text
    assert account_of(either).password_hash is None
    other = Visitor(either)
    assert other.show_passkey("sign_in", key).status_code == 200
    assert other.account_id == visitor.account_id
    # The same answer opens no second account.
    again = Visitor(either).call(f"{SIGN_UP}/passkey", body | {"login": "eve"})
    assert again.status_code in (403, 409)
    assert count(either, Account) == 1


def test_a_passkey_for_one_new_account_opens_no_other(open_server: World) -> None:
    visitor = Visitor(open_server)
    first, second = (
        visitor.call(f"{SIGN_UP}/passkey/options", FORM).get_json(force=True) for _ in range(2)
    )
    for user in (second["user"]["id"], "", "YWNfeA", "\u00fc"):
        made = Authenticator(PUBLIC_URL, verifies=True).create(first)
        body = {**FORM, "user": user, "credential": made}
        answer = visitor.call(f"{SIGN_UP}/passkey", body)
        assert answer.get_json()["code"] == "passkey_invalid", answer.text
    unseen = Authenticator(PUBLIC_URL).create(first)
    body = {**FORM, "user": first["user"]["id"], "credential": unseen}
    assert visitor.call(f"{SIGN_UP}/passkey", body).get_json()["code"] == "passkey_invalid"
    assert count(open_server, Account) == count(open_server, Passkey) == 0


def test_a_lightning_wallet_opens_an_account(either: World) -> None:
    visitor, phone = Visitor(either), Phone(either)
    path = visitor.post("/account/lightning", purpose="sign_in").location.partition("?")[0]
    assert phone.scan(code_on(visitor.get(path))) == {"status": "OK"}
    page = visitor.get(path)
    assert 'name="merchant_name"' in page.text
    refused = visitor.post(path, new="1", **(FORM | {"name": ""}))
    assert refused.status_code == 403
    assert 'value="Engines"' in refused.text
    assert visitor.post(path, new="1", **FORM).location == "/dashboard"
    assert account_of(either).password_hash is None
    either.session.rollback()
    assert either.session.scalars(select(LnurlKey.owner_id)).one() == visitor.account_id


def test_sign_ups_are_counted(start_world: Callable[..., World]) -> None:
    world = start_world(**(OPEN | {"limit_sign_ups_per_address": "2/hour"}))
    answers = [Visitor(world).sign_up(login=f"eve{n}").status_code for n in range(4)]
    assert answers == [303, 303, 429, 429]
    assert Visitor(world, "192.0.2.1").sign_up().status_code == 303
