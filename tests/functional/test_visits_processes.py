"""The counts of two server processes, which write them down when they end."""

import signal
from pathlib import Path

from sqlalchemy import select

from bitcache_server.models.visits import ItemDay
from tests.support.processes import PATIENCE_S, programs
from tests.support.world import ORIGIN, World

VISITS = 12


def test_processes_that_end_leave_their_counts(world: World, tmp_path: Path) -> None:
    world.session.rollback()
    url = world.deps.settings.database_url
    with programs(tmp_path / "served", url, workers=2) as made:
        made.serve()
        made.wait_until_serving()
        for _ in range(VISITS):
            path = f"/v1/items/{world.article_id}"
            assert made.ask("GET", path, headers={"Origin": ORIGIN}).status_code == 200
        made.running[0].send_signal(signal.SIGTERM)
        assert made.running[0].wait(PATIENCE_S) == 0, made.said()
    rows = world.session.scalars(select(ItemDay)).all()
    assert [(row.item_id, row.seen) for row in rows] == [(world.article_id, VISITS)]
