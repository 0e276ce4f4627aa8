"""What thieves, other merchants and strangers try against accounts and shops."""

import csv
import io
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlencode

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, text

from bitcache_server.domain.errors import InvalidRequest, RateLimited
from bitcache_server.extensions import db
from bitcache_server.http.dashboard import branding
from bitcache_server.models.accounts import Account, Membership, QueuedMail
from bitcache_server.models.catalog import Item
from bitcache_server.models.session import require_write_transaction, write_transaction
from bitcache_server.services import logos, passwords
from bitcache_server.services.deliver_webhooks import deliver_due
from bitcache_server.services.invitations import invite
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import add_site
from bitcache_server.services.webhook_endpoints import (
    MAX_MADE_PER_HOUR,
    By,
    add_endpoint,
    by_site,
    delete_endpoint,
)
from bitcache_server.services.webhook_steps import SLOW_AGE_S, SLOW_MS
from tests.functional.test_branding import picture, upload
from tests.functional.test_connect import page_path
from tests.support.account_browser import OPEN, PASSWORD, Visitor, code_in, mails
from tests.support.api import call
from tests.support.dashboard import sign_in
from tests.support.purchases import buy_from_balance, fill_wallet
from tests.support.receivers import receiver
from tests.support.sales_book import book
from tests.support.webhooks import happen, listen, listening_world, stored
from tests.support.world import ORIGIN, World

MAIL = {"smtp_url": "smtp://localhost:1", "mail_from": "pay@pay.example"}
NEW = "four white swans"


@pytest.fixture
def open_server(start_world: Callable[..., World]) -> World:
    return start_world(**OPEN)


def ada(world: World) -> Visitor:
    owner = Visitor(world)
    assert owner.sign_up().status_code == 303
    return owner


# Guessing and finding out


@pytest.mark.parametrize(
    "names", [("ada", "\uff41da", "a\uff44a", "\U0001d41ada", "ADA", "\uff21DA")]
)
def test_wide_letters_give_no_more_guesses(
    start_world: Callable[..., World], names: tuple[str, ...]
) -> None:
    """All of them sign in to one account, so all of them count for it."""
    world = start_world(**(OPEN | {"limit_sign_ins_per_account": "4/hour"}))
    ada(world)
    assert Visitor(world).enter(names[1]).status_code == 303
    tries = [
        Visitor(world, f"203.0.113.{n}").enter(name, "wrong password").status_code
        for n, name in enumerate(names)
    ]
    assert tries == [403, 403, 403, 403, 429, 429]


def test_wide_letters_fill_no_mailbox(start_world: Callable[..., World]) -> None:
    world = start_world(**(OPEN | MAIL | {"limit_sign_ups_per_address": "3/hour"}))
    names = ("ada", "\uff41da", "a\uff44a", "ad\uff41")
    asked = [
        Visitor(world, f"203.0.113.{n}").post("/account/forgotten", login=name).status_code
        for n, name in enumerate(names)
    ]
    assert asked == [303, 303, 303, 429]


def test_nobody_asks_for_names_without_end(start_world: Callable[..., World]) -> None:
    """Both the options of a passkey and a new name say whether a name is taken."""
    limits = {"limit_sign_ins_per_address": "3/hour", "limit_sign_ins_per_account": "3/hour"}
    world = start_world(**(OPEN | limits))
    owner = ada(world)
    form = {"name": "Eve", "merchant_name": "Eve"}
    path = "/account/sign-up/passkey/options"
    thief = Visitor(world, "203.0.113.9")
    asked = [thief.call(path, {**form, "login": f"name{n}"}).status_code for n in range(4)]
    assert asked == [200, 200, 200, 429]
    changed = [owner.post("/account/login", login=f"name{n}").status_code for n in range(4)]
    assert changed == [303, 303, 303, 429]


def test_a_link_that_nobody_gave_out_costs_no_work_and_says_no_name(open_server: World) -> None:
    owner = ada(open_server)
    for password in ("ada lovelace", PASSWORD):
        answer = Visitor(open_server).post(
            "/account/reset", code=f"{owner.account_id}.x", password=password
        )
        assert answer.status_code == 403


def test_a_link_to_an_old_address_ends_with_the_address(start_world: Callable[..., World]) -> None:
    world = start_world(**(OPEN | MAIL))
    owner = Visitor(world)
    owner.sign_up(login="ada@example.org")
    owner.post("/account/email", code=code_in(mails(world)[-1][1]))
    Visitor(world).post("/account/forgotten", login="ada@example.org")
    stolen = code_in(mails(world)[-1][1])
    assert owner.post("/account/address", email="ada@example.com").status_code == 303
    answer = Visitor(world).post("/account/reset", code=stolen, password=NEW)
    assert answer.status_code == 403


def test_few_passwords_are_compared_at_once(
    open_server: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes 64 MiB."""
    inside, go_on = threading.Semaphore(0), threading.Event()

    class Slow(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
            inside.release()
            assert go_on.wait(60)
            return super().verify(hash, password)

    stored = passwords.new_password_hash(PASSWORD)
    monkeypatch.setattr(passwords, "HASHER", Slow())
    monkeypatch.setattr(passwords, "WAIT_S", 0.0)
    threads = [
        threading.Thread(target=passwords.check_password, args=(stored, PASSWORD))
        for _ in range(passwords.AT_ONCE)
    ]
    try:
        for thread in threads:
            thread.start()
        for _ in threads:
            assert inside.acquire(timeout=60)
        with pytest.raises(RateLimited):
            passwords.check_password(stored, PASSWORD)
        assert Visitor(open_server).enter().status_code == 429
    finally:
        go_on.set()
        for thread in threads:
            thread.join()
    assert passwords.check_password(stored, PASSWORD).is_right


# Thieves of a password


def test_a_sign_in_under_way_does_not_outlive_the_password(
    open_server: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner changes the password while a thief's try is being compared."""
    owner, thief = ada(open_server), Visitor(open_server, "203.0.113.9")
    real = passwords.HASHER

    class Overtaken(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
            monkeypatch.setattr(passwords, "HASHER", real)
            right = super().verify(hash, password)
            changed = owner.post("/account/security/password", password=NEW)
            assert changed.status_code == 303
            return right

    monkeypatch.setattr(passwords, "HASHER", Overtaken())
    assert thief.enter().status_code == 403
    assert not thief.is_signed_in()
    assert owner.is_signed_in()


def test_the_old_address_is_told_before_a_thief_hides(start_world: Callable[..., World]) -> None:
    """Else the mail about another place for the money would go to nobody."""
    world = start_world(**(OPEN | MAIL))
    owner = Visitor(world)
    owner.sign_up(login="ada@example.org")
    owner.post("/account/email", code=code_in(mails(world)[-1][1]))
    before = mails(world)
    owner.post("/account/address", email="thief@example.com")
    came = [one for one in mails(world) if one not in before]
    assert sorted(to for to, _ in came) == ["ada@example.org", "thief@example.com"]
    [told] = [text for to, text in came if to == "ada@example.org"]
    assert "?code=" not in told
    assert "ada@example.org" in told


# Mail to strangers


def test_an_account_fills_no_strangers_mailbox(start_world: Callable[..., World]) -> None:
    world = start_world(**(OPEN | MAIL | {"limit_sign_ups_per_address": "3/hour"}))
    owner = ada(world)
    sent = [
        owner.post("/account/address", email=address).status_code
        for address in ("eve@example.org", "Eve@example.org", "eve@EXAMPLE.org ", "eve@example.org")
    ]
    assert sent == [303, 303, 303, 429]
    assert len(mails(world)) == 3


def test_invitations_fill_no_strangers_mailbox(start_world: Callable[..., World]) -> None:
    limits = {"limit_sign_ups_per_address": "3/hour", "limit_sign_ins_per_address": "5/hour"}
    world = start_world(**(MAIL | limits))
    owner = sign_in(world)

    def send(address: str) -> int:
        [form] = re.findall(r'name="form" value="([^"]+)"', owner.get("./people").text)
        said: dict[str, object] = {"form": form, "role": "editor", "email": address}
        return owner.post("./people/invitations", said).status_code

    assert [send("eve@example.org") for _ in range(4)] == [200, 200, 200, 429]
    # Nor are many written to.
    assert [send(f"n{n}@example.org") for n in range(2)] == [200, 429]
    world.session.rollback()
    assert len(world.session.scalars(select(QueuedMail)).all()) == 4


# Who may sell here


def test_an_invitation_to_a_merchant_opens_no_other_merchant(
    start_world: Callable[..., World],
) -> None:
    """Where the operator says who sells, another merchant does not."""
    world = start_world(**(OPEN | {"sign_up": "invited"}))
    with write_transaction(world.session):
        made = invite(
            world.deps, world.session, merchant_id=world.merchant_id, role=Role.ACCOUNTANT
        )
    code = made.link.rpartition("/")[2]
    guest = Visitor(world)
    assert guest.sign_up(invitation=code, merchant_name="My own").status_code == 403
    world.session.rollback()
    assert world.session.scalars(select(Account)).all() == []
    assert guest.sign_up(invitation=code, merchant_name="").status_code == 303
    found = world.session.scalars(select(Membership.merchant_id)).all()
    assert found == [world.merchant_id]


# Sites that ask for a secret


@pytest.mark.parametrize(
    "query",
    [
        "to=https://evil.example/x",
        f"to={quote('https://evil.example/x', safe='')}",
        "next=//evil.example",
        "next=%2F%2Fevil.example",
        "next=/%5Cevil.example",
    ],
)
def test_no_code_goes_through_a_page_that_sends_browsers_on(
    sqlite_world: World, query: str
) -> None:
    """Whoever wrote such a request has its verifier, and would have the code as well."""
    owner = sign_in(sqlite_world)
    answer = owner.get(page_path(redirect_uri=f"{ORIGIN}/out?{query}"))
    assert answer.status_code == 422
    fine = urlencode({"page": "bitcache", "tab": "a/b"})
    assert owner.get(page_path(redirect_uri=f"{ORIGIN}/admin?{fine}")).status_code == 200


# Tables for spreadsheets


@pytest.mark.parametrize(
    "title",
    ["a;=1+1", "a; +1", "a;;@x", " =1+1"],
)
def test_no_part_of_a_title_becomes_a_formula(sqlite_world: World, title: str) -> None:
    """Where commas are for decimals, spreadsheets take semicolons between cells."""
    world = sqlite_world
    with write_transaction(world.session):
        world.session.get_one(Item, world.file_id).title = title
    fill_wallet(world)
    buy_from_balance(world)
    book(world)
    table = sign_in(world).get("./sales.csv").data.decode("utf-8-sig")
    [row] = csv.DictReader(io.StringIO(table, newline=""))
    for cell in row["title"].split(";"):
        assert not re.match(r"\s*[=+\-@]", cell), row["title"]
    assert row["title"].replace("'", "") == title


# Pictures


def test_a_picture_is_drawn_before_the_database_is_held(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has one writer: nobody else could sell meanwhile."""
    owner, drawn = sign_in(sqlite_world), []

    def watching(data: bytes) -> bytes:
        with pytest.raises(RuntimeError):
            require_write_transaction(db.session())
        drawn.append(len(data))
        return logos.redraw(data)

    monkeypatch.setattr(branding, "redraw", watching)
    data = picture("PNG")
    upload(owner, data)
    assert drawn == [len(data)]
    assert owner.get(f"/brand/{owner.merchant_id}.png").status_code == 200


# Receivers of webhooks


@pytest.mark.parametrize("made_by", ["person", "other site"])
def test_a_site_takes_over_no_endpoint_of_another(world: World, made_by: str) -> None:
    """With its secret, "order.paid" would be believed; at another address, orders be read."""
    with write_transaction(world.session):
        other = add_site(
            world.deps, world.session, world.merchant_id, "Second", ["https://second.example"]
        )
        by = By(world.merchant_id) if made_by == "person" else by_site(other.site)
        url = "https://shop.example/hook?key=secret"
        endpoint_id = add_endpoint(world.deps, world.session, by, url, "", ["*"]).endpoint.id
    path = f"/v1/webhook-endpoints/{endpoint_id}"
    tries: dict[str, dict[str, object]] = {
        "": {"url": "https://thief.example/"},
        "/rotate": {},
        "/replay": {"since": 0},
        "/test": {},
        "/delete": {},
    }
    for below, body in tries.items():
        answer = call(world, "POST", path + below, world.secret, json=body)
        assert (answer.status_code, answer.get_json()["code"]) == (404, "unknown_endpoint"), below
    listed = call(world, "GET", "/v1/webhook-endpoints", world.secret).get_json()
    assert listed == {"endpoints": []}
    # The owner's pages have it, and so has the site itself.
    owner = sign_in(world)
    assert owner.post(f"./webhooks/{endpoint_id}/rotate", {"form": "x"}).status_code == 303
    mine = call(world, "POST", f"{path}/rotate", other.secret, json={})
    assert mine.status_code == (200 if made_by == "other site" else 404)


def test_who_is_slow_every_second_time_stays_among_the_slow(
    tmp_path: Path, database_url: str
) -> None:
    with listening_world(tmp_path, database_url) as shop, receiver() as server:
        endpoint_id = listen(shop, server.url).endpoint.id
        happen(shop)
        deliver_due(shop.deps, shop.session)
        assert not stored(shop, endpoint_id).slow
        _slow_once(shop, endpoint_id)
        happen(shop)
        deliver_due(shop.deps, shop.session)
        assert stored(shop, endpoint_id).slow
        shop.clock.pass_time(SLOW_AGE_S)
        happen(shop)
        deliver_due(shop.deps, shop.session)
        assert not stored(shop, endpoint_id).slow


def _slow_once(shop: World, endpoint_id: str) -> None:
    """Let the call before have been a slow one."""
    with write_transaction(shop.session):
        shop.session.execute(text("UPDATE webhook_attempts SET duration_ms = :ms"), {"ms": SLOW_MS})
        shop.session.execute(text("UPDATE webhook_endpoints SET slow = :yes"), {"yes": True})
    assert stored(shop, endpoint_id).slow


def test_new_endpoints_are_not_made_without_end(tmp_path: Path, database_url: str) -> None:
    """A new one is served among those who answer, however slow it will be."""
    with listening_world(tmp_path, database_url) as shop:
        owner = sign_in(shop)
        made = 0
        for _ in range(MAX_MADE_PER_HOUR + 1):
            endpoint = _make_and_delete(shop, owner.account_id)
            if endpoint is None:
                break
            made += 1
        assert made == MAX_MADE_PER_HOUR
        shop.clock.pass_time(3_600)
        assert _make_and_delete(shop, owner.account_id) is not None


def _make_and_delete(shop: World, account_id: str) -> str | None:
    by = By(shop.merchant_id, account_id)
    try:
        endpoint_id = listen(shop, "https://shop.example/hook").endpoint.id
    except InvalidRequest:
        shop.session.rollback()
        return None
    with write_transaction(shop.session):
        delete_endpoint(shop.deps, shop.session, by, endpoint_id)
    return endpoint_id
