"""The document at /openapi.json: valid, complete, and true where that can be checked."""

import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from bitcache_server.domain import errors
from bitcache_server.http.errors import MEDIA_TYPE, STATUS, status_of
from tests.support.api import call
from tests.support.world import World

METHODS = {"get", "post"}
#: Errors of the command line and of the jobs. In a request they would be faults of the program.
NEVER_ANSWERED = {
    errors.BitcacheError, errors.ConfigurationError, errors.ReceiptInvalid, errors.ListenerDied,
    errors.AlreadyReversed, errors.UnknownTransfer, errors.UnknownWallet,
    errors.BackupFailed, errors.BackupInvalid, errors.RestoreRefused,
}  # fmt: skip


@pytest.fixture
def document(sqlite_world: World) -> dict[str, Any]:
    answer = call(sqlite_world, "GET", "/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    return dict(answer.get_json())


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_it_is_valid(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": "https://pay.example"}]


def test_every_route_is_in_it_and_nothing_else(
    sqlite_world: World, document: dict[str, Any]
) -> None:
    routes = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in sqlite_world.app.url_map.iter_rules()
        for method in rule.methods or ()
        if method.lower() in METHODS
        and rule.rule.startswith(("/v1/", "/health", "/.well-known/bit"))
    }
    described = {
        (method, path) for path, operations in document["paths"].items() for method in operations
    }
    assert described - routes == {("get", "/v1/invoices/{invoice_id}/events")}
    assert routes - described == set()


def test_waiting_has_an_address_of_its_own(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/invoices/{invoice_id}/events"]["get"]
    assert operation["servers"] == [{"url": "https://pay.example:8403"}]
    assert set(operation["responses"]["200"]["content"]) == {"text/event-stream"}
    others = [op for op in operations(document) if op is not operation]
    assert [op["operationId"] for op in others if "servers" in op] == []


def test_every_error_has_one_meaning(document: dict[str, Any]) -> None:
    """A code belongs to one status everywhere, and the schema of problems knows all codes."""
    statuses: dict[str, set[str]] = {}
    for operation in operations(document):
        for status, answer in operation["responses"].items():
            for media_type, content in answer.get("content", {}).items():
                if media_type == MEDIA_TYPE:
                    for code in content["schema"]["properties"]["code"]["enum"]:
                        statuses.setdefault(code, set()).add(status)
    assert {code: found for code, found in statuses.items() if len(found) > 1} == {}
    problem = document["components"]["schemas"]["Problem"]
    assert set(problem["properties"]["code"]["enum"]) == set(statuses)
    assert {"rate_limited", "storage_busy", "internal_error", "idempotency_conflict"} <= set(
        statuses
    )


def test_errors_have_a_status_or_are_our_own_fault() -> None:
    known = {
        error
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.BitcacheError)
    }
    without = {error for error in known if error not in STATUS}
    assert {error for error in without if not issubclass(error, errors.RailError)} <= NEVER_ANSWERED
    # A node that fails passes; everything else that was left out is a fault of ours.
    assert all(
        status_of(error) == (503 if issubclass(error, errors.RailError) else 500)
        for error in without
    )


def test_credentials(document: dict[str, Any]) -> None:
    wanted = {op["operationId"]: [*map(list, op["security"])] for op in operations(document)}
    of_sites = {name for name, schemes in wanted.items() if schemes == [["site"]]}
    of_holders = {name for name, schemes in wanted.items() if schemes == [["grant"]]}
    of_pages = {name for name, schemes in wanted.items() if schemes == [["allowance"]]}
    assert of_sites == {
        "create_item", "list_items", "list_invoices", "create_refund", "read_balance",
        "read_statement", "request_payout", "list_payouts", "list_sales",
        "create_order", "list_orders", "read_order", "cancel_order",
        "create_webhook_endpoint", "list_webhook_endpoints", "update_webhook_endpoint",
        "delete_webhook_endpoint", "rotate_webhook_secret", "send_test_event", "replay_events",
        "list_events", "read_site",
    }  # fmt: skip
    assert of_pages == {"unlock_item", "undo_unlock"}
    assert of_holders == {"read_grant", "create_file_link"}
    of_buyers = {name for name, schemes in wanted.items() if schemes == [["grant"], ["l402"]]}
    assert of_buyers == {"read_content", "read_file"}
    of_all = of_sites | of_pages | of_holders | of_buyers
    assert all(wanted[name] == [] for name in set(wanted) - of_all)
    for operation in operations(document):
        # What needs a credential says what happens without one.
        assert ("401" in operation["responses"]) == bool(operation["security"])


def test_no_object_of_a_request_takes_unknown_members(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for operation in operations(document):
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]
            assert set(content) == {"application/json"}
            name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert schemas[name]["additionalProperties"] is False
