"""What a question of the audit is, and the sum that many of them ask for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """A query whose rows are all wrong: each has a subject and the values for the words."""

    code: str
    words: str
    query: str


def sums(*prefixes: str) -> str:
    """Return a query for the sum of each account's transfers, in one pass over them."""
    sides = (("to_account", ""), ("from_account", "-"))
    parts = [
        f"SELECT {side} AS account, {sign}amount_msat AS amount_msat FROM transfers"  # noqa: S608 - from constants
        f" WHERE {side} LIKE '{prefix}:%'"
        for prefix in prefixes
        for side, sign in sides
    ]
    union = " UNION ALL ".join(parts)
    total = "SELECT account, sum(amount_msat) AS amount_msat"
    return f"{total} FROM ({union}) AS side GROUP BY account"
