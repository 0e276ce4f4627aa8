"""What all processes of a server begin with, made once in the process that they are forked from.

A fresh process would compile the routes anew, which takes longer than what a test does with it.
"""

import tempfile
from pathlib import Path

from tests.support import fast_queries as fast_queries
from tests.support import fast_routes as fast_routes
from tests.support import fast_templates as fast_templates
from tests.support.workers import Server
from tests.support.world import START

with tempfile.TemporaryDirectory(prefix="bc-warm-") as _folder:
    # It opens no database before it is asked anything.
    Server("sqlite://", Path(_folder), None, START).app()
