"""``bitcache serve``: answer readers."""

import click

from bitcache_server import wiring
from bitcache_server.cli.counting import counters_of_all_processes
from bitcache_server.cli.listeners import KILL_AFTER_S, listeners, require_free_port, run_listener
from bitcache_server.cli.output import emit, json_option, note
from bitcache_server.cli.parent import end_with_parent
from bitcache_server.cli.supervisor import supervise
from bitcache_server.services.database import require_migrated, upgrade_database
from bitcache_server.settings import Settings, load_settings


@click.command()
@click.option("--only", type=click.Choice(["http", "events"]), help="Run one listener alone.")
@click.option("--migrate", is_flag=True, help="Bring the database up to date first.")
@click.option("--parent", type=int, hidden=True, help="End when this process does.")
@json_option
def serve(only: str | None, migrate: bool, parent: int | None) -> None:
    """Answer readers: API, pages, downloads, events.

    Two listeners, one port each (`port` and `events_port`). Payments are watched by
    `bitcache jobs`, which must run too. Ctrl-C or SIGTERM ends both listeners; when
    one dies, the other is ended and the exit code is 1, so that systemd or Docker
    starts both anew.

    \b
    Examples:
      bitcache serve
      bitcache serve --migrate
      bitcache serve --only http    and, as another service: bitcache serve --only events
    """
    settings = load_settings()
    _check(settings, migrate)
    chosen = {n: one for n, one in listeners(settings).items() if only in (None, n)}
    for listener in chosen.values():
        require_free_port(listener)
    if only is not None:
        if parent is not None:
            end_with_parent(parent, 2 * KILL_AFTER_S)
            # The parent has made the folder for both.
            run_listener(chosen[only], settings.workers)
            return
        with counters_of_all_processes():
            run_listener(chosen[only], settings.workers)
        return

    def on_ready() -> None:
        document = {"public_url": settings.public_url, "events_url": settings.events_url}
        lines = [
            f"Serving {settings.public_url} (events: {settings.events_url}). Ctrl-C ends it.",
            "Payments are found by `bitcache jobs`: keep it running, too.",
        ]
        emit(document, lines)

    with counters_of_all_processes():
        supervise(chosen, on_ready)
    note("Ended.")


def _check(settings: Settings, migrate: bool) -> None:
    """Find out now what would otherwise go wrong in a worker, with words for a person."""
    wiring.build(settings)
    if migrate:
        for step in upgrade_database(settings.database_url):
            note(f"ran {step}")
    require_migrated(settings.database_url)
