"""The states of an order."""

from enum import StrEnum


class OrderState(StrEnum):
    """What has become of an order. Only an open one takes new invoices."""

    OPEN = "open"
    PAID = "paid"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """Its time is over. Money that came in time and is only seen now still pays it."""
    REFUNDED = "refunded"
