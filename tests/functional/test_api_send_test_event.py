"""POST /v1/webhook-endpoints/{endpoint_id}/test"""

from pathlib import Path

from tests.support.api import assert_refused, call
from tests.support.receivers import receiver
from tests.support.webhooks import another_secret, deliver, listen, listening_world
from tests.support.world import World


def test_it_arrives_whatever_the_endpoint_chose(tmp_path: Path, database_url: str) -> None:
    with listening_world(tmp_path, database_url) as world, receiver() as server:
        made = listen(world, server.url, "sale.created")
        path = f"/v1/webhook-endpoints/{made.endpoint.id}/test"
        answer = call(world, "POST", path, world.secret, json={})
        assert answer.status_code == 202
        deliver(world)
        [one] = server.received
        assert one.id == answer.get_json()["event"]
        assert one.verify(made.secret)["type"] == "test"


def test_refused(world: World) -> None:
    made = listen(world, "https://shop.example/").endpoint.id
    path = f"/v1/webhook-endpoints/{made}"
    answer = call(world, "POST", f"{path}/test", another_secret(world), json={})
    assert_refused(world, answer, 404, "unknown_endpoint")
    call(world, "POST", path, world.secret, json={"enabled": False})
    answer = call(world, "POST", f"{path}/test", world.secret, json={})
    assert_refused(world, answer, 422, "invalid_request")
