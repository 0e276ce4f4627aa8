"""Forms of our own pages: who may send them."""

from flask import request

from bitcache_server.domain.errors import OriginNotAllowed
from bitcache_server.http.context import deps


def same_origin() -> None:
    """Refuse forms of other sites: they could make a reader's browser create invoices.

    Browsers say it in ``Sec-Fetch-Site`` (W3C Fetch Metadata), which no page can forge;
    older ones and plain http only in ``Origin``; programs that are no browsers say nothing.
    """
    fetched_from = request.headers.get("Sec-Fetch-Site")
    if fetched_from is not None:
        ours = fetched_from == "same-origin"
    else:
        ours = request.headers.get("Origin") in (None, deps().settings.public_url)
    if not ours:
        raise OriginNotAllowed("This form works only on our own page.")


def from_elsewhere() -> bool:
    """Say whether another site led the reader here, as links of shops do.

    Such a page shows no button that pays: the other site may have put it under a click
    that was meant for itself. One click on the page itself, and its answer has the button.
    """
    return request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
