"""Headers that every answer carries unless its route chose its own."""

import re
from collections.abc import Iterable

from flask import Flask, Response

#: An origin that can stand in a policy: nothing in it separates sources or directives.
_PLAIN_ORIGIN = re.compile(r"https?://[a-z0-9.:\[\]_-]+")


def page_policy(
    image_origins: Iterable[str] = (),
    *,
    scripts: bool = False,
    frames: bool = False,
    framed: bool = False,
    form_origins: Iterable[str] = (),
) -> str:
    """Return the policy of a page (CSP level 3): no script, and nothing from elsewhere.

    Pictures alone may also come from ``image_origins``, and the answer to a form may lead to
    ``form_origins``. With ``scripts`` our own script files run and call our own server;
    ``frames`` shows pages of ours in the page, and ``framed`` lets it be one of those.
    """
    plain = sorted(origin for origin in image_origins if _PLAIN_ORIGIN.fullmatch(origin))
    images = " ".join(["'self'", *plain])
    ours = "script-src 'self'; worker-src 'self'; connect-src 'self'; " if scripts else ""
    ours += "frame-src 'self'; " if frames else ""
    allowed = sorted(origin for origin in form_origins if _PLAIN_ORIGIN.fullmatch(origin))
    forms = " ".join(["'self'", *allowed])
    around = "'self'" if framed else "'none'"
    return (
        f"default-src 'none'; {ours}img-src {images}; style-src 'self'; form-action {forms}; "
        f"base-uri 'none'; frame-ancestors {around}"
    )


PAGE_POLICY = page_policy()


def register(app: Flask) -> None:
    """Add the headers to all answers of an app."""

    @app.after_request
    def _add(response: Response) -> Response:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        return response
