"""The download itself: a plain link with ranges that a browser can follow and resume.

The token stands in the path because a browser cannot send a header with a
download. It opens one file for one holder and ends soon (RFC 9110 §14, ranges).
"""

import re
from urllib.parse import quote

from flask import Flask, Response, request, send_file

from bitcache_server.domain.errors import FileMissing
from bitcache_server.http.context import deps, session
from bitcache_server.http.limits import READS, check_limit
from bitcache_server.services.deliver import Link, file_for_link
from bitcache_server.storage.base import StoredFile

_RANGE = re.compile(
    "bytes=(?:(?P<first>[0-9]{1,18})-(?P<last>[0-9]{0,18})|-(?P<suffix>[0-9]{1,18}))"
)


def download_url(item_id: str, link: Link) -> str:
    """Return the absolute URL of a download link."""
    name = quote(link.file_name, safe="")
    return f"{deps().settings.public_url}/files/{item_id}/{link.token}/{name}"


def _forget_odd_range(size_bytes: int) -> None:
    """Let the whole file answer what Werkzeug would refuse though it need not or must not.

    That is another unit, nonsense, several ranges at once, and the last bytes of a
    file that has fewer (RFC 9110 §14.1.2, §14.2).
    """
    match = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if match is None:
        odd = True
    elif match["suffix"]:
        odd = int(match["suffix"]) >= size_bytes
    else:
        odd = bool(match["last"]) and int(match["last"]) < int(match["first"])
    if odd:
        request.environ.pop("HTTP_RANGE", None)


def file_response(stored: StoredFile) -> Response:
    """Return the file as a download, whole or the part that was asked for; raise FileMissing.

    Answers to HEAD, ranges and conditions as RFC 9110 §13 and §14 have it.
    """
    _forget_odd_range(stored.size_bytes)
    try:
        response = send_file(
            stored.path,
            mimetype=stored.content_type,
            as_attachment=True,
            download_name=stored.name,
            conditional=True,
        )
    except OSError as error:
        raise FileMissing("The file vanished a moment ago.") from error
    response.headers["Cache-Control"] = "private, no-store"
    # Whatever the file is, it never runs on this origin.
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def register(app: Flask) -> None:
    """Add the download route."""

    @app.get("/files/<item_id>/<token>/<path:name>", endpoint="download")
    def _download(item_id: str, token: str, name: str) -> Response:
        check_limit(READS)
        return file_response(file_for_link(deps(), session(), item_id, token))
