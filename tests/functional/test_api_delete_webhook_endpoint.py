"""POST /v1/webhook-endpoints/{endpoint_id}/delete"""

from bitcache_server.models.webhooks import WebhookDelivery
from tests.support.api import assert_refused, call
from tests.support.webhooks import another_secret, happen, listen, rows, stored
from tests.support.world import World


def test_nothing_goes_there_any_more(world: World) -> None:
    made = listen(world, "https://shop.example/").endpoint.id
    path = f"/v1/webhook-endpoints/{made}/delete"
    others = call(world, "POST", path, another_secret(world), json={})
    assert_refused(world, others, 404, "unknown_endpoint")
    assert call(world, "POST", path, world.secret, json={}).status_code == 204
    happen(world)
    assert rows(world, WebhookDelivery) == 0
    assert stored(world, made).secret_sealed == ""
    answer = call(world, "POST", path, world.secret, json={})
    assert_refused(world, answer, 404, "unknown_endpoint")
