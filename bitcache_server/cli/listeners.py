"""The two listeners, each one Granian server: HTTP, and events for waiting readers."""

import multiprocessing
import resource
import socket
from dataclasses import dataclass
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from bitcache_server.cli.parent import end_with_parent
from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.logs import configure_logs
from bitcache_server.settings import Settings, load_settings

#: Time for requests that are under way; events end at once and are taken up again.
KILL_AFTER_S = 5
#: For readers who are told to poll instead, and for the database.
SPARE_CONNECTIONS = 200
#: A waiting reader's connection keeps two of these; 8 kB is the least, and their requests
#: are small. Granian's default is 408 kB at most, and 11 kB more for each who waits.
EVENTS_BUFFER_BYTES = 8_192
#: The names that Granian's configuration gives its handlers, and what they write with.
_HANDLERS = ("console", "access")
_FORMATTERS = ("generic", "access")


@dataclass(frozen=True)
class Listener:
    """One of the two: its name and where it listens."""

    name: str
    host: str
    port: int
    public_url: str


def listeners(settings: Settings) -> dict[str, Listener]:
    """Return both listeners by name."""
    host = settings.bind_host
    return {
        "http": Listener("http", host, settings.port, settings.public_url),
        "events": Listener("events", host, settings.events_port, settings.events_url),
    }


def require_free_port(listener: Listener) -> None:
    """Raise ConfigurationError when the listener could not listen."""
    try:
        address = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(address[0], address[1]) as probe:
            # As the server itself does: a port whose old connections fade is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address[4])
            probe.listen(1)
    except OSError as error:
        setting = "port" if listener.name == "http" else "events_port"
        raise ConfigurationError(
            f"Cannot listen on {listener.host} port {listener.port}: {error.strerror}. "
            f"Is Bitcache running already? `{setting}` and `bind_host` choose another address."
        ) from None


def run_listener(listener: Listener, workers: int) -> None:
    """Serve until SIGINT or SIGTERM. Exits with 1 when the workers cannot start."""
    # Only here: what looks after both listeners does without the server. And not later, because
    # workers that are forked share what is there by then.
    from bitcache_server.app import THREADS
    from bitcache_server.http.events import MAX_READERS

    is_http = listener.name == "http"
    server = Granian(
        f"bitcache {listener.name}",
        address=listener.host,
        port=listener.port,
        interface=Interfaces.WSGI if is_http else Interfaces.ASGI,
        workers=workers if is_http else 1,
        blocking_threads=THREADS if is_http else 1,
        # Waiting readers stay; by default Granian would let only a thousand in.
        backpressure=None if is_http else MAX_READERS + SPARE_CONNECTIONS,
        http=HTTPModes.auto if is_http else HTTPModes.http1,
        http1_settings=None if is_http else HTTP1Settings(max_buffer_size=EVENTS_BUFFER_BYTES),
        websockets=False,
        # URLs may hold tokens, so none is written down.
        log_access=False,
        # Its warnings are advice about the settings just above.
        log_level=LogLevels.error,
        log_dictconfig=_log_to_stderr(),
        respawn_failed_workers=True,
        workers_kill_timeout=KILL_AFTER_S,
    )
    server.serve(target_loader=_load_http if is_http else _load_events, wrap_loader=False)


def _load_http() -> Any:
    """Return the app inside a worker process."""
    from bitcache_server.app import create_app
    from bitcache_server.http.counters import TALLY
    from bitcache_server.http.visits import write_from_now_on

    _end_with_server()
    configure_logs(load_settings())
    app = create_app()
    write_from_now_on(app)
    TALLY.put_from_now_on()
    return app


def _load_events() -> Any:
    from bitcache_server.app import create_events_app

    _end_with_server()
    configure_logs(load_settings())
    _allow_many_connections()
    return create_events_app()


def _allow_many_connections() -> None:
    """Raise the limit of open files, one for each reader, as far as the system lets us."""
    from bitcache_server.http.events import MAX_READERS

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_READERS + SPARE_CONNECTIONS
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _end_with_server() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with_parent(parent.pid, KILL_AFTER_S)


def _log_to_stderr() -> dict[str, Any]:
    """Return what differs from Granian's own configuration: standard output stays free."""
    handler = {"class": "logging.StreamHandler", "formatter": "generic"}
    formatter = {"()": "bitcache_server.logs.formatter"}
    return {
        "formatters": dict.fromkeys(_FORMATTERS, formatter),
        "handlers": {name: {**handler, "stream": "ext://sys.stderr"} for name in _HANDLERS},
    }
