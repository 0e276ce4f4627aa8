"""The plugin's units on each PHP version; the shop's against thin stand-ins of WooCommerce."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = Path(__file__).parent / "units"
WASM = Path(__file__).parent / "php" / "node_modules" / ".bin" / "php-wasm-cli"
VERSIONS = ("7.4", "8.0", "8.1", "8.2", "8.3", "8.4", "8.5")
#: Everything but notes on what PHPUnit itself does in an old way.
REPORTING = str(0x7FFF & ~0x2000)
PHPUNIT = (
    "-d",
    "include_path=.:/usr/share/php",
    "-d",
    f"error_reporting={REPORTING}",
    "/usr/bin/phpunit",
    "--no-configuration",
    "--fail-on-warning",
    "--do-not-cache-result",
    "--verbose",
    "--bootstrap",
    str(UNITS / "bootstrap.php"),
    str(UNITS),
)


def run(version: str, *arguments: str) -> str:
    """Run PHP of this version and return what it printed; fail where it failed."""
    done = subprocess.run(
        [str(WASM), *arguments],
        cwd=ROOT,
        env={**os.environ, "PHP": version},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-1_000:]
    return done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_the_units_pass_and_every_file_can_be_read(version: str) -> None:
    said = run(version, *PHPUNIT)
    assert f"PHP {version}." in said
    assert "OK (" in said
