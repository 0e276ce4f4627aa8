"""The operator's pages, one concern a file. Only accounts that are the operator's see them.

Each module has ``add_routes(pages)``.
"""

from flask import Blueprint, Flask

from bitcache_server.http.account.access import require_operator
from bitcache_server.http.dashboard.look import guard
from bitcache_server.http.operator import merchants, overview
from bitcache_server.i18n import mark as _

MODULES = (merchants, overview)
#: Name of the page, address, words.
PLACES = (
    ("overview", "/operator", _("Now")),
    ("merchants", "/operator/merchants", _("Merchants")),
    ("books", "/operator/books", _("Books")),
    ("limits", "/operator/limits", _("Limits")),
)


def register(app: Flask) -> None:
    """Add the operator's pages to an app."""
    pages = Blueprint("operator", __name__, url_prefix="/operator")
    guard(pages)
    pages.before_request(require_operator_only)
    pages.context_processor(lambda: {"places": lambda: PLACES})
    for module in MODULES:
        module.add_routes(pages)
    app.register_blueprint(pages)


def require_operator_only() -> None:
    """Let nobody else in, whatever page they ask for."""
    require_operator()
