"""Servers under load: Granian in front, wrk behind, both on this machine."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bitcache_server.app import THREADS

CONNECTIONS = 32
START_TIMEOUT_S = 30


@contextmanager
def served(
    target: str, environment: Mapping[str, str], workers: int = 1, threads: int = THREADS
) -> Iterator[str]:
    """Serve an app factory and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "granian", target, "--factory", "--interface", "wsgi",
        "--port", str(port), "--workers", str(workers), "--blocking-threads", str(threads),
        "--backpressure", "64", "--no-access-log", "--log-level", "error",
    ]  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(15)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    ends_at = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < ends_at and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server did not start")


def requests_per_second(url: str, seconds: float, script: str = "") -> float:
    """Return what wrk measured; raise RuntimeError when an answer was no success."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "wrk.lua")
        path.write_text(script)
        duration = f"-d{seconds:.0f}s"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", duration, "--timeout", "10s"]
        command += ["-s", str(path), url]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(output)
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if found is None:
        raise RuntimeError(output)
    return float(found[1])
