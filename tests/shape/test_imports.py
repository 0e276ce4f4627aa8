"""The import directions of setup.cfg hold."""

import subprocess
import sys
from pathlib import Path

from tests.shape.tree import ROOT


def test_imports_point_downward() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout
