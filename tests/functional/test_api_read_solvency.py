"""GET /v1/solvency: the published figures, for everybody."""

from bitcache_server.services.solvency import publish
from tests.support.api import assert_problem
from tests.support.books import open_wallet
from tests.support.world import World


def test_before_the_first_report_there_is_none(sqlite_world: World) -> None:
    assert_problem(sqlite_world.get("/v1/solvency"), 404, "not_found")


def test_the_newest_report_is_public(sqlite_world: World) -> None:
    world = sqlite_world
    open_wallet(world.session, balance_msat=5_000, gift_msat=70)
    open_wallet(world.session, "wa_2", balance_msat=1)
    report = publish(world.deps, world.session)
    assert report is not None
    root_hash, report_id = report.root_hash, report.id
    world.session.rollback()
    answer = world.client.get("/v1/solvency")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.get_json() == {
        "format": "bitcache.solvency.v1",
        "id": report_id,
        "root_hash": root_hash,
        "total_msat": 5_071,
        "others_msat": 0,
        "held_msat": None,
        "leaves": 2,
        "created_at": world.clock(),
    }
    assert "wa_" not in answer.text


def test_pages_of_sites_may_read_it(sqlite_world: World) -> None:
    open_wallet(sqlite_world.session, balance_msat=1)
    publish(sqlite_world.deps, sqlite_world.session)
    sqlite_world.session.rollback()
    answer = sqlite_world.get("/v1/solvency")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://blog.example"
