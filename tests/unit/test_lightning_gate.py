"""The gate in front of the node: who waits, who is sent away, and when it opens again."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from bitcache_server.domain.errors import LightningRejected, LightningUnreachable
from bitcache_server.rails.lightning.gate import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    MOST_INSIDE,
    SLOW_S,
    STALL_S,
    NodeGate,
)


@dataclass
class Watch:
    """A clock that stands still until it is moved."""

    now: float = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass
class Crowd:
    """Callers that are inside and stay there."""

    gate: NodeGate
    pool: ThreadPoolExecutor
    go: threading.Event = field(default_factory=threading.Event)
    calls: list[Future[str]] = field(default_factory=list)

    def enter(self, count: int) -> None:
        """Return once so many calls wait for the node's answer."""
        for _ in range(count):
            inside = threading.Event()
            self.calls.append(self.pool.submit(self.gate.run, self._wait(inside)))
            assert inside.wait(30)

    def _wait(self, inside: threading.Event) -> Callable[[], str]:
        def call() -> str:
            inside.set()
            assert self.go.wait(30)
            return "answered"

        return call


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def gate(watch: Watch) -> NodeGate:
    return NodeGate(watch)


def _hang(gate: NodeGate, watch: Watch, seconds: float = SLOW_S + 1) -> None:
    def call() -> None:
        watch.now += seconds
        raise LightningUnreachable("It timed out.")

    with pytest.raises(LightningUnreachable, match="timed out"):
        gate.run(call)


def _is_shut(gate: NodeGate) -> bool:
    try:
        return gate.run(lambda: False)
    except LightningUnreachable:
        return True


def test_answers_and_errors_pass(gate: NodeGate) -> None:
    assert gate.run(lambda: 7) == 7

    def refuse() -> None:
        raise LightningRejected("no")

    for _ in range(MOST_INSIDE + 1):
        with pytest.raises(LightningRejected):
            gate.run(refuse)
    assert gate.run(lambda: 8) == 8


def test_a_crowd_is_sent_away_when_nothing_moves(gate: NodeGate, watch: Watch) -> None:
    with ThreadPoolExecutor(MOST_INSIDE) as pool:
        crowd = Crowd(gate, pool)
        crowd.enter(MOST_INSIDE)
        watch.now += STALL_S
        assert _is_shut(gate)
        crowd.go.set()
        assert [c.result(30) for c in crowd.calls] == ["answered"] * MOST_INSIDE
    assert not _is_shut(gate)


def test_a_place_that_becomes_free_is_taken(gate: NodeGate) -> None:
    """The clock stands still, so that who waits has all the patience there is."""
    with ThreadPoolExecutor(MOST_INSIDE + 1) as pool:
        crowd = Crowd(gate, pool)
        crowd.enter(MOST_INSIDE)
        late = pool.submit(gate.run, lambda: "late")
        crowd.go.set()
        assert late.result(30) == "late"


def test_after_a_hang_nobody_waits_until_one_has_tried(gate: NodeGate, watch: Watch) -> None:
    _hang(gate, watch)
    assert _is_shut(gate)
    watch.now += FIRST_PAUSE_S
    with ThreadPoolExecutor(1) as pool:
        crowd = Crowd(gate, pool)
        crowd.enter(1)
        assert _is_shut(gate)
        crowd.go.set()
        assert crowd.calls[0].result(30) == "answered"
    assert not _is_shut(gate)


def test_the_pause_grows_to_its_end_and_is_forgotten(gate: NodeGate, watch: Watch) -> None:
    pause_s = FIRST_PAUSE_S
    for _ in range(6):
        _hang(gate, watch)
        watch.now += pause_s - 0.1
        assert _is_shut(gate)
        watch.now += 0.1
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    assert not _is_shut(gate)
    _hang(gate, watch)
    watch.now += FIRST_PAUSE_S
    assert not _is_shut(gate)


def test_a_failure_that_takes_no_time_shuts_nothing(gate: NodeGate, watch: Watch) -> None:
    _hang(gate, watch, seconds=SLOW_S / 2)
    assert not _is_shut(gate)
