"""/wallet/sites: which sites may spend from the balance, and the end of that."""

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from bitcache_server.domain.errors import UnknownAllowance
from bitcache_server.http.context import deps, session
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import same_origin
from bitcache_server.http.wallet.cookie import require_holder
from bitcache_server.http.wallet.look import page
from bitcache_server.services.allowances import (
    list_allowances,
    revoke_all_allowances,
    revoke_allowance,
)
from bitcache_server.services.once import in_transaction

NOTICES = {
    "revoked": "The site can take nothing any more. What you bought there stays yours.",
    "all": "No site can take anything any more. What you bought stays yours.",
}


def add_routes(pages: Blueprint) -> None:
    """Add the list and the form."""
    pages.add_url_rule("/sites", "sites", show)
    pages.add_url_rule("/sites/<allowance_id>/revoke", "revoke", revoke, methods=["POST"])
    pages.add_url_rule("/sites/revoke-all", "revoke_all", revoke_all, methods=["POST"])


def show() -> Response:
    """Show the allowances that can be used now."""
    return _show()


def _show(failed: str = "", status: int = 200) -> Response:
    known = require_holder()
    return page(
        "wallet_sites.html",
        status=status,
        here="sites",
        allowances=list_allowances(deps(), session(), known.wallet_id),
        failed=failed,
        notice=NOTICES.get(request.args.get("done", "")),
    )


def revoke(allowance_id: str) -> AnyResponse:
    """End an allowance; doing it twice is fine."""
    same_origin()
    known = require_holder()
    try:
        in_transaction(
            session(),
            lambda: revoke_allowance(deps(), session(), known.wallet_id, allowance_id),
        )
    except UnknownAllowance as error:
        return _show(error.detail, status_of(type(error)))
    return redirect("/wallet/sites?done=revoked", 303)


def revoke_all() -> AnyResponse:
    """End every allowance of the wallet."""
    same_origin()
    known = require_holder()
    in_transaction(session(), lambda: revoke_all_allowances(deps(), session(), known.wallet_id))
    return redirect("/wallet/sites?done=all", 303)
