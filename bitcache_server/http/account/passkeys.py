"""/account/passkeys: passkeys that open an account, also a new one."""

import re

from flask import Blueprint, Response
from webauthn.helpers import base64url_to_bytes

from bitcache_server.domain.errors import PasskeyInvalid
from bitcache_server.http.account.access import keep_signed_in, signed_in
from bitcache_server.http.account.asked import asked_in
from bitcache_server.http.account.door import DOOR
from bitcache_server.http.answers import json_answer
from bitcache_server.http.body import Body, Text, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.doors import DONE, CredentialBody, PasskeyCalls
from bitcache_server.http.limits import SIGN_INS, SIGN_UPS, check_limit
from bitcache_server.http.user_agent import device_label
from bitcache_server.services.account_sessions import (
    ACCOUNTS,
    SignedIn,
    leave_account,
    open_account_session,
)
from bitcache_server.services.accounts import SignUp, check_sign_up, sign_up
from bitcache_server.services.mail_links import greet
from bitcache_server.services.once import in_transaction
from bitcache_server.services.passkeys import begin_opening, finish_opening

_ACCOUNT_ID = re.compile(r"ac_[A-Za-z0-9_-]{22}")


class SignUpBody(Body):
    """The form of the sign-up page."""

    login: Text
    name: Text
    merchant_name: Text = ""
    invitation: Text = ""


class SignUpCredential(SignUpBody, CredentialBody):
    """The form once more, with the passkey that was made for it."""

    user: str
    """The id that the options gave the account, in base64url."""


def add_routes(pages: Blueprint) -> None:
    """Add the calls for signed-in browsers, and those that open an account."""
    PasskeyCalls(DOOR).add_routes(pages)
    pages.add_url_rule(
        "/sign-up/passkey/options", "sign_up_passkey_options", options, methods=["POST"]
    )
    pages.add_url_rule("/sign-up/passkey", "sign_up_passkey", open_account, methods=["POST"])


def options() -> Response:
    """Return the options to make a passkey for an account that is about to be."""
    # It says whether a name is taken.
    check_limit(SIGN_INS)
    asked = check_sign_up(deps(), session(), _asked(read_json(SignUpBody)))
    return json_answer(begin_opening(deps(), ACCOUNTS, asked.account_id, asked.login))


def open_account() -> Response:
    """Open the account together with its passkey."""
    body, before = read_json(SignUpCredential), signed_in()
    check_limit(SIGN_UPS)
    asked = _asked(body, _account_id(body.user))
    cookie = in_transaction(session(), lambda: _open(asked, body, before))
    response = json_answer(DONE, 201)
    keep_signed_in(response, cookie)
    return response


def _open(asked: SignUp, body: SignUpCredential, before: SignedIn | None) -> str:
    label = device_label()
    account_id = sign_up(deps(), session(), asked, "passkey")
    greet(deps(), session(), account_id)
    finish_opening(deps(), session(), ACCOUNTS, account_id, body.credential, label)
    leave_account(deps(), session(), before)
    return open_account_session(deps(), session(), account_id, label)


def _asked(body: SignUpBody, account_id: str = "") -> SignUp:
    said = body.model_dump(include={"login", "name", "merchant_name", "invitation"})
    asked = asked_in(said)
    if not account_id:
        return asked
    return SignUp(**said, locale=asked.locale, account_id=account_id)


def _account_id(user: str) -> str:
    try:
        account_id = base64url_to_bytes(user[:200]).decode("ascii")
    except ValueError:
        account_id = ""
    if not _ACCOUNT_ID.fullmatch(account_id):
        raise PasskeyInvalid()
    return account_id
