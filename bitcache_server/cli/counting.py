"""The folder in which the processes of one server count together."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from bitcache_server.http.counters import FOLDER_VARIABLE


@contextmanager
def counters_of_all_processes() -> Iterator[None]:
    """Let the processes that begin in the block add their counters up (prometheus-client).

    A fresh folder each time: counters begin at zero, as Prometheus expects of a restart.
    """
    folder = tempfile.mkdtemp(prefix="bitcache-counters-")
    before = os.environ.get(FOLDER_VARIABLE)
    os.environ[FOLDER_VARIABLE] = folder
    try:
        yield
    finally:
        os.environ.pop(FOLDER_VARIABLE)
        if before is not None:
            os.environ[FOLDER_VARIABLE] = before
        shutil.rmtree(folder, ignore_errors=True)
