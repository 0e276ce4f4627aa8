"""The magazine of the demo: static pages on an origin of their own, with paywall tags.

The pages are ordinary files, as any static host would serve them; only the item
ids and the address of the payment server, which differ in each run, are filled in.
The paid words are not here: Bitcache has them, under demo/paid/.
"""

from collections.abc import Mapping
from pathlib import Path

from flask import Flask, Response, abort, render_template

PAGES = Path(__file__).with_name("site")


def create_site(server_url: str, events_url: str, items: Mapping[str, str]) -> Flask:
    """Return the site's web app; ``items`` are the item ids by page name."""
    app = Flask(
        "demo_site", template_folder=str(PAGES), static_folder=PAGES, static_url_path="/static"
    )
    # A site may be this strict and still carry the paywall.
    policy = (
        f"default-src 'none'; script-src {server_url}; style-src 'self'; "
        f"img-src 'self' {server_url}; connect-src {server_url} {events_url}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

    @app.get("/")
    @app.get("/<page>.html")
    def page(page: str = "index") -> str:
        if not (PAGES / f"{page}.html").is_file():
            abort(404)
        return render_template(f"{page}.html", server=server_url, item=items.get(page, ""))

    @app.after_request
    def add_policy(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        return response

    return app
