"""GET /lnurl/auth: a Lightning wallet signs in the browser that shows the code (LUD-04)."""

from flask import Blueprint, Response, request

from bitcache_server.domain.errors import LoginInvalid
from bitcache_server.http.answers import json_answer
from bitcache_server.http.context import deps, session
from bitcache_server.services.once import in_transaction
from bitcache_server.services.wallet_keys import sign_login

DONE = '{"status": "OK"}'


def add_routes(calls: Blueprint) -> None:
    """Add the call."""
    calls.add_url_rule("/lnurl/auth", "auth", auth)


def auth() -> Response:
    """Take the signature. Nothing comes back but OK: the browser goes on, not the wallet."""
    query = request.args
    if query.get("tag", "login") != "login":
        raise LoginInvalid("This address is for signing in only.")
    k1, key, signature = (query.get(name, "") for name in ("k1", "key", "sig"))
    in_transaction(session(), lambda: sign_login(deps(), session(), k1, key, signature))
    return json_answer(DONE)
