"""POST /v1/webhook-endpoints"""

from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from bitcache_server.models.webhooks import WebhookEndpoint
from bitcache_server.services.webhook_endpoints import MAX_ENDPOINTS
from tests.support.api import assert_refused, call
from tests.support.world import World

URL = "https://shop.example/hooks?a=1"


def create(world: World, **body: Any) -> TestResponse:
    wanted = {"url": URL, "event_types": ["*"], **body}
    return call(world, "POST", "/v1/webhook-endpoints", world.secret, json=wanted)


def test_its_secret_is_shown_once_and_kept_sealed(world: World) -> None:
    answer = create(world, description="Shop", event_types=["test", "sale.created", "test"])
    assert answer.status_code == 201
    made = answer.get_json()
    assert made["id"].startswith("we_")
    assert made["secret"].startswith("whsec_")
    assert (made["url"], made["description"]) == (URL, "Shop")
    assert made["event_types"] == ["sale.created", "test"]
    assert (made["enabled"], made["disabled_reason"], made["failing_since"]) == (True, "", None)
    listed = call(world, "GET", "/v1/webhook-endpoints", world.secret)
    assert "whsec_" not in listed.text
    [kept] = world.session.scalars(select(WebhookEndpoint)).all()
    assert made["secret"].removeprefix("whsec_") not in str(vars(kept))
    world.session.rollback()


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/", "https://127.0.0.1/", "https://[::1]/", "https://10.0.0.1/hook",
        "https://169.254.169.254/latest/meta-data", "https://localhost/", "https://u:p@shop.example/",
        "https://shop.onion/", "ftp://shop.example/", "hello", "https://[::ffff:127.0.0.1]/",
        "https://" + "a" * 2_000 + "/",
    ],
)  # fmt: skip
def test_addresses_that_are_not_sent_to(sqlite_world: World, url: str) -> None:
    answer = create(sqlite_world, url=url)
    code = "invalid_request" if len(url) > 2_000 else "webhook_url_refused"
    assert_refused(sqlite_world, answer, 422, code)


def test_what_is_no_endpoint(sqlite_world: World) -> None:
    cases: tuple[dict[str, Any], ...] = (
        {"event_types": []},
        {"event_types": ["sale.sold"]},
        {"url": ""},
        {"x": 1},
    )
    for wrong in cases:
        assert_refused(sqlite_world, create(sqlite_world, **wrong), 422, "invalid_request")


def test_a_merchant_has_a_few_at_most(world: World) -> None:
    for _ in range(MAX_ENDPOINTS):
        assert create(world).status_code == 201
    assert_refused(world, create(world), 422, "invalid_request")


def test_who_asks_must_be_the_sites_server(sqlite_world: World) -> None:
    body = {"url": URL, "event_types": ["*"]}
    answer = call(sqlite_world, "POST", "/v1/webhook-endpoints", json=body)
    assert_refused(sqlite_world, answer, 401, "missing_secret")
