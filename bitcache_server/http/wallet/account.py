"""/wallet/account: take all data along, or delete the wallet."""

import csv
import io
import json

from flask import Blueprint, Response, make_response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from bitcache_server.domain.errors import WalletNotEmpty
from bitcache_server.http.context import deps, session
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import same_origin
from bitcache_server.http.wallet.cookie import require_holder, sign_out
from bitcache_server.http.wallet.look import page
from bitcache_server.services.browsers import require_confirmation
from bitcache_server.services.close_wallet import can_be_given_up, close_wallet
from bitcache_server.services.once import in_transaction
from bitcache_server.services.wallet_export import activity_rows, export_wallet
from bitcache_server.services.wallet_views import wallet_view


def add_routes(pages: Blueprint) -> None:
    """Add the page, the two files and the form."""
    pages.add_url_rule("/account", "account", show)
    pages.add_url_rule("/export.json", "export", export)
    pages.add_url_rule("/activity.csv", "activity_csv", activity_csv)
    pages.add_url_rule("/delete", "delete", delete, methods=["POST"])


def show() -> Response:
    """Show what can be taken along and what deleting means."""
    return _show()


def _show(failed: str = "", status: int = 200) -> Response:
    known = require_holder()
    wallet = wallet_view(deps(), session(), known.wallet_id)
    return page(
        "wallet_account.html",
        status=status,
        here="account",
        wallet=wallet,
        can_be_given_up=can_be_given_up(deps(), session(), wallet.balance_msat),
        failed=failed,
    )


def export() -> Response:
    """Give everything that is kept about the wallet, as JSON."""
    known = require_holder()
    document = export_wallet(deps(), session(), known.wallet_id)
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return _file(text, "application/json", "bitcache-wallet.json")


def activity_csv() -> Response:
    """Give what happened as a table (RFC 4180)."""
    known = require_holder()
    table = io.StringIO()
    csv.writer(table).writerows(activity_rows(session(), known.wallet_id))
    return _file(table.getvalue(), "text/csv; charset=utf-8", "bitcache-activity.csv")


def _file(text: str, media_type: str, name: str) -> Response:
    answer = make_response(text)
    answer.headers["Content-Type"] = media_type
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def delete() -> AnyResponse:
    """Delete the wallet; what is not given up or withdrawn keeps it alive."""
    same_origin()
    known = require_holder()
    require_confirmation(deps(), session(), known)
    if "understood" not in request.form:
        return _show("Tick the first box: what you bought cannot be opened from here again.", 422)
    give_up = "give_up" in request.form
    try:
        in_transaction(
            session(),
            lambda: close_wallet(deps(), session(), known.wallet_id, give_up_rest=give_up),
        )
    except WalletNotEmpty as error:
        return _show(error.detail, status_of(type(error)))
    response = make_response(redirect("/wallet?done=deleted", 303))
    sign_out(response)
    return response
