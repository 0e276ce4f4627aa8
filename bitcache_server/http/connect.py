"""/connect: a merchant lets some software have a site's secret (services/connect.py).

Whatever is wrong with a request is shown as a page: with clients that nobody registered, an
address is worth nothing before a person has looked at it (RFC 9700 §4.11.2). Only what a
person answers leads back to where the request came from.
"""

import json
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.http.account.access import is_confirmed, require_account, require_confirmed
from bitcache_server.http.body import Body, Text, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import guard, page
from bitcache_server.http.forms import from_elsewhere
from bitcache_server.http.headers import page_policy
from bitcache_server.http.language import gettext, said
from bitcache_server.http.limits import READS, check_limit
from bitcache_server.services.connect import (
    Choice,
    Wish,
    allow,
    likely,
    owned_by,
    read_wish,
    sites_with,
)
from bitcache_server.services.connect_exchange import exchange
from bitcache_server.services.once import in_transaction

AUTHORIZE = "/connect/authorize"
TOKEN = "/connect/token"  # noqa: S105  # an address
GRANT_TYPE = "authorization_code"
#: A refusal says which in RFC 6749's own words (§5.2).
INVALID_REQUEST = "invalid_request"
INVALID_GRANT = "invalid_grant"
UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenRequest(Body):
    """RFC 6749 §4.1.3 and RFC 7636 §4.5."""

    grant_type: Text = ""
    code: Text = ""
    code_verifier: Text = ""
    redirect_uri: Text = ""
    client_id: Text = ""
    """Taken, because libraries send it; nobody is registered."""


def register(app: Flask) -> None:
    """Add the consent page and the address where codes become secrets."""
    pages = Blueprint("connect", __name__, url_prefix="/connect")
    guard(pages)
    pages.add_url_rule("/authorize", "authorize", show)
    pages.add_url_rule("/authorize", "answer", answer, methods=["POST"])
    app.register_blueprint(pages)
    app.add_url_rule(TOKEN, "connect_token", token, methods=["POST"])


def show() -> ResponseReturnValue:
    """Ask the merchant whether whoever asks may have a site's secret."""
    wish = read_wish(request.args)
    return _show(wish)


def answer() -> ResponseReturnValue:
    """Send the browser back with a code, or with the merchant's no."""
    wish = read_wish(request.form)
    known = require_account()
    if request.form.get("decision") != "allow":
        return _back(wish, error="access_denied")
    require_confirmed()
    try:
        choice = _choice()
        code = in_transaction(
            session(), lambda: allow(deps(), session(), known.account_id, wish, choice)
        )
    except InvalidRequest as error:
        return _show(wish, said(error))
    return _back(wish, code=code)


def _show(wish: Wish, failed: str = "") -> Response:
    known = require_account()
    merchants = [
        (merchant, sites_with(session(), merchant.id, wish.origin))
        for merchant in owned_by(session(), known.account_id)
    ]
    # Chrome holds forms to this policy also where their answer leads elsewhere.
    policy = page_policy(form_origins=[wish.origin])
    return page(
        "dashboard/connect.html",
        status=422 if failed else 200,
        headers={"Content-Security-Policy": policy},
        wish=wish,
        merchants=merchants,
        confirmed=is_confirmed(),
        from_elsewhere=from_elsewhere(),
        page_path=f"{AUTHORIZE}?{urlencode(wish.fields())}",
        chosen=request.form.get("choice") or _value(likely(merchants, wish)),
        site_name=request.form.get("site_name", wish.site_title or wish.place),
        failed=failed,
    )


def _value(choice: Choice | None) -> str:
    """Return a choice as ``_choice`` reads it."""
    return f"{choice.merchant_id} {choice.site_id or ''}".strip() if choice else ""


def _choice() -> Choice:
    """Return what was chosen: ``<merchant>`` for a new site, or ``<merchant> <site>``."""
    merchant_id, _, site_id = request.form.get("choice", "").partition(" ")
    if not merchant_id:
        raise InvalidRequest(gettext("Choose a site."))
    if site_id:
        return Choice(merchant_id, site_id)
    return Choice(merchant_id, site_name=request.form.get("site_name", ""))


def _back(wish: Wish, **values: str) -> ResponseReturnValue:
    # `iss` tells servers apart that a client talks to (RFC 9207).
    return redirect(wish.answer(**values, iss=deps().settings.public_url), 303)


def token() -> Response:
    """Give the secret for a code, as a form (RFC 6749) or as JSON."""
    check_limit(READS)
    if request.mimetype == "application/json":
        asked = read_json(TokenRequest)
    else:
        if any(len(values) > 1 for _, values in request.form.lists()):
            return _refuse(INVALID_REQUEST, "A parameter is given more than once.")
        asked = TokenRequest(**{n: request.form.get(n, "") for n in TokenRequest.model_fields})
    if asked.grant_type != GRANT_TYPE:
        return _refuse(UNSUPPORTED_GRANT_TYPE, "grant_type must be `authorization_code`.")
    if not (asked.code and asked.code_verifier and asked.redirect_uri):
        return _refuse(INVALID_REQUEST, "code, code_verifier and redirect_uri are needed.")
    given = exchange(deps(), session(), asked.code, asked.code_verifier, asked.redirect_uri)
    if given is None:
        return _refuse(INVALID_GRANT, "The code is wrong, over, used, or for somebody else.")
    url = deps().settings.public_url
    body = {
        # As RFC 6749 §5.1 names them, for programs that use a library for OAuth.
        "access_token": given.site_secret,
        "token_type": "Bearer",
        "site_id": given.site_id,
        "site_secret": given.site_secret,
        "merchant_id": given.merchant_id,
        "grant_keys": list(given.grant_keys),
        "api_url": f"{url}/v1",
    }
    return Response(json.dumps(body), 200, _NO_STORE, content_type="application/json")


def _refuse(error: str, description: str) -> Response:
    body = {"error": error, "error_description": description}
    return Response(json.dumps(body), 400, _NO_STORE, content_type="application/json")
