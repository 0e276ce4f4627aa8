"""End with the parent: no server process may outlive the one that looks after it.

A parent that is killed outright (kill -9, out of memory) cannot tell its children.
They ask every half second who their parent is; that works on every Unix.
"""

import os
import signal
import threading
import time

_POLL_S = 0.5


def end_with_parent(parent_pid: int, grace_s: float) -> None:
    """End this process in good order, or after ``grace_s`` at once, when the parent is gone."""

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(_POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_s)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
