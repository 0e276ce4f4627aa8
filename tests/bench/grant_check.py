"""Grant checks a second through HTTP, against an empty Flask route."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.server import requests_per_second, served
from tests.bench.stock import stocked
from tests.bench.table import Row, in_turns


def measure(seconds: float) -> Sequence[Row]:
    """Return the row of the grant check."""
    with TemporaryDirectory() as folder, stocked(f"sqlite:///{Path(folder, 'bench.db')}") as stock:
        script = f'wrk.headers["Authorization"] = "Bearer {stock.grant}"'
        with (
            served("tests.bench.empty:create_app", {}) as empty,
            served("bitcache_server.app:create_app", stock.environment) as ours,
        ):
            nothing, checks = in_turns(
                lambda: requests_per_second(empty, seconds),
                lambda: requests_per_second(f"{ours}/v1/grant", seconds, script),
            )
    return [
        Row(
            "grant checks a second, through HTTP",
            f"{checks:,.0f}",
            f"empty Flask route: {nothing:,.0f}",
            checks / nothing,
            "≥ 0.7",
        )
    ]
