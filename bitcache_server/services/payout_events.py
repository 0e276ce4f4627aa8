"""Tell a merchant's webhooks what became of a payout."""

from sqlalchemy.orm import Session

from bitcache_server.models.payouts import Payout
from bitcache_server.services.deps import Deps
from bitcache_server.services.webhook_events import emit

_MERCHANT = "merchant:"


def tell_of_payout(
    deps: Deps, session: Session, payout: Payout, event_type: str, reference: str | None = None
) -> None:
    """Put an event about a merchant's payout into the outbox, in the caller's transaction.

    ``reference`` is the transaction id or the payment hash of what was sent. Readers'
    withdrawals are told to nobody.
    """
    if not payout.owner_account.startswith(_MERCHANT):
        return
    data = {
        "id": payout.id,
        "state": str(payout.state),
        "rail": payout.rail,
        "destination": payout.destination,
        "amount_msat": payout.amount_msat,
        "fee_msat": payout.fee_msat - payout.fee_returned_msat,
        "reference": reference,
        "reason": payout.reason,
        "created_at": payout.created_at,
    }
    merchant_id = payout.owner_account.removeprefix(_MERCHANT)
    emit(deps, session, merchant_id, event_type, data)
