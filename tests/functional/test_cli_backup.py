"""`bitcache backup` and `bitcache restore`: what comes back is what was there, or nothing does."""

import hashlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from sqlalchemy import make_url, text

from bitcache_server.models import migrate
from bitcache_server.services.backup_archive import DATABASE, MANIFEST, SIGNATURE
from bitcache_server.services.copy_database import contents
from tests.support.cli import Cli, write_config
from tests.support.databases import ENGINES, Databases, open_engine
from tests.support.processes import until
from tests.support.world import ORIGIN

OTHER_ENGINE = {"sqlite": "postgresql", "postgresql": "sqlite"}


@dataclass
class Shop:
    """A shop on the command line, with a folder for its backups."""

    folder: Path
    url: str
    engine: str
    cli: Cli

    @property
    def file(self) -> Path:
        return self.folder / "backups" / "shop.tar"

    def back_up(self, *words: str) -> dict[str, Any]:
        return dict(self.cli.ask("backup", str(self.file), *words)["backup"])

    def merchants(self) -> list[str]:
        return [one["name"] for one in self.cli.ask("merchant", "list")["merchants"]]

    def at(self, url: str, **settings: Any) -> Cli:
        """Return the command line of another server."""
        folder = self.folder / "elsewhere"
        folder.mkdir(exist_ok=True)
        return Cli(write_config(folder, database_url=url, rails=["fake"], **settings))


@pytest.fixture(params=ENGINES)
def shop(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Iterator[Shop]:
    with databases.fresh(request.param) as url:
        yield open_shop(tmp_path, url, request.param)


@pytest.fixture
def small_shop(databases: Databases, tmp_path: Path) -> Iterator[Shop]:
    """Return a shop on SQLite, for what has nothing to do with the database."""
    with databases.fresh("sqlite") as url:
        yield open_shop(tmp_path, url, "sqlite")


def open_shop(folder: Path, url: str, engine: str) -> Shop:
    cli = Cli(write_config(folder, database_url=url, rails=["fake"]))
    (folder / "backups").mkdir()
    merchant = cli.ask("merchant", "add", "--name", "Ada")["id"]
    cli.ask("site", "add", "--merchant", merchant, "--name", "Blog", "--origin", ORIGIN)
    songs = folder / "data" / "files" / "songs"
    songs.mkdir(parents=True)
    (songs / "one.ogg").write_bytes(bytes(range(256)) * 30)
    (songs / ".hidden").write_text("not for sale")
    return Shop(folder, url, engine, cli)


@pytest.fixture
def empty(shop: Shop, databases: Databases) -> Iterator[str]:
    with databases.empty(shop.engine) as url:
        yield url


def test_a_backup_is_private_and_says_what_it_holds(shop: Shop) -> None:
    made = shop.back_up("--with-files")
    assert shop.file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in shop.file.parent.iterdir()] == ["shop.tar"]
    assert (made["engine"], made["revision"]) == (shop.engine, migrate.head())
    assert (made["rows"]["merchants"], made["rows"]["sites"]) == (1, 1)
    assert [part["name"] for part in made["parts"]] == [DATABASE, "files/songs/one.ogg"]
    verified = shop.cli.ask("backup", "verify", str(shop.file))
    assert verified == {"backup": made, "audit": {"clean": True, "findings": []}}
    engine = open_engine(shop.url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id FROM backups")).scalars().all() == [made["id"]]
    engine.dispose()


def test_it_comes_back_into_an_empty_database(shop: Shop, empty: str) -> None:
    made = shop.back_up("--with-files")
    there = shop.at(empty)
    done = there.ask("restore", str(shop.file))
    assert (done["backup"], done["before"], done["files"], done["held"]) == (made, "", 1, 0)
    assert done["audit"]["clean"]
    assert [one["name"] for one in there.ask("merchant", "list")["merchants"]] == ["Ada"]
    assert there.ask("db", "check")["differences"] == []
    song = Path("files/songs/one.ogg")
    assert (shop.folder / "elsewhere/data" / song).read_bytes() == (
        shop.folder / "data" / song
    ).read_bytes()
    held = contents(empty).rows
    assert held["restored_merchants"] == 1, "what merchants are paid next is held"
    changed = {"restored_merchants", "backups"}
    assert {t: n for t, n in held.items() if t not in changed} == {
        t: n for t, n in made["rows"].items() if t not in changed
    }


def test_a_server_that_was_moved_holds_nothing(shop: Shop, empty: str) -> None:
    shop.back_up()
    shop.at(empty).ask("restore", str(shop.file), "--moved")
    assert contents(empty).rows["restored_merchants"] == 0


def test_what_is_there_is_put_aside_only_when_asked(shop: Shop, databases: Databases) -> None:
    shop.back_up()
    shop.cli.ask("merchant", "add", "--name", "Bob")
    code, detail = shop.cli.refuse("restore", str(shop.file))
    assert (code, "--replace" in detail) == ("restore_refused", True)
    assert shop.cli.refuse("restore", str(shop.file), "--replace")[0] == "restore_refused"
    assert sorted(shop.merchants()) == ["Ada", "Bob"]
    done = shop.cli.ask("restore", str(shop.file), "--replace", "--yes")
    assert done["audit"]["clean"]
    assert shop.merchants() == ["Ada"]
    if shop.engine == "sqlite":
        before = f"sqlite:///{done['before']}"
    else:
        before = databases.server.url(done["before"])
    assert contents(before).rows["merchants"] == 2
    if shop.engine == "postgresql":
        databases.server.drop_database(done["before"])


def test_a_database_in_use_is_left_alone(shop: Shop) -> None:
    shop.back_up()
    engine = open_engine(shop.url)
    with engine.connect() as connection:
        connection.execute(text("SELECT count(*) FROM merchants"))
        code, detail = shop.cli.refuse("restore", str(shop.file), "--replace", "--yes")
        assert (code, "bitcache serve" in detail) == ("restore_refused", True)
    engine.dispose()
    assert shop.merchants() == ["Ada"]


def test_it_goes_into_its_own_kind_of_database_only(shop: Shop, databases: Databases) -> None:
    shop.back_up()
    with databases.empty(OTHER_ENGINE[shop.engine]) as url:
        code, detail = shop.at(url).refuse("restore", str(shop.file))
        assert (code, shop.engine in detail) == ("backup_invalid", True)
        assert shop.at(url).refuse("backup", "verify", str(shop.file))[0] == "backup_invalid"
        assert contents(url).rows == {}


def test_an_old_backup_is_brought_up_to_date(databases: Databases, tmp_path: Path) -> None:
    for engine in ENGINES:
        folder = tmp_path / engine
        folder.mkdir()
        with databases.empty(engine) as old, databases.empty(engine) as new:
            migrate.upgrade(old, "0018")
            was = Cli(write_config(folder, database_url=old, rails=["fake"]))
            made = was.ask("backup", str(folder / "old.tar"))["backup"]
            assert made["revision"] == "0018"
            now = Cli(write_config(folder, database_url=new, rails=["fake"]))
            assert now.ask("backup", "verify", str(folder / "old.tar"))["audit"]["clean"]
            assert now.ask("restore", str(folder / "old.tar"))["audit"]["clean"]
            assert migrate.current(new) == migrate.head()


def test_a_backup_of_a_newer_version_is_refused(small_shop: Shop, databases: Databases) -> None:
    small_shop.back_up()
    rewrite(small_shop, lambda manifest: manifest.update(revision="9999"))
    with databases.empty("sqlite") as url:
        code, detail = small_shop.at(url).refuse("restore", "--other-key", str(small_shop.file))
    assert (code, "newer version" in detail) == ("backup_invalid", True)


def rewrite(shop: Shop, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest as one would who has no key."""
    members = {}
    with tarfile.open(shop.file) as tar:
        for member in tar:
            source = tar.extractfile(member)
            assert source is not None
            members[member.name] = source.read()
    manifest = json.loads(members[MANIFEST])
    change(manifest)
    members[MANIFEST] = json.dumps(manifest).encode()
    signed = json.loads(members[SIGNATURE])
    signed["sha256"] = hashlib.sha256(members[MANIFEST]).hexdigest()
    members[SIGNATURE] = json.dumps(signed).encode()
    write_tar(shop.file, members)


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_another_key_is_noticed(small_shop: Shop, databases: Databases) -> None:
    small_shop.back_up()
    with databases.empty("sqlite") as url:
        there = small_shop.at(url, secret_key="another-" * 6)
        code, detail = there.refuse("restore", str(small_shop.file))
        assert (code, "secret_key" in detail) == ("backup_invalid", True)
        assert there.ask("restore", "--other-key", str(small_shop.file))["audit"]["clean"]


@pytest.mark.parametrize("place", [0.0, 0.2, 0.5, 0.9, 0.985])
def test_a_changed_or_shorter_file_is_refused(
    small_shop: Shop, databases: Databases, place: float
) -> None:
    small_shop.back_up("--with-files")
    whole = small_shop.file.read_bytes()
    at = int(len(whole.rstrip(b"\0")) * place)
    damaged = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    with databases.empty("sqlite") as url:
        for data in (whole[:at], damaged):
            small_shop.file.write_bytes(data)
            assert small_shop.at(url).refuse("restore", str(small_shop.file))[0] == "backup_invalid"
            verify = small_shop.cli.refuse("backup", "verify", str(small_shop.file))
            assert verify[0] == "backup_invalid"
        assert not Path(url.removeprefix("sqlite:///")).exists()
        assert list((small_shop.folder / "elsewhere/data").glob("**/*.ogg")) == []


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "files/../../evil",
        "files",
        "other",
        "files/",
        "files//a",
        "./database",
    ],
)
def test_a_part_stays_in_its_folder(small_shop: Shop, name: str) -> None:
    write_tar(small_shop.file, {name: b"x", MANIFEST: b"{}", SIGNATURE: b"{}"})
    assert small_shop.cli.refuse("backup", "verify", str(small_shop.file))[0] == "backup_invalid"


def test_a_link_in_the_archive_is_refused(small_shop: Shop) -> None:
    with tarfile.open(small_shop.file, "w") as tar:
        link = tarfile.TarInfo("files/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert small_shop.cli.refuse("backup", "verify", str(small_shop.file))[0] == "backup_invalid"


def test_files_of_others_are_not_overwritten_unasked(
    small_shop: Shop, databases: Databases
) -> None:
    small_shop.back_up("--with-files")
    mine = small_shop.folder / "elsewhere/data/files/songs/one.ogg"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with databases.empty("sqlite") as url:
        there = small_shop.at(url)
        assert there.refuse("restore", str(small_shop.file))[0] == "restore_refused"
        assert mine.read_text() == "mine"
        there.ask("restore", "--replace", "--yes", str(small_shop.file))
        assert mine.read_bytes()[:3] == b"\x00\x01\x02"


def test_through_pipes(shop: Shop, empty: str) -> None:
    """What a person pipes through an encrypting program."""
    elsewhere = shop.at(empty)
    wrote = run(shop.cli, "backup", "-", "--with-files", stdin=b"")
    read = run(elsewhere, "restore", "-", stdin=wrote)
    assert b"The books balance." in read
    assert [one["name"] for one in elsewhere.ask("merchant", "list")["merchants"]] == ["Ada"]


def run(cli: Cli, *words: str, stdin: bytes) -> bytes:
    return subprocess.run(
        [sys.executable, "-m", "bitcache_server", *words],
        input=stdin,
        env={**os.environ, **{k: v for k, v in cli.env.items() if v is not None}},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def test_nobody_is_asked_where_nobody_sits(small_shop: Shop) -> None:
    small_shop.back_up()
    # Nobody sits at this terminal: it must not even ask.
    result = small_shop.cli.run("restore", "--replace", str(small_shop.file), stdin="replace\n")
    assert (result.exit_code, "--yes" in result.stderr) == (1, True)


def test_a_kill_leaves_the_old_file(small_shop: Shop, tmp_path: Path) -> None:
    """The files for sale hold a pipe's other end: the backup is in the middle of its work."""
    small_shop.back_up()
    before = small_shop.file.read_bytes()
    big = small_shop.folder / "data/files/big.bin"
    with big.open("wb") as file:
        file.truncate(3_000_000_000)
    env = {k: v for k, v in small_shop.cli.env.items() if v is not None}
    process = subprocess.Popen(
        [sys.executable, "-m", "bitcache_server", "backup", "--with-files", str(small_shop.file)],
        env={**os.environ, **env},
    )
    until(lambda: list(small_shop.file.parent.glob(".bitcache-*/backup")), "it never began")
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert small_shop.file.read_bytes() == before
    big.unlink()
    assert small_shop.cli.ask("backup", "verify", str(small_shop.file))["audit"]["clean"]


def test_a_full_disk_leaves_the_old_file(shop: Shop) -> None:
    """The system refuses longer files, as a full disk would."""
    shop.back_up()
    before = shop.file.read_bytes()
    program = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    program += "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); "
    program += "from bitcache_server.cli import main; main(sys.argv[1:])"
    env = {k: v for k, v in shop.cli.env.items() if v is not None}
    done = subprocess.run(
        [sys.executable, "-c", program, "backup", str(shop.file)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "backup_failed" in done.stderr or "system_error" in done.stderr
    assert shop.file.read_bytes() == before
    assert [path.name for path in shop.file.parent.iterdir()] == ["shop.tar"]


def test_a_damaged_database_makes_no_backup(small_shop: Shop) -> None:
    small_shop.back_up()
    path = Path(small_shop.url.removeprefix("sqlite:///"))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [page] = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'merchants'"
        ).fetchone()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    before = small_shop.file.read_bytes()
    assert small_shop.cli.refuse("backup", str(small_shop.file))[0] == "backup_failed"
    assert small_shop.file.read_bytes() == before


def test_a_damaged_database_is_replaced(small_shop: Shop) -> None:
    small_shop.back_up()
    path = Path(small_shop.url.removeprefix("sqlite:///"))
    path.write_bytes(b"These are my shopping notes, and long enough to be read as a database.")
    done = small_shop.cli.ask("restore", "--replace", "--yes", str(small_shop.file))
    assert done["audit"]["clean"]
    assert small_shop.merchants() == ["Ada"]
    assert Path(done["before"]).read_bytes().startswith(b"These are my shopping")


def test_what_cannot_be_backed_up_says_so(small_shop: Shop, databases: Databases) -> None:
    code, detail = small_shop.cli.refuse("backup", "/nowhere/at/all.tar")
    assert (code, detail) == ("backup_failed", "There is no folder /nowhere/at.")
    with databases.empty("sqlite") as url:
        code, detail = small_shop.at(url).refuse("backup", str(small_shop.file))
    assert (code, detail) == ("backup_failed", "The database has no tables yet.")


def test_a_missing_program_is_named(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with databases.fresh("postgresql") as url:
        shop = open_shop(tmp_path, url, "postgresql")
        monkeypatch.setattr("bitcache_server.services.copy_database._PG_FOLDERS", "nowhere/*")
        monkeypatch.setenv("PATH", "/nowhere")
        code, detail = shop.cli.refuse("backup", str(shop.file))
    assert (code, "pg_dump" in detail) == ("backup_failed", True)


def test_a_role_that_may_create_no_database(databases: Databases, tmp_path: Path) -> None:
    """It can back up, and restore into an empty database; the rest says what it needs."""
    with databases.fresh("postgresql") as url, databases.empty("postgresql") as free:
        for one in (url, free):
            grant(databases, one)
        shop = open_shop(tmp_path, as_role(url), "postgresql")
        shop.back_up()
        code, detail = shop.cli.refuse("backup", "verify", str(shop.file))
        assert (code, "CREATEDB" in detail) == ("backup_failed", True)
        assert shop.cli.refuse("restore", str(shop.file), "--replace", "--yes")[0] == code
        assert shop.merchants() == ["Ada"]
        assert shop.at(as_role(free)).ask("restore", str(shop.file))["audit"]["clean"]


def grant(databases: Databases, url: str) -> None:
    name = sql.Identifier(str(make_url(url).database))
    with databases.server.admin() as connection:
        known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'humble'").fetchone()
        if known is None:
            connection.execute("CREATE ROLE humble LOGIN")
        connection.execute(sql.SQL("GRANT ALL ON DATABASE {} TO humble").format(name))
    engine = open_engine(url)
    with engine.begin() as made:
        made.execute(text("GRANT ALL ON SCHEMA public TO humble"))
        made.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO humble"))
        made.execute(text("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO humble"))
    engine.dispose()


def as_role(url: str) -> str:
    return url.replace("://bitcache@", "://humble@")
