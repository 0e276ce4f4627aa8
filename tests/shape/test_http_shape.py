"""One endpoint a file, a test beside it, JSON bodies only, and a limit on every route."""

import re
from pathlib import Path

import pytest

from bitcache_server.http import api_v1
from bitcache_server.http.api_v1 import ROUTES
from bitcache_server.http.body import Body
from bitcache_server.http.routing import Route
from tests.shape.tree import ROOT, SERVER
from tests.support.api import assert_problem, call, open_world
from tests.support.databases import Databases

FOLDER = SERVER / "http" / "api_v1"
#: Two forms of one picture.
TWO_ENDPOINTS = {"read_qr": {"read_qr_svg", "read_qr_png"}}
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def routes_of(module: str) -> list[Route]:
    return [value for value in vars(getattr(api_v1, module)).values() if isinstance(value, Route)]


@pytest.mark.parametrize("module", MODULES)
def test_each_file_is_one_endpoint_and_has_its_name(module: str) -> None:
    names = {route.endpoint.operation_id for route in routes_of(module)}
    assert names == TWO_ENDPOINTS.get(module, {module})
    assert {route.handler.__name__ for route in routes_of(module)} == names


def test_each_endpoint_is_served() -> None:
    assert len(ROUTES) == len(set(map(id, ROUTES)))
    assert {id(route) for module in MODULES for route in routes_of(module)} == set(map(id, ROUTES))


@pytest.mark.parametrize("module", MODULES)
def test_each_file_has_a_test(module: str) -> None:
    twin = ROOT / "tests" / "functional" / f"test_api_{module}.py"
    assert twin.exists()
    [first, *_] = twin.read_text("utf-8").splitlines()
    for route in routes_of(module):
        path = route.endpoint.path.replace("qr.png", "qr.svg")
        assert path in first
        assert route.endpoint.method in first


def test_tests_of_endpoints_belong_to_one() -> None:
    twins = (ROOT / "tests" / "functional").glob("test_api_*.py")
    assert {path.stem.removeprefix("test_api_") for path in twins} == set(MODULES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.endpoint.operation_id)
def test_bodies_are_json_that_is_checked(route: Route) -> None:
    model = route.endpoint.request
    if route.endpoint.method == "POST" and model is not None:
        assert issubclass(model, Body)
        assert model.model_config["extra"] == "forbid"
        assert model.model_config["strict"]
    else:
        assert model is None
        # Without a body there is nothing that a form of another site could send.
        assert route.endpoint.method == "GET" or route.endpoint.security in ("grant", "site")


def test_each_route_has_a_limit(databases: Databases, tmp_path: Path) -> None:
    """Also pages and downloads. Files of the widget lie in caches and cost next to nothing."""
    names = ("reads", "invoices", "unlocks", "recoveries")
    once = {f"limit_{name}_per_address": "1/day" for name in names}
    unlimited = set()
    with databases.fresh("sqlite") as url, open_world(url, tmp_path, **once) as world:
        for rule in world.app.url_map.iter_rules():
            method = "POST" if "POST" in (rule.methods or ()) else "GET"
            path = re.sub("<(?:path:)?|>", "", rule.rule)
            first, second = (call(world, method, path, json={}) for _ in range(2))
            assert first.status_code != 500
            if second.status_code != 429:
                unlimited.add(rule.endpoint)
            elif path.startswith("/v1/"):
                assert_problem(second, 429, "rate_limited")
    assert unlimited == {"static", "widget"}
