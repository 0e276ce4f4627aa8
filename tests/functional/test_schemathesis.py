"""Generated requests, good and bad, against what the document at /openapi.json promises."""

import contextvars
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from bitcache_server.http import discovery, health
from bitcache_server.http.api_v1 import ROUTES
from bitcache_server.http.routing import Route
from tests.support.api import open_world
from tests.support.databases import Databases
from tests.support.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

EXAMPLES = 12
#: With a good form alone a request may still name what does not exist, or cost too much.
NOT_PROMISED = [positive_data_acceptance]
#: Bad requests only where there is a form: any text may be an id.
CASES = [
    (route, mode)
    for route in (*ROUTES, health.ROUTE, discovery.ROUTE)
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or route.endpoint.request or route.endpoint.query
]


@dataclass
class Api:
    """The operations as the document describes them, and what the requests need."""

    operations: dict[str, Any]
    path_parameters: dict[str, list[str]]
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def api(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Return the API of a server with two items, an open and a paid invoice."""
    folder = tmp_path_factory.mktemp("api")
    with databases.fresh("sqlite") as url, open_world(url, folder) as world:
        paid, opened = world.buy(), world.buy()
        world.pay(paid)
        grant = world.grant(paid)
        world.session.rollback()
        yield Api(
            operations=_operations(world),
            path_parameters={
                "item_id": [world.article_id, world.file_id],
                "invoice_id": [paid.id, opened.id],
            },
            tokens={"site": world.secret, "grant": grant, "buyer": grant},
        )


def _operations(world: World) -> dict[str, Any]:
    def alone(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serve as a server does: each request in a context of its own."""
        return contextvars.Context().run(lambda: list(world.app(environ, start_response)))

    schema = schemathesis.openapi.from_wsgi("/openapi.json", alone)
    found: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]  # an Err ends the test
    return {operation.definition.raw["operationId"]: operation for operation in found}


@pytest.mark.parametrize(
    ("route", "mode"), CASES, ids=[f"{r.endpoint.operation_id}-{mode.value}" for r, mode in CASES]
)
def test_answers_are_as_documented(api: Api, route: Route, mode: GenerationMode) -> None:
    operation = api.operations[route.endpoint.operation_id]
    token = api.tokens.get(route.endpoint.security)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    known = {
        name: st.sampled_from(values)
        for name, values in api.path_parameters.items()
        if f"{{{name}}}" in route.endpoint.path
    }

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        chosen = data.draw(st.fixed_dictionaries(known)) if data.draw(st.booleans()) else None
        strategy = operation.as_strategy(generation_mode=mode, path_parameters=chosen)
        case = data.draw(strategy)
        case.call_and_validate(headers=headers, excluded_checks=NOT_PROMISED)

    check()
