"""/dashboard/<merchant>/people: members, roles, invitations; a merchant keeps an owner."""

import re
import threading
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import BitcacheError, LastOwner
from bitcache_server.extensions import db
from bitcache_server.models.accounts import Account, AuditEntry, Invitation, QueuedMail
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.session import write_transaction
from bitcache_server.services.account_sessions import CONFIRMATION_AGE_S
from bitcache_server.services.deps import Deps
from bitcache_server.services.invitations import LIFETIME_S, MAX_WAITING
from bitcache_server.services.invitations import invite as make_invitation
from bitcache_server.services.mail_outbox import send_mails
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import add_merchant
from bitcache_server.services.people import change_role, list_people, remove_member
from tests.support.dashboard import Person, sign_in
from tests.support.mail_server import SENDER, mail_server
from tests.support.world import PUBLIC_URL, World

MARKUP = "<b>Eve</b> & <script>alert(1)</script>"
ESCAPED = "&lt;b&gt;Eve&lt;/b&gt; &amp; &lt;script&gt;alert(1)&lt;/script&gt;"


def roles(world: World) -> dict[str, Role]:
    world.session.rollback()
    return {who.account_id: who.role for who in list_people(world.session, world.merchant_id)}


def entries(world: World) -> list[tuple[str, str | None, str]]:
    world.session.rollback()
    return sorted(
        (row.action, row.account_id, row.subject)
        for row in world.session.scalars(select(AuditEntry))
    )


def call(world: World, person: Person, name: str) -> None:
    with write_transaction(world.session):
        world.session.get_one(Account, person.account_id).name = name


def stranger(world: World) -> Person:
    """Return an owner of another merchant."""
    with write_transaction(world.session):
        other_id = add_merchant(world.deps, world.session, "Another", None).id
    return sign_in(world, merchant_id=other_id)


def form_code(owner: Person) -> str:
    [code] = re.findall(r'name="form" value="([^"]+)"', owner.get("./people").text)
    return unescape(code)


def invite(owner: Person, role: Role = Role.EDITOR, **fields: str) -> str:
    """Make an invitation on the page and return its path."""
    form: dict[str, object] = {"form": form_code(owner), "role": role.value, **fields}
    answer = owner.post("./people/invitations", form)
    assert answer.status_code == 200, answer.text
    [link] = re.findall(r'id="secret" value="([^"]+)"', answer.text)
    assert link.startswith(f"{PUBLIC_URL}/account/invitations/")
    return str(link.removeprefix(PUBLIC_URL))


def test_an_invitation_makes_a_member_once(world: World) -> None:
    owner, guest, other = sign_in(world), stranger(world), stranger(world)
    call(world, owner, MARKUP)
    path = invite(owner, Role.ACCOUNTANT, note="our bookkeeper")
    assert path not in owner.get("./people").text
    page = guest.get(path)
    assert page.status_code == 200
    assert f"<bdi>{ESCAPED}</bdi>" in page.text
    assert "Accountant" in page.text
    accepted = guest.post(path, {})
    assert (accepted.status_code, accepted.location) == (303, owner.path())
    assert guest.get(owner.path()).status_code == 200
    assert guest.get(owner.path("/people")).status_code == 403
    assert roles(world) == {owner.account_id: Role.OWNER, guest.account_id: Role.ACCOUNTANT}
    for again in (other, guest):
        assert again.get(path).status_code == 403
        assert again.post(path, {}).status_code == 403
    [made] = world.session.scalars(select(Invitation.id))
    assert entries(world) == [
        ("invitation.made", owner.account_id, made),
        ("member.joined", guest.account_id, guest.account_id),
    ]


def test_who_is_not_signed_in_may_look_and_is_led_on(world: World) -> None:
    path = invite(sign_in(world))
    page = world.client.get(path)
    assert page.status_code == 200
    assert f"/account/sign-in?next={path.replace('/', '%2F')}" in page.text
    # Nobody may sign up at this server, and it says whom to ask.
    assert "/account/sign-up" not in page.text
    assert world.client.post(path).status_code == 303
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"


def test_where_people_may_sign_up_the_invitation_leads_there(
    start_world: Callable[..., World],
) -> None:
    world = start_world(sign_up="invited")
    path = invite(sign_in(world))
    page = world.client.get(path)
    assert f"/account/sign-up?invitation={path.rpartition('/')[2]}&amp;next=" in page.text


def test_an_invitation_to_sign_up_is_not_used_up_by_who_has_an_account(
    start_world: Callable[..., World],
) -> None:
    world = start_world(sign_up="invited")
    with write_transaction(world.session):
        path = make_invitation(world.deps, world.session).link.removeprefix(PUBLIC_URL)
    person = sign_in(world)
    assert "You have an account already" in person.get(path).text
    assert person.post(path, {}).location == "/dashboard"
    assert "Open an account" in world.client.get(path).text


def test_an_invitation_ends_after_a_week(world: World) -> None:
    owner, guest = sign_in(world), stranger(world)
    path = invite(owner)
    world.clock.pass_time(LIFETIME_S - 1)
    assert guest.get(path).status_code == 200
    world.clock.pass_time(1)
    assert guest.get(path).status_code == 403
    assert guest.post(path, {}).status_code == 403
    assert guest.account_id not in roles(world)


def test_a_withdrawn_invitation_opens_nothing(world: World) -> None:
    owner, guest = sign_in(world), stranger(world)
    path = invite(owner, note="for Bea")
    assert "for Bea" in owner.get("./people").text
    [invitation_id] = world.session.scalars(select(Invitation.id))
    revoke = f"./people/invitations/{invitation_id}/revoke"
    answer = owner.post(revoke, {})
    assert (answer.status_code, answer.location) == (303, owner.path("/people?done=revoked"))
    assert "for Bea" not in owner.get("./people").text
    assert guest.post(path, {}).status_code == 403
    assert owner.post(revoke, {}).status_code == 403


def test_a_member_does_not_use_up_an_invitation(world: World) -> None:
    owner, guest = sign_in(world), stranger(world)
    path = invite(owner)
    assert owner.post(path, {}).status_code == 403
    assert roles(world)[owner.account_id] is Role.OWNER
    assert guest.post(path, {}).status_code == 303


def test_the_invitations_of_an_owner_end_with_that_role(world: World) -> None:
    """Or who is removed could come back by a link made before."""
    owner, leaving, guest = sign_in(world), sign_in(world), stranger(world)
    paths = [invite(leaving), invite(owner)]
    assert owner.post(f"./people/{leaving.account_id}/remove", {}).status_code == 303
    assert [guest.get(path).status_code for path in paths] == [403, 200]


def test_the_same_form_sent_again_makes_no_second_link(world: World) -> None:
    owner = sign_in(world)
    form: dict[str, object] = {"form": form_code(owner), "role": "editor"}
    assert owner.post("./people/invitations", form).status_code == 200
    again = owner.post("./people/invitations", form)
    assert (again.status_code, again.location) == (303, owner.path("/people?done=sent"))
    assert len(world.session.scalars(select(Invitation)).all()) == 1


@pytest.mark.parametrize(
    "fields",
    [{"role": "boss"}, {"role": ""}, {"note": "x" * 201}, {"email": "a@b.example, c@d.example"}],
)
def test_what_is_wrong_is_shown_again(world: World, fields: dict[str, str]) -> None:
    owner = sign_in(world)
    form = {"form": form_code(owner), "role": "owner", "note": MARKUP, **fields}
    answer = owner.post("./people/invitations", dict(form))
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    if "note" not in fields:
        assert f'value="{ESCAPED}"' in answer.text
    assert MARKUP not in answer.text
    assert world.session.scalars(select(Invitation)).all() == []


def test_not_everybody_is_invited_at_once(sqlite_world: World) -> None:
    owner = sign_in(sqlite_world)
    now = sqlite_world.clock.now
    with write_transaction(sqlite_world.session):
        for number in range(MAX_WAITING):
            sqlite_world.session.add(
                Invitation(
                    id=f"iv_{number}",
                    code_hash=str(number),
                    merchant_id=sqlite_world.merchant_id,
                    role="editor",
                    note="",
                    made_by=owner.account_id,
                    created_at=now,
                    expires_at=now + 60,
                )
            )
    form: dict[str, object] = {"form": form_code(owner), "role": "editor"}
    assert owner.post("./people/invitations", form).status_code == 422


def test_an_invitation_is_mailed_as_text(start_world: Callable[..., World], tmp_path: Path) -> None:
    with mail_server(tmp_path) as mailbox:
        world = start_world(smtp_url=mailbox.url, mail_from=SENDER)
        owner, guest = sign_in(world), stranger(world)
        call(world, owner, "Eve\r\nBcc: x@evil.example <b>&</b>")
        with write_transaction(world.session):
            world.session.get_one(Merchant, world.merchant_id).name = "Ada\n<script>"
        path = invite(owner, email="bea@blog.example")
        assert "bea@blog.example" in owner.get("./people").text
        assert send_mails(world.deps, world.session) == 1
    [came] = mailbox.mails
    assert (came["To"], came["Bcc"]) == ("bea@blog.example", None)
    assert came["Subject"] == "You are invited to work for Ada <script>"
    [text] = mailbox.texts
    assert "Invited by: Eve Bcc: x@evil.example <b>&</b>\n" in text
    assert f"\n{PUBLIC_URL}{path}\n" in text
    assert guest.post(path, {}).status_code == 303


def test_without_mail_the_page_asks_for_no_address(sqlite_world: World) -> None:
    owner = sign_in(sqlite_world)
    assert 'name="email"' not in owner.get("./people").text
    invite(owner, email="bea@blog.example")
    assert sqlite_world.session.scalars(select(QueuedMail)).all() == []


def test_a_role_change_holds_at_once(world: World) -> None:
    owner, other = sign_in(world), sign_in(world)
    assert other.get("./people").status_code == 200
    answer = owner.post(f"./people/{other.account_id}/role", {"role": "editor"})
    assert (answer.status_code, answer.location) == (303, owner.path("/people?done=role"))
    assert other.get("./people").status_code == 403
    assert other.post(f"./people/{owner.account_id}/remove", {}).status_code == 403
    assert owner.post(f"./people/{other.account_id}/remove", {}).status_code == 303
    assert other.get(".").status_code == 404
    assert entries(world) == [
        ("member.removed", owner.account_id, other.account_id),
        ("member.role_changed", owner.account_id, other.account_id),
    ]


def test_a_merchant_keeps_an_owner(world: World) -> None:
    owner, _editor = sign_in(world), sign_in(world, Role.EDITOR)
    for path, form in (("role", {"role": "editor"}), ("remove", {})):
        answer = owner.post(f"./people/{owner.account_id}/{path}", dict(form))
        assert answer.status_code == 409
        assert "A merchant needs an owner" in answer.text
    assert roles(world)[owner.account_id] is Role.OWNER
    second = sign_in(world)
    answer = owner.post(f"./people/{owner.account_id}/remove", {})
    assert (answer.status_code, answer.location) == (303, "/dashboard")
    assert Role.OWNER in roles(world).values()
    assert second.get("./people").status_code == 200


Deed = Callable[[Deps, Session, str, str], None]


def _remove(deps: Deps, session: Session, merchant_id: str, account_id: str) -> None:
    remove_member(deps, session, merchant_id, account_id, None)


def _demote(deps: Deps, session: Session, merchant_id: str, account_id: str) -> None:
    change_role(deps, session, merchant_id, account_id, Role.EDITOR, None)


@pytest.mark.parametrize("deed", [_remove, _demote])
def test_two_that_take_an_owner_away_at_once_leave_one(world: World, deed: Deed) -> None:
    first, second = sign_in(world), sign_in(world)
    deps, merchant_id = world.deps, world.merchant_id
    began, outcome = threading.Event(), list[BitcacheError | None]()

    def other() -> None:
        with world.app.app_context():
            began.set()
            try:
                with write_transaction(db.session()):
                    deed(deps, db.session(), merchant_id, second.account_id)
                outcome.append(None)
            except BitcacheError as error:
                outcome.append(error)
            finally:
                db.session.remove()

    thread = threading.Thread(target=other)
    with write_transaction(world.session):
        deed(deps, world.session, merchant_id, first.account_id)
        thread.start()
        assert began.wait(30)
        # It waits for us: without the merchant's lock it would count our owner, too.
        thread.join(0.5)
        assert thread.is_alive()
    thread.join(30)
    [error] = outcome
    assert isinstance(error, LastOwner)
    assert list(roles(world).values()).count(Role.OWNER) == 1


def test_people_of_others_are_not_touched(world: World) -> None:
    owner, other = sign_in(world), stranger(world)
    for path, form in (("role", {"role": "editor"}), ("remove", {})):
        assert owner.post(f"./people/{other.account_id}/{path}", dict(form)).status_code == 404
        assert owner.post(f"./people/ac_unknown/{path}", dict(form)).status_code == 404
    path = invite(other)
    invitation_id = world.session.scalars(select(Invitation.id)).one()
    assert owner.post(f"./people/invitations/{invitation_id}/revoke", {}).status_code == 403
    assert sign_in(world).get(path).status_code == 200


def test_changes_need_a_fresh_proof_and_the_page_says_so_first(world: World) -> None:
    owner, other = sign_in(world), sign_in(world, Role.EDITOR)
    code = form_code(owner)
    world.clock.pass_time(CONFIRMATION_AGE_S + 1)
    page = owner.get("./people")
    assert page.status_code == 200
    assert "/account/confirm?next=" in page.text
    assert "<form" not in page.text
    for path, form in (
        (f"./people/{other.account_id}/role", {"role": "owner"}),
        (f"./people/{other.account_id}/remove", {}),
        ("./people/invitations", {"form": code, "role": "owner"}),
        ("./people/invitations/iv_x/revoke", {}),
    ):
        answer = owner.post(path, dict(form))
        assert answer.status_code == 303
        assert answer.location.startswith("/account/confirm?next=")
    assert roles(world)[other.account_id] is Role.EDITOR


def test_names_are_shown_as_text_and_when_they_were_here(world: World) -> None:
    owner = sign_in(world)
    call(world, owner, MARKUP)
    page = owner.get("./people").text
    assert f"<bdi>{ESCAPED}</bdi>" in page
    assert MARKUP not in page
    assert "Last seen 15 Jan 2027, 08:00 UTC" in page
