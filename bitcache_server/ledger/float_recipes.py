"""The operator's own money in a rail: what pays readers and merchants out needs a float.

Runs inside the caller's write transaction; returns the id of the group that was booked.
"""

from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.models.session import AnySession

OPERATOR_ID = "operator"


def deposit_float(session: AnySession, rail: str, amount_msat: int, now: int) -> str:
    """Book that the operator put money of their own into a rail."""
    entry = Entry(Kind.DEPOSIT, chart.clearing(rail), chart.OPENING, amount_msat)
    return post(session, [entry], owner_id=OPERATOR_ID, now=now).group_id


def withdraw_float(session: AnySession, rail: str, amount_msat: int, now: int) -> str:
    """Book that the operator took money out of a rail, or lost it to fees of their own."""
    entry = Entry(Kind.DEPOSIT, chart.OPENING, chart.clearing(rail), amount_msat)
    return post(session, [entry], owner_id=OPERATOR_ID, now=now).group_id
