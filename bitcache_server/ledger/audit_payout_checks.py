"""The questions of the audit about money that leaves; see ``audit_checks.py``."""

from bitcache_server.domain.payout_state import OPEN_STATES, BatchState, PayoutState
from bitcache_server.ledger.audit_check import Check, sums

_RESERVED = ", ".join(f"'{state.value}'" for state in OPEN_STATES)


def _left_as(condition: str) -> str:
    return f"coalesce(sum(CASE WHEN {condition} THEN t.amount_msat END), 0)"


_GONE_MSAT = _left_as("t.kind = 'payout' AND t.to_account = 'clearing:' || p.rail")
_FEE_MSAT = _left_as("t.kind = 'network_fee' AND t.to_account = 'network_fees'")
_RELEASED_MSAT = _left_as("t.kind = 'release' AND t.to_account = p.owner_account")
_FEE_RETURNED_MSAT = _left_as("t.kind = 'fee_return' AND t.to_account = p.owner_account")

PAYOUT_CHECKS = (
    Check(
        "payout_differs",
        "The payout is {0}, so it should hold {1} msat; it holds {2} msat.",
        f"""
        SELECT id, state, expected, held FROM (
          SELECT p.id, p.state, coalesce(s.amount_msat, 0) AS held,
            CASE WHEN p.state IN ({_RESERVED}) THEN p.amount_msat + p.fee_msat ELSE 0 END
              AS expected
          FROM payouts p LEFT JOIN ({sums("payout")}) s ON s.account = 'payout:' || p.id
        ) AS each_payout WHERE expected <> held ORDER BY id
        """,  # noqa: S608 - joined from constants
    ),
    Check(
        "payout_missing",
        "Transfers name a payout that does not exist; it would hold {0} msat.",
        f"""
        SELECT s.account, s.amount_msat FROM ({sums("payout")}) s
        WHERE NOT EXISTS (SELECT 1 FROM payouts p WHERE 'payout:' || p.id = s.account)
        ORDER BY s.account
        """,  # noqa: S608 - joined from constants
    ),
    # What left the account by the name of each event, whatever the account holds now.
    Check(
        "payout_booked_otherwise",
        "The payout is {0}; booked are {1} msat through its rail, {2} msat as its fee, "
        "{3} msat back to its owner and {4} msat of the fee that was not used.",
        f"""
        SELECT id, state, gone, fee, released, fee_returned FROM (
          SELECT p.id, p.state,
            {_GONE_MSAT} AS gone, {_FEE_MSAT} AS fee, {_RELEASED_MSAT} AS released,
            {_FEE_RETURNED_MSAT} AS fee_returned,
            CASE WHEN p.state = '{PayoutState.SETTLED}' THEN 1 ELSE 0 END AS is_gone,
            CASE WHEN p.state IN ({_RESERVED}, '{PayoutState.SETTLED}') THEN 0 ELSE 1 END
              AS is_back,
            p.amount_msat, p.fee_msat, p.fee_returned_msat
          FROM payouts p LEFT JOIN transfers t ON t.from_account = 'payout:' || p.id
          GROUP BY p.id, p.state, p.amount_msat, p.fee_msat, p.fee_returned_msat
        ) AS each_payout
        WHERE gone <> is_gone * amount_msat OR fee_returned <> fee_returned_msat
          OR fee <> is_gone * (fee_msat - fee_returned_msat)
          OR released <> is_back * (amount_msat + fee_msat)
        ORDER BY id
        """,  # noqa: S608 - joined from constants
    ),
    Check(
        "batch_fee_differs",
        "The transaction is {0}, so the network took {1} msat; booked are {2} msat.",
        f"""
        SELECT id, state, expected, booked FROM (
          SELECT b.id, b.state,
            CASE WHEN b.state = '{BatchState.SETTLED}' THEN b.fee_msat ELSE 0 END AS expected,
            coalesce(sum(t.amount_msat), 0) AS booked
          FROM payout_batches b LEFT JOIN transfers t ON t.owner_id = b.id
            AND t.kind = 'network_fee' AND t.from_account = 'network_fees'
            AND t.to_account = 'clearing:' || b.rail
          GROUP BY b.id, b.state, b.fee_msat
        ) AS each_batch WHERE expected <> booked ORDER BY id
        """,  # noqa: S608 - joined from constants
    ),
    Check(
        "batch_reference_twice",
        "{0} batches say that this transaction pays for them.",
        f"""
        SELECT reference, count(*) FROM payout_batches
        WHERE state <> '{BatchState.FAILED}'
        GROUP BY rail, reference HAVING count(*) > 1 ORDER BY reference
        """,  # noqa: S608 - joined from constants
    ),
)
