"""GET /v1/balance: what a merchant has with the operator, and under which terms."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.books import merchant_balance_msat
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.sale_parts import commission_rule


class CommissionView(BaseModel):
    """The operator's part of a sale: a share, rounded down, and its bounds."""

    share_ppm: int
    min_msat: int
    max_msat: int | None


class PayoutTermsView(BaseModel):
    """Where and when payouts go; ``every_s`` of 0 is on demand only."""

    address: str | None
    threshold_msat: int
    every_s: int


class RefundTermsView(BaseModel):
    """What readers may return by themselves; a window of 0 is nothing."""

    window_s: int
    per_reader_in_30_days: int


class MerchantBalanceView(BaseModel):
    """The balance of the site's merchant, over all of their sites."""

    merchant: str
    balance_msat: int
    """What the operator owes the merchant; negative is what the merchant owes."""
    commission: CommissionView
    payouts: PayoutTermsView
    refunds: RefundTermsView


def read_balance() -> Response:
    """Return the balance now."""
    merchant = get_merchant(session(), require_site("balance:read").merchant_id)
    rule = commission_rule(deps(), merchant)
    return json_answer(
        MerchantBalanceView(
            merchant=merchant.id,
            balance_msat=merchant_balance_msat(session(), merchant.id),
            commission=CommissionView(
                share_ppm=rule.share_ppm, min_msat=rule.min_msat, max_msat=rule.max_msat
            ),
            payouts=PayoutTermsView(
                address=merchant.payout_address,
                threshold_msat=merchant.payout_threshold_msat,
                every_s=merchant.payout_every_s,
            ),
            refunds=RefundTermsView(
                window_s=merchant.refund_window_s,
                per_reader_in_30_days=merchant.refunds_per_reader,
            ),
        )
    )


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/balance",
        operation_id="read_balance",
        summary="Read the merchant's balance and terms",
        description="All sites of a merchant share one balance.",
        tag="merchants",
        response=MerchantBalanceView,
        security="site",
        scope="balance:read",
    ),
    read_balance,
)
