"""Two operators say what became of a payout that no node can tell about any more.

A node that was replaced or lost leaves payments behind which nobody can ask about; their
money would stay reserved for ever. Two people who looked elsewhere (the old node's channels,
the payee) end such a payment, and it is booked as the node's own word would be. While a node
knows the payment, might know it, or a call to it may be under way, it is not theirs to end.
"""

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    ApprovalRefused,
    InvalidRequest,
    PayoutKnown,
    PayoutNodeSilent,
    PayoutNotWaiting,
    PayoutUnderWay,
    PreimageWrong,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.domain.payout_state import (
    OPEN_BATCH_STATES,
    UNSIGNED_STATES,
    BatchState,
    PayoutState,
)
from bitcache_server.models.payouts import (
    Operator,
    Payout,
    PayoutBatch,
    PayoutResolution,
    PayoutWord,
)
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import StreamRail
from bitcache_server.rails.lightning.decoding import preimage_fits
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_approvals import (
    APPROVALS_NEEDED,
    MAX_REASON_CHARS,
    authenticate,
)
from bitcache_server.services.payout_failures import after_failure
from bitcache_server.services.payout_orders import MAX_TEXT_CHARS
from bitcache_server.services.payout_singles import is_being_sent
from bitcache_server.services.payout_steps import (
    OpenBatch,
    end_failed,
    lock_asked,
    mark_sent,
    open_batch,
    settle,
)
from bitcache_server.services.payouts import get_payout, lock_payout
from bitcache_server.tokens.secrets import new_id

log = logging.getLogger(__name__)

_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Ending:
    """What an operator says became of a payout."""

    is_settled: bool
    reason: str = ""
    """How they know. Who was to be paid sees it when it failed."""
    preimage: str = ""
    """64 hexadecimal digits: the payee's proof."""
    fee_msat: int = 0
    """What the network took, where that is known. The rest of the reserve goes back."""
    reference: str = ""
    """The payment hash or the transaction id of a payment that the database has lost."""


def resolve_payout(
    deps: Deps, session: Session, payout_id: str, name: str, secret: str, ending: Ending
) -> Payout:
    """Book one operator's word; two who say the same end the payout.

    Asks the node first and opens its own transactions. A payout that the database lost the
    payment of (see ``payout_restores.py``) can only be said to be settled. Raises
    ApprovalRefused, UnknownPayout, InvalidRequest, PreimageWrong, PayoutNotWaiting,
    PayoutKnown, PayoutNodeSilent, PayoutUnderWay.
    """
    session.rollback()
    asked = _asked(session, payout_id)
    session.rollback()
    ending = _checked(ending, asked)
    if asked is not None:
        _require_nobody_knows(deps, asked)
    with write_transaction(session):
        authenticate(session, name, secret)
        batch = _lock_same(deps, session, asked) if asked else None
        payout = lock_payout(session, payout_id)
        if payout.batch_id != (batch.id if batch else None):
            raise PayoutUnderWay("Something became of the payout meanwhile; look at it again.")
        names = _say(deps, session, payout, name, ending)
        if len(names) >= APPROVALS_NEEDED:
            _end(deps, session, payout, batch, ending, names)
        return payout


def words_about(session: Session, payout_id: str) -> Sequence[PayoutWord]:
    """Return what operators said became of a payout, oldest first."""
    query = select(PayoutWord).where(PayoutWord.payout_id == payout_id)
    return session.scalars(query.order_by(PayoutWord.number)).all()


def _asked(session: Session, payout_id: str) -> OpenBatch | None:
    """Return the payment that is to be ended, or None where the database has lost it."""
    payout = get_payout(session, payout_id)
    row = session.get(PayoutBatch, payout.batch_id) if payout.batch_id else None
    if row is not None and row.state in OPEN_BATCH_STATES and row.sends:
        return open_batch(row)
    if row is None and payout.held_at is not None and payout.state in UNSIGNED_STATES:
        return None
    raise PayoutNotWaiting(
        f"The payout is {payout.state}. Only a Lightning payment under way, or a payout that is"
        " held after a restored backup, is ended by operators."
    )


def _checked(ending: Ending, asked: OpenBatch | None) -> Ending:
    """Return what is said in its normal form; raise InvalidRequest or PreimageWrong."""
    preimage, reference = ending.preimage.strip().lower(), ending.reference.strip().lower()
    for text in (preimage, reference):
        if text and not _HASH.fullmatch(text):
            raise PreimageWrong("A preimage and a payment hash are 64 hexadecimal digits each.")
    if not ending.is_settled and (preimage or reference or ending.fee_msat or asked is None):
        raise InvalidRequest(
            "What failed has no preimage, no hash and no fee. A payout that is held and was not"
            " paid: `bitcache payout release` or `bitcache payout cancel`."
        )
    if not ending.reason.strip() and not preimage:
        raise InvalidRequest("Say how you know that: --reason TEXT.")
    known = asked.prepared.reference if asked else reference
    if preimage and not known:
        known = hashlib.sha256(bytes.fromhex(preimage)).hexdigest()
    if not known:
        raise InvalidRequest("Say which payment it was: --preimage HEX or --transaction HASH.")
    if (preimage and not preimage_fits(preimage, known)) or reference not in ("", known):
        raise PreimageWrong(f"That does not belong to the payment {known}.")
    return Ending(
        ending.is_settled,
        ending.reason.strip()[:MAX_REASON_CHARS],
        preimage,
        ending.fee_msat,
        known,
    )


def _require_nobody_knows(deps: Deps, asked: OpenBatch) -> None:
    """Ask the node that is set up, if there is one, whether it knows the payment."""
    if not deps.settings.lightning_backend:
        return
    rail = deps.rails.get(asked.rail)
    if rail is None:
        raise PayoutNodeSilent("Add lightning to the rails in the settings, so that it is asked.")
    found = rail.lookup_payout(asked.prepared)
    if found.missing and asked.sent_at is not None:
        return
    if found.missing:
        raise PayoutUnderWay(
            "The node says that it never had this payment. The jobs send it again or end it as"
            " failed by themselves, at the latest when it can come no more."
        )
    if found.outcome is Outcome.UNKNOWN:
        raise PayoutNodeSilent(
            f"The node gives no clear answer ({found.detail or 'none at all'}). If it is gone for"
            " good, take it out of the settings first: lightning_backend."
        )
    raise PayoutKnown(f"The node says that the payment is {found.outcome.value}.")


def _lock_same(deps: Deps, session: Session, asked: OpenBatch) -> PayoutBatch:
    """Lock the payment; raise PayoutUnderWay when it is not as it was when we asked."""
    batch = lock_asked(session, asked)
    if batch is None or (batch.sends, batch.sent_at) != (asked.sends, asked.sent_at):
        raise PayoutUnderWay("Something became of the payment meanwhile; look at it again.")
    if is_being_sent(deps, batch):
        raise PayoutUnderWay("A call to the node may still be on its way. Wait five minutes.")
    return batch


def _say(deps: Deps, session: Session, payout: Payout, name: str, ending: Ending) -> Sequence[str]:
    """Store an operator's word; return all operators whose last word is the same."""
    batch_id = payout.batch_id or ""
    if ending.fee_msat > payout.amount_msat + payout.fee_msat:
        raise InvalidRequest("The fee is larger than the payout.")
    last = _last_words(session, payout.id, batch_id)
    before = last.get(name)
    if before is not None and _means(before) == _facts(ending):
        raise ApprovalRefused(f"{name} said so before; another operator must, too.")
    query = select(func.coalesce(func.max(PayoutWord.number), 0))
    number = session.execute(query.where(PayoutWord.payout_id == payout.id)).scalar_one()
    session.add(
        PayoutWord(
            payout_id=payout.id,
            number=number + 1,
            batch_id=batch_id,
            operator=name,
            settled=ending.is_settled,
            reference=ending.reference,
            fee_msat=ending.fee_msat,
            preimage=ending.preimage,
            reason=ending.reason,
            said_at=deps.clock(),
        )
    )
    session.flush()
    last = _last_words(session, payout.id, batch_id)
    return sorted(who for who, word in last.items() if _means(word) == _facts(ending))


def _last_words(session: Session, payout_id: str, batch_id: str) -> dict[str, PayoutWord]:
    """Return the last word of each operator who is one still."""
    query = (
        select(PayoutWord)
        .join(Operator, Operator.name == PayoutWord.operator)
        .where(
            PayoutWord.payout_id == payout_id,
            PayoutWord.batch_id == batch_id,
            Operator.removed_at.is_(None),
        )
        .order_by(PayoutWord.number)
    )
    return {word.operator: word for word in session.scalars(query)}


def _means(word: PayoutWord) -> tuple[bool, str, int]:
    return word.settled, word.reference, word.fee_msat


def _facts(ending: Ending) -> tuple[bool, str, int]:
    """Return what two operators must agree on."""
    return ending.is_settled, ending.reference, ending.fee_msat


def _end(
    deps: Deps,
    session: Session,
    payout: Payout,
    batch: PayoutBatch | None,
    ending: Ending,
    names: Sequence[str],
) -> None:
    batch = batch or _lost_batch(deps, session, payout, ending)
    said = f"{' and '.join(names)} said that it {'was paid' if ending.is_settled else 'failed'}."
    batch.detail = f"{said} {ending.reason}".strip()[:MAX_TEXT_CHARS]
    session.add(
        PayoutResolution(
            batch_id=batch.id,
            payout_id=payout.id,
            settled=ending.is_settled,
            resolved_at=deps.clock(),
            node_says="",
            asked_at=0,
        )
    )
    if ending.is_settled:
        batch.fee_msat = ending.fee_msat
        mark_sent(batch, deps.clock())
        settle(deps, session, batch)
    else:
        for failed in end_failed(deps, session, batch):
            words = f"The operators found that it failed: {ending.reason}"
            after_failure(deps, session, failed, words, is_last=True)
    session.flush()
    log.warning("payout=%s was ended by operators: %s", payout.id, batch.detail)


def _lost_batch(deps: Deps, session: Session, payout: Payout, ending: Ending) -> PayoutBatch:
    """Store the payment that the database has lost; it pays for one payout only."""
    same = (PayoutBatch.rail == payout.rail, PayoutBatch.reference == ending.reference)
    if session.scalar(select(PayoutBatch.id).where(*same).limit(1)) is not None:
        raise InvalidRequest("That payment stands for another payout already.")
    is_single = isinstance(deps.rail(payout.rail), StreamRail)
    batch = PayoutBatch(
        id=new_id("pb"),
        rail=payout.rail,
        reference=ending.reference,
        raw="",
        amount_msat=payout.amount_msat,
        fee_msat=ending.fee_msat,
        sends=1 if is_single else 0,
        state=BatchState.SENT.value,
        detail="",
        created_at=deps.clock(),
    )
    session.add(batch)
    payout.state, payout.batch_id = PayoutState.SENDING.value, batch.id
    session.flush()
    return batch
