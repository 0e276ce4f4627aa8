"""Fixtures for every folder, and the same random examples in every CI run.

A test whose part is missing on this machine fails and says so; none is skipped.
"""

import gc
import os

import hypothesis

pytest_plugins = (
    "tests.support.databases",
    "tests.support.fast_routes",
    "tests.support.lightning_network",
    "tests.support.lnbits",
    "tests.support.regtest",
    "tests.support.world",
    # After what it imports, whose asserts would not be explained otherwise.
    "tests.support.lightning_world",
)

# A loaded machine is slow now and then; a deadline per example would say "flaky".
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_sessionfinish() -> None:
    """Throw away now what thousands of tests have left behind.

    Later pytest does it, when pytest-xdist waits for this process to end: after five seconds
    it would be interrupted, in the middle of whatever is being thrown away.
    """
    gc.collect()
    gc.freeze()
