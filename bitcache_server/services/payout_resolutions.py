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
from sqlalchemy.exc import IntegrityError
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
)
from bitcache_server.models.payouts import (
    Operator,
    Payout,
    PayoutBatch,
    PayoutResolution,
    PayoutWord,
)
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import ChainRail
from bitcache_server.rails.lightning.decoding import preimage_fits
from bitcache_server.services.deps import Deps
from bitcache_server.services.payout_approvals import (
    APPROVALS_NEEDED,
    MAX_REASON_CHARS,
    authenticate,
)
from bitcache_server.services.payout_failures import after_failure
from bitcache_server.services.payout_lost import lost_batch, may_be_lost
from bitcache_server.services.payout_orders import MAX_TEXT_CHARS
from bitcache_server.services.payout_singles import is_being_sent
from bitcache_server.services.payout_steps import (
    OpenBatch,
    end_failed,
    lock_asked,
    mark_sent,
    open_batch,
    settle,
    settle_with,
)
from bitcache_server.services.payout_witness import is_stranger
from bitcache_server.services.payouts import get_payout, lock_payout

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
    fee_msat: int | None = None
    """What the network took. Over Lightning the rest of the reserve goes back, and None is 0;
    a transaction of a chain has none but what the miners took for all of it."""
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
    most_fee_msat = _most_fee_msat(deps, get_payout(session, payout_id))
    session.rollback()
    ending = _checked(ending, asked, most_fee_msat)
    if asked is not None:
        _require_nobody_knows(deps, session, asked)
    try:
        return _store_word(deps, session, payout_id, name, secret, ending, asked)
    except IntegrityError as error:
        # Others told of the same transaction at this moment, for another payout.
        raise PayoutUnderWay("Somebody was faster; say it again.") from error


def _store_word(
    deps: Deps,
    session: Session,
    payout_id: str,
    name: str,
    secret: str,
    ending: Ending,
    asked: OpenBatch | None,
) -> Payout:
    with write_transaction(session):
        authenticate(session, name, secret)
        batch = _lock_same(deps, session, asked) if asked else None
        payout = lock_payout(session, payout_id)
        if payout.batch_id != (batch.id if batch else None):
            raise PayoutUnderWay("Something became of the payout meanwhile; look at it again.")
        if batch is None and not may_be_lost(payout):
            raise PayoutUnderWay(f"The payout is {payout.state} by now; look at it again.")
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
    if row is None and may_be_lost(payout):
        return None
    raise PayoutNotWaiting(
        f"The payout is {payout.state}. Only a Lightning payment under way, or a payout that is"
        " held after a restored backup, is ended by operators."
    )


def _most_fee_msat(deps: Deps, payout: Payout) -> int | None:
    """Return the largest fee that makes sense; None for what pays many payouts at once."""
    is_chain = isinstance(deps.rails.get(payout.rail), ChainRail)
    return None if is_chain else payout.amount_msat + payout.fee_msat


def _checked(ending: Ending, asked: OpenBatch | None, most_fee_msat: int | None) -> Ending:
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
    fee_msat = ending.fee_msat
    if most_fee_msat is None and fee_msat is None:
        raise InvalidRequest("Say what the miners took for the whole transaction: --fee-msat N.")
    if most_fee_msat is not None and (fee_msat or 0) > most_fee_msat:
        raise InvalidRequest("The fee is larger than the payout.")
    if (preimage and not preimage_fits(preimage, known)) or reference not in ("", known):
        raise PreimageWrong(f"That does not belong to the payment {known}.")
    return Ending(
        ending.is_settled,
        ending.reason.strip()[:MAX_REASON_CHARS],
        preimage,
        fee_msat or 0,
        known,
    )


def _require_nobody_knows(deps: Deps, session: Session, asked: OpenBatch) -> None:
    """Ask the node that is set up, if there is one, whether it knows the payment."""
    if not deps.settings.lightning_backend:
        return
    rail = deps.rails.get(asked.rail)
    if rail is None:
        raise PayoutNodeSilent("Add lightning to the rails in the settings, so that it is asked.")
    found = rail.lookup_payout(asked.prepared)
    if found.missing and (
        asked.sent_at is not None or is_stranger(session, rail, asked.created_at)
    ):
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
    last = _last_words(session, payout)
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
            fee_msat=ending.fee_msat or 0,
            preimage=ending.preimage,
            reason=ending.reason,
            said_at=deps.clock(),
        )
    )
    session.flush()
    last = _last_words(session, payout)
    return sorted(who for who, word in last.items() if _means(word) == _facts(ending))


def _last_words(session: Session, payout: Payout) -> dict[str, PayoutWord]:
    """Return the last word of each operator who is one still.

    Of a payout that is in doubt nothing counts that was said before the last restore.
    """
    since = 0 if payout.batch_id else payout.held_at or payout.restored_at or 0
    query = (
        select(PayoutWord)
        .join(Operator, Operator.name == PayoutWord.operator)
        .where(
            PayoutWord.payout_id == payout.id,
            PayoutWord.batch_id == (payout.batch_id or ""),
            PayoutWord.said_at >= since,
            Operator.removed_at.is_(None),
        )
        .order_by(PayoutWord.number)
    )
    return {word.operator: word for word in session.scalars(query)}


def _means(word: PayoutWord) -> tuple[bool, str, int]:
    return word.settled, word.reference, word.fee_msat


def _facts(ending: Ending) -> tuple[bool, str, int]:
    """Return what two operators must agree on."""
    return ending.is_settled, ending.reference, ending.fee_msat or 0


def _end(
    deps: Deps,
    session: Session,
    payout: Payout,
    batch: PayoutBatch | None,
    ending: Ending,
    names: Sequence[str],
) -> None:
    fee_msat = ending.fee_msat or 0
    if batch is None:
        batch, is_settled = lost_batch(deps, session, payout, ending.reference, fee_msat)
        if is_settled:
            settle_with(deps, session, batch, payout)
            log.warning("payout=%s was paid by %s, said %s", payout.id, batch.reference, names)
            return
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
        batch.fee_msat = fee_msat
        mark_sent(batch, deps.clock())
        settle(deps, session, batch)
    else:
        for failed in end_failed(deps, session, batch):
            words = f"The operators found that it failed: {ending.reason}"
            after_failure(deps, session, failed, words, is_last=True)
    session.flush()
    log.warning("payout=%s was ended by operators: %s", payout.id, batch.detail)
