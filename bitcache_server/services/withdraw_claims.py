"""Money behind a link is claimed: by a wallet that scanned it, once (LUD-03).

What may be claimed is bound to an answer by ``k1``, so that an old answer takes nothing
after a payment failed. https://github.com/lnurl/luds/blob/luds/03.md
"""

import hmac
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AddressInvalid,
    InvalidRequest,
    LinkClaimed,
    TooManyPayouts,
    UnknownLink,
)
from bitcache_server.domain.money import format_sat
from bitcache_server.domain.payout_state import PayoutState
from bitcache_server.ledger import chart
from bitcache_server.models.payouts import Payout, WithdrawLink
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.decoding import looks_like_invoice
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_slots import BUSY, has_own_slot
from bitcache_server.services.payouts import (
    asked_amount_msat,
    find_rail,
    lock_limits,
    lock_payout,
)
from bitcache_server.services.withdraw_links import NOT_IN_TIME, SCAN_LIFETIME_S, keyed_hash
from bitcache_server.tokens.secrets import hash_secret

#: All that strangers are told; operators' and nodes' words are for the maker.
_TAKEN_BACK = "The link was taken back."
_FAILED = "The payment failed."
_K1_SALT = b"bitcache.link.k1.v1|"


@dataclass(frozen=True)
class LinkView:
    """What a link's page and a wallet are told."""

    amount_msat: int
    state: PayoutState
    is_open: bool
    """It can be claimed now."""
    words: str
    """Why the last claim came to nothing, or why it cannot be claimed; may be empty."""
    k1: str
    """What binds the next claim to this answer (LUD-03)."""
    expires_at: int
    payout_id: str
    is_maker: bool
    """Who looks made it."""
    is_for_maker: bool
    """It was made to be scanned by its maker at once, not to be given away."""


def look_at_link(
    deps: Deps, session: Session, secret: str, wallet_id: str | None = None
) -> LinkView:
    """Return what is behind a link, as a wallet's reader may see it. Only reads.

    Raises UnknownLink.
    """
    link = _find(session, secret)
    payout = session.get(Payout, link.payout_id, populate_existing=True)
    if payout is None:
        raise UnknownLink()
    over = _is_over(deps, link)
    state = _shown_state(payout)
    is_maker = wallet_id is not None and payout.owner_account == chart.wallet(wallet_id)
    words = _words(payout, is_maker)
    if over and state in (PayoutState.OFFERED, PayoutState.APPROVAL):
        words = NOT_IN_TIME
    is_open = state is PayoutState.OFFERED and not over
    return LinkView(
        amount_msat=payout.amount_msat,
        state=state,
        is_open=is_open,
        words=words,
        k1=_k1(deps, link),
        expires_at=link.expires_at,
        payout_id=payout.id,
        is_maker=is_maker,
        is_for_maker=link.expires_at - link.created_at <= SCAN_LIFETIME_S,
    )


def _words(payout: Payout, is_maker: bool) -> str:
    """Return why the last claim came to nothing, or the link is over.

    Whoever has the link may be anybody: only its maker reads what operators and nodes said.
    """
    if is_maker or payout.reason in ("", NOT_IN_TIME):
        return payout.reason
    is_over = payout.state in (PayoutState.CANCELLED, PayoutState.REJECTED)
    return _TAKEN_BACK if is_over else _FAILED


def claim_terms(deps: Deps, session: Session, secret: str) -> LinkView:
    """Return what a wallet may claim now. Raises UnknownLink, LinkClaimed."""
    found = look_at_link(deps, session, secret)
    if not found.is_open:
        raise _closed(found.state, found.words)
    return found


def claim(deps: Deps, session: Session, secret: str, k1: str, invoice: str) -> None:
    """Let the jobs pay the money behind a link to an invoice over exactly its amount.

    Opens its own transaction. The same claim may come twice; another one is refused once
    one was taken. Raises UnknownLink, LinkClaimed, AddressInvalid, InvalidRequest.
    """
    session.rollback()
    if not looks_like_invoice(invoice):
        raise AddressInvalid("Send a Lightning invoice.")
    rail, normal = find_rail(deps, invoice)
    asked_msat = asked_amount_msat(deps, normal)
    with write_transaction(session):
        link = _find(session, secret)
        lock_limits(session)
        payout = lock_payout(session, link.payout_id)
        session.refresh(link)
        if payout.destination == normal:
            return
        if payout.state != PayoutState.OFFERED or payout.held_at or _is_over(deps, link):
            raise _closed(_shown_state(payout), _words(payout, is_maker=False))
        if not hmac.compare_digest(k1.encode(), _k1(deps, link).encode()):
            raise InvalidRequest("The k1 is not that of this link; scan it again.")
        if (rail, asked_msat) != (payout.rail, payout.amount_msat):
            raise AddressInvalid(f"The invoice must be over {format_sat(payout.amount_msat)}.")
        if not has_own_slot(deps, session, payout.owner_account, payout.rail):
            raise TooManyPayouts(BUSY)
        payout.destination, payout.state = normal, PayoutState.WAITING.value
        payout.reason, payout.next_try_at = "", 0
        session.flush()


def _find(session: Session, secret: str) -> WithdrawLink:
    query = select(WithdrawLink).where(WithdrawLink.secret_hash == hash_secret(secret))
    found = session.scalar(query)
    if found is None:
        raise UnknownLink()
    return found


def _closed(state: PayoutState, words: str) -> UnknownLink | LinkClaimed:
    """Return why a link cannot be claimed; operators' words stay with them."""
    if state in (PayoutState.WAITING, PayoutState.SENDING, PayoutState.SETTLED):
        return LinkClaimed()
    if state is PayoutState.APPROVAL:
        return UnknownLink("The operator has not released the money yet. Try again later.")
    return UnknownLink(words or NOT_IN_TIME)


def _shown_state(payout: Payout) -> PayoutState:
    """Return the state; one that is held waits for the operator as before an approval."""
    state = PayoutState(payout.state)
    is_held = state is PayoutState.OFFERED and payout.held_at is not None
    return PayoutState.APPROVAL if is_held else state


def _is_over(deps: Deps, link: WithdrawLink) -> bool:
    return deps.clock() >= link.expires_at


def _k1(deps: Deps, link: WithdrawLink) -> str:
    """Return the k1 of the next claim: another one after each that came to nothing."""
    return keyed_hash(deps, _K1_SALT, f"{link.payout_id}|{link.claims}").hex()
