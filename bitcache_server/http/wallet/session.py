"""/wallet/sign-in, /wallet/confirm, /wallet/sign-out: who this browser is."""

from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import (
    ConfirmationRequired,
    SignInRequired,
)
from bitcache_server.http.back import next_path, page_before, with_next
from bitcache_server.http.context import deps, session
from bitcache_server.http.errors import problem_response
from bitcache_server.http.forms import same_origin
from bitcache_server.http.wallet.cookie import holder, require_holder, sign_out
from bitcache_server.http.wallet.look import page
from bitcache_server.services.browsers import revoke_other_sessions, sign_out_device
from bitcache_server.services.once import in_transaction
from bitcache_server.services.passkeys import passkeys_of
from bitcache_server.services.recovery import recovery_code_made_at
from bitcache_server.services.relying_party import relying_party
from bitcache_server.services.wallet_keys import keys_of, lightning_login_works
from bitcache_server.services.wallets import Holder, is_secured, leave_wallet

SIGN_IN = "/wallet/sign-in"
CONFIRM = "/wallet/confirm"
SECURITY = "/wallet/security"


def add_routes(pages: Blueprint) -> None:
    """Add the pages, and let what needs a reader or a proof lead to them."""
    pages.add_url_rule("/sign-in", "sign_in", sign_in_page)
    pages.add_url_rule("/confirm", "confirm", confirm_page)
    pages.add_url_rule("/sign-out", "sign_out", sign_this_out, methods=["POST"])
    pages.add_url_rule("/devices/sign-out", "sign_out_device", sign_device_out, methods=["POST"])
    pages.add_url_rule("/devices/sign-out-others", "sign_out_others", others_out, methods=["POST"])
    pages.register_error_handler(SignInRequired, _lead_to_sign_in)
    pages.register_error_handler(ConfirmationRequired, _lead_to_confirmation)


def sign_in_page() -> Response:
    """Show the ways in: a passkey, a Lightning wallet, a recovery code."""
    return show_sign_in()


def show_sign_in(error: str = "", status: int = 200) -> Response:
    """Return the page; ``error`` says what was wrong with the code or the form."""
    known = holder()
    return page(
        "wallet_signin.html",
        scripts=True,
        status=status,
        next=next_path(),
        failed=error,
        passkeys_work=relying_party(deps().settings) is not None,
        host=urlsplit(deps().settings.public_url).hostname,
        lightning_works=lightning_login_works(deps().settings),
        holds_wallet=known is not None,
        gives_up=known is not None and not is_secured(session(), known.wallet_id),
    )


def confirm_page() -> Response:
    """Ask for the passkey, the Lightning wallet or the recovery code once more."""
    return show_confirm(require_holder())


def show_confirm(known: Holder, error: str = "", status: int = 200) -> Response:
    """Return the page; ``error`` says what was wrong with the code."""
    return page(
        "wallet_confirm.html",
        scripts=True,
        status=status,
        next=next_path(SECURITY),
        failed=error,
        has_passkey=bool(passkeys_of(session(), known.wallet_id)),
        has_key=bool(keys_of(session(), known.wallet_id)),
        has_code=recovery_code_made_at(session(), known.wallet_id) is not None,
        passkeys_work=relying_party(deps().settings) is not None,
    )


def sign_this_out() -> Response:
    """Sign this browser out."""
    same_origin()
    known = require_holder()
    understood = "understood" in request.form
    in_transaction(session(), lambda: leave_wallet(deps(), session(), known, understood))
    response = make_response(redirect(SIGN_IN, 303))
    sign_out(response)
    return response


def sign_device_out() -> Response:
    """Sign another browser of the wallet out; a copy of its cookie is dead as well."""
    same_origin()
    known, other_id = require_holder(), request.form.get("device", "")
    in_transaction(session(), lambda: sign_out_device(deps(), session(), known, other_id))
    return make_response(redirect(f"{SECURITY}?done=device", 303))


def others_out() -> Response:
    """Sign all other browsers of the wallet out."""
    same_origin()
    known = require_holder()
    in_transaction(session(), lambda: revoke_other_sessions(deps(), session(), known))
    return make_response(redirect(f"{SECURITY}?done=devices", 303))


def _lead_to_sign_in(error: SignInRequired) -> ResponseReturnValue:
    if _asks_json():
        return problem_response(error)
    return redirect(with_next(SIGN_IN, page_before()), 303)


def _lead_to_confirmation(error: ConfirmationRequired) -> ResponseReturnValue:
    if _asks_json():
        return problem_response(error)
    return redirect(with_next(CONFIRM, page_before()), 303)


def _asks_json() -> bool:
    return request.mimetype == "application/json"
