"""Where a reader goes on after signing in or confirming: a page of ours, nowhere else."""

import re
from urllib.parse import urlencode, urlsplit

from flask import request

from bitcache_server.http.context import deps

HOME = "/wallet"
_OURS = re.compile(r"/(?:wallet|pay|dashboard|account|operator|connect)(?:[/?][!-\[\]-~]*)?")
MAX_CHARS = 6_000


def next_path(default: str = HOME) -> str:
    """Return the ``next`` of the query or form when it is a page of ours."""
    wanted = request.values.get("next", "")
    return wanted if len(wanted) <= MAX_CHARS and _OURS.fullmatch(wanted) else default


def with_next(path: str, wanted: str) -> str:
    """Return the address of a page that goes on to ``wanted``."""
    return f"{path}?{urlencode({'next': wanted})}"


def page_before() -> str:
    """Return the page of ours that sent this request: this one if read, else the referrer."""
    if request.method == "GET":
        query = request.query_string.decode("ascii", "replace")
        wanted = f"{request.path}?{query}" if query else request.path
    else:
        # Our pages send it to us (Referrer-Policy: same-origin).
        try:
            parts = urlsplit(request.headers.get("Referer", ""))
        except ValueError:
            return HOME
        same = f"{parts.scheme}://{parts.netloc}" == deps().settings.public_url
        wanted = f"{parts.path}?{parts.query}" if parts.query else parts.path
        wanted = wanted if same else HOME
    return wanted if len(wanted) <= MAX_CHARS and _OURS.fullmatch(wanted) else HOME
