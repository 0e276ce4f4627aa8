"""/wallet/claim: what is left over under a receipt code moves to the balance."""

import re
from collections.abc import Callable

from flask import Blueprint, Response, redirect, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from bitcache_server.domain.errors import (
    CreditNotMovable,
    L402Invalid,
    NoCredit,
    PaymentRequired,
    UnknownInvoice,
    VerifierMismatch,
)
from bitcache_server.http.context import deps, session
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import same_origin
from bitcache_server.http.limits import UNLOCKS, check_limit
from bitcache_server.http.wallet.cookie import require_holder
from bitcache_server.http.wallet.look import page
from bitcache_server.services.claim_balance import claim_to_balance
from bitcache_server.services.deps import Deps
from bitcache_server.services.l402 import claim_l402_credit
from bitcache_server.services.once import in_transaction

BAD_CODE = "This receipt code is not valid. Check that it was copied as a whole."
#: What was bought with L402, in place of a receipt code: token and preimage.
_L402 = re.compile(r"(?:L402|LSAT)?([A-Za-z0-9+/_=-]{1,4096}):([0-9A-Fa-f]{64})")
_MAX_CHARS = 4_200
_Move = Callable[[Deps, Session, str, str, str], int]
_CODE = re.compile(r"(in_[A-Za-z0-9_-]{1,61})\.([A-Za-z0-9._~-]{43,128})")


def add_routes(pages: Blueprint) -> None:
    """Add the form."""
    pages.add_url_rule("/claim", "claim", show)
    pages.add_url_rule("/claim", "claim_code", claim, methods=["POST"])


def show() -> Response:
    """Ask for a receipt code."""
    require_holder()
    return _show()


def _show(failed: str = "", status: int = 200) -> Response:
    # The code is a secret, but the reader's own: nobody types it twice.
    code = request.form.get("code", "")[:_MAX_CHARS]
    return page("wallet_claim.html", status=status, code=code, failed_code=failed)


def claim() -> AnyResponse:
    """Move the money."""
    same_origin()
    check_limit(UNLOCKS)
    known = require_holder()
    # Mail programs add white space to a receipt code.
    text = "".join(request.form.get("code", "").split())
    move: _Move = claim_to_balance
    code = _CODE.fullmatch(text)
    if code is None:
        move, code = claim_l402_credit, _L402.fullmatch(text)
    if code is None:
        return _show(BAD_CODE, 422)
    whose, proof = code.groups()
    try:
        in_transaction(session(), lambda: move(deps(), session(), known.wallet_id, whose, proof))
    except (UnknownInvoice, VerifierMismatch, PaymentRequired):
        return _show(BAD_CODE, 403)
    except (NoCredit, CreditNotMovable, L402Invalid) as error:
        return _show(error.detail, status_of(type(error)))
    return redirect("/wallet?done=claimed", 303)
