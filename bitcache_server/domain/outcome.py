"""What a rail can say about money. Only FAILED ever frees it."""

from enum import StrEnum


class Outcome(StrEnum):
    """The four answers of a rail.

    UNKNOWN is an answer like the others: after an exception or a time-out the
    money keeps its place until the rail was asked again and is sure.
    """

    SETTLED = "settled"
    PENDING = "pending"
    FAILED = "failed"
    UNKNOWN = "unknown"
