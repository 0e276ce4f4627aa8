"""``bitcache serve`` and ``bitcache jobs`` as an operator runs them, as processes."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.cli import Cli, write_config

#: For what a busy machine does at its leisure; nothing is measured with it.
PATIENCE_S = 180.0
TIMEOUT_S = 60.0
#: A file for each port that a test of this machine was given.
_GIVEN = Path(tempfile.gettempdir()) / "bitcache-test-ports"


def free_ports(count: int) -> list[int]:
    """Return ports of this machine where nobody listens, and which nobody else was just given."""
    ports: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(ports) < count:
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            if _is_first(port):
                ports.append(port)
    return ports


def _is_first(port: int) -> bool:
    """Say whether nobody else was given a port within the time that a server needs to begin."""
    _GIVEN.mkdir(exist_ok=True)
    given = _GIVEN / str(port)
    with contextlib.suppress(FileExistsError):
        given.touch(exist_ok=False)
        return True
    is_over = time.time() - given.stat().st_mtime > PATIENCE_S
    given.touch()
    return is_over


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something; the sentence says what did not happen."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def family(pid: int) -> list[int]:
    """Return the process ids of all descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [found for child in children for found in (int(child), *family(int(child)))]


@dataclass
class Programs:
    """The programs of one server, and what each of them said; they end with the block."""

    folder: Path
    config: Path
    port: int
    events_port: int
    variables: Mapping[str, str] = field(default_factory=dict)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def cli(self) -> Cli:
        """Return the command line of this server, in this process."""
        return Cli(self.config)

    def serve(self) -> None:
        """Start ``bitcache serve``; ``wait_until_serving`` returns when it answers."""
        self.start("serve", "--json")

    def wait_until_serving(self) -> None:
        """Return when ``bitcache serve`` says that both listeners answer, and one does."""
        said = self.folder / "serve.out"
        until(lambda: self._is_alive() and said.read_text().endswith("}\n"), "serve is not ready")
        assert self.ask("GET", "/health").status_code in (200, 503)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command; what it says comes after what it said before."""
        out, err = (self.folder / f"{words[0]}.{end}" for end in ("out", "err"))
        with out.open("ab") as stdout, err.open("ab") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "bitcache_server", *words],
                env={**os.environ, "BITCACHE_CONFIG": str(self.config), **self.variables},
                stdout=stdout,
                stderr=stderr,
            )
        self.running.append(process)
        return process

    def run(self, *words: str) -> int:
        """Run a command to its end; return its exit code."""
        return self.start(*words).wait(PATIENCE_S)

    def said(self) -> dict[str, str]:
        """Return what the programs wrote, by the name of the file."""
        files = [*self.folder.glob("*.out"), *self.folder.glob("*.err")]
        return {file.name: file.read_text("utf-8", "replace") for file in files}

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request over the network, as a stranger does."""
        return httpx.request(method, f"{self.url}{path}", timeout=TIMEOUT_S, **more)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self.running:
            # Listeners and their workers are groups of their own.
            left = [process.pid, *family(process.pid)] if process.poll() is None else []
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()

    def _is_alive(self) -> bool:
        serving = next(one for one in self.running if "serve" in str(one.args))
        assert serving.poll() is None, self.said()
        return True


@contextlib.contextmanager
def programs(
    folder: Path,
    database_url: str,
    variables: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[Programs]:
    """Give a server with settings of its own, before any program of it was started."""
    folder.mkdir(exist_ok=True)
    port, events_port = free_ports(2)
    config = write_config(
        folder,
        database_url=database_url,
        port=port,
        events_port=events_port,
        public_url=f"http://127.0.0.1:{port}",
        **settings,
    )
    with Programs(folder, config, port, events_port, variables or {}) as made:
        yield made


def answers(port: int) -> bool:
    """Return whether something listens at a port of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as made:
            # Where nobody listens, Linux may pick that very port as ours.
            return bool(made.getsockname() != made.getpeername())
    except ConnectionRefusedError:
        return False
