"""Accounts of people: signing up and in, what opens an account, where it is open.

Each module has ``add_routes(pages)``.
"""

from types import ModuleType

from flask import Blueprint, Flask

from bitcache_server.http.account import (
    close,
    confirm,
    email,
    invitations,
    lightning,
    log,
    passkeys,
    profile,
    recovery,
    security,
    session,
    sign_up,
    totp,
)
from bitcache_server.http.dashboard.look import guard

MODULES: tuple[ModuleType, ...] = (
    close,
    confirm,
    email,
    invitations,
    lightning,
    log,
    passkeys,
    profile,
    recovery,
    security,
    session,
    sign_up,
    totp,
)


def register(app: Flask) -> None:
    """Add the pages of accounts to an app."""
    pages = Blueprint("account", __name__, url_prefix="/account")
    guard(pages)
    for module in MODULES:
        module.add_routes(pages)
    app.register_blueprint(pages)
