"""GET /v1/webhook-endpoints"""

from tests.support.api import call
from tests.support.webhooks import another_secret, listen
from tests.support.world import World

URL = "https://shop.example/hooks"


def test_oldest_first_and_only_ones_own(world: World) -> None:
    first = listen(world, URL).endpoint.id
    world.clock.pass_time(1)
    second = listen(world, URL, "sale.created").endpoint.id
    answer = call(world, "GET", "/v1/webhook-endpoints", world.secret)
    assert answer.status_code == 200
    assert [one["id"] for one in answer.get_json()["endpoints"]] == [first, second]
    other = call(world, "GET", "/v1/webhook-endpoints", another_secret(world))
    assert other.get_json() == {"endpoints": []}
