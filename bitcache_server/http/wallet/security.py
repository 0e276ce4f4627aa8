"""/wallet/security: the passkeys, Lightning wallets, code and devices of a wallet."""

from flask import Blueprint, Response, request

from bitcache_server.http.context import deps, session
from bitcache_server.http.wallet.cookie import require_holder
from bitcache_server.http.wallet.look import page
from bitcache_server.http.wallet.recovery import FORM
from bitcache_server.services.allowances import list_allowances
from bitcache_server.services.browsers import is_confirmed
from bitcache_server.services.one_time_codes import new_code
from bitcache_server.services.passkeys import passkeys_of
from bitcache_server.services.recovery import recovery_code_made_at
from bitcache_server.services.relying_party import relying_party
from bitcache_server.services.wallet_keys import keys_of, lightning_login_works
from bitcache_server.services.wallets import devices, is_secured

NOTICES = {
    "passkey": "The passkey was added.",
    "removed": "The passkey was removed from this wallet. Delete it on your device as well.",
    "code": "That form was sent before. If you have not kept the code, make a new one.",
    "lightning": "The Lightning wallet was added.",
    "lightning_removed": "The Lightning wallet no longer opens this balance.",
    "device": "That browser is signed out.",
    "devices": "All other browsers are signed out.",
}


def add_routes(pages: Blueprint) -> None:
    """Add the page."""
    pages.add_url_rule("/security", "security", show)


def show() -> Response:
    """Show what opens the wallet, and where it is open."""
    known = require_holder()
    wallet_id, done = known.wallet_id, request.args.get("done", "")
    signed_out = done in ("device", "devices")
    return page(
        "wallet_security.html",
        scripts=True,
        here="security",
        notice=NOTICES.get(done),
        # A browser that was signed out may have let a site take from the balance.
        allowed=len(list_allowances(deps(), session(), wallet_id)) if signed_out else 0,
        secured=is_secured(session(), wallet_id),
        confirmed=is_confirmed(deps(), session(), known),
        passkeys=passkeys_of(session(), wallet_id),
        passkeys_work=relying_party(deps().settings) is not None,
        keys=keys_of(session(), wallet_id),
        lightning_works=lightning_login_works(deps().settings),
        code_made_at=recovery_code_made_at(session(), wallet_id),
        form=new_code(deps(), FORM, wallet_id),
        devices=devices(deps(), session(), wallet_id),
        this_session_id=known.session_id,
    )
