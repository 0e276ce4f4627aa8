"""GET /health: what is ill, and since when."""

from typing import Any

import pytest
from flask import Flask

from bitcache_server import jobs
from bitcache_server.jobs import Job, run_jobs
from bitcache_server.models.accounts import QueuedMail
from bitcache_server.models.operations import RailStatus
from bitcache_server.models.session import write_transaction
from bitcache_server.models.solvency import Reconciliation
from bitcache_server.models.webhooks import WebhookDelivery, WebhookEndpoint
from bitcache_server.services.queue_health import FAILING_AFTER_S, LATE_AFTER_S, SILENT_AFTER_S
from tests.support.api import call
from tests.support.world import World


def part(world: World, name: str) -> dict[str, Any]:
    answer = call(world, "GET", "/health")
    [found] = [one for one in answer.get_json()["parts"] if one["name"] == name]
    return dict(found)


def add(world: World, *rows: object) -> None:
    with write_transaction(world.session):
        world.session.add_all(rows)


def test_all_is_well_after_a_round_of_the_jobs(world: World) -> None:
    assert run_jobs(world.app, only_once=True)
    answer = call(world, "GET", "/health")
    assert (answer.status_code, answer.get_json()["ok"]) == (200, True)
    assert {one["code"] for one in answer.get_json()["parts"]} == {"ok"}
    assert {one["since"] for one in answer.get_json()["parts"]} == {None}


def test_jobs_that_went_away(world: World) -> None:
    never = part(world, "jobs")
    assert (never["ok"], never["code"], never["since"]) == (False, "never_ran", None)
    assert run_jobs(world.app, only_once=True)
    began = world.clock.now
    world.clock.pass_time(SILENT_AFTER_S)
    assert part(world, "jobs")["ok"]
    world.clock.pass_time(1)
    silent = part(world, "jobs")
    assert (silent["code"], silent["since"], silent["vital"]) == ("jobs_silent", began, False)


def run(app: Flask, monkeypatch: pytest.MonkeyPatch, job: Job) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "all_jobs", lambda *_: [job])
        run_jobs(app, only_once=True)


def test_a_job_that_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("this is meant to be")

    began = world.clock.now
    for _ in range(3):
        run(world.app, monkeypatch, Job("tidy", 1, fail))
        world.clock.pass_time(FAILING_AFTER_S // 2 + 1)
    ill = part(world, "jobs")
    assert (ill["code"], ill["since"]) == ("job_fails", began)
    assert "tidy" in ill["detail"]
    run(world.app, monkeypatch, Job("tidy", 1, lambda *_: None))
    assert part(world, "jobs")["ok"]


def test_a_rail_says_since_when(world: World) -> None:
    well_at = world.clock.now
    world.clock.pass_time(10)
    with write_transaction(world.session):
        row = world.session.get_one(RailStatus, "fake")
        row.ok, row.code, row.detail = False, "node_syncing", "It syncs."
        row.checked_at = world.clock.now
    ill = part(world, "fake")
    assert (ill["code"], ill["since"]) == ("node_syncing", well_at)


def test_old_rates_say_since_when(world: World) -> None:
    as_of = world.clock.now
    world.clock.pass_time(world.deps.settings.rate_max_age_s + 50)
    ill = part(world, "rates")
    assert (ill["code"], ill["since"]) == ("rates_old", as_of + world.deps.settings.rate_max_age_s)


def test_missing_money_says_since_when(world: World) -> None:
    add(
        world,
        Reconciliation(
            rail="fake",
            code="short",
            booked_msat=2,
            held_msat=1,
            detail="",
            checked_at=world.clock.now,
            since=77,
        ),
    )
    ill = part(world, "reconciliation")
    assert (ill["code"], ill["since"]) == ("short", 77)


def test_mails_that_wait_too_long(world: World) -> None:
    now = world.clock.now
    mail = {"to_address": "a@example.org", "subject": "", "text_sealed": "", "next_try_at": now}
    add(world, QueuedMail(id="ma_1", created_at=now, **mail))
    world.clock.pass_time(LATE_AFTER_S)
    assert part(world, "mails")["ok"]
    world.clock.pass_time(1)
    ill = part(world, "mails")
    assert (ill["code"], ill["since"]) == ("late", now)


def endpoint(world: World, number: int, **values: Any) -> WebhookEndpoint:
    return WebhookEndpoint(
        **{
            "id": f"we_{number}",
            "merchant_id": world.merchant_id,
            "url": "https://a.example",
            "description": "",
            "event_types": "*",
            "secret_sealed": "",
            "enabled": True,
            "disabled_reason": "",
            "created_at": world.clock.now,
            **values,
        }
    )


def delivery(world: World, number: int, **values: Any) -> WebhookDelivery:
    return WebhookDelivery(
        **{
            "endpoint_id": f"we_{number}",
            "event_number": number,
            "state": "waiting",
            "attempts": 0,
            "next_at": world.clock.now,
            "created_at": world.clock.now,
            **values,
        }
    )


def test_webhooks_that_nobody_sends(world: World) -> None:
    now = world.clock.now
    add(
        world,
        endpoint(world, 1, failing_since=now),
        endpoint(world, 2, enabled=False, disabled_reason="paused"),
        endpoint(world, 3),
        endpoint(world, 4),
        delivery(world, 1),
        delivery(world, 2),
        delivery(world, 3, attempts=1),
        delivery(world, 4, next_at=now + 10),
    )
    world.clock.pass_time(LATE_AFTER_S + 10)
    assert part(world, "webhooks")["ok"], "what receivers refuse is no fault of ours"
    world.clock.pass_time(1)
    ill = part(world, "webhooks")
    assert (ill["code"], ill["since"]) == ("late", now + 10)


def test_sales_that_nobody_books(world: World) -> None:
    purchase = world.buy()
    world.pay(purchase)
    world.mine()
    sold_at = world.clock.now
    world.clock.pass_time(LATE_AFTER_S + 1)
    ill = part(world, "sales_book")
    assert (ill["code"], ill["since"]) == ("late", sold_at)
    assert run_jobs(world.app, only_once=True)
    assert part(world, "sales_book")["ok"]
