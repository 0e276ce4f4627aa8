"""``make demo WORDPRESS=1``: the real node, the real server, WordPress, and a real browser."""

import subprocess
import sys

from tests.shape.tree import ROOT


def test_a_reader_buys_in_wordpress_from_a_real_wallet() -> None:
    command = [sys.executable, "-m", "demo.run", "--check", "--wordpress"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line for line in done.stdout.splitlines() if line.startswith("  ok ")]
    assert len(steps) == 5
    assert "without a reload" in done.stdout
    assert "strangers find neither words nor picture" in done.stdout
    assert done.stderr == ""
