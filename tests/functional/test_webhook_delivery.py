"""Webhooks as their receivers get them: signed, at least once, in order, however they behave."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from sqlalchemy import select, update
from standardwebhooks.webhooks import WebhookVerificationError

from bitcache_server.extensions import db
from bitcache_server.models.accounts import AuditEntry
from bitcache_server.models.session import write_transaction
from bitcache_server.models.webhooks import (
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)
from bitcache_server.services.deliver_webhooks import DOUBTFUL_THREADS, THREADS, deliver_due
from bitcache_server.services.webhook_endpoints import By, Change, change_endpoint, rotate_secret
from bitcache_server.services.webhook_events import emit
from bitcache_server.services.webhook_replays import forget_webhooks
from bitcache_server.services.webhook_steps import BACKOFF_S, GIVE_UP_S
from tests.support.receivers import Receiver, receiver, saying
from tests.support.shops import assert_nothing_lost
from tests.support.webhooks import (
    attempts,
    deliver,
    deliveries,
    happen,
    listen,
    listening_world,
    rows,
    states,
    stored,
)
from tests.support.world import World

DAY_S = 86_400


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[World]:
    with listening_world(tmp_path, database_url) as world:
        yield world
        assert_nothing_lost(world)


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def test_it_is_verified_by_the_specifications_own_library(shop: World, server: Receiver) -> None:
    secret = listen(shop, server.url).secret
    happen(shop)
    deliver(shop)
    [one] = server.received
    payload = one.verify(secret)
    assert payload["type"] == "test"
    assert payload["data"] == {"id": "we_0", "message": "0"}
    assert payload["timestamp"].endswith("Z")
    assert one.headers["content-type"] == "application/json"
    assert one.id.startswith("ev_")
    with pytest.raises(WebhookVerificationError):
        one.verify("whsec_" + "A" * 43 + "=")
    assert states(shop) == ["delivered"]
    assert attempts(shop) == [(200, "")]
    deliver(shop)
    assert len(server.received) == 1


def test_a_merchant_without_endpoints_costs_no_rows(shop: World, server: Receiver) -> None:
    listen(shop, server.url, "invoice.paid")
    happen(shop)
    assert rows(shop, WebhookEvent) == rows(shop, WebhookDelivery) == 0


def test_what_is_rolled_back_was_never_told(shop: World, server: Receiver) -> None:
    listen(shop, server.url)
    with pytest.raises(RuntimeError, match="changed my mind"):
        _tell_and_fail(shop)
    assert rows(shop, WebhookEvent) == rows(shop, WebhookDelivery) == 0
    with pytest.raises(RuntimeError):
        emit(shop.deps, shop.session, shop.merchant_id, "test", {"id": "x", "message": ""})
    shop.session.rollback()


def _tell_and_fail(shop: World) -> None:
    with write_transaction(shop.session):
        emit(shop.deps, shop.session, shop.merchant_id, "test", {"id": "x", "message": ""})
        raise RuntimeError("changed my mind")


def test_each_endpoint_has_its_own_events_and_their_order(shop: World, server: Receiver) -> None:
    with receiver() as other:
        listen(shop, server.url)
        listen(shop, other.url, "item.changed")
        happen(shop, 5)
        deliver(shop)
        told = [json.loads(one.body)["data"]["message"] for one in server.received]
        assert told == ["0", "1", "2", "3", "4"]
        assert other.received == []


def test_down_for_a_day_and_then_everything_comes(shop: World, server: Receiver) -> None:
    listen(shop, server.url)
    server.answer = saying(503)
    happen(shop, 3)
    began = shop.clock.now
    while shop.clock.now < began + DAY_S:
        deliver(shop)
        shop.clock.pass_time(1_800)
    assert states(shop) == ["waiting"] * 3
    tried = len(server.received)
    assert tried > 3 * 8
    server.answer = saying(200)
    shop.clock.pass_time(43_200)
    deliver(shop)
    assert states(shop) == ["delivered"] * 3
    assert len(set(server.ids[tried:])) == len(set(server.ids)) == 3
    assert len({one.body for one in server.received}) == 3
    assert stored(shop, deliveries(shop)[0].endpoint_id).failing_since is None


def test_back_off_goes_on_for_more_than_a_day_and_then_ends(shop: World, server: Receiver) -> None:
    listen(shop, server.url)
    server.answer = saying(500, b"\x00broken <b>" + b"x" * 5_000)
    happen(shop)
    began = shop.clock.now
    for seconds in BACKOFF_S:
        deliver(shop)
        [one] = deliveries(shop)
        assert seconds < one.next_at - shop.clock.now <= seconds * 1.1 + 1
        shop.clock.now = one.next_at - 1
        deliver(shop)
        shop.clock.pass_time(1)
    assert shop.clock.now - began > DAY_S
    deliver(shop)
    [one] = deliveries(shop)
    assert (one.state, one.attempts) == ("failed", len(BACKOFF_S) + 1)
    assert attempts(shop) == [(500, "status")] * (len(BACKOFF_S) + 1)
    answer = shop.session.get_one(WebhookAttempt, (one.id, 1)).answer
    assert answer.startswith("\ufffdbroken <b>")
    assert len(answer) == 2_048
    shop.session.rollback()
    shop.clock.pass_time(DAY_S)
    deliver(shop)
    assert len(server.received) == len(BACKOFF_S) + 1


def test_one_that_fails_delays_neither_later_events_nor_other_endpoints(
    shop: World, server: Receiver
) -> None:
    with receiver() as broken:

        def first_fails(handler: BaseHTTPRequestHandler) -> None:
            saying(500 if len(set(broken.ids)) == 1 else 200)(handler)

        broken.answer = first_fails
        endpoint_id = listen(shop, broken.url).endpoint.id
        listen(shop, server.url)
        happen(shop, 3)
        deliver(shop)
        assert len(server.received) == 3
        assert states(shop, endpoint_id) == ["waiting", "delivered", "delivered"]


def test_endpoints_that_hang_keep_their_threads_and_nobody_elses(
    shop: World, server: Receiver
) -> None:
    """As many hang as there are threads; after the first time they share a part of them."""
    go_on = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        assert go_on.wait(60)

    with receiver() as hanging:
        for _ in range(THREADS):
            listen(shop, hanging.url)
        with write_transaction(shop.session):
            shop.session.execute(update(WebhookEndpoint).values(failing_since=1))
        listen(shop, server.url)
        hanging.answer = hang
        happen(shop, 4)
        thread = threading.Thread(target=_deliver_beside, args=(shop,))
        thread.start()
        try:
            for _ in range(4):
                server.wait()
            for _ in range(DOUBTFUL_THREADS):
                hanging.wait()
            # All of the others were served while these still hang, one call each.
            assert len(hanging.received) == DOUBTFUL_THREADS
        finally:
            go_on.set()
            thread.join()


def _deliver_beside(shop: World) -> None:
    with shop.app.app_context():
        deliver_due(shop.deps, db.session())
        db.session.remove()


def test_one_event_at_most_is_on_its_way_to_an_endpoint(shop: World, server: Receiver) -> None:
    inside, most = 0, 0

    def count(handler: BaseHTTPRequestHandler) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        inside -= 1
        saying(200)(handler)

    server.answer = count
    listen(shop, server.url)
    happen(shop, 30)
    threads = [threading.Thread(target=_deliver_beside, args=(shop,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert len(server.ids) == len(set(server.ids)) == 30
    assert server.ids == sorted(server.ids, key=_numbers(shop).__getitem__)


def _numbers(shop: World) -> dict[str, int]:
    found = {one.id: one.number for one in shop.session.scalars(select(WebhookEvent))}
    shop.session.rollback()
    return found


def test_a_200_that_comes_late_is_a_failure_and_comes_again(
    tmp_path: Path, database_url: str, server: Receiver
) -> None:
    go_on = threading.Event()

    def late(handler: BaseHTTPRequestHandler) -> None:
        assert go_on.wait(60)
        saying(200)(handler)

    with listening_world(tmp_path, database_url, webhook_timeout_s=1) as shop:
        endpoint_id = listen(shop, server.url).endpoint.id
        server.answer = late
        happen(shop)
        deliver(shop)
        go_on.set()
        assert attempts(shop) == [(None, "timeout")]
        assert stored(shop, endpoint_id).failing_since == shop.clock.now
        shop.clock.pass_time(7)
        deliver(shop)
        assert states(shop) == ["delivered"]
        [first, second] = server.received
        assert (first.id, first.body) == (second.id, second.body)
        assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_megabytes_are_not_read(shop: World, server: Receiver) -> None:
    hung_up = threading.Event()

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(1_000):
                handler.wfile.write(b"spam" * 25_000)
        except OSError:
            hung_up.set()

    listen(shop, server.url)
    server.answer = flood
    happen(shop)
    deliver(shop)
    assert hung_up.wait(60)
    assert states(shop) == ["delivered"]
    assert rows(shop, WebhookAttempt) == 1
    [kept] = shop.session.scalars(select(WebhookAttempt.answer)).all()
    assert kept == "spam" * 512
    shop.session.rollback()


def test_gone_switches_it_off_at_once(shop: World, server: Receiver) -> None:
    server.answer = saying(410)
    endpoint_id = listen(shop, server.url).endpoint.id
    happen(shop, 2)
    deliver(shop)
    shop.clock.pass_time(3_600)
    deliver(shop)
    assert len(server.received) == 1
    now = stored(shop, endpoint_id)
    assert (now.enabled, now.disabled_reason) == (False, "gone")
    assert _logged(shop) == ["webhook.added", "webhook.switched_off"]
    server.answer = saying(200)
    with write_transaction(shop.session):
        by = By(shop.merchant_id)
        change_endpoint(shop.deps, shop.session, by, endpoint_id, Change(enabled=True))
    deliver(shop)
    assert states(shop) == ["delivered"] * 2


def _logged(shop: World) -> list[str]:
    query = select(AuditEntry.action).where(AuditEntry.merchant_id == shop.merchant_id)
    found = list(shop.session.scalars(query.order_by(AuditEntry.created_at, AuditEntry.action)))
    shop.session.rollback()
    return found


def test_five_days_of_failures_switch_it_off(shop: World, server: Receiver) -> None:
    server.answer = saying(404)
    endpoint_id = listen(shop, server.url).endpoint.id
    happen(shop)
    deliver(shop)
    shop.clock.pass_time(GIVE_UP_S - 1)
    happen(shop)
    deliver(shop)
    assert stored(shop, endpoint_id).enabled
    shop.clock.pass_time(1)
    happen(shop)
    deliver(shop)
    now = stored(shop, endpoint_id)
    assert (now.enabled, now.disabled_reason) == (False, "failing")


def test_one_success_ends_the_days_of_failures(shop: World, server: Receiver) -> None:
    endpoint_id = listen(shop, server.url).endpoint.id
    for answer, pause_s in ((500, GIVE_UP_S - 1), (200, 1), (500, 1)):
        server.answer = saying(answer)
        happen(shop)
        deliver(shop)
        shop.clock.pass_time(pause_s)
    assert stored(shop, endpoint_id).enabled


@pytest.mark.parametrize(
    ("asked", "waits_s"), [("60", 60), ("1", 5), ("999999", 43_200), ("soon", 5)]
)
def test_retry_after_is_kept_within_bounds(
    shop: World, server: Receiver, asked: str, waits_s: int
) -> None:
    listen(shop, server.url)
    server.answer = saying(429, Retry_After=asked)
    happen(shop)
    deliver(shop)
    [one] = deliveries(shop)
    assert waits_s <= one.next_at - shop.clock.now <= waits_s + 1


def test_a_rotated_secret_signs_as_well_until_its_day_is_over(
    shop: World, server: Receiver
) -> None:
    old = listen(shop, server.url)
    with write_transaction(shop.session):
        by = By(shop.merchant_id)
        new = rotate_secret(shop.deps, shop.session, by, old.endpoint.id).secret
    happen(shop)
    deliver(shop)
    [during] = server.received
    assert during.verify(old.secret) == during.verify(new)
    with write_transaction(shop.session):
        shop.session.execute(update(WebhookEndpoint).values(old_secret_until=shop.clock.now))
    happen(shop)
    deliver(shop)
    after = server.received[1]
    assert after.verify(new)
    with pytest.raises(WebhookVerificationError):
        after.verify(old.secret)


def test_after_a_change_of_the_servers_key_nothing_is_signed_wrongly(
    shop: World, server: Receiver
) -> None:
    listen(shop, server.url)
    with write_transaction(shop.session):
        shop.session.execute(update(WebhookEndpoint).values(secret_sealed="bm8="))
    happen(shop)
    deliver(shop)
    assert server.received == []
    assert attempts(shop) == [(None, "secret_unreadable")]


def test_a_lease_of_a_dead_process_ends_by_itself(shop: World, server: Receiver) -> None:
    listen(shop, server.url)
    happen(shop)
    with write_transaction(shop.session):
        until = shop.clock.now + 60
        shop.session.execute(update(WebhookEndpoint).values(leased_by="dead", leased_until=until))
    deliver(shop)
    assert server.received == []
    shop.clock.pass_time(60)
    deliver(shop)
    assert states(shop) == ["delivered"]
    assert stored(shop, deliveries(shop)[0].endpoint_id).leased_by is None


def test_old_events_are_forgotten_with_all_that_was_delivered(
    shop: World, server: Receiver
) -> None:
    listen(shop, server.url)
    happen(shop, 2)
    deliver(shop)
    shop.clock.pass_time(29 * DAY_S)
    happen(shop)
    deliver(shop)
    shop.clock.pass_time(DAY_S + 1)
    forget_webhooks(shop.deps, shop.session)
    tables = (WebhookEvent, WebhookDelivery, WebhookAttempt)
    assert [rows(shop, table) for table in tables] == [1, 1, 1]
    assert shop.deps.settings.webhook_keep_days == 30
