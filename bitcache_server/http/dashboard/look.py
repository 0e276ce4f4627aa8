"""What all pages of merchants, accounts and the operator share: guards, head, navigation."""

from collections.abc import Mapping

from flask import Blueprint, Flask, Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import AccountConfirmationRequired, AccountRequired
from bitcache_server.http.account.access import signed_in
from bitcache_server.http.back import page_before, with_next
from bitcache_server.http.context import kept, session
from bitcache_server.http.error_pages import error_page
from bitcache_server.http.errors import log_unexpected, problem_response, translate
from bitcache_server.http.forms import same_origin
from bitcache_server.http.headers import page_policy
from bitcache_server.http.language import gettext, remember, said
from bitcache_server.http.limits import READS, check_limit
from bitcache_server.i18n import mark as _
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.members import EVERYBODY, OWNERS, SELLERS, Member, Role

SIGN_IN = "/account/sign-in"
CONFIRM = "/account/confirm"

#: Name of the page, path after the merchant, words, and who sees it.
PLACES: tuple[tuple[str, str, str, frozenset[Role]], ...] = (
    ("home", "", _("Home"), EVERYBODY),
    ("items", "/items", _("Items"), SELLERS),
    ("sales", "/sales", _("Sales"), EVERYBODY),
    ("orders", "/orders", _("Orders"), SELLERS),
    ("payouts", "/payouts", _("Payouts"), EVERYBODY),
    ("sites", "/sites", _("Sites"), OWNERS),
    ("webhooks", "/webhooks", _("Webhooks"), OWNERS),
    ("keys", "/keys", _("Keys"), OWNERS),
    ("people", "/people", _("People"), OWNERS),
    ("branding", "/branding", _("Branding"), OWNERS),
    ("settings", "/settings", _("Settings"), OWNERS),
    ("audit", "/audit", _("Log"), OWNERS),
)


def guard(pages: Blueprint) -> None:
    """Give a blueprint what its pages need: who may send forms, limits, errors, headers."""
    pages.before_request(_check)
    pages.after_request(_page_headers)
    pages.register_error_handler(AccountRequired, _lead_to_sign_in)
    pages.register_error_handler(AccountConfirmationRequired, _lead_to_confirmation)
    pages.register_error_handler(Exception, _error)


def register(app: Flask) -> None:
    """Give the templates ``places()``, ``merchant()`` and ``account()``."""
    app.context_processor(
        lambda: {"places": places, "page_merchant": page_merchant, "account": signed_in}
    )


def page(
    template: str,
    *,
    scripts: bool = False,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: object,
) -> Response:
    """Return one of our templates, with leave for our own script files where it needs them."""
    answer = make_response(render_template(template, **context), status)
    if scripts:
        answer.headers["Content-Security-Policy"] = page_policy(scripts=True)
    answer.headers.update(headers or {})
    return answer


def done_notice(sentences: Mapping[str, str]) -> str:
    """Return the sentence about what was just done (``?done=``), in the page's language.

    Empty where nothing was, or for a word that no form of ours leads back with.
    """
    sentence = sentences.get(request.args.get("done", ""))
    return gettext(sentence) if sentence else ""


def places() -> list[tuple[str, str, str]]:
    """Return the pages that the member may see: name, address, words."""
    member: Member | None = kept().get("member")
    if member is None:
        return []
    base = f"/dashboard/{member.merchant_id}"
    return [(name, base + path, words) for name, path, words, who in PLACES if member.may(who)]


def page_merchant() -> object:
    """Return the merchant that the page is about, or None."""
    member: Member | None = kept().get("member")
    return get_merchant(session(), member.merchant_id) if member else None


def _check() -> None:
    check_limit(READS)
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        same_origin()


def _page_headers(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    # With `no-referrer` a browser would send our own forms with the origin `null`.
    response.headers["Referrer-Policy"] = "same-origin"
    return remember(response)


def _lead_to_sign_in(error: AccountRequired) -> ResponseReturnValue:
    return _lead(SIGN_IN, error)


def _lead_to_confirmation(error: AccountConfirmationRequired) -> ResponseReturnValue:
    return _lead(CONFIRM, error)


def _lead(path: str, error: AccountRequired | AccountConfirmationRequired) -> ResponseReturnValue:
    if request.mimetype == "application/json":
        return problem_response(error)
    return redirect(with_next(path, page_before()), 303)


def _error(error: Exception) -> ResponseReturnValue:
    if request.mimetype != "application/json":
        return error_page(error)
    translated = translate(error)
    log_unexpected(translated)
    # Our own script shows it to a person.
    translated.detail = said(translated)
    return problem_response(translated)
