"""Passkeys, as static/wallet/passkeys.js asks for them: JSON in and out."""

from typing import Any, Literal

from flask import Blueprint, Response, make_response, redirect, request

from bitcache_server.http.answers import json_answer
from bitcache_server.http.body import Body, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.forms import same_origin
from bitcache_server.http.wallet.cookie import holder, require_holder, sign_in
from bitcache_server.http.wallet.session import SECURITY
from bitcache_server.http.wallet.user_agent import device_label
from bitcache_server.services.once import in_transaction
from bitcache_server.services.passkeys import (
    begin_confirmation,
    begin_registration,
    begin_sign_in,
    finish_confirmation,
    finish_registration,
    finish_sign_in,
    remove_passkey,
)
from bitcache_server.services.wallets import Holder, leave_wallet

DONE = "{}"


class OptionsBody(Body):
    """What the browser is about to do."""

    purpose: Literal["register", "sign_in", "confirm"]


class CredentialBody(Body):
    """What the browser made or signed (WebAuthn's RegistrationResponseJSON and the like)."""

    credential: dict[str, Any]
    understood: bool = False
    """The reader gives up the unsecured wallet that this browser holds."""


def add_routes(pages: Blueprint) -> None:
    """Add the calls, and the form that removes a passkey."""
    rules = {
        "/passkeys/options": options,
        "/passkeys": register,
        "/passkeys/sign-in": sign_in_with_passkey,
        "/passkeys/confirm": confirm,
        "/passkeys/remove": remove,
    }
    for path, view in rules.items():
        pages.add_url_rule(path, f"passkeys_{view.__name__}", view, methods=["POST"])


def options() -> Response:
    """Return what the browser passes to ``navigator.credentials``."""
    same_origin()
    match read_json(OptionsBody).purpose:
        case "register":
            return json_answer(begin_registration(deps(), session(), require_holder()))
        case "confirm":
            return json_answer(begin_confirmation(deps(), session(), require_holder()))
        case "sign_in":
            return json_answer(begin_sign_in(deps()))


def register() -> Response:
    """Keep a new passkey."""
    same_origin()
    body, known = read_json(CredentialBody), require_holder()
    label = device_label()
    cookie = in_transaction(
        session(), lambda: finish_registration(deps(), session(), known, body.credential, label)
    )
    response = json_answer(DONE, 201)
    sign_in(response, cookie)
    return response


def sign_in_with_passkey() -> Response:
    """Open the wallet of a passkey in this browser."""
    same_origin()
    body, before = read_json(CredentialBody), holder()
    cookie = in_transaction(session(), lambda: _sign_in(body, before))
    response = json_answer(DONE)
    sign_in(response, cookie)
    return response


def confirm() -> Response:
    """Show that the reader has a passkey of this very wallet."""
    same_origin()
    body, known = read_json(CredentialBody), require_holder()
    cookie = in_transaction(
        session(), lambda: finish_confirmation(deps(), session(), known, body.credential)
    )
    response = json_answer(DONE)
    sign_in(response, cookie)
    return response


def remove() -> Response:
    """Forget a passkey."""
    same_origin()
    known = require_holder()
    credential_id = request.form.get("passkey", "")
    in_transaction(session(), lambda: remove_passkey(deps(), session(), known, credential_id))
    return make_response(redirect(f"{SECURITY}?done=removed", 303))


def _sign_in(body: CredentialBody, before: Holder | None) -> str:
    cookie = finish_sign_in(deps(), session(), body.credential, device_label())
    leave_wallet(deps(), session(), before, body.understood)
    return cookie
