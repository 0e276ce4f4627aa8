"""GET /widget/…: the widget's modules, served as they were written."""

from importlib.util import find_spec
from pathlib import Path

from flask import Flask, Response, send_from_directory

from bitcache_server.domain.errors import ConfigurationError

PACKAGE = "bitcache_widget"
MAX_AGE_S = 300


def widget_folder() -> Path:
    """Return the folder of the widget's modules, in a checkout or in an installed package."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError("The widget is not installed: run `pip install .` again.")
    return Path(next(iter(spec.submodule_search_locations)))


def register(app: Flask) -> None:
    """Add the widget's files to an app."""
    folder = widget_folder()

    @app.get("/widget/<path:name>", endpoint="widget")
    def _widget(name: str) -> Response:
        response = send_from_directory(folder, name, max_age=MAX_AGE_S)
        if name.endswith(".js"):
            response.mimetype = "text/javascript"
        # Module scripts of another origin are fetched with CORS; there is no secret here.
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response
