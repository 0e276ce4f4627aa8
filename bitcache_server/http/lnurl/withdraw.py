"""/lnurl/w/<secret>: a wallet takes the money behind a link (LUD-03).

https://github.com/lnurl/luds/blob/luds/03.md. The amount is fixed, and who holds the
secret holds the money; so nothing of the address may stand in a log of ours.
"""

import json

import lnurl
from flask import Blueprint, Response, request

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.http.answers import json_answer
from bitcache_server.http.context import deps, session
from bitcache_server.services.withdraw_claims import claim, claim_terms

MAX_INVOICE_CHARS = 4_096


def add_routes(calls: Blueprint) -> None:
    """Add the two calls."""
    calls.add_url_rule("/lnurl/w/<secret>", "withdraw_terms", terms)
    calls.add_url_rule("/lnurl/w/<secret>/callback", "withdraw_callback", callback)


def withdraw_lnurl(secret: str) -> str:
    """Return the link as wallets scan it: bech32 in capitals (LUD-01)."""
    return str(lnurl.encode(f"{_url(secret)}").bech32)


def _url(secret: str) -> str:
    return f"{deps().settings.public_url}/lnurl/w/{secret}"


def terms(secret: str) -> Response:
    """Say what may be taken: one amount, no less."""
    found = claim_terms(deps(), session(), secret)
    answer = {
        "tag": "withdrawRequest",
        "callback": f"{_url(secret)}/callback",
        "k1": found.k1,
        "defaultDescription": "From Bitcache",
        "minWithdrawable": found.amount_msat,
        "maxWithdrawable": found.amount_msat,
    }
    return json_answer(json.dumps(answer))


def callback(secret: str) -> Response:
    """Take an invoice over exactly the amount; it is paid soon after the answer."""
    k1, invoice = request.args.get("k1", ""), request.args.get("pr", "")
    if not k1 or not invoice or len(invoice) > MAX_INVOICE_CHARS:
        raise InvalidRequest("Give the k1 and one Lightning invoice as pr.")
    claim(deps(), session(), secret, k1, invoice)
    return json_answer(json.dumps({"status": "OK"}))
