"""GET /lnurl/verify/<payment_hash>: whether an invoice of ours was paid (LUD-21)."""

import json

from flask import Blueprint, Response

from bitcache_server.http.answers import json_answer
from bitcache_server.http.context import session
from bitcache_server.services.lnurl_pay import payment_proof
from bitcache_server.settings import Settings


def add_routes(calls: Blueprint) -> None:
    """Add the call."""
    calls.add_url_rule("/lnurl/verify/<payment_hash>", "verify", verify)


def verify_url(settings: Settings, payment_hash: str) -> str:
    """Return where an invoice can be asked about."""
    return f"{settings.public_url}/lnurl/verify/{payment_hash}"


def verify(payment_hash: str) -> Response:
    """Say whether it was paid, and prove it where that gives nothing away."""
    proof = payment_proof(session(), payment_hash)
    answer = {
        "status": "OK",
        "settled": proof.settled,
        "preimage": proof.preimage,
        "pr": proof.bolt11,
    }
    return json_answer(json.dumps(answer))
