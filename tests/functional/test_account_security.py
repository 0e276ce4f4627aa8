"""What opens an account: passkeys, Lightning wallets, one-time passwords, the recovery code."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bitcache_server.models.accounts import Account
from bitcache_server.models.wallets import LnurlKey, Passkey, RecoveryCode
from bitcache_server.services.account_sessions import CONFIRMATION_AGE_S
from tests.functional.test_wallet_lightning import Phone, code_on
from tests.support.account_browser import OPEN, PASSWORD, Visitor, account_of, deeds
from tests.support.api import open_world
from tests.support.authenticator import Authenticator
from tests.support.shops import assert_nothing_lost
from tests.support.wallet_browser import Reader
from tests.support.world import PUBLIC_URL, World

SECURITY = "/account/security"


@pytest.fixture
def either(database_url: str, tmp_path: Path) -> Iterator[World]:
    """Return a server that lets everybody in, once on each engine."""
    with open_world(database_url, tmp_path, **OPEN) as made:
        yield made
        assert_nothing_lost(made)


@pytest.fixture
def world(start_world: Callable[..., World]) -> World:
    return start_world(**OPEN)


def ada(world: World) -> Visitor:
    """Return Ada's browser, who has just signed up."""
    visitor = Visitor(world)
    assert visitor.sign_up().status_code == 303
    return visitor


def sign(browser: Reader, phone: Phone, base: str, purpose: str) -> str:
    """Ask for a code and let a phone sign it; return the page's path."""
    answer = browser.post(f"{base}/lightning", purpose=purpose)
    assert answer.status_code == 303, answer.text
    path = answer.location.partition("?")[0]
    assert phone.scan(code_on(browser.get(path))) == {"status": "OK"}
    return path


def test_a_passkey_signs_in_without_a_name(either: World) -> None:
    owner = ada(either)
    key = owner.add_passkey()
    other = Visitor(either)
    asked = other.options("sign_in")
    assert (asked["allowCredentials"], asked["userVerification"]) == ([], "required")
    assert other.show_passkey("sign_in", key).status_code == 200
    assert other.account_id == owner.account_id
    assert {"account.passkey_added", "account.signed_in_by_passkey"} <= set(
        deeds(either, owner.account_id)
    )
    page = owner.get(SECURITY)
    assert page.text.count("Firefox on Linux") >= 2
    assert owner.post("/account/passkeys/remove", passkey=key.credential_id).status_code == 303
    refused = Visitor(either).show_passkey("sign_in", key)
    assert refused.get_json()["code"] == "passkey_invalid"


def test_a_passkey_must_have_seen_its_owner(world: World) -> None:
    """It stands for password and one-time password: a key that was found is not enough."""
    owner = ada(world)
    key = owner.add_passkey()
    key.verifies = False
    assert Visitor(world).show_passkey("sign_in", key).status_code == 403
    made = Authenticator(PUBLIC_URL).create(owner.options("register"))
    assert owner.call("/account/passkeys", {"credential": made}).status_code == 403
    key.verifies = True
    assert Visitor(world).show_passkey("sign_in", key).status_code == 200


def test_passkeys_of_wallets_and_of_accounts_are_strangers(either: World) -> None:
    owner, reader = ada(either), Reader(either)
    reader.open_wallet()
    of_account, of_wallet = owner.add_passkey(), reader.add_passkey()
    of_wallet.verifies = True
    for visitor, key, cookie in (
        (Visitor(either), of_wallet, "account"),
        (Reader(either), of_account, "wallet"),
    ):
        answer = visitor.show_passkey("sign_in", key)
        assert answer.get_json()["code"] == "passkey_invalid", cookie
        assert visitor.cookie is None
    # Nor does a challenge of the one serve the other, whatever the key claims to be.
    challenge = Reader(either).options("sign_in")
    crossed = Visitor(either).call(
        "/account/passkeys/sign-in", {"credential": of_account.get(challenge)}
    )
    assert crossed.get_json()["code"] == "passkey_invalid"
    of_wallet.device.user_handle = owner.account_id.encode()
    assert Visitor(either).show_passkey("sign_in", of_wallet).status_code == 403
    # Each still opens its own.
    assert Visitor(either).show_passkey("sign_in", of_account).status_code == 200
    of_wallet.device.user_handle = reader.wallet_id.encode()
    assert Reader(either).show_passkey("sign_in", of_wallet).status_code == 200


def test_recovery_codes_of_wallets_and_of_accounts_are_strangers(either: World) -> None:
    owner, reader = ada(either), Reader(either)
    reader.open_wallet()
    of_account, of_wallet = owner.make_recovery_code(), reader.make_recovery_code()
    assert Visitor(either).post("/account/recover", code=of_wallet).status_code == 403
    assert Reader(either).enter_code(of_account).status_code == 403
    assert Visitor(either).post("/account/recover", code=of_account).status_code == 303
    assert Reader(either).enter_code(of_wallet).status_code == 303


def test_one_lightning_wallet_may_open_one_of_each(either: World) -> None:
    phone, owner, reader = Phone(either), ada(either), Reader(either)
    path = sign(owner, phone, "/account", "add")
    assert owner.post(path).location == f"{SECURITY}?done=lightning"
    # The reader's page knows nothing of it, and opens a balance of its own with it.
    path = sign(reader, phone, "/wallet", "sign_in")
    assert reader.post(path).status_code == 403
    assert reader.post(path, new="1").status_code == 303
    either.session.rollback()
    owners = set(either.session.scalars(select(LnurlKey.owner_id)))
    assert owners == {owner.account_id, reader.wallet_id}
    other = Visitor(either)
    assert other.post(sign(other, phone, "/account", "sign_in")).status_code == 303
    assert other.account_id == owner.account_id
    # Removing the one leaves the other.
    assert owner.post("/account/lightning/remove", key=phone.key).status_code == 303
    either.session.rollback()
    assert list(either.session.scalars(select(LnurlKey.owner_id))) == [reader.wallet_id]


def test_a_code_for_a_wallet_opens_no_account(world: World) -> None:
    phone, owner = Phone(world), ada(world)
    owner.post(sign(owner, phone, "/account", "add"))
    visitor = Visitor(world)
    path = sign(visitor, phone, "/wallet", "sign_in").replace("/wallet/", "/account/")
    secret = visitor.client.get_cookie("__Host-bitcache_wallet_login", "pay.example")
    assert secret is not None
    name = "__Host-bitcache_account_login"
    visitor.client.set_cookie(name, secret.value, domain="pay.example", secure=True)
    assert visitor.get(path).status_code == 403
    assert visitor.post(path).status_code == 403
    assert visitor.cookie is None


def test_the_key_of_another_account_confirms_nothing(world: World) -> None:
    phone, owner, other = Phone(world), ada(world), Visitor(world)
    other.sign_up(login="eve")
    other.post(sign(other, phone, "/account", "add"))
    world.clock.pass_time(CONFIRMATION_AGE_S + 1)
    assert owner.post(sign(owner, phone, "/account", "confirm")).status_code == 403
    assert "Confirm that it is me" in owner.get(SECURITY).text
    assert other.post(sign(other, phone, "/account", "confirm")).status_code == 303
    assert "Confirm that it is me" not in other.get(SECURITY).text


def test_the_last_way_in_stays(world: World) -> None:
    visitor, key = Visitor(world), Authenticator(PUBLIC_URL, verifies=True)
    said = {"login": "ada", "name": "Ada", "merchant_name": "Engines"}
    options = visitor.call("/account/sign-up/passkey/options", said).get_json(force=True)
    body = {**said, "user": options["user"]["id"], "credential": key.create(options)}
    assert visitor.call("/account/sign-up/passkey", body).status_code == 201
    answer = visitor.post("/account/passkeys/remove", passkey=key.credential_id)
    assert answer.status_code == 422
    assert Visitor(world).show_passkey("sign_in", key).status_code == 200
    assert visitor.post(f"{SECURITY}/password", password=PASSWORD).status_code == 303
    assert visitor.post("/account/passkeys/remove", passkey=key.credential_id).status_code == 303
    assert Visitor(world).enter().status_code == 303


def test_a_recovery_code_opens_the_account_when_all_else_is_lost(either: World) -> None:
    owner = ada(either)
    owner.set_up_totp()
    code = owner.make_recovery_code()
    either.session.rollback()
    assert code not in str(vars(either.session.scalars(select(RecoveryCode)).one()))
    other = Visitor(either)
    assert other.post("/account/recover", code=code.lower()).location == SECURITY
    # It counts as a proof: password and app can be replaced at once.
    assert other.post("/account/totp/off").location == f"{SECURITY}?done=totp_off"
    assert other.post(f"{SECURITY}/password", password="four white swans").status_code == 303
    assert not owner.is_signed_in()
    assert Visitor(either).enter().status_code == 403
    assert Visitor(either).enter(password="four white swans").status_code == 303
    assert {"account.recovery_code_made", "account.recovery_code_used"} <= set(
        deeds(either, owner.account_id)
    )


def test_a_form_sent_again_makes_no_other_code(world: World) -> None:
    owner = ada(world)
    form = owner.recovery_form()
    assert owner.post("/account/recovery", form=form).status_code == 200
    again = owner.post("/account/recovery", form=form)
    assert again.location == f"{SECURITY}?done=code"
    before = owner.cookie
    assert owner.post("/account/recovery/kept").location == SECURITY
    assert owner.cookie != before


def test_a_new_password_ends_all_other_sessions(either: World) -> None:
    owner, thief = ada(either), Visitor(either)
    thief.enter()
    copy = Visitor(either)
    copy.cookie = str(owner.cookie)
    answer = owner.post(f"{SECURITY}/password", password="four white swans")
    assert answer.location == f"{SECURITY}?done=password"
    assert [one.is_signed_in() for one in (owner, thief, copy)] == [True, False, False]
    assert "account.password_changed" in deeds(either, owner.account_id)
    short = owner.post(f"{SECURITY}/password", password="short")
    assert (short.status_code, "at least 10" in short.text) == (422, True)


def test_turning_one_time_passwords_on_takes_one(either: World) -> None:
    owner = ada(either)
    assert owner.get("/account/totp").status_code == 404
    owner.post("/account/totp/begin")
    page = owner.get("/account/totp")
    assert "otpauth://totp/" in page.text
    assert owner.get("/account/totp/qr.svg").mimetype == "image/svg+xml"
    assert owner.post("/account/totp", code="000000").status_code == 422
    # Until then nobody is asked for one.
    assert Visitor(either).enter().status_code == 303
    app = owner.set_up_totp()
    account = account_of(either)
    assert app.secret not in str(vars(account))
    assert account.totp_confirmed_at == either.clock()
    # The secret is shown to nobody any more, and not replaced by accident.
    assert owner.get("/account/totp").status_code == 404
    assert owner.get("/account/totp/qr.svg").status_code == 404
    assert owner.post("/account/totp/begin").status_code == 422
    assert Visitor(either).enter().status_code == 200
    assert owner.post("/account/totp/off").status_code == 303
    assert account_of(either).totp_sealed is None
    assert Visitor(either).enter().status_code == 303
    assert {"account.totp_on", "account.totp_off"} <= set(deeds(either, owner.account_id))


def test_whoever_borrows_the_browser_changes_nothing(world: World) -> None:
    owner = ada(world)
    key = owner.add_passkey()
    owner.post("/account/totp/begin")
    form = owner.recovery_form()
    world.clock.pass_time(CONFIRMATION_AGE_S + 1)
    for path, said in (
        (f"{SECURITY}/password", {"password": "four white swans"}),
        ("/account/login", {"login": "eve"}),
        ("/account/address", {"email": "eve@evil.example"}),
        ("/account/totp/begin", {}),
        ("/account/totp", {"code": "000000"}),
        ("/account/totp/off", {}),
        ("/account/recovery", {"form": form}),
        ("/account/passkeys/remove", {"passkey": key.credential_id}),
        ("/account/lightning", {"purpose": "add"}),
        ("/account/lightning/remove", {"key": "02" + "0" * 64}),
        ("/account/sessions/end", {"device": "as_x"}),
        ("/account/sessions/end-others", {}),
        ("/account/close", {"understood": "1"}),
    ):
        answer = owner.post(path, referer=SECURITY, **said)
        assert answer.location == "/account/confirm?next=%2Faccount%2Fsecurity", path
    for path in ("/account/totp", "/account/totp/qr.svg", "/account/close"):
        assert owner.get(path).location.startswith("/account/confirm?next="), path
    asked = owner.call("/account/passkeys/options", {"purpose": "register"})
    assert asked.get_json()["code"] == "account_confirmation_required"
    assert account_of(world).login == "ada"
    # One look at the passkey, and it goes on.
    assert owner.show_passkey("confirm", key).status_code == 200
    assert owner.post("/account/login", login="eve").status_code == 303


def test_forms_of_other_sites_do_nothing(world: World) -> None:
    owner = ada(world)
    evil = "https://evil.example"
    rules = [
        rule.rule.replace("<k1>", "00").replace("<code>", "x")
        for rule in world.app.url_map.iter_rules()
        if rule.rule.startswith("/account") and "POST" in (rule.methods or ())
    ]
    assert len(rules) > 25
    for path in rules:
        form = owner.post(path, evil, understood="1", password=PASSWORD, login="ada", code="x")
        assert (form.status_code, "origin_not_allowed" in form.text) == (403, True), path
        call = owner.call(path, {"purpose": "register"}, evil)
        assert call.get_json()["code"] == "origin_not_allowed", path
    world.session.rollback()
    assert world.session.scalars(select(Account.login)).all() == ["ada"]
    assert world.session.scalars(select(Passkey)).all() == []
    assert owner.is_signed_in()
