"""Clients of others in Node.js (tests/clients), run as they were published."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.certificates import Certificate

FOLDER = Path(__file__).parents[1] / "clients"
TIMEOUT_S = 240


@dataclass
class Client:
    """A script that prints lines of JSON and waits for lines on its input."""

    process: subprocess.Popen[str]

    def read(self) -> dict[str, Any]:
        """Return the next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate(timeout=TIMEOUT_S)
            raise AssertionError(errors)
        return dict(json.loads(line))

    def go_on(self) -> None:
        """Let it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("go on\n")
        self.process.stdin.flush()


@contextmanager
def client(
    script: str, *words: str, host: str, port: int, certificate: Certificate
) -> Iterator[Client]:
    """Run a script for which ``https://host`` is the port on this machine."""
    environment = {
        "PATH": os.environ["PATH"],
        "BITCACHE_HOST": host,
        "BITCACHE_PORT": str(port),
        "NODE_EXTRA_CA_CERTS": str(certificate.authority),
    }
    process = subprocess.Popen(
        ["node", "--import", "./network.mjs", script, *words],
        cwd=FOLDER,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Client(process)
        _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, errors
    finally:
        process.kill()
        process.communicate()
