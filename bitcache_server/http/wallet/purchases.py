"""/wallet/purchases: what was bought, receipts, and what the merchant takes back."""

from flask import Blueprint, Response, make_response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from bitcache_server.domain.errors import (
    AlreadyRefunded,
    MerchantBalanceTooLow,
    RefundNotOffered,
    UnknownPurchase,
)
from bitcache_server.http.context import deps, session
from bitcache_server.http.documents import receipt_of_purchase
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import same_origin
from bitcache_server.http.wallet.cookie import require_holder
from bitcache_server.http.wallet.look import page, utc_words
from bitcache_server.services.collect import receipt_of_wallet
from bitcache_server.services.once import in_transaction
from bitcache_server.services.refund import refund_by_reader
from bitcache_server.services.wallet_views import MAX_PAGE, Purchase, purchase, purchases

NOTICES = {"refunded": "The purchase was given back. The money is in your balance again."}
#: No page and no purchase has a higher number; more digits are no number of ours.
MAX_DIGITS = 9
#: What a merchant who was paid out in the meantime must not hear of through a reader.
NOT_NOW = "This cannot be given back at the moment. Please write to the website that sold it."
NOT_BOUGHT = "There is no such purchase in this wallet, so nothing was given back."


def add_routes(pages: Blueprint) -> None:
    """Add the list, the receipts and the form."""
    pages.add_url_rule("/purchases", "purchases", show)
    one = "/purchases/<item_id>/<revision>"
    pages.add_url_rule(f"{one}/receipt", "receipt", receipt)
    pages.add_url_rule(f"{one}/receipt.txt", "receipt_text", receipt_text)
    pages.add_url_rule(f"{one}/receipt.pdf", "receipt_pdf", receipt_pdf)
    pages.add_url_rule("/purchases/<item_id>/refund", "refund", refund, methods=["POST"])


def show() -> Response:
    """Show one page of the list."""
    return _show()


def _show(failed: str = "", status: int = 200) -> Response:
    known = require_holder()
    number = _page_number()
    found, more = purchases(deps(), session(), known.wallet_id, number)
    return page(
        "wallet_purchases.html",
        status=status,
        here="purchases",
        purchases=found,
        number=number,
        more=more,
        failed=failed,
        notice=NOTICES.get(request.args.get("done", "")),
    )


def _page_number() -> int:
    text = request.args.get("page", "1")
    return min(max(int(text), 1), MAX_PAGE) if _is_number(text) else 1


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def receipt(item_id: str, revision: str) -> Response:
    """Show the proof of a purchase, to keep or to print."""
    bought, token = _receipt(item_id, revision)
    return page("wallet_receipt.html", here="purchases", purchase=bought, token=token)


def receipt_text(item_id: str, revision: str) -> Response:
    """Give the same as a text file."""
    bought, token = _receipt(item_id, revision)
    lines = [
        f"Receipt from {deps().settings.public_url}",
        "",
        f"For:      {bought.title}",
        f"Sold by:  {bought.site_name}",
        f"Paid:     {bought.price_msat / 1000:,.3f} sats",
        f"On:       {utc_words(bought.bought_at)}",
        f"Purchase: {bought.group_id}",
        "",
        "The seller can check this line; it opens nothing:",
        token,
        "",
    ]
    answer = make_response("\n".join(lines))
    answer.headers["Content-Type"] = "text/plain; charset=utf-8"
    answer.headers["Content-Disposition"] = f'attachment; filename="receipt-{item_id}.txt"'
    return answer


def receipt_pdf(item_id: str, revision: str) -> Response:
    """Give the same as a document."""
    return receipt_of_purchase(*_receipt(item_id, revision))


def _receipt(item_id: str, text: str) -> tuple[Purchase, str]:
    known = require_holder()
    if not _is_number(text):
        raise UnknownPurchase()
    revision = int(text)
    bought = purchase(deps(), session(), known.wallet_id, item_id, revision)
    token = receipt_of_wallet(deps(), session(), known.wallet_id, item_id, revision)
    return bought, token


def refund(item_id: str) -> AnyResponse:
    """Give a purchase back, where its merchant offers that."""
    same_origin()
    known = require_holder()
    try:
        in_transaction(
            session(), lambda: refund_by_reader(deps(), session(), known.wallet_id, item_id)
        )
    except MerchantBalanceTooLow as error:
        return _show(NOT_NOW, status_of(type(error)))
    except UnknownPurchase as error:
        return _show(NOT_BOUGHT, status_of(type(error)))
    except (AlreadyRefunded, RefundNotOffered) as error:
        return _show(error.detail, status_of(type(error)))
    return redirect("/wallet/purchases?done=refunded", 303)
