"""Ports on loopback: the usual ones, or the next free ones beside them."""

import errno
import socket

HOST = "127.0.0.1"
FIRST_PORT = 8402
LAST_PORT = 65_535


class PortTaken(Exception):
    """Somebody else listens on a port that was asked for by number."""


def is_free(port: int) -> bool:
    """Say whether nobody listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def pick_ports(count: int, first: int | None = None) -> list[int]:
    """Return that many free ports.

    From ``first`` on exactly, when it is given: raises PortTaken with a sentence
    for a person. Otherwise from 8402 on, leaving out what is taken.
    """
    if first is not None:
        wanted = list(range(first, first + count))
        for port in wanted:
            if port > LAST_PORT or not is_free(port):
                raise PortTaken(
                    f"Port {port} is taken. The demo needs {count} free ports in a row: "
                    f"choose others with --port, or leave --port out."
                )
        return wanted
    free: list[int] = []
    for port in range(FIRST_PORT, LAST_PORT + 1):
        if is_free(port):
            free.append(port)
        if len(free) == count:
            return free
    raise PortTaken("No free port was found.")
