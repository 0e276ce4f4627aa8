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
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

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

#: Files whose tests share a network of nodes that takes seconds to start. One process runs them
#: all, or each of them would start another.
TOGETHER = (
    "tests/contract/lightning/",
    "tests/integration/test_l402_network.py",
    "tests/integration/test_lightning_",
    "tests/integration/test_lnbits_",
)


class _ByFile(LoadFileScheduling):  # type: ignore[misc]  # its package has no types
    """Gives a process one file after the other; some files go together."""

    def _split_scope(self, nodeid: str) -> str:
        together = nodeid.startswith(TOGETHER)
        return "a Lightning network" if together else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Distribute files, not tests, where ``--dist loadfile`` is asked for."""
    return _ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


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


def pytest_collection_finish() -> None:
    """Let Python not look again and again through what was read in, which stays to the end."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Throw away now what thousands of tests have left behind.

    Later pytest does it, when pytest-xdist waits for this process to end: after five seconds
    it would be interrupted, in the middle of whatever is being thrown away.
    """
    gc.collect()
    gc.freeze()
