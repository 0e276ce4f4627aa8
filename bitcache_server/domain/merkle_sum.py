"""A Merkle sum tree: one hash that commits to many balances and to their sum.

Each leaf hides one balance behind a random nonce. A node hashes both children's sums as
well as both hashes. In the first proposal a node hashed only the total, and whoever built
the tree could hide money in it (K. Hu, Z. Zhang, K. Guo: Breaking the Binding, section 3,
https://eprint.iacr.org/2018/1139; their repair is what stands here). Leaves and nodes
begin with another byte, so that none passes for the other (RFC 9162, section 2.1.1).

Format ``bitcache.solvency.v1``; numbers have 8 bytes, the most significant first:

    leaf = SHA-256(0x00 || nonce (32 bytes) || sum || wallet id (UTF-8))
    node = SHA-256(0x01 || left sum || left hash || right sum || right hash)

A node without a neighbour rises one level unchanged.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bitcache_server.domain.money import ALL_MSAT

FORMAT = "bitcache.solvency.v1"
NONCE_BYTES = 32
MAX_SUM_MSAT = ALL_MSAT
"""A sum above all bitcoin could only hide a negative one."""
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Node:
    """A hash and the sum that stands behind it, in msat."""

    hash: bytes
    sum_msat: int

    def __post_init__(self) -> None:
        if len(self.hash) != _HASH_BYTES:
            raise ValueError("A hash has 32 bytes.")
        _check_sum(self.sum_msat)


def leaf(wallet_id: str, nonce: bytes, sum_msat: int) -> Node:
    """Return the leaf of a wallet. Raises ValueError for a negative or impossible sum."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError("A nonce has 32 bytes.")
    data = b"\x00" + nonce + _number(sum_msat) + wallet_id.encode()
    return Node(hashlib.sha256(data).digest(), sum_msat)


def join(left: Node, right: Node) -> Node:
    """Return the node above two. Raises ValueError when the sum is impossible."""
    data = b"".join(
        (b"\x01", _number(left.sum_msat), left.hash, _number(right.sum_msat), right.hash)
    )
    return Node(hashlib.sha256(data).digest(), left.sum_msat + right.sum_msat)


def build(leaves: Sequence[Node]) -> list[list[Node]]:
    """Return all levels, the leaves first and the root alone at the end.

    Raises ValueError without leaves: then there is nothing to prove.
    """
    if not leaves:
        raise ValueError("A tree has at least one leaf.")
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        level = [join(*pair) for pair in zip(below[::2], below[1::2], strict=False)]
        if len(below) % 2:
            level.append(below[-1])
        levels.append(level)
    return levels


def sibling_position(position: int, width: int) -> int | None:
    """Return where the neighbour stands on a level of that width; None when there is none."""
    neighbour = position ^ 1
    return neighbour if neighbour < width else None


def _number(sum_msat: int) -> bytes:
    _check_sum(sum_msat)
    return sum_msat.to_bytes(8, "big")


def _check_sum(sum_msat: int) -> None:
    if not 0 <= sum_msat <= MAX_SUM_MSAT:
        raise ValueError(f"{sum_msat} msat is no sum of balances.")
