"""Who is counted as having seen a wall, and the thread that writes the counts down."""

import logging
import threading

from flask import Flask, request

from bitcache_server.domain.errors import BitcacheError
from bitcache_server.extensions import db
from bitcache_server.http.context import deps
from bitcache_server.services.deps import deps_of
from bitcache_server.services.visits import count_seen, write_counts

WRITE_EVERY_S = 60
log = logging.getLogger(__name__)


def saw_the_wall(item_id: str) -> None:
    """Count that this request shows the wall of an item.

    Not a HEAD, nor what a browser fetches in case somebody goes there (Sec-Purpose,
    https://fetch.spec.whatwg.org/#sec-purpose-header; ``Purpose`` in older ones), nor a
    merchant who comes from their dashboard.
    """
    if request.method == "HEAD" or _is_prefetch() or _is_from_dashboard():
        return
    count_seen(deps(), item_id)


def _is_prefetch() -> bool:
    purposes = (request.headers.get("Sec-Purpose", ""), request.headers.get("Purpose", ""))
    return any("prefetch" in purpose or "prerender" in purpose for purpose in purposes)


def _is_from_dashboard() -> bool:
    return (request.referrer or "").startswith(f"{deps().settings.public_url}/dashboard/")


def write_from_now_on(app: Flask) -> threading.Thread:
    """Write the counts of this process once a minute, and once more when it ends.

    A thread of its own, so that no reader waits for it. It ends with the main thread: what
    is no daemon is waited for, and a statement gives up after ``LOCK_TIMEOUT_MS``.
    """
    thread = threading.Thread(target=_write_until_the_end, args=(app,), name="visits")
    thread.start()
    return thread


def _write_until_the_end(app: Flask) -> None:
    process = threading.main_thread()
    while process.is_alive():
        process.join(WRITE_EVERY_S)
        _write(app)


def _write(app: Flask) -> None:
    with app.app_context():
        try:
            write_counts(deps_of(app), db.session())
        except BitcacheError as error:
            log.warning("The counts of visits wait: %s", error.detail)
        except Exception:
            log.exception("The counts of visits were not written.")
