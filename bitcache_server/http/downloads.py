"""The download itself: a plain link with ranges that a browser can follow and resume.

The token stands in the path because a browser cannot send a header with a
download. It opens one file for one holder and ends soon (RFC 9110 §14, ranges).
"""

from urllib.parse import quote

from flask import Flask, Response, request, send_file

from bitcache_server.domain.errors import FileMissing
from bitcache_server.http.context import deps, session
from bitcache_server.http.limits import READS, check_limit
from bitcache_server.services.deliver import Link, file_for_link


def download_url(item_id: str, link: Link) -> str:
    """Return the absolute URL of a download link."""
    name = quote(link.file_name, safe="")
    return f"{deps().settings.public_url}/files/{item_id}/{link.token}/{name}"


def register(app: Flask) -> None:
    """Add the download route."""

    @app.get("/files/<item_id>/<token>/<path:name>", endpoint="download")
    def _download(item_id: str, token: str, name: str) -> Response:
        check_limit(READS)
        stored = file_for_link(deps(), session(), item_id, token)
        if "," in request.headers.get("Range", ""):
            # Several ranges at once are answered with the whole file, as RFC 9110 §14.2 allows.
            del request.environ["HTTP_RANGE"]
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
