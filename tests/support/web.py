"""A real web server of several processes over a world's database, and clicks that never give up."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.clicks import PATH, Clicker
from tests.support.processes import free_ports
from tests.support.world import ORIGIN, PUBLIC_URL, World

START_TIMEOUT_S = 120
PATIENCE_S = 120
#: Statuses that say: the very same call may work in a moment.
PASSING = frozenset({429, 503})


@dataclass
class Web:
    """A server in processes of its own."""

    port: int
    process: subprocess.Popen[bytes]

    def workers(self) -> list[int]:
        """Return the processes that answer."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()]
        return [pid for pid in pids if b"resource_tracker" not in _command_of(pid)]

    def kill_workers(self) -> int:
        """Let the operating system kill every worker; return how many."""
        pids = self.workers()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return len(pids)

    def click(self, reader: Clicker, item_id: str, key: str = "") -> tuple[int, dict[str, Any]]:
        """Click once; raise OSError or HTTPException when the answer was lost."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", PATH, *_request(reader, item_id, key))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def insist(self, reader: Clicker, item_id: str, key: str = "") -> dict[str, Any]:
        """Click until there is an answer, as a page does that lost one."""
        ends_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends_at:
            try:
                status, body = self.click(reader, item_id, key)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if status not in PASSING:
                return {"status": status, **body}
            time.sleep(0.02)
        raise AssertionError("There was never an answer.")

    def click_and_leave(self, reader: Clicker, item_id: str, key: str = "") -> None:
        """Click and close the connection before the answer comes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", PATH, *_request(reader, item_id, key))
        connection.close()


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _request(reader: Clicker, item_id: str, key: str) -> tuple[bytes, dict[str, str]]:
    headers = {
        "Content-Type": "application/json",
        "Origin": ORIGIN,
        "Authorization": f"Bearer {reader.token}",
    }
    if key:
        headers["Idempotency-Key"] = key
    return json.dumps({"item": item_id}).encode(), headers


@contextmanager
def web_of(world: World, workers: int = 2) -> Iterator[Web]:
    """Serve a world's database on a free port until the end of the block."""
    [port] = free_ports(1)
    known = world.deps.settings
    values = {
        "ENVIRONMENT": "test",
        "SECRET_KEY": known.secret_key.get_secret_value(),
        "DATA_DIR": str(known.data_dir),
        "DATABASE_URL": known.database_url,
        "PUBLIC_URL": PUBLIC_URL,
        "RAILS": "fake",
        "NETWORK": "regtest",
        "ONCHAIN_DESCRIPTOR": "operator",
        "LIMIT_UNLOCKS_PER_ADDRESS": "100000/second",
    }
    environment = {**os.environ, **{f"BITCACHE_{name}": value for name, value in values.items()}}
    command = [
        sys.executable, "-m", "granian", "bitcache_server.app:create_app", "--factory",
        "--interface", "wsgi", "--port", str(port), "--workers", str(workers),
        "--blocking-threads", "8", "--respawn-failed-workers", "--no-access-log",
        "--log-level", "critical",
    ]  # fmt: skip
    web = Web(port, subprocess.Popen(command, env=environment))
    try:
        _wait_for(port, web.process)
        yield web
    finally:
        left = web.workers()
        # It would wait long for workers that were killed; nothing here is worth a good-bye.
        web.process.kill()
        web.process.wait(20)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    ends_at = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < ends_at:
        try:
            socket.create_connection(("127.0.0.1", port), 2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("The server did not start.")
