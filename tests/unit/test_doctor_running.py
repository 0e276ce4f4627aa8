"""The doctor before going live: proxies, mail, backups."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from bitcache_server import wiring
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.operations import Backup
from bitcache_server.models.session import write_transaction
from bitcache_server.services.deps import Deps
from bitcache_server.services.diagnose_running import check_backups, check_mail, check_proxy
from bitcache_server.services.findings import Finding
from tests.support.databases import Databases, open_engine
from tests.support.world import START, make_settings

DAY_S = 86_400


@pytest.fixture
def session(databases: Databases) -> Iterator[Session]:
    with databases.fresh("sqlite") as url:
        engine = open_engine(url)
        with Session(engine) as opened:
            yield opened
        engine.dispose()


def deps_with(folder: Path, **settings: Any) -> Deps:
    return wiring.build(make_settings(folder, **settings), clock=lambda: START)


def codes(found: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(one.level, one.code) for one in found]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"trusted_proxies": 1}, ("ok", "ok")),
        ({}, ("warning", "proxy_not_trusted")),
        ({"public_url": "http://127.0.0.1:8402"}, ("ok", "ok")),
        ({"public_url": "http://localhost:8402", "bind_host": "localhost"}, ("ok", "ok")),
        ({"public_url": "http://1.2.3.4", "bind_host": "0.0.0.0"}, ("warning", "listener_open")),
        ({"public_url": "http://x.example", "bind_host": "::"}, ("warning", "listener_open")),
    ],
)
def test_proxies(tmp_path: Path, settings: dict[str, Any], expected: tuple[str, str]) -> None:
    assert codes(check_proxy(deps_with(tmp_path, **settings))) == [expected]


def test_metrics_that_a_proxy_may_open(tmp_path: Path) -> None:
    [without] = check_proxy(deps_with(tmp_path))
    [with_token] = check_proxy(deps_with(tmp_path, metrics_token="x" * 20))
    assert ("/metrics" in without.found, "/metrics" in with_token.found) == (True, False)


def test_mail(tmp_path: Path) -> None:
    assert codes(check_mail(deps_with(tmp_path))) == []
    assert codes(check_mail(deps_with(tmp_path, sign_up="open"))) == [("warning", "no_mail")]


def test_backups(tmp_path: Path, session: Session) -> None:
    deps = deps_with(tmp_path)
    assert codes(check_backups(deps, session)) == []
    with write_transaction(session):
        session.add(Wallet(id="wa_1", balance_msat=0, gift_msat=0, created_at=START))
        session.flush()
        entry = Entry(Kind.TOP_UP, chart.OPENING, chart.wallet("wa_1"), 1_000)
        post(session, [entry], owner_id="wa_1", now=START)
    assert codes(check_backups(deps, session)) == [("warning", "backup_missing")]
    for age_days, expected in ((8, ("warning", "backup_old")), (6, ("ok", "ok"))):
        with write_transaction(session):
            at = START - age_days * DAY_S
            session.add(Backup(id=f"bu_{age_days}", taken_at=at, size_bytes=1, with_files=False))
        assert codes(check_backups(deps, session)) == [expected]
