from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, Field

from bitcache_server.domain import errors
from bitcache_server.http.openapi import Endpoint, build_document

STATUS: dict[type[errors.BitcacheError], int] = {
    errors.InvalidRequest: 422,
    errors.InvalidPrice: 422,
    errors.UnknownItem: 404,
    errors.MissingSecret: 401,
    errors.BadSecret: 401,
    errors.GrantMissing: 401,
    errors.RateLimited: 429,
    errors.StorageBusy: 503,
}


class Price(BaseModel):
    amount_msat: int | None = None


class NewItem(BaseModel):
    title: Annotated[str, Field(max_length=10)]
    price: Price


class Item(NewItem):
    id: str


class Query(BaseModel):
    cursor: Annotated[str, Field(max_length=200)] | None = None
    site: str


READ = Endpoint(
    method="GET",
    path="/v1/items/{item_id}",
    operation_id="read_item",
    summary="Read an item",
    description="The public part.",
    tag="items",
    response=Item,
    errors=(errors.UnknownItem,),
)
CREATE = replace(
    READ, method="POST", path="/v1/items", operation_id="create_item", request=NewItem, status=201,
    errors=(errors.InvalidRequest, errors.InvalidPrice), security="site", idempotent=True,
)  # fmt: skip
LIST = replace(READ, path="/v1/items", operation_id="list_items", query=Query, errors=())
OTHERS = [
    replace(READ, path="/svg", operation_id="svg", response=None, media_type="image/svg+xml"),
    replace(READ, path="/png", operation_id="png", response=None, media_type="image/png"),
    replace(READ, path="/sse", operation_id="sse", response=None, media_type="text/event-stream"),
    replace(READ, path="/any", operation_id="any", response=None, tag="meta"),
    replace(READ, path="/gone", operation_id="gone", response=None, status=204),
    replace(READ, path="/own", operation_id="own", security="grant"),
    replace(READ, path="/health", operation_id="health", also_status=(503,), errors=()),
]


def build(*endpoints: Endpoint, common: Sequence[type[errors.BitcacheError]] = ()) -> Any:
    return build_document(
        endpoints, status_of=lambda error: STATUS.get(error, 500), title="Test", version="1.2.3",
        server_url="https://pay.example", common_errors=common,
    )  # fmt: skip


ALL = build(READ, CREATE, LIST, *OTHERS, common=(errors.RateLimited, errors.StorageBusy))


def operation(path: str, method: str = "get") -> Any:
    return ALL["paths"][path][method]


def codes(answer: Any) -> list[str]:
    schema = answer["content"]["application/problem+json"]["schema"]
    assert schema["allOf"] == [{"$ref": "#/components/schemas/Problem"}]
    return list(schema["properties"]["code"]["enum"])


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(ALL).validate()
    OpenAPIV31SpecValidator(build()).validate()
    assert ALL["openapi"].startswith("3.1")
    assert ALL["info"] == {"title": "Test", "version": "1.2.3"}
    assert ALL["servers"] == [{"url": "https://pay.example"}]
    assert ALL["tags"] == [{"name": "items"}, {"name": "meta"}]


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def test_every_schema_is_used_and_every_reference_leads_somewhere() -> None:
    here = {f"#/components/schemas/{name}" for name in ALL["components"]["schemas"]}
    assert references(ALL) == here


def test_bodies_and_answers() -> None:
    create = operation("/v1/items", "post")
    assert create["operationId"] == "create_item"
    assert create["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewItem"}}},
    }
    schema = create["responses"]["201"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Item"}
    assert "requestBody" not in operation("/v1/items/{item_id}")


def test_a_model_that_is_read_and_written_in_two_forms_has_two_schemas() -> None:
    class Both(BaseModel):
        value: Annotated[int, Field(validation_alias="in", serialization_alias="out")] = 1

    document = build(replace(CREATE, request=Both, response=Both))
    OpenAPIV31SpecValidator(document).validate()
    assert {"Both-Input", "Both-Output"} <= set(document["components"]["schemas"])


def test_parameters() -> None:
    assert operation("/v1/items/{item_id}")["parameters"] == [
        {"name": "item_id", "in": "path", "required": True, "schema": {"type": "string"}}
    ]
    found = {p["name"]: p for p in operation("/v1/items")["parameters"]}
    assert set(found) == {"cursor", "site"}
    assert (found["cursor"]["required"], found["site"]["required"]) == (False, True)
    assert found["site"]["schema"]["type"] == "string"
    headers = operation("/v1/items", "post")["parameters"]
    assert [(p["name"], p["in"], p["required"]) for p in headers] == [
        ("Idempotency-Key", "header", False)
    ]


def test_errors_by_status_with_their_codes() -> None:
    answers = operation("/v1/items", "post")["responses"]
    assert {status: codes(answer) for status, answer in answers.items() if status != "201"} == {
        "401": ["bad_secret", "missing_secret"],
        "422": ["invalid_price", "invalid_request"],
        "429": ["rate_limited"],
        "503": ["storage_busy"],
    }
    assert "Retry-After" in answers["429"]["headers"]
    assert "Retry-After" in answers["503"]["headers"]
    problem = ALL["components"]["schemas"]["Problem"]
    assert problem["properties"]["code"]["enum"] == [
        "bad_secret", "grant_missing", "invalid_price", "invalid_request", "missing_secret",
        "rate_limited", "storage_busy", "unknown_item",
    ]  # fmt: skip


def test_a_status_that_is_an_answer_and_an_error() -> None:
    ill = operation("/health")["responses"]["503"]
    assert codes(ill) == ["storage_busy"]
    assert ill["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Item"}


def test_security() -> None:
    assert operation("/v1/items/{item_id}")["security"] == []
    assert operation("/v1/items", "post")["security"] == [{"site": []}]
    assert operation("/own")["security"] == [{"grant": []}]
    assert codes(operation("/own")["responses"]["401"]) == ["grant_missing"]
    assert set(ALL["components"]["securitySchemes"]) == {"site", "grant", "l402", "allowance"}


def test_answers_that_are_not_json() -> None:
    def content(path: str) -> Any:
        return operation(path)["responses"]["200"]["content"]

    assert content("/svg") == {"image/svg+xml": {"schema": {"type": "string"}}}
    assert content("/sse") == {"text/event-stream": {"schema": {"type": "string"}}}
    assert content("/png") == {"image/png": {}}
    assert content("/any") == {"application/json": {"schema": {"type": "object"}}}
    assert "content" not in operation("/gone")["responses"]["204"]


@pytest.mark.parametrize(
    "twin", [replace(READ, operation_id="other"), replace(READ, path="/other"), READ]
)
def test_nothing_is_described_twice(twin: Endpoint) -> None:
    with pytest.raises(ValueError, match="twice"):
        build(READ, twin)


def test_building_again_gives_the_same() -> None:
    common = (errors.RateLimited, errors.StorageBusy)
    assert build(READ, CREATE, LIST, *OTHERS, common=common) == ALL
