"""/account/security: what opens an account, and where it is open."""

from flask import Blueprint, Response, make_response, redirect, request

from bitcache_server.domain.errors import BitcacheError, InvalidRequest
from bitcache_server.http.account.access import (
    is_confirmed,
    keep_signed_in,
    require_account,
    require_confirmed,
)
from bitcache_server.http.account.door import SECURITY, ways
from bitcache_server.http.account.recovery import FORM
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import gettext, said
from bitcache_server.i18n import mark as _
from bitcache_server.services.account_sessions import ACCOUNTS, SignedIn
from bitcache_server.services.accounts import get_account
from bitcache_server.services.browsers import devices_of
from bitcache_server.services.one_time_codes import new_code
from bitcache_server.services.passkeys import passkeys_of
from bitcache_server.services.recovery import recovery_code_made_at
from bitcache_server.services.sign_in import change_password
from bitcache_server.services.wallet_keys import keys_of

NOTICES = {
    "password": _("The password was changed. All other browsers are signed out."),
    "passkey": _("The passkey was added."),
    "removed": _("The passkey was removed from this account. Delete it on your device as well."),
    "lightning": _("The Lightning wallet was added."),
    "lightning_removed": _("The Lightning wallet no longer opens this account."),
    "code": _("That form was sent before. If you have not kept the code, make a new one."),
    "totp": _("One-time passwords are on."),
    "totp_off": _("One-time passwords are off."),
    "device": _("That browser is signed out."),
    "devices": _("All other browsers are signed out."),
}


def add_routes(pages: Blueprint) -> None:
    """Add the page and the form for the password."""
    pages.add_url_rule("/security", "security", show)
    pages.add_url_rule("/security/password", "password_form", new_password, methods=["POST"])


def show() -> Response:
    """Show what opens the account, and where it is open."""
    return _page(require_account())


def new_password() -> Response:
    """Set another password, or the first."""
    known = require_confirmed()
    try:
        cookie = change_password(deps(), session(), known, request.form.get("password", ""))
    except InvalidRequest as error:
        return _page(known, error)
    response = make_response(redirect(f"{SECURITY}?done=password", 303))
    keep_signed_in(response, cookie)
    return response


def _page(known: SignedIn, error: BitcacheError | None = None) -> Response:
    account = get_account(session(), known.account_id)
    notice = NOTICES.get(request.args.get("done", ""))
    return page(
        "account/security.html",
        scripts=True,
        here="security",
        status=status_of(type(error)) if error else 200,
        failed=said(error) if error else "",
        notice=gettext(notice) if notice else "",
        confirmed=is_confirmed(),
        login=account.login,
        has_password=account.password_hash is not None,
        totp_since=account.totp_confirmed_at,
        passkeys=passkeys_of(session(), account.id),
        keys=keys_of(session(), account.id),
        code_made_at=recovery_code_made_at(session(), account.id),
        form=new_code(deps(), FORM, account.id),
        devices=devices_of(deps(), session(), ACCOUNTS, account.id),
        this_session_id=known.session_id,
        ways=ways(),
    )
