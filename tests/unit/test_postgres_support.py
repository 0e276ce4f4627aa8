"""The server that the other tests trust."""

import os
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.postgres import PostgresMissing, PostgresServer


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres, "BINARY_FOLDERS", f"{tmp_path}/*/bin")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PostgresMissing, match="package 'postgresql'"):
        PostgresServer()


def test_a_server_leaves_nothing_behind() -> None:
    with PostgresServer() as server:
        pid, folder = server.pid, Path(server.url("x").partition("host=")[2])
        server.create_database("one")
        server.create_database("two", "one")
        server.drop_database("one")
        with server.admin() as connection:
            names = connection.execute("SELECT datname FROM pg_database").fetchall()
        assert {("two",)} <= set(names)
        assert ("one",) not in names
        assert folder.is_dir()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
def test_a_durable_server_waits_for_the_disk(durable: bool, fsync: str) -> None:
    with PostgresServer(durable=durable) as server, server.admin() as connection:
        assert connection.execute("SHOW fsync").fetchone() == (fsync,)
