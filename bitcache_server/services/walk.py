"""The steps from the stored cursor to now, also past a node that was replaced.

A node that took the place of another (a new machine, a restored disk) may never have
seen our last block, when that block was left by a reorganisation. Our own blocks then
lead back to one that both know.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import NodeChainUnknown
from bitcache_server.models.operations import ChainBlock
from bitcache_server.rails.base import BlockDisconnected, ChainRail, Cursor, Matcher, Step

#: Deeper than this no reorganisation has ever been; it is another chain.
MAX_DEPTH = 144


def steps_from(
    session: Session,
    rail: ChainRail,
    cursor: Cursor | None,
    match: Matcher,
    with_mempool: bool = True,
) -> Iterator[Step]:
    """Yield the rail's steps; where it does not know our tip, first undo ours to a common block.

    Raises NodeChainUnknown when there is none within a day of blocks. A node whose chain
    is shorter than ours is only behind, which the rail reports as NodeSyncing.
    """
    steps = rail.watch(cursor, match, with_mempool)
    try:
        first = next(steps, None)
    except NodeChainUnknown:
        ours = _our_blocks(session, rail.name)
        yield from _past_common_block(ours, rail, match, with_mempool)
        return
    if first is not None:
        yield first
        yield from steps


def _our_blocks(session: Session, rail: str) -> Sequence[ChainBlock]:
    query = select(ChainBlock).where(ChainBlock.rail == rail).order_by(ChainBlock.height.desc())
    blocks = session.scalars(query.limit(MAX_DEPTH)).all()
    session.expunge_all()
    session.rollback()
    return blocks


def _past_common_block(
    blocks: Sequence[ChainBlock], rail: ChainRail, match: Matcher, with_mempool: bool
) -> Iterator[Step]:
    for depth, block in enumerate(blocks):
        steps = rail.watch(Cursor(block.height, block.hash), match, with_mempool)
        try:
            first = next(steps, None)
        except NodeChainUnknown:
            continue
        for ours in blocks[:depth]:
            yield BlockDisconnected(ours.height, ours.hash, ours.previous_hash)
        if first is not None:
            yield first
        yield from steps
        return
    raise NodeChainUnknown(
        f"None of our last {len(blocks)} blocks is known to the node. Is it on the same chain?"
    )
