"""Connecting a site: consent, the code, the secret, and what thieves try."""

import re
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from bitcache_server.models.access import ConnectCode
from bitcache_server.models.accounts import AuditEntry, Membership
from bitcache_server.models.catalog import Site
from bitcache_server.models.session import write_transaction
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import add_merchant, add_site
from bitcache_server.services.origins import origins_of
from tests.support.api import at_once, call
from tests.support.dashboard import Person, sign_in
from tests.support.world import ORIGIN, PUBLIC_URL, World, sha256_challenge

VERIFIER = "v" * 43
BACK = f"{ORIGIN}/wp-admin/admin.php?page=bitcache"
STATE = "st4te & more"


def wish(**changed: str) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_name": "WordPress plugin",
        "redirect_uri": BACK,
        "origin": ORIGIN,
        "state": STATE,
        "code_challenge": sha256_challenge(VERIFIER),
        "code_challenge_method": "S256",
        **changed,
    }


def page_path(**changed: str) -> str:
    return f"/connect/authorize?{urlencode(wish(**changed))}"


def decide(person: Person, decision: str = "allow", **changed: str) -> TestResponse:
    form: dict[str, object] = {
        **wish(),
        "decision": decision,
        "choice": person.merchant_id,
        "site_name": "My blog",
        **changed,
    }
    return person.post("/connect/authorize", form)


def answer_of(response: TestResponse) -> dict[str, str]:
    assert response.status_code == 303, response.text
    assert response.location.startswith(f"{BACK}&")
    query = parse_qs(urlsplit(response.location).query)
    return {name: values[0] for name, values in query.items()}


def code_of(person: Person, **changed: str) -> str:
    return answer_of(decide(person, **changed))["code"]


def token(world: World, code: str, **changed: str) -> TestResponse:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": VERIFIER,
        "redirect_uri": BACK,
        **changed,
    }
    return call(world, "POST", "/connect/token", data=form)


def given(world: World, code: str) -> dict[str, Any]:
    answer = token(world, code)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return dict(answer.get_json())


def assert_refused(answer: TestResponse, error: str) -> None:
    assert (answer.status_code, answer.mimetype) == (400, "application/json")
    assert answer.get_json()["error"] == error
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_new_site_is_connected_from_beginning_to_end(world: World) -> None:
    person = sign_in(world)
    page = person.get(page_path())
    assert page.status_code == 200
    for words in (ORIGIN, "blog.example", "WordPress plugin", "A new site of"):
        assert words in page.text
    back = answer_of(decide(person))
    assert back["state"] == STATE
    assert back["iss"] == PUBLIC_URL
    assert back["page"] == "bitcache"
    before = world.session.scalars(select(Site.id)).all()
    assert before == [world.site_id]
    found = given(world, back["code"])
    assert found["merchant_id"] == world.merchant_id
    assert found["api_url"] == f"{PUBLIC_URL}/v1"
    assert (found["access_token"], found["token_type"]) == (found["site_secret"], "Bearer")
    assert [key[:5] for key in found["grant_keys"]] == ["bcgk_"]
    assert call(world, "GET", "/v1/items", found["site_secret"]).status_code == 200
    world.session.rollback()
    site = world.session.get_one(Site, found["site_id"])
    assert (site.name, site.merchant_id) == ("My blog", world.merchant_id)
    assert origins_of(world.session, site.id) == {ORIGIN}
    actions = world.session.scalars(select(AuditEntry.action).order_by(AuditEntry.created_at))
    assert set(actions) == {"site.connection_allowed", "site.connected"}


def test_a_site_that_there_is_gets_a_new_secret_with_an_overlap(world: World) -> None:
    person = sign_in(world)
    assert "Ada&#39;s blog" in person.get(page_path()).text
    code = code_of(person, choice=f"{world.merchant_id} {world.site_id}")
    found = given(world, code)
    assert found["site_id"] == world.site_id
    for secret in (found["site_secret"], world.secret):
        assert call(world, "GET", "/v1/items", secret).status_code == 200
    world.clock.pass_time(86_400)
    assert call(world, "GET", "/v1/items", world.secret).status_code == 401
    assert call(world, "GET", "/v1/items", found["site_secret"]).status_code == 200


def test_json_is_taken_as_well(world: World) -> None:
    code = code_of(sign_in(world))
    body = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": VERIFIER,
        "redirect_uri": BACK,
    }
    answer = call(world, "POST", "/connect/token", json=body)
    assert answer.status_code == 200
    assert answer.get_json()["site_secret"].startswith("bcsk_")


def test_a_no_is_told_and_leaves_nothing(world: World) -> None:
    person = sign_in(world)
    back = answer_of(decide(person, "deny"))
    assert back == {
        "page": "bitcache",
        "error": "access_denied",
        "iss": PUBLIC_URL,
        "state": STATE,
    }
    world.session.rollback()
    assert world.session.scalars(select(ConnectCode)).all() == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"response_type": "token"}, "response_type"),
        ({"code_challenge_method": "plain"}, "code_challenge_method"),
        ({"code_challenge_method": ""}, "code_challenge_method"),
        ({"code_challenge": "short"}, "challenge"),
        ({"state": ""}, "state"),
        ({"state": "a\nb"}, "state"),
        ({"client_name": ""}, "client_name"),
        ({"client_name": "x" * 81}, "client_name"),
        ({"origin": "blog.example"}, "origin"),
        ({"origin": "http://blog.example", "redirect_uri": "http://blog.example/"}, "https"),
        ({"redirect_uri": "https://evil.example/"}, "redirect_uri"),
        ({"redirect_uri": "https://blog.example.evil.example/"}, "redirect_uri"),
        ({"redirect_uri": "https://blog.example@evil.example/"}, "redirect_uri"),
        ({"redirect_uri": "https://blog.example\\@evil.example/"}, "redirect_uri"),
        ({"redirect_uri": "https://blog.example/#x"}, "fragment"),
        ({"redirect_uri": "/wp-admin"}, "redirect_uri"),
        ({"redirect_uri": "javascript:alert(1)"}, "redirect_uri"),
        ({"redirect_uri": f"{BACK}\r\nSet-Cookie: a=b"}, "redirect_uri"),
        ({"redirect_uri": "https://blog.example:8443/"}, "redirect_uri"),
        ({"site_title": "x" * 81}, "site_title"),
        ({"site_title": "a\x07b"}, "site_title"),
        ({"site_url": "https://evil.example/"}, "site_url"),
        ({"site_url": "javascript:alert(1)"}, "site_url"),
        ({"site_url": f"{ORIGIN}/?page=1"}, "site_url"),
        ({"site_url": f"{ORIGIN}/{'x' * 200}"}, "site_url"),
        ({"site": "mr_1 st_2"}, "site"),
    ],
)
def test_what_is_wrong_is_a_page_and_leads_nowhere(
    sqlite_world: World, changed: dict[str, str], words: str
) -> None:
    person = sign_in(sqlite_world)
    for answer in (person.get(page_path(**changed)), decide(person, **changed)):
        assert answer.status_code == 422
        assert "Location" not in answer.headers
        assert words in answer.text
        assert "connect_invalid" in answer.text
    # Also before anybody is signed in.
    stranger = sqlite_world.app.test_client().get(page_path(**changed), base_url=PUBLIC_URL)
    assert stranger.status_code == 422


def test_this_machine_may_be_connected_without_tls(sqlite_world: World) -> None:
    person = sign_in(sqlite_world)
    for origin in ("http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"):
        path = page_path(origin=origin, redirect_uri=f"{origin}/done")
        assert person.get(path).status_code == 200


def marked(person: Person, **changed: str) -> str:
    """Return which choice is marked when the page opens."""
    [found] = re.findall(r'value="([^"]+)" required checked', person.get(page_path(**changed)).text)
    return str(found)


def test_the_page_proposes_what_the_site_says_of_itself(sqlite_world: World) -> None:
    person = sign_in(sqlite_world)
    there = f"{person.merchant_id} {sqlite_world.site_id}"
    # On an origin of one site it is that, whatever it is called now.
    assert marked(person) == marked(person, site_title="New", site_url=f"{ORIGIN}/") == there
    with write_transaction(sqlite_world.session):
        second = add_site(
            sqlite_world.deps, sqlite_world.session, person.merchant_id, "Second", [ORIGIN]
        ).site.id
    # Where several share it: the one that it says it is, or of this name, else a new one.
    shared = {"site_title": "Third", "site_url": f"{ORIGIN}/third/"}
    assert marked(person, **shared) == person.merchant_id
    assert marked(person, site_title="Third", shares_origin="1") == person.merchant_id
    assert marked(person, **{**shared, "site_title": "second"}) == f"{person.merchant_id} {second}"
    assert marked(person, **shared, site=sqlite_world.site_id) == there
    assert marked(person, **shared, site="st_of_somebody_else") == person.merchant_id
    page = person.get(page_path(**shared)).text
    assert 'name="site_name" maxlength="200" autocomplete="off" value="Third"' in page
    assert f"{ORIGIN}/third/</bdi>" in page
    named = person.get(page_path(site_url=f"{ORIGIN}/third/")).text
    assert 'value="blog.example/third"' in named
    evil = person.get(page_path(site_title='"><script>alert(1)</script>')).text
    assert "<script>alert" not in evil
    # A form that comes back is as it was sent.
    again = decide(person, **shared, choice=person.merchant_id, site_name="").text
    assert f'value="{person.merchant_id}" required checked' in again
    assert 'autocomplete="off" value=""' in again


def test_who_is_not_signed_in_comes_back_after_signing_in(sqlite_world: World) -> None:
    answer = sqlite_world.app.test_client().get(page_path(), base_url=PUBLIC_URL)
    assert answer.status_code == 303
    target = urlsplit(answer.location)
    assert target.path == "/account/sign-in"
    assert parse_qs(target.query)["next"] == [page_path()]


def test_only_owners_who_have_shown_who_they_are_allow(world: World) -> None:
    for role in (Role.EDITOR, Role.ACCOUNTANT):
        person = sign_in(world, role)
        assert "Only owners connect sites." in person.get(page_path()).text
        assert decide(person).status_code == 403
    owner = sign_in(world)
    world.clock.pass_time(601)
    assert "show first that it is you" in owner.get(page_path()).text
    answer = decide(owner)
    assert answer.location.startswith("/account/confirm")
    world.session.rollback()
    assert world.session.scalars(select(ConnectCode)).all() == []


def test_nobody_gives_away_what_is_not_theirs(world: World) -> None:
    with write_transaction(world.session):
        other = add_merchant(world.deps, world.session, "Bob", None).id
        site = add_site(world.deps, world.session, other, "Bob's", [ORIGIN]).site.id
        mine = add_site(
            world.deps, world.session, world.merchant_id, "Shop", ["https://shop.example"]
        ).site.id
    person = sign_in(world)
    assert decide(person, choice=other).status_code == 404
    assert decide(person, choice=f"{other} {site}").status_code == 404
    assert decide(person, choice=f"{world.merchant_id} {site}").status_code == 404
    # Nor the secret of a site to the pages of another.
    refused = decide(person, choice=f"{world.merchant_id} {mine}")
    assert refused.status_code == 422
    assert decide(person, choice="").status_code == 422
    world.session.rollback()
    assert world.session.scalars(select(ConnectCode)).all() == []


def test_another_sites_form_gives_nothing(sqlite_world: World) -> None:
    person = sign_in(sqlite_world)
    form: dict[str, object] = {**wish(), "decision": "allow", "choice": person.merchant_id}
    for headers in ({"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}):
        assert person.post("/connect/authorize", form, **headers).status_code == 403


def test_a_page_that_another_site_led_to_has_no_button(sqlite_world: World) -> None:
    person = sign_in(sqlite_world)
    page = person.get(page_path(), Sec_Fetch_Site="cross-site")
    assert page.status_code == 200
    assert "<form" not in page.text
    assert 'value="allow"' not in page.text
    assert 'value="allow"' in person.get(page_path(), Sec_Fetch_Site="same-origin").text


def test_the_page_is_in_no_frame_and_its_form_leads_to_the_origin_alone(
    sqlite_world: World,
) -> None:
    policy = sign_in(sqlite_world).get(page_path()).headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert f"form-action 'self' {ORIGIN};" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize(
    "changed",
    [
        {"code_verifier": "w" * 43},
        {"code_verifier": "short"},
        {"redirect_uri": f"{ORIGIN}/"},
        {"redirect_uri": f"{BACK}&x=1"},
        {"code": "A" * 43},
    ],
)
def test_a_code_is_for_who_asked_for_it(world: World, changed: dict[str, str]) -> None:
    code = code_of(sign_in(world))
    assert_refused(token(world, **{"code": code, **changed}), "invalid_grant")
    # Who tried has spoilt nothing.
    assert given(world, code)["site_secret"]


def test_a_code_is_over_after_five_minutes(world: World) -> None:
    code = code_of(sign_in(world))
    world.clock.pass_time(300)
    assert_refused(token(world, code), "invalid_grant")


def test_a_second_use_takes_back_what_the_first_gave(world: World) -> None:
    found = given(world, code := code_of(sign_in(world)))
    assert_refused(token(world, code), "invalid_grant")
    assert call(world, "GET", "/v1/items", found["site_secret"]).status_code == 401
    assert_refused(token(world, code), "invalid_grant")
    actions = world.session.scalars(select(AuditEntry.action)).all()
    assert actions.count("site.connection_withdrawn") == 1
    # What the site had before is not touched.
    assert call(world, "GET", "/v1/items", world.secret).status_code == 200


def test_a_second_use_takes_back_a_secret_that_was_rotated_away_too(world: World) -> None:
    person = sign_in(world)
    choice = f"{world.merchant_id} {world.site_id}"
    first = code_of(person, choice=choice)
    stolen = given(world, first)["site_secret"]
    newer = given(world, code_of(person, choice=choice))["site_secret"]
    assert call(world, "GET", "/v1/items", stolen).status_code == 200
    assert_refused(token(world, first), "invalid_grant")
    assert call(world, "GET", "/v1/items", stolen).status_code == 401
    assert call(world, "GET", "/v1/items", newer).status_code == 200


def test_of_two_at_once_at_most_one_gets_something(world: World) -> None:
    code = code_of(sign_in(world))
    world.session.rollback()
    answers = at_once(4, lambda _: _in_context(world, code))
    assert sorted(answers) == [200, 400, 400, 400]


def _in_context(world: World, code: str) -> int:
    with world.app.app_context():
        return token(world, code).status_code


def test_who_lost_the_role_meanwhile_gives_nothing(world: World) -> None:
    person = sign_in(world)
    code = code_of(person)
    with write_transaction(world.session):
        key = (world.merchant_id, person.account_id)
        world.session.get_one(Membership, key).role = Role.EDITOR.value
    assert_refused(token(world, code), "invalid_grant")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "unsupported_grant_type"),
        ({"code": ""}, "invalid_request"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"redirect_uri": ""}, "invalid_request"),
    ],
)
def test_requests_that_are_none(sqlite_world: World, form: dict[str, str], error: str) -> None:
    assert_refused(token(sqlite_world, form.pop("code", "A" * 43), **form), error)


def test_a_parameter_given_twice_is_refused(sqlite_world: World) -> None:
    body = "grant_type=authorization_code&code=a&code=b"
    kind = "application/x-www-form-urlencoded"
    answer = call(sqlite_world, "POST", "/connect/token", data=body, content_type=kind)
    assert_refused(answer, "invalid_request")


def test_codes_and_secrets_are_not_stored(world: World) -> None:
    code = code_of(sign_in(world))
    found = given(world, code)
    world.session.rollback()
    [row] = world.session.scalars(select(ConnectCode)).all()
    kept = " ".join(str(getattr(row, column.key)) for column in ConnectCode.__table__.columns)
    details = " ".join(world.session.scalars(select(AuditEntry.detail)))
    for secret in (code, found["site_secret"], VERIFIER):
        assert secret not in kept + details


def test_names_of_clients_are_text(sqlite_world: World) -> None:
    page = sign_in(sqlite_world).get(page_path(client_name="<b>x</b>", state="<script>"))
    assert "<b>x" not in page.text
    assert "<script>" not in page.text


def test_discovery_leads_to_everything(sqlite_world: World) -> None:
    answer = call(sqlite_world, "GET", "/.well-known/bitcache")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    found = answer.get_json()
    assert found["api_url"] == f"{PUBLIC_URL}/v1"
    assert found["events_url"] == f"{PUBLIC_URL}:8403"
    assert found["rails"] == ["fake"]
    assert {"USD", "KWD", "JPY", "SAT"} <= set(found["currencies"])
    assert set(found["languages"]) == {"en", "de", "fr", "ar"}
    connect = found["connect"]
    assert connect["issuer"] == PUBLIC_URL
    assert connect["code_challenge_methods_supported"] == ["S256"]
    for url in (found["openapi_url"], found["widget_url"]):
        assert call(sqlite_world, "GET", urlsplit(url).path).status_code == 200
    person = sign_in(sqlite_world)
    path = urlsplit(connect["authorization_endpoint"]).path
    assert person.get(f"{path}?{urlencode(wish())}").status_code == 200
    assert_refused(
        call(sqlite_world, "POST", urlsplit(connect["token_endpoint"]).path, data={}),
        "unsupported_grant_type",
    )
    assert re.fullmatch(r"https://pay\.example/dashboard", found["dashboard_url"])
