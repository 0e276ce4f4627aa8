"""What is shown of a payout: to who is paid, and to operators."""

from collections.abc import Sequence

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import UnknownPayout
from bitcache_server.domain.payout_state import OPEN_STATES, UNSIGNED_STATES, PayoutState
from bitcache_server.models.catalog import Site
from bitcache_server.models.payouts import Payout, PayoutBatch
from bitcache_server.rails.lightning.decoding import looks_like_invoice
from bitcache_server.services.paging import Page, newest_first
from bitcache_server.services.payout_approvals import approvals_of
from bitcache_server.services.payout_resolutions import words_about

#: Whose reason is meant for who would have been paid.
_EXPLAINED = (PayoutState.CANCELLED, PayoutState.REJECTED, PayoutState.FAILED)
_HELD = "Held after a restored backup: it may have been paid since."
_HELD_NEW = "Held after a restored backup: the merchant may have been paid this since."
_MAY_BE_PAID = "It was open in a restored backup: the node may have paid it since, and will tell."
#: Shown of a long destination: an invoice has hundreds of characters.
_HEAD_CHARS, _TAIL_CHARS = 16, 8


class PayoutView(BaseModel):
    """A payout as its owner sees it. Amounts in msat, times in Unix seconds."""

    id: str
    state: str
    rail: str
    address: str
    """An address, an invoice, or a Lightning address; empty while a link waits for a claim."""
    amount_msat: int
    """What arrives."""
    fee_msat: int
    """What the owner pays for the network on top; for Lightning at most."""
    fee_returned_msat: int
    """What was not used of the fee and went back to the owner."""
    transaction: str | None
    """The transaction id, or the payment hash; null before it is signed."""
    note: str
    """Why it was cancelled or rejected, or failed."""
    created_at: int
    settled_at: int | None


class OperatorWord(BaseModel):
    """What an operator said became of a payout."""

    operator: str
    settled: bool
    reference: str
    """The payment hash, or the transaction id."""
    fee_msat: int
    preimage: str
    reason: str
    said_at: int


class OperatorPayoutView(PayoutView):
    """A payout as operators see it."""

    owner: str
    """``wallet:<id>``, ``merchant:<id>``, or ``promotion`` for a gift of the operator."""
    reason: str
    """Why it waits, was cancelled or rejected, or what the rail says of its transaction."""
    approvals: list[str]
    """Who said yes."""
    held_at: int | None
    """When it was held after a restored backup; null for one that nobody holds."""
    words: list[OperatorWord]
    """What operators said became of it, oldest first."""


def short_destination(text: str) -> str:
    """Return where money goes as people compare it: both ends of what is long."""
    if looks_like_invoice(text):
        return f"{text[:_HEAD_CHARS]}…{text[-_TAIL_CHARS:]}"
    return text


def payout_view(session: Session, payout: Payout) -> PayoutView:
    """Return what the owner may see."""
    batch = _batch(session, payout)
    return PayoutView(**_common(payout, batch))


def operator_payout_view(session: Session, payout: Payout) -> OperatorPayoutView:
    """Return everything that is known."""
    batch = _batch(session, payout)
    open_reason = payout.reason or (batch.detail if batch else "")
    open_reason = f"{_doubt(payout)} {open_reason}".strip()
    return OperatorPayoutView(
        **_common(payout, batch),
        owner=payout.owner_account,
        reason=open_reason if payout.state != PayoutState.SETTLED else "",
        approvals=[approval.operator for approval in approvals_of(session, payout.id)],
        held_at=payout.held_at,
        words=[
            OperatorWord.model_validate(word, from_attributes=True)
            for word in words_about(session, payout.id)
        ],
    )


def _doubt(payout: Payout) -> str:
    """Return what a restored backup leaves in doubt about a payout; empty for nothing."""
    if payout.held_at is not None and payout.state in OPEN_STATES:
        return _HELD if payout.restored_at is not None else _HELD_NEW
    in_doubt = payout.restored_at is not None and payout.state in UNSIGNED_STATES
    return _MAY_BE_PAID if in_doubt else ""


def _batch(session: Session, payout: Payout) -> PayoutBatch | None:
    return session.get(PayoutBatch, payout.batch_id) if payout.batch_id else None


def _common(payout: Payout, batch: PayoutBatch | None) -> dict[str, object]:
    return {
        "id": payout.id,
        "state": payout.state,
        "rail": payout.rail,
        "address": payout.destination,
        "amount_msat": payout.amount_msat,
        "fee_msat": payout.fee_msat,
        "fee_returned_msat": payout.fee_returned_msat,
        "transaction": batch.reference if batch else None,
        "note": payout.reason if payout.state in _EXPLAINED else "",
        "created_at": payout.created_at,
        "settled_at": payout.settled_at,
    }


def list_site_payouts(session: Session, site: Site, cursor: str | None, limit: int) -> Page[Payout]:
    """Return a page of the payouts of the site's merchant, newest first."""
    return list_merchant_payouts(session, site.merchant_id, cursor, limit)


def list_merchant_payouts(
    session: Session, merchant_id: str, cursor: str | None, limit: int
) -> Page[Payout]:
    """Return a page of a merchant's payouts, newest first."""
    mine = Payout.owner_account == f"merchant:{merchant_id}"
    return newest_first(session, Payout, [mine], cursor, limit)


def get_merchant_payout(session: Session, merchant_id: str, payout_id: str) -> Payout:
    """Return a payout of this merchant; raise UnknownPayout, also for one of others."""
    mine = (Payout.id == payout_id, Payout.owner_account == f"merchant:{merchant_id}")
    payout = session.scalar(select(Payout).where(*mine))
    if payout is None:
        raise UnknownPayout()
    return payout


def list_payouts(
    session: Session, states: Sequence[str] | None, cursor: str | None, limit: int
) -> Page[Payout]:
    """Return a page of all payouts in these states, newest first; None: those not final."""
    chosen = [state.value for state in OPEN_STATES] if states is None else states
    return newest_first(session, Payout, [Payout.state.in_(chosen)], cursor, limit)
