"""/dashboard/<merchant>/webhooks: where events go; add an endpoint, see how each is doing."""

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import InvalidRequest, WebhookUrlRefused
from bitcache_server.http.account.access import is_confirmed, require_confirmed, require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.dashboard.webhook_words import TYPE_WORDS
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import gettext, said
from bitcache_server.i18n import mark as _
from bitcache_server.services.members import OWNERS, Member
from bitcache_server.services.once import in_transaction
from bitcache_server.services.one_time_codes import Purpose, new_code, use_code
from bitcache_server.services.webhook_endpoints import By, NewEndpoint, add_endpoint, list_endpoints

#: The secret is shown in the answer to the form; sent again, the form adds no other endpoint.
FORM = Purpose("webhook_form", 43_200)
NOTICES = {
    "deleted": _("The endpoint is deleted. Nothing is sent to it any more."),
    "sent": _("That form was sent before. Its endpoint is in the list; rotate for a new secret."),
}
REFUSED = (InvalidRequest, WebhookUrlRefused)


def add_routes(pages: Blueprint) -> None:
    """Add the page and its form."""
    base = "/<merchant_id>/webhooks"
    pages.add_url_rule(base, "webhooks", show)
    pages.add_url_rule(base, "add_webhook", add, methods=["POST"])


def chosen_types() -> list[str]:
    """Return the event types of a form: all, or those that are ticked."""
    return ["*"] if request.form.get("which", "all") == "all" else request.form.getlist("type")


def refusal_words(error: InvalidRequest | WebhookUrlRefused) -> str:
    """Return what is wrong, in the language of the page."""
    if isinstance(error, WebhookUrlRefused):
        return gettext(
            "Webhooks go to https addresses on the public internet, with no user name in them."
        )
    return said(error)


def show(merchant_id: str) -> ResponseReturnValue:
    """List the endpoints."""
    return _show(require_member(merchant_id, OWNERS))


def _show(
    member: Member,
    error: InvalidRequest | WebhookUrlRefused | None = None,
    made: NewEndpoint | None = None,
) -> ResponseReturnValue:
    return page(
        "dashboard/webhooks.html",
        status=status_of(type(error)) if error else 200,
        scripts=made is not None,
        here="webhooks",
        endpoints=list_endpoints(session(), member.merchant_id),
        confirmed=is_confirmed(),
        type_words=TYPE_WORDS,
        typed=request.form if error else {},
        chosen=chosen_types() if error else ["*"],
        form_code=new_code(deps(), FORM, member.account_id),
        made=made,
        failed=refusal_words(error) if error else "",
        notice=done_notice(NOTICES),
    )


def add(merchant_id: str) -> ResponseReturnValue:
    """Add an endpoint and show its secret, this one time."""
    member = require_member(merchant_id, OWNERS)
    require_confirmed()
    try:
        made = in_transaction(session(), lambda: _add(member))
    except REFUSED as error:
        return _show(member, error)
    if made is None:
        return redirect(f"/dashboard/{merchant_id}/webhooks?done=sent", 303)
    return _show(member, made=made)


def _add(member: Member) -> NewEndpoint | None:
    form = request.form
    if not use_code(deps(), session(), FORM, form.get("form", ""), member.account_id):
        return None
    by = By(member.merchant_id, member.account_id)
    url, words = form.get("url", ""), form.get("description", "")
    return add_endpoint(deps(), session(), by, url, words, chosen_types())
