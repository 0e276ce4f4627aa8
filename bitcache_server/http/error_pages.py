"""What went wrong, as a page for readers: a sentence, and a way on."""

from dataclasses import dataclass, replace
from urllib.parse import quote

from flask import render_template, request
from flask.typing import ResponseReturnValue

from bitcache_server.http.errors import log_unexpected, problem, translate
from bitcache_server.http.language import gettext, said
from bitcache_server.i18n import mark as _

#: Where a page offers to go: an address and the words on the button.
Way = tuple[str, str]
AGAIN: Way = ("", _("Try again"))
WALLET: Way = ("/wallet", _("To your balance"))
TOP_UP: Way = ("/wallet/top-up", _("Top up"))
SIGN_IN: Way = ("/wallet/sign-in", _("Sign in"))
ABOUT: Way = ("/", _("What is this server?"))
DASHBOARD: Way = ("/dashboard", _("To the dashboard"))
#: Whose pages are no reader's: a wallet is not where they go on.
_MERCHANTS = frozenset({"account", "connect", "dashboard", "operator"})


@dataclass(frozen=True)
class Words:
    """What a page says instead of what the API says; empty where that is good enough."""

    title: str = ""
    detail: str = ""
    ways: tuple[Way, ...] = ()


_SHOP_404 = Words(
    _("This is not for sale here"),
    _(
        "Nothing is sold at this address. It may have been copied only in part, or the site no "
        "longer sells it. Go back to the site that you came from and follow its link again."
    ),
    (WALLET, ABOUT),
)
#: By code; readers see the API's own words for all others.
_WORDS = {
    "unknown_item": _SHOP_404,
    "unknown_site": _SHOP_404,
    "unknown_invoice": Words(
        _("This code to pay is not known"),
        _(
            "No such code was made here. The address may have been copied only in part. A payment "
            "that you made is not lost: open the page that asked for it and enter your receipt "
            "code."
        ),
        (WALLET, ABOUT),
    ),
    "invalid_request": Words(_("That did not work")),
    "not_found": Words(
        _("There is nothing at this address"),
        _("It may have been copied only in part, or what was here is gone."),
        (WALLET, ABOUT),
    ),
    "rate_limited": Words(_("A little too fast"), ways=(AGAIN,)),
    "verifier_mismatch": Words(
        _("This browser cannot do that"),
        _(
            "The purchase belongs to another browser. Your receipt code opens it in this one, on "
            "the page that sold it."
        ),
        (WALLET,),
    ),
    "rate_unavailable": Words(
        _("The price in bitcoin is not known at the moment"),
        _("Nothing was charged. Please try again soon."),
        (AGAIN,),
    ),
    "no_credit": Words(
        _("There is no credit left here"),
        _(
            "What was kept under your receipt code was used already, or is not enough for the "
            "price."
        ),
        (WALLET,),
    ),
    "unknown_order": Words(
        _("There is no such order"),
        _(
            "The address may have been copied only in part. A payment that you made is not lost: "
            "its page and your receipt code still work."
        ),
        (WALLET, ABOUT),
    ),
    "order_closed": Words(
        _("This order takes no more payments"),
        _("It was paid, cancelled, or its time is over. Nothing was charged now."),
        (WALLET,),
    ),
    "link_invalid": Words(
        _("This link is not valid"),
        _("It was changed or copied only in part. Go back to where you found it and try again."),
        (ABOUT,),
    ),
    "link_expired": Words(
        _("This link is over"),
        _("Go back to where you found it; it makes a new one. Nothing was charged."),
        (ABOUT,),
    ),
    "insufficient_balance": Words(ways=(TOP_UP, WALLET)),
    "sign_in_required": Words(ways=(SIGN_IN,)),
    "internal_error": Words(
        _("Something went wrong here"),
        _("It is not your fault, and the operator finds it in the server's log. Please try again."),
        (AGAIN, WALLET),
    ),
}
_BUSY = Words(
    _("This server is busy for a moment"),
    _("Nothing was charged, and nothing is lost. Please try again."),
    (AGAIN,),
)
#: What an operator must put right; a reader can only come back.
_BUSY_CODES = ("storage_busy", "storage_full", "storage_unavailable", "configuration_error")


def error_page(error: Exception) -> ResponseReturnValue:
    """Return any exception as a page, with the status and headers that the API gives it."""
    translated = translate(error)
    log_unexpected(translated)
    body, status, headers = problem(translated)
    headers.pop("Content-Type")
    code = str(body["code"])
    words = _BUSY if code in _BUSY_CODES else _WORDS.get(code, Words())
    if request.blueprint in _MERCHANTS:
        words = _for_merchants(words, status)
    detail = str(body["detail"]) if body["detail"] != body["title"] else ""
    if detail == translated.detail:
        detail = said(translated)
    html = render_template(
        "error.html",
        title=gettext(words.title or str(body["title"])),
        detail=gettext(words.detail) if words.detail else detail,
        ways=[(address, gettext(text)) for address, text in _ways(words, status)],
        code=code,
    )
    return html, status, headers


def _for_merchants(words: Words, status: int) -> Words:
    # What is another's and what is nowhere answer alike.
    words = _WORDS["not_found"] if status == 404 else words
    return replace(words, ways=(AGAIN, DASHBOARD) if status in (500, 503) else (DASHBOARD,))


def _ways(words: Words, status: int) -> list[Way]:
    ways = words.ways or ((AGAIN,) if status in (500, 503) else (WALLET,))
    if request.method == "GET":
        return list(ways)
    # A link to where a form was sent sends nothing: the page with the form does.
    form_page = _form_page() if status != 404 else []
    return [*form_page, *(way for way in ways if way != AGAIN)] or [WALLET]


def _form_page() -> list[Way]:
    """Return the page of the shop whose form went wrong."""
    named = request.view_args or {}
    if "item_id" in named and request.blueprint == "pages":
        return [(f"/pay/{quote(named['item_id'])}", _("Back to the offer"))]
    if "order_id" in named and request.blueprint == "orders":
        return [(f"/pay/orders/{quote(named['order_id'])}", _("Back to the order"))]
    if "invoice_id" in named and request.blueprint == "pages":
        return [(f"/pay/invoices/{quote(named['invoice_id'])}", _("Back to the payment"))]
    return []
