"""``bitcache serve`` as processes: start, serve, end, and every way to die."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.cli import Cli, write_config
from tests.support.processes import free_ports

START_S = 180
STOP_S = 120


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def read(url: str) -> httpx.Response:
    """Ask a process that may just begin to work."""
    return httpx.get(url, timeout=START_S)


def family(pid: int) -> list[int]:
    """Return the process ids of all descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [found for child in children for found in (int(child), *family(int(child)))]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Served:
    """A supervisor that says when it is ready."""

    def __init__(self, folder: Path) -> None:
        self.ports = free_ports(2)
        self.config = write_config(
            folder, rails=["fake"], port=self.ports[0], events_port=self.ports[1]
        )
        self.stderr = folder / "stderr"

    def start(self, *words: str) -> None:
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bitcache_server", "serve", "--json", *words],
                env={**os.environ, "BITCACHE_CONFIG": str(self.config)},
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def ready(self) -> dict[str, str]:
        assert self.process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            line = self.process.stdout.readline().decode()
            assert line, self.stderr.read_text()
            text += line
        document: dict[str, str] = json.loads(text)
        return document

    def wait(self) -> int:
        status = self.process.wait(STOP_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def end(self) -> None:
        left = family(self.process.pid)
        self.process.kill()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    one = Served(tmp_path)
    one.start("--migrate")
    yield one
    one.end()


def test_both_listeners_answer_and_end_together(served: Served) -> None:
    document = served.ready()
    base = f"http://127.0.0.1:{served.ports[0]}"
    events = f"http://127.0.0.1:{served.ports[1]}"
    assert document == {"public_url": base, "events_url": events}
    assert read(f"{base}/health").json()["parts"][0]["name"] == "database"
    assert "javascript" in read(f"{base}/widget/bitcache.js").headers["Content-Type"]
    answer = read(f"{events}/v1/invoices/in_x/events")
    assert answer.json()["code"] == "unknown_invoice"
    # Another one is refused with a reason, before it does anything.
    code, detail = Cli(served.config).refuse("serve")
    assert code == "configuration_error"
    assert f"port {served.ports[0]}: Address already in use" in detail
    processes = family(served.process.pid)
    assert len(processes) >= 4
    served.process.send_signal(signal.SIGINT)
    assert served.wait() == 0
    # Python's own helper sees a moment later that its parent is gone.
    wait_for(lambda: not any(is_running(pid) for pid in processes), STOP_S)
    assert "Traceback" not in served.stderr.read_text()


def test_nothing_outlives_a_supervisor_that_was_killed(served: Served) -> None:
    served.ready()
    processes = family(served.process.pid)
    assert len(processes) >= 4
    served.process.kill()
    served.wait()
    wait_for(lambda: not any(is_running(pid) for pid in processes), STOP_S)


def test_when_one_listener_dies_all_end_with_an_error(served: Served) -> None:
    served.ready()
    processes = family(served.process.pid)
    [events] = [pid for pid in processes if "events" in command_of(pid) and is_child(served, pid)]
    os.kill(events, signal.SIGKILL)
    assert served.wait() == 1
    # The dead listener's worker saw that its parent was gone.
    wait_for(lambda: not any(is_running(pid) for pid in processes), STOP_S)
    # What a worker says at its end may come after it.
    lines = served.stderr.read_text().splitlines()
    [error] = [json.loads(line) for line in lines if line.startswith("{")]
    assert error["code"] == "listener_died"
    assert "events" in error["detail"]


def command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def is_child(served: Served, pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return f"PPid:\t{served.process.pid}\n" in status


def test_a_database_without_tables_is_refused(tmp_path: Path) -> None:
    port, events_port = free_ports(2)
    cli = Cli(write_config(tmp_path, port=port, events_port=events_port))
    for words in (["serve"], ["serve", "--only", "http"], ["serve", "--only", "events"]):
        code, detail = cli.refuse(*words)
        assert code == "configuration_error"
        assert "`bitcache db upgrade`" in detail


def test_an_address_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    cli = Cli(write_config(tmp_path, bind_host="192.0.2.1"))
    cli.ask("db", "upgrade")
    assert "Cannot listen on 192.0.2.1" in cli.refuse("serve")[1]


def test_one_listener_alone_ends_on_sigterm(tmp_path: Path) -> None:
    one = Served(tmp_path)
    Cli(one.config).ask("db", "upgrade")
    one.start("--only", "events")
    try:
        wait_for(lambda: answers(one.ports[1]), START_S)
        assert not answers(one.ports[0])
        one.process.terminate()
        assert one.wait() == 0
    finally:
        one.end()


def answers(port: int) -> bool:
    try:
        return read(f"http://127.0.0.1:{port}/v1/invoices/in_x/events").status_code == 404
    except httpx.TransportError:
        return False
