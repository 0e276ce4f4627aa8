"""The database from the command line: creating, comparing, and every way to be away."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from bitcache_server.models import migrate
from tests.support.cli import Cli, write_config
from tests.support.databases import ENGINES, Databases, open_engine


@pytest.mark.parametrize("engine", ENGINES)
def test_tables_are_created_once(databases: Databases, engine: str, tmp_path: Path) -> None:
    with databases.empty(engine) as url:
        cli = Cli(write_config(tmp_path, database_url=url))
        before = cli.ask("db", "check", exit_code=1)
        assert (before["engine"], before["revision"]) == (engine, None)
        assert before["pending"][0] == "0001"
        assert cli.refuse("merchant", "list") == (
            "configuration_error",
            "The database has no tables yet. Run `bitcache db upgrade` first.",
        )
        first = cli.ask("db", "upgrade")
        assert first == {"ran": before["pending"], "revision": migrate.head()}
        assert cli.ask("db", "upgrade")["ran"] == []
        after = cli.ask("db", "check")
        assert after["pending"] == after["differences"] == []
        assert cli.ask("merchant", "list") == {"merchants": []}


def test_the_default_database_lies_in_a_private_folder(tmp_path: Path) -> None:
    cli = Cli(write_config(tmp_path))
    assert not (tmp_path / "data").exists()
    assert cli.ask("db", "check", exit_code=1)["revision"] is None
    assert not (tmp_path / "data").exists(), "looking must not create anything"
    cli.ask("db", "upgrade")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_a_table_that_differs_is_found(databases: Databases, tmp_path: Path) -> None:
    with databases.fresh("sqlite") as url:
        engine = open_engine(url)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE merchants DROP COLUMN descriptor"))
        engine.dispose()
        cli = Cli(write_config(tmp_path, database_url=url))
        [difference] = cli.ask("db", "check", exit_code=1)["differences"]
        assert "descriptor" in difference


def test_a_database_of_a_newer_version_is_left_alone(databases: Databases, tmp_path: Path) -> None:
    with databases.fresh("sqlite") as url:
        engine = open_engine(url)
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        engine.dispose()
        cli = Cli(write_config(tmp_path, database_url=url))
        for words in (["db", "check"], ["db", "upgrade"], ["merchant", "list"]):
            code, detail = cli.refuse(*words)
            assert code == "configuration_error"
            assert "newer version" in detail


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("nonsense", "configuration_error"),
        ("mysql://u:hunter2@localhost/x", "configuration_error"),
        ("martian://u:hunter2@localhost/x", "configuration_error"),
        ("postgresql://u:hunter2@127.0.0.1:1/x", "storage_unavailable"),
        ("postgresql://u:hunter2@/x?host=/nowhere", "storage_unavailable"),
        ("sqlite:////proc/nowhere/x.db", "system_error"),
    ],
)
def test_databases_that_are_away(tmp_path: Path, url: str, code: str) -> None:
    cli = Cli(write_config(tmp_path, database_url=url))
    found, detail = cli.refuse("db", "upgrade")
    assert found == code
    assert "hunter2" not in detail


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("These are my shopping notes, and long enough to be read.")
    cli = Cli(write_config(tmp_path, database_url=f"sqlite:///{tmp_path}/x.db"))
    assert cli.refuse("merchant", "list")[0].startswith("storage_")
    assert (tmp_path / "x.db").read_text().startswith("These are my shopping notes")


def test_wrong_settings_are_named_without_their_values(tmp_path: Path) -> None:
    cli = Cli(write_config(tmp_path, secret_key="tooshort", port=70_000))
    code, detail = cli.refuse("merchant", "list")
    assert code == "configuration_error"
    assert "secret_key (BITCACHE_SECRET_KEY)" in detail
    assert "port (BITCACHE_PORT)" in detail
    assert "tooshort" not in detail


def test_a_settings_file_that_is_missing_or_broken(tmp_path: Path) -> None:
    assert "cannot read" in Cli(tmp_path / "absent.toml").refuse("db", "check")[1]
    (tmp_path / "broken.toml").write_text("secret_key = ")
    assert "not valid TOML" in Cli(tmp_path / "broken.toml").refuse("db", "check")[1]


def test_help_and_version_need_no_settings(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "absent.toml")
    assert cli.run("--version").stdout.startswith("bitcache, version ")
    for words in ([], ["site"], ["item", "add"], ["serve"], ["ledger", "audit"]):
        shown = cli.run(*words, "--help")
        assert shown.exit_code == 0
        assert "Usage: " in shown.stdout


def test_jobs_run_once_and_report_failures(databases: Databases, tmp_path: Path) -> None:
    with databases.fresh("sqlite") as url:
        well = Cli(write_config(tmp_path, database_url=url, rails=["fake"]))
        assert well.ask("jobs", "--once") == {"ok": True}
        away = Cli(write_config(tmp_path, database_url=url))
        result = away.run("jobs", "--once", "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout) == {"ok": False}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dry_run_changes_nothing(databases: Databases, engine: str, tmp_path: Path) -> None:
    with databases.empty(engine) as url:
        cli = Cli(write_config(tmp_path, database_url=url))
        assert cli.ask("db", "upgrade", "--dry-run")["pending"][0] == "0001"
        migrate.upgrade(url, "0018")
        before = cli.ask("db", "check", exit_code=1)
        tried = cli.ask("db", "upgrade", "--dry-run")
        assert tried["pending"] == before["pending"]
        assert tried["pending"][0] == "0019"
        assert (tried["engine"], tried["clean"], tried["findings"]) == (engine, True, [])
        assert tried["rows"]["job_leases"] == 0
        assert ("job_leases" in tried["locked"]) == (engine == "postgresql")
        assert cli.ask("db", "check", exit_code=1) == before
        assert "hunter2" not in cli.run("db", "upgrade", "--dry-run").output
        assert list((tmp_path / "data").glob(".*")) == []
        cli.ask("db", "upgrade")
        assert cli.ask("db", "upgrade", "--dry-run")["pending"] == []


def test_an_upgrade_takes_a_backup_first(databases: Databases, tmp_path: Path) -> None:
    with databases.empty("sqlite") as url:
        cli = Cli(write_config(tmp_path, database_url=url))
        kept = tmp_path / "before.tar"
        migrate.upgrade(url, "0018")
        cli.ask("db", "upgrade", "--backup", str(kept))
        assert cli.ask("backup", "verify", str(kept))["backup"]["revision"] == "0018"
        kept.unlink()
        assert cli.ask("db", "upgrade", "--backup", str(kept))["ran"] == []
        assert not kept.exists(), "there was nothing to do"
