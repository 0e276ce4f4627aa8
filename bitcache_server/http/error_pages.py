"""What went wrong, as a page for readers: a sentence, and a way on."""

from dataclasses import dataclass
from urllib.parse import quote

from flask import render_template, request
from flask.typing import ResponseReturnValue

from bitcache_server.http.errors import log_unexpected, problem, translate

#: Where a page offers to go: an address and the words on the button.
Way = tuple[str, str]
AGAIN: Way = ("", "Try again")
WALLET: Way = ("/wallet", "To your balance")
TOP_UP: Way = ("/wallet/top-up", "Top up")
SIGN_IN: Way = ("/wallet/sign-in", "Sign in")
ABOUT: Way = ("/", "What is this server?")


@dataclass(frozen=True)
class Words:
    """What a page says instead of what the API says; empty where that is good enough."""

    title: str = ""
    detail: str = ""
    ways: tuple[Way, ...] = ()


_SHOP_404 = Words(
    "This is not for sale here",
    "Nothing is sold at this address. It may have been copied only in part, or the site no "
    "longer sells it. Go back to the site that you came from and follow its link again.",
    (WALLET, ABOUT),
)
#: By code; readers see the API's own words for all others.
_WORDS = {
    "unknown_item": _SHOP_404,
    "unknown_site": _SHOP_404,
    "unknown_invoice": Words(
        "This code to pay is not known",
        "No such code was made here. The address may have been copied only in part. A payment "
        "that you made is not lost: open the page that asked for it and enter your receipt code.",
        (WALLET, ABOUT),
    ),
    "invalid_request": Words("That did not work"),
    "not_found": Words(
        "There is nothing at this address",
        "It may have been copied only in part, or what was here is gone.",
        (WALLET, ABOUT),
    ),
    "rate_limited": Words("A little too fast", ways=(AGAIN,)),
    "verifier_mismatch": Words(
        "This browser cannot do that",
        "The purchase belongs to another browser. Your receipt code opens it in this one, on the "
        "page that sold it.",
        (WALLET,),
    ),
    "rate_unavailable": Words(
        "The price in bitcoin is not known at the moment",
        "Nothing was charged. Please try again soon.",
        (AGAIN,),
    ),
    "no_credit": Words(
        "There is no credit left here",
        "What was kept under your receipt code was used already, or is not enough for the price.",
        (WALLET,),
    ),
    "insufficient_balance": Words(ways=(TOP_UP, WALLET)),
    "sign_in_required": Words(ways=(SIGN_IN,)),
    "internal_error": Words(
        "Something went wrong here",
        "It is not your fault, and the operator finds it in the server's log. Please try again.",
        (AGAIN, WALLET),
    ),
}
_BUSY = Words(
    "This server is busy for a moment",
    "Nothing was charged, and nothing is lost. Please try again.",
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
    html = render_template(
        "error.html",
        title=words.title or body["title"],
        detail=words.detail or (body["detail"] if body["detail"] != body["title"] else ""),
        ways=_ways(words, status),
        code=code,
    )
    return html, status, headers


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
        return [(f"/pay/{quote(named['item_id'])}", "Back to the offer")]
    if "invoice_id" in named and request.blueprint == "pages":
        return [(f"/pay/invoices/{quote(named['invoice_id'])}", "Back to the payment")]
    return []
