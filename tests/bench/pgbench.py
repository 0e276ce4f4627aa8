"""PostgreSQL's own load generator, as the yardstick for what its server can do."""

import re
import subprocess
import tempfile
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.support.postgres import find_binaries


def transactions_per_second(url: str, script: str, clients: int, seconds: float) -> float:
    """Return how often a second pgbench ran the script, prepared, with that many clients."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "script.sql")
        path.write_text(script)
        target = make_url(url)
        where = f"host={target.query['host']} user={target.username} dbname={target.database}"
        command = [
            str(find_binaries() / "pgbench"), "-n", "-M", "prepared", "-f", str(path),
            "-c", str(clients), "-j", "1", "-T", f"{seconds:.0f}",
            where,
        ]  # fmt: skip
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"tps = ([\d.]+)", output)
    if found is None:
        raise RuntimeError(output)
    return float(found[1])
