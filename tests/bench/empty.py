"""The yardstick of HTTP: a Flask route that does nothing."""

from flask import Flask


def create_app() -> Flask:
    """Return an app with one empty route."""
    app = Flask(__name__)

    @app.get("/")
    def empty() -> str:
        return ""

    return app
