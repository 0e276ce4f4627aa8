"""What merchants are told, and that each payload has the form that the document promises."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from sqlalchemy import select

from bitcache_server.http.webhook_docs import with_webhooks
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import write_transaction
from bitcache_server.models.webhooks import WebhookEvent
from bitcache_server.services.payout_failures import after_failure
from bitcache_server.services.webhook_steps import payload_of
from bitcache_server.services.webhook_types import EVENT_TYPES
from tests.support.api import call, document
from tests.support.payouts import earn, send, set_terms
from tests.support.shops import assert_nothing_lost
from tests.support.webhooks import listen, listening_world
from tests.support.world import World


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[World]:
    with listening_world(tmp_path, database_url) as world:
        listen(world, "https://shop.example/")
        yield world
        check_forms(told(world))
        assert_nothing_lost(world)


def told(world: World) -> list[dict[str, Any]]:
    """Return all payloads in order."""
    query = select(WebhookEvent).order_by(WebhookEvent.number)
    found = [json.loads(payload_of(event)) for event in world.session.scalars(query)]
    world.session.rollback()
    return found


def types(world: World) -> list[str]:
    return [payload["type"] for payload in told(world)]


def check_forms(payloads: list[dict[str, Any]]) -> None:
    """Check payloads against the OpenAPI document, as a receiver would."""
    full = with_webhooks(document())
    for payload in payloads:
        body = full["webhooks"][payload["type"]]["post"]["requestBody"]["content"]
        schema = {**body["application/json"]["schema"], "components": full["components"]}
        OAS31Validator(schema).validate(payload)


def test_an_invoice_that_is_paid(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase)
    shop.mine()
    [event] = [one for one in told(shop) if one["type"] == "invoice.paid"]
    assert event["data"]["id"] == purchase.id
    assert event["data"]["state"] == "paid"
    assert event["data"]["amount_msat"] == purchase.invoice["amount_msat"]
    # Looked at again, nothing is told twice.
    shop.mine()
    shop.watch()
    assert types(shop).count("invoice.paid") == 1


def test_an_invoice_that_is_over_and_paid_late(shop: World) -> None:
    purchase = shop.buy()
    shop.expire(10_000)
    assert types(shop) == ["invoice.expired"]
    shop.pay(purchase)
    shop.mine()
    assert types(shop) == ["invoice.expired", "invoice.credited"]
    assert told(shop)[1]["data"]["credit_msat"] > 0
    assert told(shop)[1]["data"]["marks"] == ["late"]


def test_an_invoice_that_is_paid_in_parts_and_over(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase, 2_000_000)
    assert types(shop) == ["invoice.underpaid"]
    assert told(shop)[0]["data"]["missing_msat"] > 0
    shop.pay(purchase, 9_000_000)
    shop.mine()
    assert set(types(shop)) >= {"invoice.underpaid", "invoice.paid", "invoice.credited"}


def test_a_payout(shop: World) -> None:
    set_terms(shop)
    earn(shop, 30_000_000)
    answer = call(shop, "POST", "/v1/payouts", shop.secret, json={})
    shop.rail.fund(100_000_000)
    send(shop)
    shop.rail.confirm()
    send(shop)
    [event] = [one for one in told(shop) if one["type"] == "payout.sent"]
    assert event["data"]["id"] == answer.get_json()["id"]
    assert event["data"]["state"] == "settled"
    assert event["data"]["reference"]


def test_a_payout_that_failed(shop: World) -> None:
    set_terms(shop)
    earn(shop, 30_000_000)
    payout_id = call(shop, "POST", "/v1/payouts", shop.secret, json={}).get_json()["id"]
    with write_transaction(shop.session):
        payout = shop.session.get_one(Payout, payout_id)
        after_failure(shop.deps, shop.session, payout, "No route.", is_last=True)
    [event] = told(shop)
    assert (event["type"], event["data"]["id"]) == ("payout.failed", payout_id)
    assert (event["data"]["reason"], event["data"]["reference"]) == ("No route.", None)


def test_an_item_that_is_changed(shop: World) -> None:
    body = {"title": "New", "price": "1.00", "currency": "USD", "content_html": "<p>x</p>",
            "external_id": "a"}  # fmt: skip
    made = call(shop, "POST", "/v1/items", shop.secret, json=body).get_json()
    call(shop, "POST", "/v1/items", shop.secret, json={**body, "price": "2.00"})
    assert types(shop) == ["item.changed", "item.changed"]
    assert [one["data"]["price_amount"] for one in told(shop)] == [100, 200]
    assert {one["data"]["id"] for one in told(shop)} == {made["id"]}


def test_every_type_is_documented(shop: World) -> None:
    described = call(shop, "GET", "/openapi.json").get_json()["webhooks"]
    assert set(described) == set(EVENT_TYPES)
    for name, operation in described.items():
        assert operation["post"]["operationId"] == f"webhook_{name.replace('.', '_')}"
