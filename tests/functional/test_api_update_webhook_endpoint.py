"""POST /v1/webhook-endpoints/{endpoint_id}"""

from werkzeug.test import TestResponse

from tests.support.api import assert_refused, call
from tests.support.webhooks import another_secret, listen
from tests.support.world import World

URL = "https://shop.example/hooks"


def update(world: World, endpoint_id: str, secret: str = "", **body: object) -> TestResponse:
    path = f"/v1/webhook-endpoints/{endpoint_id}"
    return call(world, "POST", path, secret or world.secret, json=body)


def test_what_is_left_out_stays(world: World) -> None:
    made = listen(world, URL).endpoint.id
    changed = update(world, made, event_types=["item.changed"]).get_json()
    assert (changed["url"], changed["event_types"]) == (URL, ["item.changed"])
    changed = update(world, made, url="https://other.example/", description="B").get_json()
    assert (changed["url"], changed["description"]) == ("https://other.example/", "B")
    assert changed["event_types"] == ["item.changed"]


def test_paused_and_switched_on(world: World) -> None:
    made = listen(world, URL).endpoint.id
    paused = update(world, made, enabled=False).get_json()
    assert (paused["enabled"], paused["disabled_reason"]) == (False, "paused")
    again = update(world, made, enabled=True).get_json()
    assert (again["enabled"], again["disabled_reason"]) == (True, "")


def test_refused(world: World) -> None:
    made = listen(world, URL).endpoint.id
    assert_refused(world, update(world, made, url="https://10.0.0.1/"), 422, "webhook_url_refused")
    assert_refused(world, update(world, made, event_types=[]), 422, "invalid_request")
    assert_refused(world, update(world, "we_none"), 404, "unknown_endpoint")
    others = update(world, made, another_secret(world), enabled=False)
    assert_refused(world, others, 404, "unknown_endpoint")
    assert call(world, "GET", "/v1/webhook-endpoints", world.secret).get_json()["endpoints"][0][
        "enabled"
    ]
