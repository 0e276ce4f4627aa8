"""Write solvency.json: python -m tests.vectors.make_solvency

What every implementation of the proof of solvency must find, with fixed nonces, so that
making the file again changes nothing.
"""

import hashlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from bitcache_server.domain.merkle_sum import (
    FORMAT,
    MAX_SUM_MSAT,
    Node,
    build,
    leaf,
    sibling_position,
)

FILE = Path(__file__).with_name("solvency.json")

#: Balances of trees that have each shape: one leaf, full, with nodes that rise alone.
TREES = {
    "one reader": [5_000],
    "two readers": [5_000, 0],
    "three readers": [1, 2, 3],
    "five readers": [10**15, 0, 999, 1_000, 123_456_789],
    "beyond what a JavaScript number holds": [2**53 + 1, 2, MAX_SUM_MSAT - 2**53 - 3],
}


def build_document() -> dict[str, Any]:
    """Return the document that stands in solvency.json."""
    proofs = [
        _proof(name, sums, position)
        for name, sums in TREES.items()
        for position in range(len(sums))
    ]
    return {
        "comment": "Made by tests/vectors/make_solvency.py. The format stands in docs/solvency.md.",
        "valid": proofs,
        "invalid": _broken(next(p for p in proofs if p["name"] == "five readers, leaf 3")),
    }


def _nonce(number: int) -> bytes:
    return hashlib.sha256(f"test vector {number}".encode()).digest()


def _wallet(number: int) -> str:
    return f"wa_test-vector-{number}" if number else "wa_ünï-\U0001f511"


def _proof(name: str, sums: list[int], position: int) -> dict[str, Any]:
    levels = build([leaf(_wallet(i), _nonce(i), sum_msat) for i, sum_msat in enumerate(sums)])
    [root] = levels[-1]
    return {
        "name": f"{name}, leaf {position}",
        "proof": {
            "format": FORMAT,
            "report": "sr_test-vectors",
            "wallet": _wallet(position),
            "nonce": _nonce(position).hex(),
            "sum_msat": str(sums[position]),
            "path": _path(levels, position),
        },
        "root_hash": root.hash.hex(),
        "total_msat": str(root.sum_msat),
    }


def _path(levels: list[list[Node]], position: int) -> list[dict[str, str]]:
    path = []
    for level in levels:
        place = sibling_position(position, len(level))
        if place is not None:
            node, side = level[place], "right" if place % 2 else "left"
            path.append({"side": side, "hash": node.hash.hex(), "sum_msat": str(node.sum_msat)})
        position //= 2
    return path


def _broken(good: dict[str, Any]) -> list[dict[str, Any]]:
    """Return proofs that lead nowhere, or to another root; none may count as valid."""
    path = good["proof"]["path"]
    changes: dict[str, dict[str, Any]] = {
        "a balance that is one msat more": {"sum_msat": "1001"},
        "a balance below nothing": {"sum_msat": "-1000"},
        "a balance that is no number": {"sum_msat": "1e3"},
        "a balance with a leading zero": {"sum_msat": "01000"},
        "more than there is bitcoin": {"sum_msat": str(MAX_SUM_MSAT + 1)},
        "another wallet": {"wallet": "wa_other"},
        "another nonce": {"nonce": "00" * 32},
        "a nonce that is too short": {"nonce": "00" * 31},
        "a nonce in capitals": {"nonce": good["proof"]["nonce"].upper()},
        "no path": {"path": []},
        "a path that is too short": {"path": path[:-1]},
        "a path that is too long": {"path": [*path, path[0]]},
        "neighbours in another order": {"path": path[::-1]},
        "a side that is turned": {"path": _changed(path, 0, side="right")},
        "a side that is none": {"path": _changed(path, 0, side="up")},
        "a neighbour with another hash": {"path": _changed(path, 1, hash="11" * 32)},
        "a neighbour with a broken hash": {"path": _changed(path, 1, hash="zz" * 32)},
        # What a tree that hashes only totals would let through: money moved from one
        # neighbour to another, or taken from a neighbour, with the same total.
        "a neighbour that holds more": {"path": _changed(path, 0, sum_msat="1999")},
        "a neighbour below nothing": {"path": _changed(path, 0, sum_msat="-1")},
        "sums too large together": {"path": _changed(path, 0, sum_msat=str(MAX_SUM_MSAT))},
    }
    return [
        good | {"name": name, "proof": deepcopy(good["proof"]) | change}
        for name, change in changes.items()
    ]


def _changed(path: list[dict[str, str]], index: int, **change: str) -> list[dict[str, str]]:
    changed = deepcopy(path)
    changed[index] |= change
    return changed


def text() -> str:
    """Return the file as it should be."""
    return json.dumps(build_document(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="ascii")
