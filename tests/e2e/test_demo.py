"""``make demo``: it checks itself in a real browser, and Ctrl-C leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from demo.ports import HOST
from tests.shape.tree import ROOT

COMMAND = [sys.executable, "-m", "demo.run"]
READY_TIMEOUT_S = 300
END_TIMEOUT_S = 120


def test_everybody_plays_their_part_in_real_browsers() -> None:
    done = subprocess.run(
        [*COMMAND, "--check"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line for line in done.stdout.splitlines() if line.startswith("  ok ")]
    assert len(steps) == 19
    assert "reads the code from its pixels and pays 5,000 sat over Lightning" in done.stdout
    assert "without a reload" in done.stdout
    assert "without JavaScript" in done.stdout
    assert "takes the gift" in done.stdout
    assert "with the recovery code" in done.stdout
    assert "with the passkey" in done.stdout
    assert "agrees to the millisatoshi" in done.stdout
    assert done.stderr == ""


def test_ctrl_c_ends_every_program_and_removes_the_data(tmp_path: Path) -> None:
    # A session of its own, as a terminal has; Ctrl-C goes to the whole foreground group.
    demo = subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said = read_until(demo, "Ctrl-C ends everything.")
        assert "The magazine     http://127.0.0.1:" in said
        below = descendants(demo.pid)
        assert len(below) >= 3, "the node, the server and the jobs"
        os.killpg(demo.pid, signal.SIGINT)
        rest, _ = demo.communicate(timeout=END_TIMEOUT_S)
    finally:
        demo.kill()
        demo.wait()
    assert demo.returncode == 0, rest
    assert "Traceback" not in rest
    # What was killed with its group may still be on its way out.
    ends_at = time.monotonic() + END_TIMEOUT_S
    while left := [pid for pid in below if runs(pid)]:
        assert time.monotonic() < ends_at, left
        time.sleep(0.02)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_named() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, "--port", str(port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=END_TIMEOUT_S,
        )
    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stderr
    assert "Traceback" not in done.stderr


def runs(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Return what the process printed up to these words."""
    assert process.stdout is not None
    said = ""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while words not in said:
        line = process.stdout.readline()
        said += line
        assert line, f"it ended early:\n{said}"
        assert time.monotonic() < deadline, said
    return said


def descendants(pid: int) -> set[int]:
    """Return all processes below this one, of any session."""
    listing = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    parents = [tuple(map(int, line.split())) for line in listing.stdout.splitlines()]
    found = {pid}
    while more := {child for child, parent in parents if parent in found} - found:
        found |= more
    return found - {pid}
