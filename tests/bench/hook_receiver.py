"""A receiver of webhooks that does nothing but say yes."""

from flask import Flask


def create_app() -> Flask:
    """Return an app that answers each POST with 204."""
    app = Flask(__name__)

    @app.post("/hook")
    def hook() -> tuple[str, int]:
        return "", 204

    return app
