"""Fixtures for every folder, and the same random examples in every CI run.

A test whose part is missing on this machine fails and says so; none is skipped.
"""

import fcntl
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = (
    "tests.support.databases",
    "tests.support.fast_queries",
    "tests.support.fast_routes",
    "tests.support.fast_templates",
    "tests.support.lightning_network",
    "tests.support.lnbits",
    "tests.support.regtest",
    "tests.support.wordpress",
    "tests.support.world",
    # After what it imports, whose asserts would not be explained otherwise.
    "tests.support.lightning_world",
)

# A loaded machine is slow now and then; a deadline per example would say "flaky".
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


#: Files and folders whose tests take long. They begin first, or at the end one process would
#: still be at them while the others have nothing left to do.
LONG_FIRST = (
    "tests/wordpress/",
    "tests/e2e/test_demo.py",
    "tests/properties/",
    "tests/e2e/",
    "tests/integration/",
)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """In a fresh clone, let one process read the tests first.

    pytest rewrites every assert so that it explains itself, and keeps what it wrote next to the
    caches of Python. All processes would do that at the same time, and each for itself.
    """
    if sys.dont_write_bytecode or not hasattr(session.config, "workerinput"):
        return (yield)
    with Path(__file__).open() as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # Somebody is at it; when that one is ready, all others may read at the same time.
            fcntl.flock(turn, fcntl.LOCK_SH)
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long ones first; otherwise everything stays in its order."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    ranks = (rank for rank, path in enumerate(LONG_FIRST) if item.nodeid.startswith(path))
    return next(ranks, len(LONG_FIRST))


def pytest_sessionfinish() -> None:
    """Throw away now what thousands of tests have left behind.

    Later pytest does it, when pytest-xdist waits for this process to end: after five seconds
    it would be interrupted, in the middle of whatever is being thrown away.
    """
    gc.collect()
    gc.freeze()
