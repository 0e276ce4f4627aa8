"""/.well-known/lnurlp/<name> and its callback: pay a merchant's Lightning address.

LUD-16 and LUD-06, with LUD-12 (comments), LUD-09 (words of thanks) and LUD-21 (verify).
"""

import json
import re
from urllib.parse import quote

from flask import Blueprint, Response, request

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.http.answers import json_answer
from bitcache_server.http.context import deps, session
from bitcache_server.http.limits import INVOICES, SITE_INVOICES, check_limit
from bitcache_server.http.lnurl.verify import verify_url
from bitcache_server.services.lnurl_pay import (
    MAX_COMMENT_CHARS,
    address_terms,
    invoice_for_address,
)

#: LUD-09: what a wallet shows after paying.
MAX_MESSAGE_CHARS = 144
#: More digits than all bitcoin in msat; Python would take other scripts' digits, too.
_AMOUNT = re.compile(r"[0-9]{1,19}", re.ASCII)


def add_routes(calls: Blueprint) -> None:
    """Add the calls."""
    calls.add_url_rule("/.well-known/lnurlp/<name>", "pay_terms", terms)
    calls.add_url_rule("/lnurl/pay/<name>/callback", "pay_callback", callback)


def terms(name: str) -> Response:
    """Say what the address takes."""
    found = address_terms(deps(), session(), name)
    answer = {
        "tag": "payRequest",
        "callback": f"{deps().settings.public_url}/lnurl/pay/{quote(name.lower())}/callback",
        "minSendable": found.min_msat,
        "maxSendable": found.max_msat,
        "metadata": found.metadata,
        "commentAllowed": MAX_COMMENT_CHARS,
    }
    return json_answer(json.dumps(answer))


def callback(name: str) -> Response:
    """Make an invoice over the amount that the wallet names."""
    amount = request.args.get("amount", "")
    if not _AMOUNT.fullmatch(amount):
        raise InvalidRequest("Give the amount in millisats: ?amount=21000")
    check_limit(INVOICES)
    # As for an item: however many ask, one merchant cannot fill the node's table alone.
    check_limit(SITE_INVOICES, f"address {name.lower()[:64]}")
    comment = request.args.get("comment", "")
    made = invoice_for_address(deps(), session(), name, int(amount), comment)
    answer = {
        "pr": made.bolt11,
        "routes": [],
        "successAction": {"tag": "message", "message": _thanks(made.payee)},
        "disposable": False,
        "verify": verify_url(deps().settings, made.payment_hash),
    }
    return json_answer(json.dumps(answer))


def _thanks(payee: str) -> str:
    return f"Thank you for paying {payee}."[:MAX_MESSAGE_CHARS]
