"""Start the listeners as processes of their own, look after them, end them together."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from bitcache_server.cli.listeners import KILL_AFTER_S, Listener
from bitcache_server.domain.errors import ListenerDied

_TICK_S = 0.1
#: A listener ends its workers first, which takes at most ``KILL_AFTER_S``.
_STOP_AFTER_S = KILL_AFTER_S + 5


Children = Mapping[str, "subprocess.Popen[bytes]"]


def supervise(listeners: Mapping[str, Listener], on_ready: Callable[[], None]) -> None:
    """Run all listeners until SIGINT or SIGTERM; raise ListenerDied when one ends before.

    ``on_ready`` is called once, when all of them accept connections.
    """
    stop = threading.Event()
    with _signals(stop):
        children = {name: _start(name) for name in listeners}
        try:
            _watch(children, listeners, on_ready, stop)
        finally:
            _end(children)


def _start(name: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "bitcache_server", "serve", "--only", name]
    return subprocess.Popen(  # noqa: S603  # our own program and arguments
        [*command, "--parent", str(os.getpid())],
        # Of its own group: Ctrl-C in the terminal reaches us, and we end the children.
        process_group=0,
    )


def _watch(
    children: Children,
    listeners: Mapping[str, Listener],
    on_ready: Callable[[], None],
    stop: threading.Event,
) -> None:
    waiting = dict(listeners)
    while not stop.wait(_TICK_S):
        for name, child in children.items():
            status = child.poll()
            if status is not None:
                raise ListenerDied(f"The {name} listener has ended (status {status}).")
        if waiting:
            waiting = {n: one for n, one in waiting.items() if not _accepts(one)}
            if not waiting:
                on_ready()


def _accepts(listener: Listener) -> bool:
    # Looked up here, never bound.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listener.host, listener.host)  # noqa: S104
    try:
        with socket.create_connection((host, listener.port), timeout=1) as made:
            # Where nobody listens, Linux may pick that very port as ours: we met ourselves.
            return bool(made.getsockname() != made.getpeername())
    except OSError:
        return False


def _end(children: Children) -> None:
    """Ask all to end, then wait; kill, by its own id, what does not."""
    for child in children.values():
        if child.poll() is None:
            child.terminate()
    for child in children.values():
        try:
            child.wait(_STOP_AFTER_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Set ``stop`` on SIGINT and SIGTERM."""
    caught = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
