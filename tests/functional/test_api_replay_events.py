"""POST /v1/webhook-endpoints/{endpoint_id}/replay"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from bitcache_server.models.session import write_transaction
from bitcache_server.services import webhook_replays
from bitcache_server.services.webhook_events import emit
from tests.support.api import assert_refused, call
from tests.support.dashboard import sign_in
from tests.support.receivers import receiver, saying
from tests.support.webhooks import another_secret, deliver, listen, listening_world, states
from tests.support.world import World

SINCE = {"since": "2026-01-01T00:00"}


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[World]:
    with listening_world(tmp_path, database_url) as world:
        yield world


def change_items(world: World, count: int) -> None:
    """Let items change, a second apart."""
    for number in range(count):
        with write_transaction(world.session):
            emit(world.deps, world.session, world.merchant_id, "item.changed", {"id": str(number)})
        world.clock.pass_time(1)


def replay(world: World, endpoint_id: str, secret: str = "", **body: object) -> TestResponse:
    path = f"/v1/webhook-endpoints/{endpoint_id}/replay"
    return call(world, "POST", path, secret or world.secret, json=body)


def test_one_event_goes_again_also_when_it_arrived(shop: World) -> None:
    with receiver() as server:
        made = listen(shop, server.url).endpoint.id
        change_items(shop, 2)
        deliver(shop)
        answer = replay(shop, made, event=server.ids[0])
        assert (answer.status_code, answer.get_json()["count"]) == (202, 1)
        deliver(shop)
        assert server.ids == [*server.ids[:2], server.ids[0]]
        assert server.received[0].body == server.received[2].body


def test_those_of_a_time_that_did_not_arrive(shop: World) -> None:
    with receiver() as server:
        made = listen(shop, server.url).endpoint.id
        began = shop.clock.now
        change_items(shop, 3)
        deliver(shop)
        server.answer = saying(410)
        change_items(shop, 1)
        deliver(shop)
        # Switched off by its own word; what happens meanwhile is kept.
        change_items(shop, 2)
        server.answer = saying(200)
        assert_refused(shop, replay(shop, made, since=began), 422, "invalid_request")
        call(shop, "POST", f"/v1/webhook-endpoints/{made}", shop.secret, json={"enabled": True})
        answer = replay(shop, made, since=began)
        assert answer.get_json() == {"count": 3, "next_since": None}
        deliver(shop)
        assert states(shop) == ["delivered"] * 6
        assert len(server.received) == 7
        again = replay(shop, made, since=began, until=began + 1, delivered_too=True)
        assert again.get_json()["count"] == 2
        deliver(shop)
        assert server.ids[7:] == server.ids[:2]


def test_many_go_in_parts(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_replays, "MAX_REPLAYED", 2)
    listen(shop, "https://shop.example/")
    since = shop.clock.now
    change_items(shop, 3)
    other = listen(shop, "https://other.example/", "item.changed").endpoint.id
    first = replay(shop, other, since=since).get_json()
    assert first == {"count": 2, "next_since": since + 2}
    rest = replay(shop, other, since=first["next_since"]).get_json()
    assert rest == {"count": 1, "next_since": None}


def test_no_more_go_again_while_very_many_wait(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_replays, "MAX_WAITING", 2)
    made = listen(shop, "https://shop.example/").endpoint.id
    change_items(shop, 1)
    assert replay(shop, made, since=0, delivered_too=True).status_code == 202
    change_items(shop, 1)
    refused = replay(shop, made, since=0)
    assert_refused(shop, refused, 422, "invalid_request")
    assert "Very many events wait" in refused.text


def test_who_asks_very_often_is_asked_to_wait(tmp_path: Path, database_url: str) -> None:
    limit = {"limit_replays_per_merchant": "3/hour"}
    with listening_world(tmp_path, database_url, **limit) as shop:
        made = listen(shop, "https://shop.example/").endpoint.id
        change_items(shop, 1)
        event = call(shop, "GET", "/v1/events", shop.secret).get_json()["events"][0]["id"]
        assert replay(shop, made, since=0).status_code == 202
        assert replay(shop, made, event=event).status_code == 202
        test = f"/v1/webhook-endpoints/{made}/test"
        assert call(shop, "POST", test, shop.secret, json={}).status_code == 202
        owner = sign_in(shop)
        for path, form in ((f"./webhooks/{made}/test", {}), (f"./webhooks/{made}/replay", SINCE)):
            assert owner.post(path, form).status_code == 429
        for answer in (replay(shop, made, since=0), call(shop, "POST", test, shop.secret, json={})):
            assert_refused(shop, answer, 429, "rate_limited")
        assert owner.post("./webhooks/deliveries/1/again", {}).status_code == 429


def test_only_what_the_endpoint_wants(shop: World) -> None:
    listen(shop, "https://shop.example/")
    change_items(shop, 1)
    other = listen(shop, "https://other.example/", "sale.created").endpoint.id
    assert replay(shop, other, since=0).get_json()["count"] == 0


def test_refused(shop: World) -> None:
    made = listen(shop, "https://shop.example/").endpoint.id
    change_items(shop, 1)
    event = call(shop, "GET", "/v1/events", shop.secret).get_json()["events"][0]["id"]
    stranger = another_secret(shop)
    cases: tuple[dict[str, Any], ...] = (
        {},
        {"event": "x", "since": 1},
        {"since": -1},
        {"since": 2, "until": 1},
    )
    for wrong in cases:
        assert_refused(shop, replay(shop, made, **wrong), 422, "invalid_request")
    assert_refused(shop, replay(shop, made, event="ev_none"), 404, "unknown_event")
    assert_refused(shop, replay(shop, made, stranger, event=event), 404, "unknown_endpoint")
    path = "/v1/webhook-endpoints"
    body = {"url": "https://eve.example/", "event_types": ["*"]}
    theirs = call(shop, "POST", path, stranger, json=body).get_json()["id"]
    assert_refused(shop, replay(shop, theirs, stranger, event=event), 404, "unknown_event")
    assert replay(shop, theirs, stranger, since=0).get_json()["count"] == 0
