"""/dashboard/<merchant>/webhooks/<endpoint>: change it, try it, see and repeat deliveries."""

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import InvalidRequest, WebhookUrlRefused
from bitcache_server.http.account.access import is_confirmed, require_confirmed, require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.dashboard.webhook_words import REASON_WORDS, STATE_WORDS, TYPE_WORDS
from bitcache_server.http.dashboard.webhooks import REFUSED, chosen_types, refusal_words
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import gettext
from bitcache_server.http.limits import REPLAYS, check_limit
from bitcache_server.i18n import mark as _
from bitcache_server.services.members import OWNERS, Member
from bitcache_server.services.once import in_transaction
from bitcache_server.services.one_time_codes import Purpose, new_code, use_code
from bitcache_server.services.webhook_endpoints import (
    By,
    Change,
    NewEndpoint,
    change_endpoint,
    delete_endpoint,
    get_endpoint,
    rotate_secret,
)
from bitcache_server.services.webhook_replays import Span, replay_range, send_test
from bitcache_server.services.webhook_views import STATES, list_deliveries

#: A secret is shown in the answer to the form; sent again, the form makes no other one.
FORM = Purpose("webhook_secret_form", 43_200)
LINES = 50
NOTICES = {
    "changed": _("The endpoint is changed."),
    "paused": _("The endpoint is paused. What happens meanwhile is kept."),
    "resumed": _("The endpoint is switched on. What waited for it is sent now."),
    "again": _("The events are on their way again."),
    "more": _("The first 10,000 events are on their way again. Repeat it from a later time."),
    "nothing": _("There is nothing to send again in that time."),
    "sent": _("That form was sent before. A secret is shown only once; rotate for a new one."),
}
Refusal = InvalidRequest | WebhookUrlRefused


def add_routes(pages: Blueprint) -> None:
    """Add the page and its forms."""
    base = "/<merchant_id>/webhooks/<endpoint_id>"
    pages.add_url_rule(base, "webhook", show)
    for name, answer in (
        ("change", change),
        ("switch", switch),
        ("rotate", rotate),
        ("delete", remove),
        ("test", try_out),
        ("replay", replay),
    ):
        pages.add_url_rule(f"{base}/{name}", f"{name}_webhook", answer, methods=["POST"])


def show(merchant_id: str, endpoint_id: str) -> ResponseReturnValue:
    """Show an endpoint and what was delivered to it."""
    return _show(require_member(merchant_id, OWNERS), endpoint_id)


def _show(
    member: Member,
    endpoint_id: str,
    error: Refusal | None = None,
    made: NewEndpoint | None = None,
) -> ResponseReturnValue:
    endpoint = get_endpoint(session(), member.merchant_id, endpoint_id)
    state = request.args.get("state", "")
    before = request.args.get("before", "")
    lines = list_deliveries(
        session(), endpoint.id, state, int(before) if _is_number(before) else None, LINES + 1
    )
    return page(
        "dashboard/webhook.html",
        status=status_of(type(error)) if error else 200,
        scripts=made is not None,
        here="webhooks",
        endpoint=endpoint,
        overlaps=(endpoint.old_secret_until or 0) > deps().clock(),
        reason_words=REASON_WORDS,
        type_words=TYPE_WORDS,
        state_words=STATE_WORDS,
        state=state if state in STATES else "",
        lines=lines[:LINES],
        next_before=lines[LINES - 1].id if len(lines) > LINES else None,
        confirmed=is_confirmed(),
        typed=request.form if error else {},
        chosen=chosen_types()
        if error and "which" in request.form
        else endpoint.event_types.split(),
        form_code=new_code(deps(), FORM, member.account_id),
        made=made,
        failed=refusal_words(error) if error else "",
        notice=done_notice(NOTICES),
    )


def change(merchant_id: str, endpoint_id: str) -> ResponseReturnValue:
    """Change address, description and events."""
    form = request.form
    wanted = Change(form.get("url", ""), form.get("description", ""), chosen_types())
    return _do(
        merchant_id,
        endpoint_id,
        lambda by: _done(change_endpoint(deps(), session(), by, endpoint_id, wanted), "changed"),
    )


def switch(merchant_id: str, endpoint_id: str) -> ResponseReturnValue:
    """Pause an endpoint or switch it on."""
    enabled = request.form.get("enabled") == "1"
    wanted = Change(enabled=enabled)
    return _do(
        merchant_id,
        endpoint_id,
        lambda by: _done(
            change_endpoint(deps(), session(), by, endpoint_id, wanted),
            "resumed" if enabled else "paused",
        ),
    )


def remove(merchant_id: str, endpoint_id: str) -> ResponseReturnValue:
    """Delete an endpoint."""
    member = require_member(merchant_id, OWNERS)
    require_confirmed()
    by = By(merchant_id, member.account_id)
    in_transaction(session(), lambda: delete_endpoint(deps(), session(), by, endpoint_id))
    return redirect(f"/dashboard/{merchant_id}/webhooks?done=deleted", 303)


def rotate(merchant_id: str, endpoint_id: str) -> ResponseReturnValue:
    """Make another secret and show it, this one time."""
    member = require_member(merchant_id, OWNERS)
    require_confirmed()
    get_endpoint(session(), merchant_id, endpoint_id)
    made = in_transaction(session(), lambda: _rotate(member, endpoint_id))
    if made is None:
        return redirect(f"/dashboard/{merchant_id}/webhooks/{endpoint_id}?done=sent", 303)
    return _show(member, endpoint_id, made=made)


def _rotate(member: Member, endpoint_id: str) -> NewEndpoint | None:
    if not use_code(deps(), session(), FORM, request.form.get("form", ""), member.account_id):
        return None
    by = By(member.merchant_id, member.account_id)
    return rotate_secret(deps(), session(), by, endpoint_id)


def try_out(merchant_id: str, endpoint_id: str) -> ResponseReturnValue:
    """Send a test event and lead to its delivery, where the answer will stand."""
    member = require_member(merchant_id, OWNERS)
    check_limit(REPLAYS, merchant_id)
    by = By(merchant_id, member.account_id)
    try:
        delivery_id = in_transaction(
            session(), lambda: send_test(deps(), session(), by, endpoint_id)
        )
    except InvalidRequest as error:
        return _show(member, endpoint_id, error)
    return redirect(f"/dashboard/{merchant_id}/webhooks/deliveries/{delivery_id}", 303)


def replay(merchant_id: str, endpoint_id: str) -> ResponseReturnValue:
    """Send the events since a time again."""

    def work(by: By) -> str:
        check_limit(REPLAYS, merchant_id)
        span = Span(_since(), deps().clock(), request.form.get("all") == "1")
        done = replay_range(deps(), session(), by, endpoint_id, span)
        if done.next_since is not None:
            return "more"
        return "again" if done.count else "nothing"

    return _do(merchant_id, endpoint_id, work, confirmed=False)


def _do(
    merchant_id: str, endpoint_id: str, work: Callable[[By], str], *, confirmed: bool = True
) -> ResponseReturnValue:
    """Do something in a transaction and lead back with the word that it returns."""
    member = require_member(merchant_id, OWNERS)
    if confirmed:
        require_confirmed()
    by = By(merchant_id, member.account_id)
    try:
        done = in_transaction(session(), lambda: work(by))
    except REFUSED as error:
        return _show(member, endpoint_id, error)
    return redirect(f"/dashboard/{merchant_id}/webhooks/{endpoint_id}?done={done}", 303)


def _done(_: object, word: str) -> str:
    return word


def _since() -> int:
    """Return the time of a form, in UTC; raise InvalidRequest."""
    try:
        at = datetime.fromisoformat(request.form.get("since", ""))
        return max(0, int(at.replace(tzinfo=UTC).timestamp()))
    except (ValueError, OverflowError):
        raise InvalidRequest(gettext("Say since when, as a date and a time.")) from None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
