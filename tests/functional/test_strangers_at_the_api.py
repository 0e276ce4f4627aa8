"""Every call of a site's server, sent with the secret of another merchant's site.

Whoever adds an endpoint adds nothing here, unless its address has a new argument, or its body
names something that belongs to somebody.
"""

import re
from typing import Any

import pytest

from bitcache_server.http.api_v1 import ROUTES
from bitcache_server.http.routing import Route
from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchants import add_merchant, add_site
from tests.support.api import call
from tests.support.belongings import ARGUMENTS
from tests.support.orders import make_order
from tests.support.sales_book import book
from tests.support.webhooks import happen, listen
from tests.support.world import World

OF_SITES = [route for route in ROUTES if route.endpoint.security == "site"]
WITH_ARGUMENTS = [route for route in OF_SITES if "{" in route.endpoint.path]
LISTS = [
    route for route in OF_SITES if route.endpoint.method == "GET" and route not in WITH_ARGUMENTS
]


@pytest.fixture
def stranger(sqlite_world: World) -> str:
    """Return the secret of a site of another merchant."""
    world = sqlite_world
    with write_transaction(world.session):
        other = add_merchant(world.deps, world.session, "Mallory", None)
        made = add_site(world.deps, world.session, other.id, "Elsewhere", ["https://m.example"])
        return made.secret


#: Bodies that are right but for who sends them.
BODIES: dict[str, dict[str, Any]] = {
    "replay_events": {"since": 0},
    "update_webhook_endpoint": {"enabled": False},
}


def path_of(route: Route, world: World) -> str:
    """Return the route's address with the ids of the merchant's own objects in it."""

    def fill(found: re.Match[str]) -> str:
        assert found[1] in ARGUMENTS, f"Say in ARGUMENTS how a {found[1]} is made."
        return ARGUMENTS[found[1]](world)

    return re.sub(r"{(\w+)}", fill, route.endpoint.path)


@pytest.mark.parametrize("route", WITH_ARGUMENTS, ids=lambda route: route.endpoint.operation_id)
def test_what_belongs_to_others_answers_as_what_does_not_exist(
    sqlite_world: World, stranger: str, route: Route
) -> None:
    method, name = route.endpoint.method, route.endpoint.operation_id
    body = BODIES.get(name, {}) if route.endpoint.request is not None else None
    theirs = path_of(route, sqlite_world)
    nobodys = re.sub(r"{\w+}", "no_such_thing", route.endpoint.path)
    found = call(sqlite_world, method, theirs, stranger, json=body)
    missing = call(sqlite_world, method, nobodys, stranger, json=body)
    assert found.status_code == missing.status_code == 404, found.text
    assert found.get_json()["code"] == missing.get_json()["code"]
    # The owner's own secret gets further: the address was right.
    assert call(sqlite_world, method, theirs, sqlite_world.secret, json=body).status_code != 404


@pytest.mark.parametrize("route", LISTS, ids=lambda route: route.endpoint.operation_id)
def test_lists_show_nothing_of_others(sqlite_world: World, stranger: str, route: Route) -> None:
    world = sqlite_world
    listen(world, "https://hooks.example/in")
    happen(world)
    order = make_order(world)
    world.pay(world.buy())
    [sale] = book(world)
    answer = call(world, "GET", route.endpoint.path, stranger)
    assert answer.status_code == 200, answer.text
    names = (world.merchant_id, world.site_id, world.article_id, order["id"], sale.id)
    assert [name for name in names if name in answer.text] == []


def test_nobody_gives_back_what_others_sold(sqlite_world: World, stranger: str) -> None:
    world = sqlite_world
    purchase = world.buy()
    world.pay(purchase)
    world.mine()
    body = {"holder": purchase.id, "item": world.article_id}
    answer = call(world, "POST", "/v1/refunds", stranger, json=body)
    assert answer.status_code == 404, answer.text
    assert world.state(purchase) == "paid"
