"""A private MariaDB for the WordPresses of one test process, removed at its end.

Its files lie in memory where there is room, and it listens on a socket in its own folder
alone, so that it meets no other server.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60
MEMORY_FOLDER = "/dev/shm"
MEMORY_BYTES = 2**30
USER = "wp"
PASSWORD = "wp"
_OPTIONS = (
    "--no-defaults",
    "--skip-networking",
    "--skip-log-bin",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--performance-schema=OFF",
    "--max-connections=200",
)


class MariaDbError(RuntimeError):
    """It is not installed, did not start, or refused a statement."""


class MariaDb:
    """One server with a data folder of its own."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Return where it listens."""
        return self._home / "socket"

    @property
    def _home(self) -> Path:
        if self._folder is None:
            raise MariaDbError("It does not run.")
        return self._folder

    @property
    def _temporary(self) -> str:
        # Each that starts removes the temporary tables that it finds, also of the others.
        return f"--tmpdir={self._home}"

    def start(self) -> Self:
        """Make the data folder and start; return when it answers."""
        if shutil.which("mariadb-install-db") is None:
            raise MariaDbError("MariaDB is not installed: run .ci/setup wordpress.")
        memory = _memory()
        if memory:
            remove_left_behind(Path(memory), "bc-maria-")
        self._folder = Path(tempfile.mkdtemp(prefix=f"bc-maria-{os.getpid()}-", dir=memory))
        try:
            self._make_data()
            self._run()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it and remove its data; does nothing when it does not run."""
        process, self._process = self._process, None
        if process is not None:
            # What it holds is thrown away: nothing has to be written down first.
            process.kill()
            process.wait(STOP_TIMEOUT_S)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def create(self, name: str, dump: bytes = b"") -> None:
        """Create a database and fill it from a dump."""
        statements = f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4; USE `{name}`;\n"
        self._client(statements.encode() + dump)

    def drop(self, name: str) -> None:
        """Remove a database."""
        self._client(f"DROP DATABASE IF EXISTS `{name}`".encode())

    def dump(self, name: str) -> bytes:
        """Return everything in a database, as statements."""
        command = ["mariadb-dump", *self._connect(), "--skip-comments", "--single-transaction"]
        return subprocess.run([*command, name], capture_output=True, check=True).stdout

    def query(self, name: str, statement: str) -> list[list[str]]:
        """Run a statement in a database; return the rows, each column as text."""
        command = ["mariadb", *self._connect(), "--batch", "--skip-column-names", name]
        done = subprocess.run(command, input=statement, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MariaDbError(done.stderr)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def _connect(self) -> list[str]:
        return ["--no-defaults", "-uroot", "-S", str(self.socket)]

    def _client(self, statements: bytes) -> bytes:
        command = ["mariadb", *self._connect(), "--batch"]
        done = subprocess.run(command, input=statements, capture_output=True, check=False)
        if done.returncode:
            raise MariaDbError(done.stderr.decode(errors="replace"))
        return done.stdout

    def _make_data(self) -> None:
        if (user := _user()) is not None:
            os.chown(self._home, user.pw_uid, user.pw_gid)
        command = [
            *_as_user(), "mariadb-install-db", "--no-defaults", f"--datadir={self._home}/data",
            "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-log-bin",
            "--innodb-log-file-size=16M", self._temporary,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MariaDbError(f"mariadb-install-db failed: {done.stdout}{done.stderr}")

    def _run(self) -> None:
        program = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
        command = [
            *_as_user(), program, *_OPTIONS, f"--datadir={self._home}/data",
            f"--socket={self.socket}", f"--pid-file={self._home}/pid", self._temporary,
        ]  # fmt: skip
        with (self._home / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        ends_at = time.monotonic() + START_TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < ends_at:
            with contextlib.suppress(MariaDbError):
                grant = f"CREATE USER {USER}@localhost IDENTIFIED BY '{PASSWORD}'; "
                self._client(f"{grant}GRANT ALL ON *.* TO {USER}@localhost;".encode())
                return
            time.sleep(0.05)
        log_text = (self._home / "log").read_text(errors="replace")
        raise MariaDbError(f"MariaDB did not start:\n{log_text[-2000:]}")


def remove_left_behind(folder: Path, prefix: str) -> None:
    """Remove what processes made there (PREFIX, process id, "-" …) that were killed since."""
    for path in folder.glob(f"{prefix}*-*"):
        pid = path.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(path, ignore_errors=True)


def _memory() -> str | None:
    """Return the folder in memory, if there is room."""
    try:
        room = shutil.disk_usage(MEMORY_FOLDER).free >= MEMORY_BYTES
    except OSError:
        return None
    return MEMORY_FOLDER if room and os.access(MEMORY_FOLDER, os.W_OK) else None


def _user() -> pwd.struct_passwd | None:
    """Return whom it runs as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("mysql", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise MariaDbError("Neither the user 'mysql' nor 'nobody' exists.")


def _as_user() -> list[str]:
    """Return the prefix of a command that drops root and dies with its parent."""
    prefix = ["setpriv", "--pdeathsig", "KILL"]
    if (user := _user()) is not None:
        prefix += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [*prefix, "--"]
