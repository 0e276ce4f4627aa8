"""Who saw a wall, counted without keeping anything of them."""

import logging
import threading

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import StorageBusy
from bitcache_server.extensions import db
from bitcache_server.http import visits as writer
from bitcache_server.models.visits import ItemDay
from bitcache_server.services import visits
from bitcache_server.services.funnels import funnels, glance
from bitcache_server.services.visit_counts import MOST_KEPT, VisitCounts
from bitcache_server.services.visits import write_counts
from tests.support.takings import add_sales, sale
from tests.support.world import PUBLIC_URL, World


def written(world: World) -> dict[str, tuple[int, int]]:
    """Write the counts down and return them by item."""
    write_counts(world.deps, world.session)
    world.session.rollback()
    rows = world.session.scalars(select(ItemDay)).all()
    found = {row.item_id: (row.seen, row.started) for row in rows}
    world.session.rollback()
    return found


def test_a_page_of_the_site_and_the_checkout_page_are_counted(world: World) -> None:
    assert world.get(f"/v1/items/{world.article_id}").status_code == 200
    assert world.client.get(f"/pay/{world.article_id}").status_code == 200
    assert world.client.get(f"/pay/{world.file_id}").status_code == 200
    assert written(world) == {world.article_id: (2, 0), world.file_id: (1, 0)}
    assert world.get(f"/v1/items/{world.article_id}").status_code == 200
    assert written(world)[world.article_id] == (3, 0)


def test_machines_prefetches_and_the_merchant_are_not(world: World) -> None:
    client, item = world.client, world.article_id
    assert client.head(f"/pay/{item}").status_code == 200
    for header in ({"Sec-Purpose": "prefetch"}, {"Sec-Purpose": "prefetch;prerender"}):
        assert client.get(f"/pay/{item}", headers=header).status_code == 200
    from_us = {"Referer": f"{PUBLIC_URL}/dashboard/{world.merchant_id}/items/{item}"}
    assert client.get(f"/pay/{item}", headers=from_us).status_code == 200
    # A server that reads the price, and the preview in the dashboard: no page of a site.
    assert client.get(f"/v1/items/{item}").status_code == 200
    assert client.get(f"/v1/items/{item}", headers={"Origin": PUBLIC_URL}).status_code == 200
    assert client.get("/pay/it_unknown").status_code == 404
    assert world.get("/v1/items/it_unknown").status_code == 404
    assert written(world) == {}


def test_nothing_is_kept_of_the_reader(world: World) -> None:
    answer = world.get(f"/v1/items/{world.article_id}", User_Agent="Remarkable/1.0")
    assert "Set-Cookie" not in answer.headers
    written(world)
    row = world.session.execute(text("SELECT * FROM item_days")).mappings().one()
    assert dict(row) == {
        "item_id": world.article_id,
        "day": world.clock() // SECONDS_PER_DAY,
        "site_id": world.site_id,
        "seen": 1,
        "started": 0,
        "paid": 0,
        "clicked": 0,
        "revenue_msat": 0,
    }


def test_two_processes_add_up(world: World) -> None:
    other = VisitCounts()
    for counts, number in ((world.deps.visit_counts, 2), (other, 3)):
        for _ in range(number):
            counts.add(world.article_id, world.clock() // SECONDS_PER_DAY, seen=1)
    barrier = threading.Barrier(2)
    failures: list[Exception] = []

    def process(counts: VisitCounts) -> None:
        with world.app.app_context():
            try:
                session = db.session()
                deps = type(world.deps)(**{**vars(world.deps), "visit_counts": counts})
                barrier.wait()
                write_counts(deps, session)
            except Exception as error:
                failures.append(error)

    both = [threading.Thread(target=process, args=(c,)) for c in (world.deps.visit_counts, other)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert failures == []
    assert written(world) == {world.article_id: (5, 0)}


def test_a_database_that_cannot_be_written_breaks_no_request(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def busy(session: Session, taken: object) -> None:
        raise StorageBusy("The database is busy.")

    with monkeypatch.context() as patched:
        patched.setattr(visits, "_add", busy)
        assert world.get(f"/v1/items/{world.article_id}").status_code == 200
        with caplog.at_level(logging.WARNING):
            writer._write(world.app)
        assert "wait" in caplog.text
        assert world.get(f"/v1/items/{world.article_id}").status_code == 200
    assert written(world) == {world.article_id: (2, 0)}


def test_a_writer_that_holds_the_database_keeps_no_reader_waiting(world: World) -> None:
    with db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
        else:
            connection.exec_driver_sql("LOCK TABLE item_days IN ACCESS EXCLUSIVE MODE")
        assert world.get(f"/v1/items/{world.article_id}").status_code == 200
        assert world.client.get(f"/pay/{world.article_id}").status_code == 200
        connection.exec_driver_sql("ROLLBACK")
    assert written(world) == {world.article_id: (2, 0)}


def test_the_memory_for_counts_has_a_bound() -> None:
    counts = VisitCounts()
    for number in range(MOST_KEPT + 10):
        counts.add(f"it_{number}", 1, seen=1)
    counts.add("it_0", 1, seen=1)
    taken = counts.take()
    assert len(taken) == MOST_KEPT
    assert taken["it_0", 1].seen == 2


def test_an_item_that_is_gone_is_left_out(world: World) -> None:
    world.deps.visit_counts.add("it_gone", 20_000, seen=1)
    world.deps.visit_counts.add(world.article_id, 20_000, seen=1)
    assert written(world) == {world.article_id: (1, 0)}


def test_the_way_from_seeing_to_paying(world: World) -> None:
    for _ in range(10):
        world.get(f"/v1/items/{world.article_id}")
    world.buy()
    world.buy()
    world.deps.visit_counts.add(world.article_id, world.clock() // SECONDS_PER_DAY, started=1)
    now = world.clock()
    add_sales(
        world,
        sale(world, now, 98_000, 1, invoice_id="in_1", rail="fake", owner_kind="invoice"),
        sale(world, now, 98_000, 2),
        sale(world, now, 98_000, 3, state="refunded", refunded_at=now),
        sale(world, now, 98_000, 4, kind="share", item_id="it_of_others"),
    )
    written(world)
    # Two invoices, one click that paid, one for which the balance was too small.
    whole = glance(world.session, world.merchant_id, now - 60).whole
    assert (whole.seen, whole.started, whole.paid, whole.revenue_msat) == (10, 4, 2, 196_000)
    ids = [world.article_id, world.file_id]
    each = funnels(world.session, ids, now - 60)
    assert each[world.article_id] == whole
    assert each[world.file_id].seen == 0
    later = glance(world.session, world.merchant_id, now + SECONDS_PER_DAY).whole
    assert (later.seen, later.started, later.paid) == (0, 0, 0)
