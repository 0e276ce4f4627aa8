"""Servers for tests that need no second database engine, or other settings."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.api import open_world
from tests.support.databases import Databases
from tests.support.shops import assert_nothing_lost
from tests.support.world import World


@pytest.fixture
def start_world(databases: Databases, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Return what starts a server on SQLite with the given settings."""
    with ExitStack() as stack:
        url = stack.enter_context(databases.fresh("sqlite"))
        yield lambda **settings: stack.enter_context(open_world(url, tmp_path, **settings))


@pytest.fixture
def sqlite_world(start_world: Callable[..., World]) -> World:
    """Return a stocked server, for what is the same on both engines."""
    return start_world()


@pytest.fixture
def shop(world: World) -> Iterator[World]:
    """Return a world in which every test must leave the books in order."""
    yield world
    assert_nothing_lost(world)
