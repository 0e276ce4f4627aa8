"""API keys: each opens what it was made for, of its own site, until it ends."""

import re

import pytest
from sqlalchemy import select, update

from bitcache_server.domain.errors import StorageFull
from bitcache_server.http.api_v1 import ROUTES
from bitcache_server.models.access import ApiKey
from bitcache_server.models.accounts import AuditEntry
from bitcache_server.models.session import write_transaction
from bitcache_server.services import site_contacts
from bitcache_server.services.api_keys import SCOPES, KeyOrder, add_key, revoke_key
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import add_merchant, add_site
from tests.support.api import assert_problem, call
from tests.support.dashboard import Person, sign_in
from tests.support.world import World

FORM = re.compile(r'name="form" value="([^"]+)"')
SECRET = re.compile(r"bcak_[A-Za-z0-9_-]{22}_[A-Za-z0-9_-]{43}")


def make_key(world: World, *scopes: str, days: int | None = None) -> tuple[str, str]:
    order = KeyOrder(world.site_id, "Books", scopes or SCOPES, days)
    with write_transaction(world.session):
        made = add_key(world.deps, world.session, world.merchant_id, "ac_somebody", order)
        return made.key.id, made.secret


def form_of(person: Person) -> str:
    match = FORM.search(person.get("./keys").text)
    assert match is not None
    return match[1]


def key_form(world: World, person: Person, **changed: object) -> dict[str, object]:
    return {
        "form": form_of(person),
        "name": "Books",
        "site": world.site_id,
        "days": "30",
        "scope": ["balance:read", "sales:read"],
        **changed,
    }


def test_a_key_opens_what_it_is_for_and_nothing_else(world: World) -> None:
    _, secret = make_key(world, "items:read")
    assert SECRET.fullmatch(secret)
    answer = call(world, "GET", "/v1/items", secret)
    assert answer.status_code == 200
    assert {item["id"] for item in answer.get_json()["items"]} == {world.article_id, world.file_id}
    refused = call(world, "GET", "/v1/balance", secret)
    assert_problem(refused, 403, "scope_missing")
    assert "items:read" in refused.get_json()["detail"]


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.endpoint.security == "site"],
    ids=lambda route: route.endpoint.operation_id,
)
def test_every_call_of_a_site_names_its_scope_and_keeps_to_it(
    sqlite_world: World, route: object
) -> None:
    endpoint = route.endpoint  # type: ignore[attr-defined]
    path = re.sub(r"{\w+}", "xx_0", endpoint.path)
    if endpoint.scope is None:
        # What opens more than any part of the API: no key may.
        _, everything = make_key(sqlite_world, *SCOPES)
        assert_problem(call(sqlite_world, endpoint.method, path, everything), 403, "scope_missing")
        assert endpoint.operation_id == "read_site"
        return
    assert endpoint.scope in SCOPES
    _, other = make_key(sqlite_world, *(scope for scope in SCOPES if scope != endpoint.scope))
    _, right = make_key(sqlite_world, endpoint.scope)
    refused = call(sqlite_world, endpoint.method, path, other, json={})
    assert_problem(refused, 403, "scope_missing")
    assert endpoint.scope in refused.get_json()["detail"]
    assert call(sqlite_world, endpoint.method, path, right, json={}).status_code not in (401, 403)


def test_a_key_ends_when_it_is_over_or_revoked(world: World) -> None:
    key_id, secret = make_key(world, "items:read", days=1)
    other_id, other = make_key(world, "items:read")
    world.clock.pass_time(86_399)
    assert call(world, "GET", "/v1/items", secret).status_code == 200
    world.clock.pass_time(1)
    over = call(world, "GET", "/v1/items", secret)
    assert_problem(over, 401, "bad_secret")
    assert "over" in over.get_json()["detail"]
    with write_transaction(world.session):
        revoke_key(world.deps, world.session, world.merchant_id, "ac_somebody", other_id)
    revoked = call(world, "GET", "/v1/items", other)
    assert_problem(revoked, 401, "bad_secret")
    assert "revoked" in revoked.get_json()["detail"]
    assert key_id != other_id


def test_a_key_with_one_wrong_character_is_none(sqlite_world: World) -> None:
    _, secret = make_key(sqlite_world, "items:read")
    # The last character holds two bits more than the secret: any but this one.
    changed = "B" if secret[-2] != "B" else "C"
    for wrong in (secret[:-2] + changed + secret[-1], secret[:-1], secret + "A", "bcak_"):
        assert_problem(call(sqlite_world, "GET", "/v1/items", wrong), 401, "bad_secret")


def test_a_key_of_one_site_sees_nothing_of_another(world: World) -> None:
    with write_transaction(world.session):
        other = add_site(
            world.deps, world.session, world.merchant_id, "Shop", ["https://shop.example"]
        ).site.id
        order = KeyOrder(other, "Shop", ["items:read"], None)
        secret = add_key(world.deps, world.session, world.merchant_id, "ac_x", order).secret
    assert call(world, "GET", "/v1/items", secret).get_json()["items"] == []


def test_the_last_use_is_written_once_an_hour(world: World) -> None:
    key_id, secret = make_key(world, "items:read")

    def used_at() -> int | None:
        world.session.rollback()
        return world.session.scalar(select(ApiKey.last_used_at).where(ApiKey.id == key_id))

    assert used_at() is None
    first = world.clock.now
    call(world, "GET", "/v1/items", secret)
    assert used_at() == first
    world.clock.pass_time(3_599)
    call(world, "GET", "/v1/items", secret)
    assert used_at() == first
    world.clock.pass_time(1)
    call(world, "GET", "/v1/items", secret)
    assert used_at() == first + 3_600


def test_a_database_that_cannot_be_written_refuses_nobody(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id, secret = make_key(sqlite_world, "items:read")

    def full(*_: object) -> None:
        raise StorageFull

    monkeypatch.setattr(site_contacts, "_write", full)
    assert call(sqlite_world, "GET", "/v1/items", secret).status_code == 200
    sqlite_world.session.rollback()
    assert sqlite_world.session.get_one(ApiKey, key_id).last_used_at is None


def test_the_page_makes_a_key_and_shows_it_once(world: World) -> None:
    person = sign_in(world, Role.OWNER)
    form = key_form(world, person)
    answer = person.post("./keys", form)
    assert answer.status_code == 200
    match = SECRET.search(answer.text)
    assert match is not None
    assert call(world, "GET", "/v1/balance", match[0]).status_code == 200
    again = person.post("./keys", form)
    assert (again.status_code, again.location) == (303, person.path("/keys?done=sent"))
    page = person.get("./keys?done=sent").text
    assert match[0] not in page
    assert "That form was sent before." in page
    world.session.rollback()
    [key] = world.session.scalars(select(ApiKey)).all()
    assert (key.name, key.scopes, key.site_id) == (
        "Books",
        "balance:read sales:read",
        world.site_id,
    )
    assert key.expires_at == world.clock.now + 30 * 86_400
    assert key.created_by == person.account_id
    assert match[0] not in key.secret_hash
    entry = world.session.scalars(select(AuditEntry)).one()
    assert (entry.action, entry.subject) == ("key.made", key.id)
    assert match[0] not in entry.detail


def test_what_is_wrong_is_said_and_the_form_keeps_what_was_typed(sqlite_world: World) -> None:
    person = sign_in(sqlite_world)
    for change, words in (
        ({"scope": []}, "Choose at least one thing"),
        ({"scope": ["items:everything"]}, "There is no scope"),
        ({"name": " "}, "name is empty"),
        ({"days": "31"}, "Choose how long"),
    ):
        answer = person.post("./keys", key_form(sqlite_world, person, **change))
        assert answer.status_code == 422
        assert words in answer.text
    assert 'value="sales:read" checked' in answer.text
    sqlite_world.session.rollback()
    assert sqlite_world.session.scalars(select(ApiKey)).all() == []


def test_the_page_revokes_keys_of_its_merchant_alone(world: World) -> None:
    key_id, secret = make_key(world, "items:read")
    with write_transaction(world.session):
        stranger = add_merchant(world.deps, world.session, "Bob", None).id
        add_site(world.deps, world.session, stranger, "Bob's", ["https://bob.example"])
    other = sign_in(world, Role.OWNER, merchant_id=stranger)
    assert other.post(f"./keys/{key_id}/revoke", {}).status_code == 404
    assert other.post("./keys", key_form(world, other, site=world.site_id)).status_code == 404
    assert call(world, "GET", "/v1/items", secret).status_code == 200
    mine = sign_in(world)
    answer = mine.post(f"./keys/{key_id}/revoke", {})
    assert answer.location == mine.path("/keys?done=revoked")
    assert "revoked" in mine.get("./keys").text
    assert call(world, "GET", "/v1/items", secret).status_code == 401
    # Once more changes nothing and writes nothing down.
    mine.post(f"./keys/{key_id}/revoke", {})
    world.session.rollback()
    actions = world.session.scalars(select(AuditEntry.action)).all()
    assert actions.count("key.revoked") == 1


def test_keys_are_for_owners_who_have_shown_who_they_are(sqlite_world: World) -> None:
    for role in (Role.EDITOR, Role.ACCOUNTANT):
        assert sign_in(sqlite_world, role).get("./keys").status_code == 403
    person = sign_in(sqlite_world)
    form = key_form(sqlite_world, person)
    sqlite_world.clock.pass_time(601)
    answer = person.post("./keys", form)
    assert answer.status_code == 303
    assert answer.location.startswith("/account/confirm")
    page = person.get("./keys").text
    assert "show first that it is you" in page
    assert FORM.search(page) is None


def test_names_of_keys_are_text(sqlite_world: World) -> None:
    person = sign_in(sqlite_world)
    answer = person.post("./keys", key_form(sqlite_world, person, name="<b>bold</b>"))
    assert "<b>bold" not in answer.text
    assert "&lt;b&gt;bold" in answer.text


def test_a_key_of_a_removed_row_is_none(sqlite_world: World) -> None:
    key_id, secret = make_key(sqlite_world, "items:read")
    with write_transaction(sqlite_world.session):
        row = update(ApiKey).where(ApiKey.id == key_id)
        sqlite_world.session.execute(row.values(secret_hash="0" * 64))
    assert_problem(call(sqlite_world, "GET", "/v1/items", secret), 401, "bad_secret")
