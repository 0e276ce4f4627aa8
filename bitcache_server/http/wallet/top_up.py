"""/wallet/top-up: money comes in. A browser without a wallet gets one with its first code."""

from flask import Blueprint, Response, make_response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from bitcache_server.domain.errors import (
    AddressesExhausted,
    AmountBelowFloor,
    InvalidRequest,
    RailError,
    RailUnavailable,
)
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.http.back import next_path, with_next
from bitcache_server.http.context import deps, session
from bitcache_server.http.errors import status_of
from bitcache_server.http.forms import same_origin
from bitcache_server.http.limits import INVOICES, check_limit
from bitcache_server.http.user_agent import device_label
from bitcache_server.http.wallet.cookie import holder, require_holder, sign_in
from bitcache_server.http.wallet.look import page, whole_number
from bitcache_server.models.sales import Invoice
from bitcache_server.services.once import in_transaction
from bitcache_server.services.request_payment import ANY, ask_for_payment
from bitcache_server.services.top_up import create_top_up, get_top_up, smallest_sat, top_up_rails
from bitcache_server.services.views import invoice_view
from bitcache_server.services.wallets import Holder, create_wallet, open_session

#: Why there is no code to pay to; the form says it.
REFUSALS = (InvalidRequest, AmountBelowFloor, RailUnavailable, AddressesExhausted, RailError)
#: Amounts to choose from, as multiples of the smallest one.
STEPS = (5, 20, 50)


def add_routes(pages: Blueprint) -> None:
    """Add the form and the page of each top-up."""
    pages.add_url_rule("/top-up", "top_up", show)
    pages.add_url_rule("/top-up", "top_up_start", start, methods=["POST"])
    pages.add_url_rule("/top-up/<invoice_id>", "top_up_invoice", show_invoice)
    pages.add_url_rule("/top-up/<invoice_id>/news", "top_up_news", tell_news)


def show() -> Response:
    """Ask for an amount."""
    return _show()


def _show(failed: str = "", status: int = 200) -> Response:
    settings, least_sat = deps().settings, smallest_sat(deps(), session())
    most_sat = settings.top_up_max_sat
    return page(
        "wallet_top_up.html",
        status=status,
        here="top_up",
        failed=failed,
        amount=request.form.get("amount", "")[:20],
        least_sat=least_sat,
        most_sat=most_sat,
        choices=[least_sat * step for step in STEPS if least_sat * step <= most_sat],
        rails=top_up_rails(deps(), session(), least_sat),
        next=next_path(""),
    )


def start() -> AnyResponse:
    """Make a code to pay to, and a wallet for whoever has none."""
    same_origin()
    check_limit(INVOICES)
    known = holder()
    rail, cookie = request.form.get("rail") or ANY, None
    try:
        amount_sat = whole_number(request.form.get("amount", ""))
        invoice_id, cookie = in_transaction(session(), lambda: _create(known, amount_sat, rail))
        ask_for_payment(deps(), session(), invoice_id, rail)
    except REFUSALS as error:
        # What a node says of itself is for its operator.
        words = f"{error.title}." if isinstance(error, RailError) else error.detail
        response = _show(words, status_of(type(error)))
    else:
        wanted = next_path("")
        path = f"/wallet/top-up/{invoice_id}"
        response = make_response(redirect(with_next(path, wanted) if wanted else path, 303))
    if cookie is not None:
        sign_in(response, cookie)
    return response


def _create(known: Holder | None, amount_sat: int, rail: str) -> tuple[str, str | None]:
    cookie = None
    if known is None:
        wallet_id = create_wallet(deps(), session()).id
        cookie = open_session(deps(), session(), wallet_id, device_label(), verified=False)
    else:
        wallet_id = known.wallet_id
    return create_top_up(deps(), session(), wallet_id, amount_sat, rail).id, cookie


def show_invoice(invoice_id: str) -> Response:
    """Show how to pay, and how far the payment has come."""
    known = require_holder()
    invoice = get_top_up(session(), known.wallet_id, invoice_id)
    view = invoice_view(deps(), session(), invoice)
    return page(
        "wallet_top_up_invoice.html",
        scripts=True,
        here="top_up",
        invoice=view.model_dump(),
        way=request.args.get("way", ""),
        credited_msat=invoice.claimed_msat,
        still="still" in request.args,
        waits=_waits(invoice),
        news=_news(invoice),
        is_over=_is_over(invoice),
        next=next_path(""),
    )


def tell_news(invoice_id: str) -> Response:
    """Say whether the page would show something else by now: 304 while it would not."""
    known = require_holder()
    answer = make_response(_news(get_top_up(session(), known.wallet_id, invoice_id)))
    answer.mimetype = "text/plain"
    answer.set_etag(answer.get_data(as_text=True))
    answer.make_conditional(request)
    return answer


def _news(invoice: Invoice) -> str:
    return f"{invoice.version}-{invoice.claimed_msat}-{int(_is_over(invoice))}"


def _is_over(invoice: Invoice) -> bool:
    return deps().clock() > invoice.expires_at


def _waits(invoice: Invoice) -> bool:
    """Say whether something can still happen soon, so that the page looks again by itself."""
    if invoice.state in (InvoiceState.OPEN, InvoiceState.SEEN):
        return True
    return invoice.received_msat > invoice.claimed_msat + invoice.credit_msat
