"""/wallet/claim: what is left over under a receipt code moves to the balance."""

import re

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from bitcache_server.domain.errors import (
    CreditNotMovable,
    NoCredit,
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
from bitcache_server.services.once import in_transaction

BAD_CODE = "This receipt code is not valid. Check that it was copied as a whole."
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
    code = request.form.get("code", "")[:300]
    return page("wallet_claim.html", status=status, code=code, failed_code=failed)


def claim() -> AnyResponse:
    """Move the money."""
    same_origin()
    check_limit(UNLOCKS)
    known = require_holder()
    # Mail programs add white space to a receipt code.
    code = _CODE.fullmatch("".join(request.form.get("code", "").split()))
    if code is None:
        return _show(BAD_CODE, 422)
    invoice_id, verifier = code.groups()
    try:
        in_transaction(
            session(),
            lambda: claim_to_balance(deps(), session(), known.wallet_id, invoice_id, verifier),
        )
    except (UnknownInvoice, VerifierMismatch):
        return _show(BAD_CODE, 403)
    except (NoCredit, CreditNotMovable) as error:
        return _show(error.detail, status_of(type(error)))
    return redirect("/wallet?done=claimed", 303)
