"""GET /v1/events"""

from bitcache_server.services.webhook_types import API_VERSION
from tests.support.api import assert_refused, call
from tests.support.webhooks import another_secret, happen, listen
from tests.support.world import World


def test_newest_first_until_the_end(world: World) -> None:
    listen(world, "https://shop.example/")
    happen(world, 3)
    first = call(world, "GET", "/v1/events?limit=2", world.secret).get_json()
    assert [event["data"]["message"] for event in first["events"]] == ["2", "1"]
    assert first["events"][0]["api_version"] == API_VERSION
    path = f"/v1/events?limit=2&cursor={first['next_cursor']}"
    second = call(world, "GET", path, world.secret).get_json()
    assert [event["data"]["message"] for event in second["events"]] == ["0"]
    assert second["next_cursor"] is None


def test_of_one_type(world: World) -> None:
    listen(world, "https://shop.example/")
    happen(world)
    assert call(world, "GET", "/v1/events?type=sale.created", world.secret).get_json() == {
        "events": [],
        "next_cursor": None,
    }


def test_only_ones_own(world: World) -> None:
    listen(world, "https://shop.example/")
    happen(world)
    [event] = call(world, "GET", "/v1/events", world.secret).get_json()["events"]
    stranger = another_secret(world)
    assert call(world, "GET", "/v1/events", stranger).get_json()["events"] == []
    answer = call(world, "GET", f"/v1/events?cursor={event['id']}", stranger)
    assert_refused(world, answer, 422, "invalid_request")
