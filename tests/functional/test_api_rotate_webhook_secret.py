"""POST /v1/webhook-endpoints/{endpoint_id}/rotate"""

from bitcache_server.services.webhook_secrets import OVERLAP_S, signing_secrets
from tests.support.api import assert_refused, call
from tests.support.webhooks import another_secret, listen, stored
from tests.support.world import World


def test_both_sign_for_a_day(world: World) -> None:
    made = listen(world, "https://shop.example/")
    path = f"/v1/webhook-endpoints/{made.endpoint.id}/rotate"
    answer = call(world, "POST", path, world.secret, json={}).get_json()
    assert answer["secret"] != made.secret
    assert answer["old_secret_until"] == world.clock.now + OVERLAP_S
    now = stored(world, made.endpoint.id)
    assert signing_secrets(world.deps, now) == [answer["secret"], made.secret]
    world.clock.pass_time(OVERLAP_S)
    assert signing_secrets(world.deps, now) == [answer["secret"]]
    listed = call(world, "GET", "/v1/webhook-endpoints", world.secret).get_json()
    assert listed["endpoints"][0]["old_secret_until"] is None


def test_not_anothers(world: World) -> None:
    made = listen(world, "https://shop.example/").endpoint.id
    path = f"/v1/webhook-endpoints/{made}/rotate"
    answer = call(world, "POST", path, another_secret(world), json={})
    assert_refused(world, answer, 404, "unknown_endpoint")
