"""Publish what is owed to all readers, so that each can find their own part in it.

What the proof shows and what it does not stands on the page itself, in
``templates/solvency.html``; the tree in ``domain/merkle_sum.py``. A report takes about
600 bytes of memory for each wallet while it is made.
"""

import itertools
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Select, delete, func, insert, select, tuple_, update
from sqlalchemy.orm import Session

from bitcache_server.domain import merkle_sum
from bitcache_server.domain.errors import NotFound
from bitcache_server.domain.merkle_sum import FORMAT, Node
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.session import read_transaction, write_transaction
from bitcache_server.models.solvency import Reconciliation, SolvencyNode, SolvencyReport
from bitcache_server.services.books import owed_besides_wallets_msat
from bitcache_server.services.deps import Deps
from bitcache_server.services.reconcile import Code
from bitcache_server.tokens.secrets import new_id

KEPT_REPORTS = 2
"""A reader who has just opened the page can finish after a new report came."""
CHUNK = 2_000
"""Nodes that are written at once: a spend never waits longer than for these."""
ABANDONED_AFTER_S = 3_600
"""A report that was not published by then belongs to a process that died."""
#: Reconciliations older than this many intervals say nothing about today.
FRESH_INTERVALS = 3


class SolvencyView(BaseModel):
    """The published figures, in msat."""

    format: str
    id: str
    root_hash: str
    total_msat: int
    """What is owed to all wallets, starter credit included."""
    others_msat: int
    """What is owed besides: to merchants, for payouts under way, for credit of invoices."""
    held_msat: int | None
    """What all rails together held at the last comparison; null if that is not known."""
    leaves: int
    created_at: int


class SiblingView(BaseModel):
    """A neighbour on the way to the root. Sums are texts: they may not fit a JSON number."""

    side: str
    """``left`` or ``right``: where the neighbour stands."""
    hash: str
    sum_msat: str


class ProofView(BaseModel):
    """A wallet's own leaf, and the neighbours that lead to the root."""

    format: str
    report: str
    wallet: str
    nonce: str
    sum_msat: str
    path: list[SiblingView]


@dataclass(frozen=True)
class Verdict:
    """What hashing a stored report again showed."""

    nodes: int
    problems: tuple[str, ...]


def publish_due(deps: Deps, session: Session) -> None:
    """Publish a report when the last one is old, whichever process made that."""
    newest = session.scalar(select(func.max(SolvencyReport.created_at)))
    session.rollback()
    age_s = None if newest is None else deps.clock() - newest
    # A clock that was put back must not stop the reports.
    if age_s is None or not 0 <= age_s < deps.settings.solvency_every_s:
        publish(deps, session)


def publish(deps: Deps, session: Session) -> SolvencyReport | None:
    """Build the tree over all wallets, store and publish it; None while there is no wallet.

    Opens its own transactions. The order of the leaves and each nonce are random and new
    in every report, so that two reports cannot be laid side by side.
    """
    with read_transaction(session):
        query = select(Wallet.id, Wallet.balance_msat + Wallet.gift_msat)
        rows = session.execute(query.where(Wallet.closed_at.is_(None)))
        wallets = [(row[0], int(row[1])) for row in rows]
        others_msat = owed_besides_wallets_msat(session)
        held_msat = _held_msat(deps, session)
    if not wallets:
        return None
    secrets.SystemRandom().shuffle(wallets)
    nonces = [secrets.token_bytes(merkle_sum.NONCE_BYTES) for _ in wallets]
    leaves = [
        merkle_sum.leaf(wallet_id, nonce, sum_msat)
        for (wallet_id, sum_msat), nonce in zip(wallets, nonces, strict=True)
    ]
    levels = merkle_sum.build(leaves)
    [root] = levels[-1]
    report_id = new_id("sr")
    with write_transaction(session):
        session.add(
            SolvencyReport(
                id=report_id,
                root_hash=root.hash.hex(),
                total_msat=root.sum_msat,
                others_msat=others_msat,
                held_msat=held_msat,
                leaves=len(leaves),
                levels=len(levels),
                created_at=deps.clock(),
            )
        )
    names = [wallet_id for wallet_id, _ in wallets]
    for batch in _batches(_rows(report_id, levels, names, nonces)):
        with write_transaction(session):
            session.execute(insert(SolvencyNode), batch)
    _finish(deps, session, report_id)
    return session.get_one(SolvencyReport, report_id)


def _rows(
    report_id: str, levels: Sequence[Sequence[Node]], names: Sequence[str], nonces: Sequence[bytes]
) -> Iterator[dict[str, Any]]:
    for level, nodes in enumerate(levels):
        for position, node in enumerate(nodes):
            yield {
                "report_id": report_id,
                "level": level,
                "position": position,
                "hash": node.hash.hex(),
                "sum_msat": node.sum_msat,
                "wallet_id": names[position] if level == 0 else None,
                "nonce": nonces[position].hex() if level == 0 else None,
            }


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(rows, CHUNK)):
        yield batch


def _held_msat(deps: Deps, session: Session) -> int | None:
    """Return what all rails held lately; None when one of them is not known."""
    rows = {row.rail: row for row in session.scalars(select(Reconciliation))}
    oldest = deps.clock() - FRESH_INTERVALS * deps.settings.reconcile_every_s
    total_msat = 0
    for name in deps.rails:
        row = rows.get(name)
        if row is None or row.code == Code.UNKNOWN or row.checked_at < oldest:
            return None
        total_msat += row.held_msat
    return total_msat


def _finish(deps: Deps, session: Session, report_id: str) -> None:
    """Publish a report whose nodes are all stored, and forget the old ones."""
    now = deps.clock()
    with write_transaction(session):
        session.execute(
            update(SolvencyReport).where(SolvencyReport.id == report_id).values(published_at=now)
        )
    # One from the future comes from a clock that was put back; it would stay the newest.
    past = _published().where(SolvencyReport.created_at <= now)
    kept = session.scalars(past.limit(KEPT_REPORTS)).all()
    under_way = SolvencyReport.published_at.is_(None) & SolvencyReport.created_at.between(
        now - ABANDONED_AFTER_S, now
    )
    old = session.scalars(
        select(SolvencyReport).where(
            SolvencyReport.id.not_in([report_id, *(report.id for report in kept)]), ~under_way
        )
    ).all()
    forgotten = [(report.id, report.leaves, report.levels) for report in old]
    session.rollback()
    for old_id, leaves, levels in forgotten:
        _forget(session, old_id, leaves, levels)


def _published() -> Select[SolvencyReport]:
    query = select(SolvencyReport).where(SolvencyReport.published_at.is_not(None))
    return query.order_by(SolvencyReport.created_at.desc(), SolvencyReport.published_at.desc())


def _forget(session: Session, report_id: str, leaves: int, levels: int) -> None:
    for level, width in enumerate(_widths(leaves, levels)):
        for start in range(0, width, CHUNK):
            with write_transaction(session):
                session.execute(
                    delete(SolvencyNode).where(
                        SolvencyNode.report_id == report_id,
                        SolvencyNode.level == level,
                        SolvencyNode.position >= start,
                        SolvencyNode.position < start + CHUNK,
                    )
                )
    with write_transaction(session):
        session.execute(delete(SolvencyReport).where(SolvencyReport.id == report_id))


def _widths(leaves: int, levels: int) -> list[int]:
    """Return how many nodes each level has."""
    return [-(-leaves // 2**level) for level in range(levels)]


def newest_report(session: Session) -> SolvencyReport:
    """Return the last published report; raise NotFound before the first."""
    report = session.scalar(_published().limit(1))
    if report is None:
        raise NotFound("No proof of solvency was published yet.")
    return report


def report_view(report: SolvencyReport) -> SolvencyView:
    """Return what everyone may see of a report."""
    return SolvencyView(
        format=FORMAT,
        id=report.id,
        root_hash=report.root_hash,
        total_msat=report.total_msat,
        others_msat=report.others_msat,
        held_msat=report.held_msat,
        leaves=report.leaves,
        created_at=report.created_at,
    )


def proof_of(session: Session, wallet_id: str) -> ProofView:
    """Return a wallet's leaf in the last report, with its path to the root. Reads only.

    Raises NotFound when there is no report or the wallet is newer than it.
    """
    report = newest_report(session)
    query = select(SolvencyNode).where(
        SolvencyNode.wallet_id == wallet_id, SolvencyNode.report_id == report.id
    )
    own = session.scalar(query)
    if own is None:
        raise NotFound("Your wallet is newer than the last proof; look again after the next one.")
    wanted = _siblings(own.position, report)
    rows = session.scalars(
        select(SolvencyNode).where(
            SolvencyNode.report_id == report.id,
            tuple_(SolvencyNode.level, SolvencyNode.position).in_(wanted),
        )
    )
    nodes = {(row.level, row.position): row for row in rows}
    return ProofView(
        format=FORMAT,
        report=report.id,
        wallet=wallet_id,
        nonce=own.nonce or "",
        sum_msat=str(own.sum_msat),
        path=[_sibling_view(nodes[place]) for place in wanted],
    )


def _siblings(position: int, report: SolvencyReport) -> list[tuple[int, int]]:
    """Return level and position of each neighbour on the way up."""
    places = []
    for level, width in enumerate(_widths(report.leaves, report.levels)):
        neighbour = merkle_sum.sibling_position(position, width)
        if neighbour is not None:
            places.append((level, neighbour))
        position //= 2
    return places


def _sibling_view(node: SolvencyNode) -> SiblingView:
    side = "right" if node.position % 2 else "left"
    return SiblingView(side=side, hash=node.hash, sum_msat=str(node.sum_msat))


def verify_report(session: Session, report: SolvencyReport) -> Verdict:
    """Hash every node of a stored report again, and compare the root and the total."""
    problems: list[str] = []
    below: list[Node] = []
    number = 0
    for level in range(report.levels):
        stored = _level(session, report.id, level)
        number += len(stored)
        try:
            expected = [_leaf_again(row) for row in stored] if level == 0 else _above(below)
            below = [Node(bytes.fromhex(row.hash), row.sum_msat) for row in stored]
        except ValueError as error:
            return Verdict(number, (*problems, f"Level {level} is damaged: {error}"))
        if below != expected:
            problems.append(f"Level {level} does not follow from what is below it.")
    if [(node.hash.hex(), node.sum_msat) for node in below] != [
        (report.root_hash, report.total_msat)
    ]:
        problems.append("The root is not the published one.")
    return Verdict(number, tuple(problems))


def _level(session: Session, report_id: str, level: int) -> Sequence[SolvencyNode]:
    query = select(SolvencyNode).where(
        SolvencyNode.report_id == report_id, SolvencyNode.level == level
    )
    return session.scalars(query.order_by(SolvencyNode.position)).all()


def _leaf_again(row: SolvencyNode) -> Node:
    return merkle_sum.leaf(row.wallet_id or "", bytes.fromhex(row.nonce or ""), row.sum_msat)


def _above(below: Sequence[Node]) -> list[Node]:
    """Return the level above one that was stored; nothing above nothing."""
    levels = merkle_sum.build(below) if below else [[]]
    return levels[1] if len(levels) > 1 else []
