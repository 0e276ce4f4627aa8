"""The merchant's dashboard, one concern a file: /dashboard/<merchant id>/….

Each module has ``add_routes(pages)``. A page begins with ``require_member``, which says
which roles may see it; a form is answered with a redirect, and ``guard`` sees to it that
our own page sent it.
"""

from flask import Blueprint, Flask, redirect
from flask.typing import ResponseReturnValue

from bitcache_server.http import money
from bitcache_server.http.account.access import require_account
from bitcache_server.http.context import session
from bitcache_server.http.dashboard import (
    audit,
    branding,
    home,
    item,
    item_forms,
    item_new,
    items,
    keys,
    look,
    order,
    order_links,
    orders,
    payouts,
    people,
    sale,
    sales,
    settings,
    site_look,
    sites,
    webhook,
    webhook_delivery,
    webhooks,
)
from bitcache_server.http.dashboard.look import guard, page
from bitcache_server.services.members import merchants_of

MODULES = (
    audit,
    branding,
    home,
    item,
    item_new,
    items,
    keys,
    order,
    order_links,
    orders,
    payouts,
    people,
    sale,
    sales,
    settings,
    site_look,
    sites,
    webhook,
    webhook_delivery,
    webhooks,
)


def register(app: Flask) -> None:
    """Add the dashboard's pages to an app."""
    look.register(app)
    money.register(app)
    item_forms.register(app)
    pages = Blueprint("dashboard", __name__, url_prefix="/dashboard")
    guard(pages)
    pages.add_url_rule("", "start", start)
    for module in MODULES:
        module.add_routes(pages)
    app.register_blueprint(pages)


def start() -> ResponseReturnValue:
    """Lead to the only merchant of the account, or offer the choice between several."""
    known = require_account()
    merchants = merchants_of(session(), known.account_id)
    if len(merchants) == 1:
        return redirect(f"/dashboard/{merchants[0].id}", 303)
    return page("dashboard/start.html", merchants=merchants)
