"""Strangers' servers that keep our threads: those who wait, and names nobody answers for."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest

from bitcache_server import netguard
from bitcache_server.services.strangers import MOST_WAITING, place_to_wait

SLOW = ".slow.test"


@contextmanager
def everybody_waits() -> Iterator[None]:
    """Keep all places of those who wait for strangers."""
    with ExitStack() as others:
        assert all(others.enter_context(place_to_wait()) for _ in range(MOST_WAITING))
        yield


@dataclass
class SlowNames:
    """A name server that is silent about ``*.slow.test`` until it is told to say no."""

    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released once for each look-up that has begun."""
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowNames]:
    """Let look-ups of ``*.slow.test`` hang; all others are answered."""
    slow, look_up = SlowNames(), netguard._lookup

    def lookup(host: str, port: int | None) -> list[str]:
        if not host.endswith(SLOW):
            return look_up(host, port)
        slow.begun.release()
        assert slow.over.wait(60)
        raise socket.gaierror(f"{host}:{port}")

    with monkeypatch.context() as patch:
        patch.setattr(netguard, "_lookup", lookup)
        try:
            yield slow
        finally:
            slow.over.set()
