"""A private PostgreSQL server, made for one run and removed after it.

Uses the binaries of Debian's or any other package, never the system's cluster:
its files lie in a temporary folder and it listens on a Unix socket there, so that
it meets no other server. Works outside pytest too::

    with PostgresServer(durable=True) as server:
        url = server.create_database("bench")
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

BINARY_FOLDERS = "/usr/lib/postgresql/*/bin"
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
SUPERUSER = "bitcache"
MEMORY_FOLDER = "/dev/shm"
MEMORY_BYTES = 2 * 2**30

_COMMON_OPTIONS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
}
#: A crash of the machine may destroy the data; a crash of the server does not.
_FAST_OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresMissing(RuntimeError):
    """The programs are not installed."""


def find_binaries() -> Path:
    """Return the newest folder with initdb and postgres; raise PostgresMissing."""
    folders = [Path(folder) for folder in Path("/").glob(BINARY_FOLDERS.lstrip("/"))]
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    usable = [f for f in folders if (f / "initdb").is_file() and (f / "postgres").is_file()]
    if not usable:
        raise PostgresMissing(
            "PostgreSQL's initdb and postgres are missing: install Debian's package "
            "'postgresql' (or set PATH to where they are)."
        )
    return max(usable, key=_version)


def _version(folder: Path) -> list[int]:
    return [int(part) for part in folder.parent.name.split(".") if part.isdigit()]


def memory_folder() -> str | None:
    """Return the folder in memory, if there is room: each test's database is hundreds of files."""
    try:
        room = shutil.disk_usage(MEMORY_FOLDER).free >= MEMORY_BYTES
    except OSError:
        return None
    return MEMORY_FOLDER if room and os.access(MEMORY_FOLDER, os.W_OK) else None


class PostgresServer:
    """One server with its own data folder; start it with ``with`` or ``start()``."""

    def __init__(self, *, durable: bool = False, options: Mapping[str, str] | None = None) -> None:
        self.durable = durable
        self._options = dict(options or {})
        self._binaries = find_binaries()
        self._folder = Path(
            tempfile.mkdtemp(prefix="bc-pg-", dir=None if durable else memory_folder())
        )
        self._data = str(self._folder / "data")
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._kept: psycopg.Connection | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Return the process id of the server."""
        if self._process is None:
            raise RuntimeError("The server is not running.")
        return self._process.pid

    def start(self) -> None:
        """Create the cluster the first time and start the server."""
        try:
            if not Path(self._data).exists():
                self._initialise()
            options = _COMMON_OPTIONS | ({} if self.durable else _FAST_OPTIONS) | self._options
            settings = [f"--{name}={value}" for name, value in options.items()]
            command = [str(self._binaries / "postgres"), "-D", self._data]
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*_as_user(), *command, "-k", str(self._folder), *settings],
                    stdout=log,
                    stderr=log,
                    cwd=self._folder,
                )
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        self.halt(signal.SIGINT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def halt(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server and keep the data: SIGINT is fast, SIGKILL is a crash."""
        process, self._process = self._process, None
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        if process is None:
            return
        children = _children(process.pid)
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # After a crash they outlive it for a moment, and no new one may start beside them.
        ends_at = time.monotonic() + STOP_TIMEOUT_S
        while any(map(_runs, children)) and time.monotonic() < ends_at:
            time.sleep(0.02)

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database of this server."""
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={self._folder}"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, from a template if one is named, and return its URL."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        if template and not self.durable and self._maintenance().info.server_version >= 150_000:
            # Without fsync copying the files is quicker than writing them to the log.
            statement += sql.SQL(" STRATEGY FILE_COPY")
        self._maintenance().execute(statement)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and close whatever is connected to it."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        self._maintenance().execute(statement.format(sql.Identifier(name)))

    @contextlib.contextmanager
    def admin(self) -> Iterator[psycopg.Connection]:
        """Open a superuser's connection, without transactions, to the server's own database."""
        with self._connect() as connection:
            yield connection

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self._folder), user=SUPERUSER, dbname="postgres", autocommit=True
        )

    def _maintenance(self) -> psycopg.Connection:
        """Return a connection that is kept: thousands of tests create and drop a database."""
        if self._kept is not None:
            try:
                self._kept.execute("SELECT 1")
            except psycopg.OperationalError:
                # The server died in between, and may be back.
                self._kept.close()
                self._kept = None
        if self._kept is None:
            self._kept = self._connect()
        return self._kept

    def _initialise(self) -> None:
        user = _user()
        if user is not None:
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        options = ["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", SUPERUSER]
        command = [str(self._binaries / "initdb"), "-D", self._data, *options]
        done = subprocess.run(
            [*_as_user(), *command],
            capture_output=True,
            text=True,
            cwd=self._folder,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stdout}{done.stderr}")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with self.admin():
                    return
            except psycopg.OperationalError:
                died = self._process is None or self._process.poll() is not None
                if died or time.monotonic() > deadline:
                    log = self._log.read_text()
                    raise RuntimeError(f"PostgreSQL did not start:\n{log}") from None
                time.sleep(0.02)


def _children(pid: int) -> list[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in listed.split()]


def _runs(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _user() -> pwd.struct_passwd | None:
    """Return whom the server runs as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("Neither the user 'postgres' nor 'nobody' exists.")


def _as_user() -> list[str]:
    """Return the prefix of a command that drops root and dies with its parent."""
    setpriv = shutil.which("setpriv")
    user = _user()
    if setpriv is None:
        if user is None:
            return []
        raise RuntimeError("As root, the package 'util-linux' with setpriv is needed.")
    # SIGINT is PostgreSQL's fast shutdown: no server outlives a run that was killed.
    prefix = [setpriv, "--pdeathsig", "INT"]
    if user is not None:
        prefix += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [*prefix, "--"]
