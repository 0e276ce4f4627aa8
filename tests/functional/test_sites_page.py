"""The dashboard's sites: origins, secrets with an overlap, connection, look and preview."""

import re
from html import unescape

import pytest
from sqlalchemy import select

from bitcache_server.domain.errors import BadSecret, InvalidRequest, StorageBusy
from bitcache_server.models.access import SiteContact, SiteSecret
from bitcache_server.models.accounts import AuditEntry
from bitcache_server.models.catalog import Site
from bitcache_server.models.session import write_transaction
from bitcache_server.services import site_contacts
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import (
    add_merchant,
    authenticate_site,
    rotate_site_secret,
)
from bitcache_server.services.origins import origins_of
from tests.support.api import assert_problem, call
from tests.support.dashboard import Person, sign_in
from tests.support.world import ORIGIN, World

FORM = re.compile(r'name="form" value="([^"]+)"')
SECRET = re.compile(r"bcsk_[A-Za-z0-9_-]{22}_[A-Za-z0-9_-]{43}")
HOUR_S = 3_600


def form_of(person: Person, path: str) -> str:
    match = FORM.search(person.get(path).text)
    assert match is not None
    return match[1]


def page_of(world: World) -> str:
    return f"./sites/{world.site_id}"


def rotate(world: World, person: Person, overlap: str) -> str:
    form = {"form": form_of(person, page_of(world)), "overlap": overlap}
    answer = person.post(f"{page_of(world)}/secret", form)
    assert answer.status_code == 200, answer.text
    match = SECRET.search(answer.text)
    assert match is not None
    return match[0]


def contact(world: World) -> SiteContact | None:
    world.session.rollback()
    return world.session.get(SiteContact, world.site_id)


def actions(world: World) -> list[str]:
    world.session.rollback()
    return list(world.session.scalars(select(AuditEntry.action).order_by(AuditEntry.created_at)))


def test_a_site_is_added_and_its_secret_shown_once(world: World) -> None:
    person = sign_in(world)
    form = {
        "form": form_of(person, "./sites"),
        "name": "Shop",
        "origin": "https://shop.example HTTPS://www.Shop.example/",
    }
    answer = person.post("./sites", form)
    assert answer.status_code == 200
    match = SECRET.search(answer.text)
    assert match is not None
    world.session.rollback()
    site = authenticate_site(world.session, match[0], world.clock.now)
    assert (site.name, site.merchant_id) == ("Shop", world.merchant_id)
    assert origins_of(world.session, site.id) == {
        "https://shop.example",
        "https://www.shop.example",
    }
    again = person.post("./sites", form)
    assert again.location == person.path("/sites?done=sent")
    for path in ("./sites", f"./sites/{site.id}"):
        assert match[0] not in person.get(path).text
    assert actions(world) == ["site.added"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"name": "Shop", "origin": "shop.example"}, "https://shop.example"),
        ({"name": "", "origin": "https://shop.example"}, "name is empty"),
        ({"name": "Shop", "origin": " "}, "at least one origin"),
        ({"name": "Shop", "origin": "https://*.example"}, "is not an origin"),
    ],
)
def test_what_is_wrong_with_a_new_site_is_said(
    sqlite_world: World, form: dict[str, object], words: str
) -> None:
    person = sign_in(sqlite_world)
    answer = person.post("./sites", {"form": form_of(person, "./sites"), **form})
    assert answer.status_code == 422
    assert words in answer.text
    assert actions(sqlite_world) == []


def test_an_old_secret_works_through_its_overlap(world: World) -> None:
    person = sign_in(world)
    second = rotate(world, person, str(24 * HOUR_S))
    for secret in (world.secret, second):
        assert call(world, "GET", "/v1/items", secret).status_code == 200
    assert "An earlier secret works until" in person.get(page_of(world)).text
    world.clock.pass_time(24 * HOUR_S - 1)
    assert call(world, "GET", "/v1/items", world.secret).status_code == 200
    world.clock.pass_time(1)
    assert_problem(call(world, "GET", "/v1/items", world.secret), 401, "bad_secret")
    assert call(world, "GET", "/v1/items", second).status_code == 200


def test_rotating_without_an_overlap_ends_every_older_secret(world: World) -> None:
    person = sign_in(world)
    second = rotate(world, person, str(7 * 24 * HOUR_S))
    third = rotate(world, person, "0")
    for secret in (world.secret, second):
        assert_problem(call(world, "GET", "/v1/items", secret), 401, "bad_secret")
    assert call(world, "GET", "/v1/items", third).status_code == 200
    world.session.rollback()
    assert world.session.scalars(select(SiteSecret)).all() == []


def test_a_shorter_overlap_shortens_that_of_older_secrets(world: World) -> None:
    with write_transaction(world.session):
        rotate_site_secret(world.deps, world.session, world.site_id, 7 * 24 * HOUR_S)
    with write_transaction(world.session):
        rotate_site_secret(world.deps, world.session, world.site_id, HOUR_S)
    world.clock.pass_time(HOUR_S)
    with pytest.raises(BadSecret):
        authenticate_site(world.session, world.secret, world.clock.now)
    world.session.rollback()
    with write_transaction(world.session), pytest.raises(InvalidRequest):
        rotate_site_secret(world.deps, world.session, world.site_id, 31 * 24 * HOUR_S)


@pytest.mark.parametrize("overlap", ["", "1", "-1", "86400.0", "99999999999"])
def test_other_overlaps_are_refused(sqlite_world: World, overlap: str) -> None:
    person = sign_in(sqlite_world)
    form = {"form": form_of(person, page_of(sqlite_world)), "overlap": overlap}
    answer = person.post(f"{page_of(sqlite_world)}/secret", form)
    assert answer.status_code == 422
    assert SECRET.search(answer.text) is None
    assert call(sqlite_world, "GET", "/v1/items", sqlite_world.secret).status_code == 200


def test_a_rotation_that_is_sent_twice_makes_one_secret(world: World) -> None:
    person = sign_in(world)
    form = {"form": form_of(person, page_of(world)), "overlap": "0"}
    answer = person.post(f"{page_of(world)}/secret", form)
    match = SECRET.search(answer.text)
    assert match is not None
    again = person.post(f"{page_of(world)}/secret", form)
    assert again.location == person.path(f"/sites/{world.site_id}?done=sent")
    assert call(world, "GET", "/v1/items", match[0]).status_code == 200


def test_origins_are_added_and_removed(world: World) -> None:
    person = sign_in(world)
    added = person.post(f"{page_of(world)}/origins", {"origin": "https://www.blog.example"})
    assert added.location == person.path(f"/sites/{world.site_id}?done=added")
    refused = person.post(f"{page_of(world)}/origins", {"origin": "blog.example/path"})
    assert refused.status_code == 422
    assert "is not an origin" in refused.text
    person.post(f"{page_of(world)}/origins/remove", {"origin": ORIGIN})
    world.session.rollback()
    assert origins_of(world.session, world.site_id) == {"https://www.blog.example"}
    last = person.post(f"{page_of(world)}/origins/remove", {"origin": "https://www.blog.example"})
    assert last.status_code == 422
    assert "at least one origin" in last.text


def test_the_page_says_when_a_site_was_last_heard_of(world: World) -> None:
    person = sign_in(world)
    page = person.get(page_of(world)).text
    assert "No page of this site has shown a wall." in page
    world.get(f"/v1/items/{world.article_id}")
    call(world, "GET", "/v1/items", world.secret)
    refused = world.client.get(
        f"/v1/items/{world.article_id}", headers={"Origin": "https://copy.example"}
    )
    assert refused.status_code == 403
    row = contact(world)
    assert row is not None
    assert row.widget_at == row.server_at == row.refused_at == world.clock.now
    assert row.refused_origin == "https://copy.example"
    page = person.get(page_of(world)).text
    assert "https://copy.example" in page
    # To allow it is one click, and what was refused is forgotten.
    person.post(f"{page_of(world)}/origins", {"origin": "https://copy.example"})
    row = contact(world)
    assert row is not None
    assert row.refused_origin is None


def test_contacts_are_written_once_an_hour_and_never_in_the_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = world.clock.now
    for wait_s, written in ((0, start), (HOUR_S - 1, start), (1, start + HOUR_S)):
        world.clock.pass_time(wait_s)
        world.get(f"/v1/items/{world.article_id}")
        row = contact(world)
        assert row is not None
        assert row.widget_at == written

    def busy(*_: object) -> None:
        raise StorageBusy

    monkeypatch.setattr(site_contacts, "_write", busy)
    world.clock.pass_time(HOUR_S)
    assert world.get(f"/v1/items/{world.article_id}").status_code == 200
    row = contact(world)
    assert row is not None
    assert row.widget_at == start + HOUR_S


def test_unknown_items_and_strange_origins_leave_nothing(world: World) -> None:
    for path in ("/v1/items/it_nothing", "/v1/items/%00"):
        world.client.get(path, headers={"Origin": "https://copy.example"})
    world.client.get(f"/v1/items/{world.article_id}", headers={"Origin": "https://" + "a" * 5_000})
    row = contact(world)
    assert row is None or len(row.refused_origin or "") <= 300


def test_the_look_is_kept_shown_and_put_into_the_snippet(world: World) -> None:
    person = sign_in(world)
    look = {"theme": "dark", "accent": "#0A5C36", "radius_px": "4", "font": "serif"}
    answer = person.post(f"{page_of(world)}/look", look)
    assert answer.location == person.path(f"/sites/{world.site_id}?done=look")
    page = unescape(person.get(page_of(world)).text)
    assert "--bitcache-accent: #0a5c36;" in page
    assert "--bitcache-on-accent: #ffffff;" in page
    assert f'<bitcache-paywall item="{world.file_id}" theme="dark">' in page or (
        f'<bitcache-paywall item="{world.article_id}" theme="dark">' in page
    )
    css = person.get(f"{page_of(world)}/preview.css")
    assert css.mimetype == "text/css"
    assert "--bitcache-radius: 4px;" in css.text
    tried = person.get(f"{page_of(world)}/preview.css?theme=&accent=%23ffffff&radius_px=&font=")
    assert "--bitcache-on-accent: #000000;" in tried.text
    assert "radius" not in tried.text


@pytest.mark.parametrize(
    "change",
    [
        {"accent": "red"},
        {"accent": "#0a5c36; } body { background: url(https://evil.example"},
        {"radius_px": "33"},
        {"radius_px": "4px"},
        {"font": "Comic Sans"},
        {"theme": "blue"},
    ],
)
def test_a_look_that_is_none_is_refused(sqlite_world: World, change: dict[str, str]) -> None:
    person = sign_in(sqlite_world)
    look: dict[str, object] = {"theme": "", "accent": "", "radius_px": "", "font": "", **change}
    assert person.post(f"{page_of(sqlite_world)}/look", look).status_code == 422
    css = person.get(
        f"{page_of(sqlite_world)}/preview.css?{'&'.join(f'{n}={v}' for n, v in look.items())}"
    )
    assert css.text == ""


def test_the_preview_runs_our_script_alone_and_only_in_our_page(sqlite_world: World) -> None:
    person = sign_in(sqlite_world)
    preview = person.get(f"{page_of(sqlite_world)}/preview")
    policy = preview.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "default-src 'none'" in policy
    assert "<main inert>" in preview.text
    around = person.get(page_of(sqlite_world)).headers["Content-Security-Policy"]
    assert "frame-src 'self'" in around
    assert "frame-ancestors 'none'" in around


def test_a_site_of_others_is_not_there(world: World) -> None:
    with write_transaction(world.session):
        stranger = add_merchant(world.deps, world.session, "Bob", None).id
    other = sign_in(world, Role.OWNER, merchant_id=stranger)
    one = page_of(world)
    for path in (one, f"{one}/preview", f"{one}/preview.css"):
        assert other.get(path).status_code == 404
    for path in ("/name", "/origins", "/origins/remove", "/look", "/secret"):
        answer = other.post(one + path, {"name": "x", "origin": ORIGIN, "overlap": "0"})
        assert answer.status_code == 404, path
    world.session.rollback()
    assert world.session.get_one(Site, world.site_id).name == "Ada's blog"
    assert origins_of(world.session, world.site_id) == {ORIGIN}


def test_sites_are_for_owners_who_have_shown_who_they_are(sqlite_world: World) -> None:
    for role in (Role.EDITOR, Role.ACCOUNTANT):
        assert sign_in(sqlite_world, role).get("./sites").status_code == 403
    person = sign_in(sqlite_world)
    form = {"form": form_of(person, page_of(sqlite_world)), "overlap": "0"}
    sqlite_world.clock.pass_time(601)
    for path in ("./sites", f"{page_of(sqlite_world)}/secret", f"{page_of(sqlite_world)}/origins"):
        assert person.post(path, form).location.startswith("/account/confirm")
    assert call(sqlite_world, "GET", "/v1/items", sqlite_world.secret).status_code == 200


def test_names_are_text(sqlite_world: World) -> None:
    person = sign_in(sqlite_world)
    person.post(f"{page_of(sqlite_world)}/name", {"name": "<script>alert(1)</script>"})
    for path in ("./sites", page_of(sqlite_world), "./keys"):
        assert "<script>alert" not in person.get(path).text
