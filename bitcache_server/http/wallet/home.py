"""/wallet: the balance and what happened last; without a wallet, how to get one."""

from flask import Blueprint, Response, request

from bitcache_server.domain.errors import NotFound
from bitcache_server.http.back import next_path
from bitcache_server.http.context import deps, session
from bitcache_server.http.wallet.cookie import holder
from bitcache_server.http.wallet.look import page
from bitcache_server.services.gifts import gift_on_offer_msat
from bitcache_server.services.top_up import waiting_top_ups
from bitcache_server.services.wallet_activity import activity
from bitcache_server.services.wallet_views import wallet_view
from bitcache_server.services.wallets import is_secured

LINES = 8
NOTICES = {
    "claimed": "The money is in your balance now.",
    "deleted": "The wallet was deleted.",
}


def add_routes(pages: Blueprint) -> None:
    """Add the page, and words for addresses that lead nowhere."""
    pages.add_url_rule("", "home", show)
    pages.add_url_rule("/<path:unknown>", "unknown", not_found)


def not_found(unknown: str) -> Response:
    """Say it in words of a page: whoever reloads the answer to a form comes here."""
    raise NotFound()


def show() -> Response:
    """Show the balance, or the ways to one."""
    known = holder()
    wallet_id = known.wallet_id if known else None
    gift_msat = gift_on_offer_msat(deps(), session(), wallet_id)
    notice = NOTICES.get(request.args.get("done", ""))
    if wallet_id is None:
        return page(
            "wallet_welcome.html",
            scripts=bool(gift_msat),
            gift_msat=gift_msat,
            notice=notice,
            next=next_path(""),
        )
    wallet = wallet_view(deps(), session(), wallet_id)
    return page(
        "wallet_home.html",
        scripts=bool(gift_msat),
        here="home",
        wallet=wallet,
        lines=activity(session(), wallet_id, LINES),
        waiting=waiting_top_ups(session(), wallet_id),
        # Whoever loses the only browser loses what is in it.
        unsecured=wallet.balance_msat > 0 and not is_secured(session(), wallet_id),
        gift_msat=gift_msat,
        notice=notice,
    )
