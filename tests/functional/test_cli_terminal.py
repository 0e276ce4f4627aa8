"""What only a real process shows: pipes that close, narrow encodings, terminals."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import Cli, write_config

COMMAND = [sys.executable, "-m", "bitcache_server"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    config = write_config(tmp_path)
    cli = Cli(config)
    cli.ask("db", "upgrade")
    cli.ask("merchant", "add", "--name", "Ωλ 読者")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BITCACHE_")}
    return {**kept, "BITCACHE_CONFIG": str(config)}


def test_a_reader_that_stops_reading_is_no_disaster(env: dict[str, str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [*COMMAND, "merchant", "list"], env=env, stdout=write_end, stderr=subprocess.PIPE,
        text=True, check=False,
    )  # fmt: skip
    os.close(write_end)
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def test_letters_that_the_terminal_lacks_become_numbers(env: dict[str, str]) -> None:
    narrow = {**env, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    for words in (["merchant", "list"], ["--help"]):
        done = subprocess.run([*COMMAND, *words], env=narrow, capture_output=True, check=True)
        assert b"\\u" in done.stdout
    assert b"\\u2026" in done.stdout


def test_on_a_terminal_the_audit_shows_its_progress(env: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [*COMMAND, "ledger", "audit"], env=env, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    screen = b""
    # Linux ends the reading of a terminal without a writer with an error.
    try:
        while part := os.read(ours, 4096):
            screen += part
    except OSError:
        pass
    os.close(ours)
    assert child.wait(60) == 0
    assert b"Auditing" in screen
    assert b"100%" in screen
    assert b"\x1b[32mThe books balance." in screen
