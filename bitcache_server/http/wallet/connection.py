"""/wallet/connection: the reader's own Lightning wallet fills the balance, within limits."""

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from bitcache_server.domain.errors import ConnectionInvalid, InvalidRequest
from bitcache_server.http.context import deps, session
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import same_origin
from bitcache_server.http.limits import RECOVERIES, check_limit
from bitcache_server.http.wallet.cookie import require_holder
from bitcache_server.http.wallet.look import page, whole_number
from bitcache_server.services.once import in_transaction
from bitcache_server.services.top_up import smallest_sat
from bitcache_server.services.wallet_connections import (
    can_connect,
    connect_wallet,
    connection_view,
    disconnect_wallet,
)

PATH = "/wallet/connection"
NOTICES = {
    "connected": "Your wallet is connected. It is asked when a click finds too little here.",
    "disconnected": "Your wallet is asked for nothing any more. What you paid in stays yours.",
}
#: What the form suggests, as multiples of the smallest top-up.
AMOUNT_STEP, DAY_STEP = 5, 20


def add_routes(pages: Blueprint) -> None:
    """Add the page and its forms."""
    pages.add_url_rule("/connection", "connection", show)
    pages.add_url_rule("/connection", "connection_set", connect, methods=["POST"])
    pages.add_url_rule("/connection/remove", "connection_remove", remove, methods=["POST"])


def show() -> Response:
    """Show what is connected, or the form."""
    return _show()


def _show(failed: str = "", status: int = 200) -> Response:
    known = require_holder()
    least_sat = smallest_sat(deps(), session())
    amount_sat = min(AMOUNT_STEP * least_sat, deps().settings.top_up_max_sat)
    return page(
        "wallet_connection.html",
        status=status,
        here="top_up",
        connection=connection_view(deps(), session(), known.wallet_id),
        available=can_connect(deps()),
        least_sat=least_sat,
        amount=request.form.get("amount", str(amount_sat))[:20],
        per_day=request.form.get("per_day", str(DAY_STEP * least_sat))[:20],
        failed=failed,
        notice=NOTICES.get(request.args.get("done", "")),
    )


def connect() -> AnyResponse:
    """Check a connection and keep it; the page never shows it again."""
    same_origin()
    known = require_holder()
    # Each check may keep a thread busy for some seconds.
    check_limit(RECOVERIES, known.wallet_id)
    text = request.form.get("connection", "")
    try:
        amount_sat = whole_number(request.form.get("amount", ""))
        per_day_sat = whole_number(request.form.get("per_day", ""))
        connect_wallet(deps(), session(), known.wallet_id, text, amount_sat, per_day_sat)
    except (ConnectionInvalid, InvalidRequest) as error:
        return _show(error.detail, status_of(type(error)))
    return redirect(f"{PATH}?done=connected", 303)


def remove() -> AnyResponse:
    """Forget the connection; doing it twice is fine."""
    same_origin()
    known = require_holder()
    in_transaction(session(), lambda: disconnect_wallet(session(), known.wallet_id))
    return redirect(f"{PATH}?done=disconnected", 303)
