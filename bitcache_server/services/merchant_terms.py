"""What is agreed with a merchant: commission, and what readers may return.

Payout terms stand in ``merchant_payouts.py``. All run inside the caller's transaction.
"""

from sqlalchemy.orm import Session

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.domain.fees import CommissionRule
from bitcache_server.models.catalog import Merchant
from bitcache_server.services.catalog import get_merchant

MAX_REFUND_WINDOW_S = 365 * 86_400
MAX_REFUNDS_PER_READER = 1_000


def set_commission(session: Session, merchant_id: str, rule: CommissionRule | None) -> Merchant:
    """Give a merchant a commission of their own for future sales; None is the operator's."""
    merchant = get_merchant(session, merchant_id)
    merchant.commission_ppm = rule.share_ppm if rule else None
    merchant.commission_min_msat = rule.min_msat if rule else None
    merchant.commission_max_msat = rule.max_msat if rule else None
    session.flush()
    return merchant


def set_refund_terms(
    session: Session, merchant_id: str, window_s: int | None, per_reader: int | None
) -> Merchant:
    """Say how long, and how often in 30 days, a reader may return a purchase; None keeps.

    It holds for what was bought before, too. Raises InvalidRequest, UnknownMerchant.
    """
    merchant = get_merchant(session, merchant_id)
    if window_s is not None:
        if not 0 <= window_s <= MAX_REFUND_WINDOW_S:
            raise InvalidRequest("The refund window is 0 to 365 days.")
        merchant.refund_window_s = window_s
    if per_reader is not None:
        if not 0 <= per_reader <= MAX_REFUNDS_PER_READER:
            raise InvalidRequest(f"The limit per reader is 0 to {MAX_REFUNDS_PER_READER}.")
        merchant.refunds_per_reader = per_reader
    session.flush()
    return merchant
