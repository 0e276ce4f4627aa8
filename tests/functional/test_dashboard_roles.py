"""Every route of the dashboard, asked by everybody who should not get an answer.

Whoever adds a route adds nothing here, unless its address has a new argument: then
``ARGUMENTS`` (tests/support/belongings.py) gets a line with what makes such an object.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from flask import Flask
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from bitcache_server.http.dashboard.look import PLACES
from bitcache_server.models.session import write_transaction
from bitcache_server.services.members import SELLERS, Role
from bitcache_server.services.merchants import add_merchant, add_site
from tests.support.belongings import ARGUMENTS
from tests.support.dashboard import Person, sign_in
from tests.support.world import PUBLIC_URL, World

#: Forms of pages that accountants see, and may send although they change nothing there.
ACCOUNTANTS_FORMS: frozenset[str] = frozenset()
#: Pages that fewer see than the page of ``PLACES`` that they are below of.
NARROWER = {"dashboard.refund_question": SELLERS}
_ARGUMENT = re.compile(r"<(?:[a-z_]+(?:\([^)]*\))?:)?([a-z_]+)>")


@dataclass(frozen=True)
class Call:
    """One method of one route."""

    endpoint: str
    method: str
    rule: str
    objects: tuple[str, ...]
    """The names of its arguments but for the merchant."""

    def path(self, merchant_id: str, values: dict[str, str]) -> str:
        """Return the address with the values filled in."""
        named = {"merchant_id": merchant_id, **values}
        return _ARGUMENT.sub(lambda match: named[match[1]], self.rule)

    @property
    def roles(self) -> frozenset[Role]:
        """Return who sees the page that the address is below of; nobody for an unknown one."""
        if self.endpoint in NARROWER:
            return NARROWER[self.endpoint]
        below = self.rule.removeprefix("/dashboard/<merchant_id>")
        for _, path, _, roles in sorted(PLACES, key=lambda place: -len(place[1])):
            if re.match(f"{path}(?![a-z_-])", below) and (path or not below):
                return roles
        raise AssertionError(f"{self.rule} is below no page of PLACES")


def calls(app: Flask, blueprint: str = "dashboard") -> Iterator[Call]:
    """Yield every method of every route of a blueprint."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(f"{blueprint}."):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield Call(rule.endpoint, method, rule.rule, _objects(rule))


def _objects(rule: Rule) -> tuple[str, ...]:
    return tuple(name for name in _ARGUMENT.findall(rule.rule) if name != "merchant_id")


def of_merchants(world: World) -> list[Call]:
    """Return the calls that name a merchant."""
    found = [call for call in calls(world.app) if "<merchant_id>" in call.rule]
    assert len(found) > 5
    return found


@pytest.fixture
def objects(sqlite_world: World) -> dict[str, str]:
    """Return an object of the merchant for each argument; fails for one that nobody makes."""
    named = {name for call in of_merchants(sqlite_world) for name in call.objects}
    unknown = named - ARGUMENTS.keys()
    assert not unknown, f"add {sorted(unknown)} to ARGUMENTS: what makes such an object"
    return {name: ARGUMENTS[name](sqlite_world) for name in sorted(named)}


def send(person: Person, call: Call, path: str) -> TestResponse:
    """Send a call as a page of ours would."""
    return person.get(path) if call.method == "GET" else person.post(path, {})


def other_shop(world: World) -> Person:
    """Return the owner of another merchant, who has a site there."""
    with write_transaction(world.session):
        other_id = add_merchant(world.deps, world.session, "Another", None).id
        add_site(world.deps, world.session, other_id, "Their blog", ["https://other.example"])
    return sign_in(world, merchant_id=other_id)


def test_strangers_find_nothing(sqlite_world: World, objects: dict[str, str]) -> None:
    """Nor do they learn by the answer which merchants and objects there are."""
    stranger = other_shop(sqlite_world)
    found = {}
    for call in of_merchants(sqlite_world):
        for merchant_id in (sqlite_world.merchant_id, "me_unknown"):
            answer = send(stranger, call, call.path(merchant_id, objects))
            if answer.status_code != 404:
                found[call.method, call.rule, merchant_id] = answer.status_code
    assert found == {}


def test_nobody_reaches_anothers_object_through_a_merchant_of_their_own(
    sqlite_world: World, objects: dict[str, str]
) -> None:
    stranger = other_shop(sqlite_world)
    found = {}
    for call in of_merchants(sqlite_world):
        for name in call.objects:
            # The others are right or not there; each alone must be tied to the merchant.
            answers = [
                send(stranger, call, call.path(stranger.merchant_id, {**objects, name: value}))
                for value in (objects[name], "xx_unknown")
            ]
            theirs, unknown = (answer.status_code for answer in answers)
            # 303 for both: a form that was sent before, whatever it was about.
            if theirs < 300 or theirs != unknown:
                found[call.method, call.rule, name] = (theirs, unknown)
    assert found == {}


def test_who_is_not_signed_in_is_led_to_the_sign_in_page(
    sqlite_world: World, objects: dict[str, str]
) -> None:
    nobody = Person(sqlite_world, sqlite_world.app.test_client(), "", sqlite_world.merchant_id)
    found = {}
    for call in of_merchants(sqlite_world):
        answer = send(nobody, call, call.path(sqlite_world.merchant_id, objects))
        to_sign_in = (answer.location or "").startswith("/account/sign-in?next=")
        if answer.status_code != 303 or not to_sign_in:
            found[call.method, call.rule] = (answer.status_code, answer.location)
    assert found == {}


@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_the_pages_that_are_its_own(
    sqlite_world: World, objects: dict[str, str], role: Role
) -> None:
    member = sign_in(sqlite_world, role)
    found = {}
    for call in of_merchants(sqlite_world):
        path = call.path(sqlite_world.merchant_id, objects)
        if role not in call.roles:
            status = send(member, call, path).status_code
            if status != 403:
                found[call.method, call.rule] = (status, "should be 403")
        elif call.method == "GET":
            status = send(member, call, path).status_code
            # 409 and 422: what is not paid has no invoice, a table wants to know for when.
            if status not in (200, 303, 409, 422):
                found[call.method, call.rule] = (status, "should be shown")
    assert found == {}


def test_accountants_change_nothing(sqlite_world: World, objects: dict[str, str]) -> None:
    accountant = sign_in(sqlite_world, Role.ACCOUNTANT)
    found = {
        call.rule: status
        for call in of_merchants(sqlite_world)
        if call.method != "GET" and call.endpoint not in ACCOUNTANTS_FORMS
        and (status := send(
            accountant, call, call.path(sqlite_world.merchant_id, objects)
        ).status_code) != 403
    }  # fmt: skip
    assert found == {}


@pytest.mark.parametrize("blueprint", ["dashboard", "account", "operator"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://blog.pay.example"},
        # Browsers of before 2023, and forms of a sandboxed page.
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_forms_of_other_sites_do_nothing(
    sqlite_world: World, blueprint: str, headers: dict[str, str]
) -> None:
    owner = sign_in(sqlite_world, operator=True)
    forms = [call for call in calls(sqlite_world.app, blueprint) if call.method != "GET"]
    found = {}
    for call in forms:
        path = _ARGUMENT.sub("x", call.rule.replace("<merchant_id>", owner.merchant_id))
        for named in ({}, {"Content-Type": "application/json"}):
            answer = owner.client.open(
                path, method=call.method, headers={**headers, **named}, base_url=PUBLIC_URL
            )
            if answer.status_code != 403 or "origin_not_allowed" not in answer.text:
                found[call.method, call.rule] = answer.status_code
    assert found == {}


def test_only_the_operator_sees_the_operators_pages(sqlite_world: World) -> None:
    owner = sign_in(sqlite_world)
    found = {}
    for call in calls(sqlite_world.app, "operator"):
        status = send(owner, call, _ARGUMENT.sub("x", call.rule)).status_code
        if status != 404:
            found[call.method, call.rule] = status
    assert found == {}
