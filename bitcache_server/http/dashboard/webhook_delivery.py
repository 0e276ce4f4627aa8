"""/dashboard/<merchant>/webhooks/deliveries/<delivery>: every attempt and its answer."""

from flask import Blueprint, redirect
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.dashboard.webhook_words import ERROR_WORDS, STATE_WORDS, TYPE_WORDS
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import said
from bitcache_server.http.limits import REPLAYS, check_limit
from bitcache_server.services.members import OWNERS, Member
from bitcache_server.services.once import in_transaction
from bitcache_server.services.webhook_endpoints import By
from bitcache_server.services.webhook_replays import replay_event
from bitcache_server.services.webhook_steps import payload_of
from bitcache_server.services.webhook_views import attempts_of, get_delivery, get_event


def add_routes(pages: Blueprint) -> None:
    """Add the page and its form."""
    base = "/<merchant_id>/webhooks/deliveries/<delivery_id>"
    pages.add_url_rule(base, "webhook_delivery", show)
    pages.add_url_rule(f"{base}/again", "repeat_delivery", again, methods=["POST"])


def show(merchant_id: str, delivery_id: str) -> ResponseReturnValue:
    """Show a delivery with what was sent and what came back."""
    return _show(require_member(merchant_id, OWNERS), delivery_id)


def _show(
    member: Member, delivery_id: str, error: InvalidRequest | None = None
) -> ResponseReturnValue:
    line = get_delivery(session(), member.merchant_id, delivery_id)
    event = get_event(session(), member.merchant_id, line.event_id)
    return page(
        "dashboard/webhook_delivery.html",
        status=status_of(type(error)) if error else 200,
        here="webhooks",
        line=line,
        body=payload_of(event),
        attempts=attempts_of(session(), line.id),
        error_words=ERROR_WORDS,
        state_words=STATE_WORDS,
        type_words=TYPE_WORDS,
        failed=said(error) if error else "",
    )


def again(merchant_id: str, delivery_id: str) -> ResponseReturnValue:
    """Send this event once more to its endpoint."""
    member = require_member(merchant_id, OWNERS)
    line = get_delivery(session(), merchant_id, delivery_id)
    check_limit(REPLAYS, merchant_id)
    by = By(merchant_id, member.account_id)
    try:
        in_transaction(
            session(),
            lambda: replay_event(deps(), session(), by, line.endpoint_id, line.event_id),
        )
    except InvalidRequest as error:
        return _show(member, delivery_id, error)
    return redirect(f"/dashboard/{merchant_id}/webhooks/deliveries/{line.id}", 303)
