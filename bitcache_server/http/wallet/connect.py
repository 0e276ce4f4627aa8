"""/wallet/connect: the reader lets a site's page spend from the balance.

The site's page opens it in a small window, or goes to it where windows are blocked. It
ends with a code for that page: handed to the window that opened this one, or in the
fragment of the address that the reader returns to, which no server ever sees.
"""

from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, redirect, request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from bitcache_server.domain.errors import (
    ConfirmationRequired,
    InvalidRequest,
    OriginNotAllowed,
    UnknownPurchase,
)
from bitcache_server.domain.money import MSAT_PER_SAT, format_sat
from bitcache_server.http.back import with_next
from bitcache_server.http.context import deps, session
from bitcache_server.http.forms import same_origin
from bitcache_server.http.limits import UNLOCKS, check_limit
from bitcache_server.http.wallet.cookie import holder, require_holder
from bitcache_server.http.wallet.look import page, whole_number
from bitcache_server.http.wallet.session import CONFIRM
from bitcache_server.models.catalog import Item
from bitcache_server.models.wallets import Allowance
from bitcache_server.services.allowances import (
    Limits,
    approve,
    create_allowance,
    default_limits,
    live_allowance,
    permits,
    raises_limits,
    spent_today_msat,
)
from bitcache_server.services.browsers import is_confirmed, require_confirmation
from bitcache_server.services.gifts import gift_on_offer_msat
from bitcache_server.services.items import get_item
from bitcache_server.services.once import in_transaction
from bitcache_server.services.origins import normalise_origin, origins_of
from bitcache_server.services.quotes import quote
from bitcache_server.services.views import item_view
from bitcache_server.services.wallet_views import purchase, wallet_view
from bitcache_server.services.wallets import Holder
from bitcache_server.tokens.verifier import check_challenge_format

MAX_ADDRESS_CHARS = 2_000
#: What comes back of a limit that cannot be right.
MAX_SHOWN = 16


@dataclass(frozen=True)
class Asked:
    """What a site's page asks for."""

    item: Item
    origin: str
    challenge: str
    return_to: str
    """The page's address, on that origin."""
    popup: bool
    """Whether the page waits behind this window."""

    @property
    def host(self) -> str:
        """Return how people know the site."""
        return urlsplit(self.origin).netloc

    @property
    def page(self) -> str:
        """Return the address of our page that asks the reader."""
        return f"/wallet/connect?{urlencode(self.fields())}"

    def fields(self) -> dict[str, str]:
        """Return the query with which the page asks for this."""
        return {
            "item": self.item.id,
            "origin": self.origin,
            "challenge": self.challenge,
            "return_to": self.return_to,
            **({"popup": "1"} if self.popup else {}),
        }


def add_routes(pages: Blueprint) -> None:
    """Add the page and its form."""
    pages.add_url_rule("/connect", "connect", show)
    pages.add_url_rule("/connect", "connect_allow", allow, methods=["POST"])


def show() -> Response:
    """Show what is asked for, and what is missing before it can be allowed."""
    return _show(_asked(request.args))


def allow() -> AnyResponse:
    """Give the allowance and hand its code to the page; until here nothing was stored."""
    same_origin()
    check_limit(UNLOCKS)
    known = require_holder()
    asked = _asked(request.form)
    try:
        code = in_transaction(session(), lambda: _allow(asked, known))
    except InvalidRequest as error:
        return _show(asked, error.detail, 422)
    except ConfirmationRequired:
        # Back to the page, not to the limits: an address that fills them in would let any
        # site choose them for the reader.
        return redirect(with_next(CONFIRM, asked.page), 303)
    back = {"bitcache_code": code, "bitcache_item": asked.item.id}
    return page(
        "wallet_connect_done.html",
        scripts=True,
        asked=asked,
        code=code,
        return_url=f"{asked.return_to}#{urlencode(back)}",
    )


def _asked(values: MultiDict[str, str]) -> Asked:
    """Return the request of a page that may make it; raise a clear error for any other."""
    item = get_item(session(), values.get("item", ""))
    origin = normalise_origin(values.get("origin", ""))
    if origin not in origins_of(session(), item.site_id):
        raise OriginNotAllowed(
            f"{origin[:200]} is not an origin of this item's site, so it can ask for nothing."
        )
    return Asked(
        item=item,
        origin=origin,
        challenge=check_challenge_format(values.get("challenge", "")),
        return_to=_return_to(values.get("return_to", ""), origin),
        popup=values.get("popup") == "1",
    )


def _return_to(address: str, origin: str) -> str:
    """Return the address without its fragment; raise for one that is not on the origin.

    It is put together anew behind the origin: two programs that read a strange address
    in two ways cannot disagree about its host.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        raise InvalidRequest("The address to return to cannot be read.") from None
    if len(address) > MAX_ADDRESS_CHARS or not address.isprintable():
        raise InvalidRequest("The address to return to is too long or not printable.")
    if f"{parts.scheme}://{parts.netloc}" != origin:
        raise OriginNotAllowed("The address to return to is on another origin.")
    query = f"?{parts.query}" if parts.query else ""
    return f"{origin}/{parts.path.removeprefix('/')}{query}"


def _allow(asked: Asked, known: Holder) -> str:
    site_id = asked.item.site_id
    if request.form.get("keep"):
        kept = live_allowance(deps(), session(), known.wallet_id, site_id, asked.origin)
        if kept is not None:
            return approve(deps(), session(), kept, asked.challenge, known.session_id)
    limits, price_msat = _limits(), _price_msat(asked.item)
    before = live_allowance(deps(), session(), known.wallet_id, site_id, asked.origin)
    # An allowance outlives the browser that gave it: a copied cookie must not make a large one.
    if raises_limits(limits, before, price_msat):
        require_confirmation(deps(), session(), known)
    allowance = create_allowance(deps(), session(), known.wallet_id, site_id, asked.origin, limits)
    due_msat = 0 if price_msat is None or _owns(asked, known) else price_msat
    if due_msat and not permits(deps(), allowance, due_msat):
        raise InvalidRequest(
            f"With these limits this item, which costs {format_sat(due_msat)}, stays closed."
        )
    return approve(deps(), session(), allowance, asked.challenge, known.session_id)


def _limits() -> Limits:
    return Limits(
        per_item_msat=whole_number(request.form.get("per_item", "")) * MSAT_PER_SAT,
        per_day_msat=whole_number(request.form.get("per_day", "")) * MSAT_PER_SAT,
        auto_msat=whole_number(request.form.get("auto", "")) * MSAT_PER_SAT,
        days=whole_number(request.form.get("days", "")),
    )


def _price_msat(item: Item) -> int | None:
    return quote(deps(), session(), item.price_currency, item.price_amount).amount_msat


def _owns(asked: Asked, known: Holder) -> bool:
    try:
        return purchase(deps(), session(), known.wallet_id, asked.item.id).opens
    except UnknownPurchase:
        return False


def _show(asked: Asked, error: str = "", status: int = 200) -> Response:
    known = holder()
    price_msat = _price_msat(asked.item)
    context: dict[str, object] = {
        "asked": asked,
        "item": item_view(deps(), session(), asked.item).model_dump(),
        "price_msat": price_msat,
        "next": urlencode({"next": asked.page}),
        "error": error,
        "gift_msat": gift_on_offer_msat(deps(), session(), known.wallet_id if known else None),
    }
    if known is not None and price_msat is not None:
        context |= _what_is_there(asked, known, price_msat)
    return page("wallet_connect.html", scripts=True, status=status, **context)


def _what_is_there(asked: Asked, known: Holder, price_msat: int) -> dict[str, object]:
    wallet = wallet_view(deps(), session(), known.wallet_id)
    owned = _owns(asked, known)
    due_msat = 0 if owned else price_msat
    found = live_allowance(deps(), session(), known.wallet_id, asked.item.site_id, asked.origin)
    return {
        "wallet": wallet,
        "owned": owned,
        "missing_msat": max(0, due_msat - wallet.total_msat),
        "allowance": found,
        "permitted": found is not None and permits(deps(), found, due_msat),
        "spent_msat": spent_today_msat(deps(), found) if found else 0,
        "confirmed": is_confirmed(deps(), session(), known),
        "limits": _written_limits() or _proposed(found, price_msat),
    }


def _proposed(found: Allowance | None, price_msat: int) -> dict[str, int]:
    """Return the limits that the form begins with: never below what the reader chose before."""
    limits = default_limits(price_msat)
    per_item_msat, per_day_msat, auto_msat = limits.per_item_msat, limits.per_day_msat, 0
    if found is not None:
        auto_msat = found.auto_msat
        per_item_msat = found.per_item_msat
        if per_item_msat < price_msat:
            per_item_msat = limits.per_item_msat
        needed_msat = spent_today_msat(deps(), found) + price_msat
        per_day_msat = max(found.per_day_msat, per_item_msat)
        if per_day_msat < needed_msat:
            per_day_msat = default_limits(needed_msat).per_item_msat
    return {
        "per_item": per_item_msat // MSAT_PER_SAT,
        "per_day": per_day_msat // MSAT_PER_SAT,
        "auto": auto_msat // MSAT_PER_SAT,
        "days": limits.days,
    }


def _written_limits() -> dict[str, str]:
    """Return what the reader has typed, when the form comes back with an error."""
    names = ("per_item", "per_day", "auto", "days")
    return {name: request.form[name][:MAX_SHOWN] for name in names if name in request.form}
