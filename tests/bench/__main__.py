"""``make bench``: measure the budgets side by side in one run and print the ratios.

Each figure is compared with its yardstick in turns (yardstick, ours, yardstick,
ours, …), so that a machine that is busy for a moment is busy for both.
"""

import argparse
import os
import platform
from collections.abc import Callable, Sequence

from tests.bench import (
    block_scan,
    dashboard,
    grant_check,
    invoices,
    l402,
    lightning_invoices,
    lightning_latency,
    lnbits,
    unlocks,
    waiting,
    webhooks,
    wordpress,
)
from tests.bench.table import Row, markdown

BENCHMARKS: dict[str, Callable[[float], Sequence[Row]]] = {
    "grants": grant_check.measure,
    "l402": l402.measure,
    "unlocks": unlocks.measure,
    "merchant": unlocks.measure_one_merchant,
    "history": unlocks.measure_history,
    "lnbits": lnbits.measure,
    "scan": block_scan.measure,
    "invoices": invoices.measure,
    "lightning": lightning_invoices.measure,
    "latency": lightning_latency.measure,
    "waiting": waiting.measure,
    "dashboard": dashboard.measure,
    "webhooks": webhooks.measure,
    "wordpress": wordpress.measure,
}


def machine() -> str:
    """Return the machine's size in a sentence."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, Python {platform.python_version()}"


def main() -> None:
    """Run the benchmarks that were named, or all of them."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one measurement")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    for name in arguments.names or BENCHMARKS:
        print(f"measuring {name} …", flush=True)
        rows += BENCHMARKS[name](arguments.seconds)
    print(f"\n{machine()}; all parts share the machine.\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
