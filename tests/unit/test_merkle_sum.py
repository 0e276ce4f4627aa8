"""The Merkle sum tree: it commits to each balance and to the sum, and hides nothing."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.domain.merkle_sum import (
    MAX_SUM_MSAT,
    Node,
    build,
    join,
    leaf,
    sibling_position,
)
from tests.vectors import make_solvency

VECTORS = json.loads(make_solvency.FILE.read_text("ascii"))
NONCE = bytes(range(32))


def by_name(case: dict[str, Any]) -> str:
    return str(case["name"])


def root_by_hand(proof: dict[str, Any]) -> tuple[str, int]:
    """Return the root as docs/solvency.md says it is found, without our code."""

    def number(text: str) -> int:
        assert text.isdecimal()
        assert text == str(int(text))
        assert int(text) <= MAX_SUM_MSAT
        return int(text)

    assert proof["nonce"] == proof["nonce"].lower()
    assert len(proof["nonce"]) == 64
    total = number(proof["sum_msat"])
    start = b"\0" + bytes.fromhex(proof["nonce"]) + total.to_bytes(8, "big")
    found = hashlib.sha256(start + proof["wallet"].encode()).digest()
    for step in proof["path"]:
        own = total.to_bytes(8, "big") + found
        other_sum = number(step["sum_msat"])
        other = other_sum.to_bytes(8, "big") + bytes.fromhex(step["hash"])
        pair = {"left": other + own, "right": own + other}[step["side"]]
        found, total = hashlib.sha256(b"\1" + pair).digest(), total + other_sum
        assert total <= MAX_SUM_MSAT
    return found.hex(), total


def root_of(start: Node, path: list[tuple[Node, bool]]) -> Node:
    """Return the root that a leaf leads to, with its neighbours and whether each is left."""
    node = start
    for sibling, is_left in path:
        node = join(sibling, node) if is_left else join(node, sibling)
    return node


def root_by_us(proof: dict[str, Any]) -> tuple[str, int]:
    path = [
        (Node(bytes.fromhex(step["hash"]), int(step["sum_msat"])), step["side"] == "left")
        for step in proof["path"]
    ]
    start = leaf(proof["wallet"], bytes.fromhex(proof["nonce"]), int(proof["sum_msat"]))
    root = root_of(start, path)
    return root.hash.hex(), root.sum_msat


@pytest.mark.parametrize("case", VECTORS["valid"], ids=by_name)
def test_valid_proofs_lead_to_the_root(case: dict[str, Any]) -> None:
    expected = (case["root_hash"], int(case["total_msat"]))
    assert root_by_us(case["proof"]) == root_by_hand(case["proof"]) == expected


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=by_name)
def test_invalid_proofs_lead_nowhere_or_elsewhere(case: dict[str, Any]) -> None:
    try:
        found = root_by_hand(case["proof"])
    except (AssertionError, KeyError, ValueError):
        return
    assert found != (case["root_hash"], int(case["total_msat"]))


def test_the_file_is_what_the_program_makes() -> None:
    again = "run: python -m tests.vectors.make_solvency"
    assert make_solvency.FILE.read_text("ascii") == make_solvency.text(), again


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_each_leaf_of_a_tree_of_any_size_leads_to_its_root(sums: list[int]) -> None:
    leaves = [leaf(f"wa_{i}", NONCE, sum_msat) for i, sum_msat in enumerate(sums)]
    levels = build(leaves)
    [root] = levels[-1]
    assert root.sum_msat == sum(sums)
    assert [len(level) for level in levels] == [
        -(-len(sums) // 2**number) for number in range(len(levels))
    ]
    for start, own in enumerate(leaves):
        position, path = start, []
        for level in levels:
            place = sibling_position(position, len(level))
            if place is not None:
                path.append((level[place], place < position))
            position //= 2
        assert root_of(own, path) == root


def test_money_cannot_be_moved_between_neighbours() -> None:
    """The flaw of the first proposal: there two children of 1 and 9 hash like 9 and 1."""
    one, nine = Node(b"a" * 32, 1), Node(b"b" * 32, 9)
    moved = join(Node(one.hash, 9), Node(nine.hash, 1))
    assert moved.sum_msat == join(one, nine).sum_msat
    assert moved.hash != join(one, nine).hash


def test_a_leaf_never_passes_for_a_node() -> None:
    node = join(Node(b"a" * 32, 1), Node(b"b" * 32, 2))
    inner = (1).to_bytes(8, "big") + b"a" * 32 + (2).to_bytes(8, "big") + b"b" * 32
    assert hashlib.sha256(b"\1" + inner).digest() == node.hash
    assert hashlib.sha256(b"\0" + inner).digest() != node.hash


@pytest.mark.parametrize("sum_msat", [-1, MAX_SUM_MSAT + 1])
def test_no_sum_is_negative_or_more_than_there_can_be(sum_msat: int) -> None:
    with pytest.raises(ValueError, match="no sum of balances"):
        leaf("wa_1", NONCE, sum_msat)
    with pytest.raises(ValueError, match="no sum of balances"):
        Node(b"a" * 32, sum_msat)


def test_sums_that_are_too_large_together_are_refused() -> None:
    most = Node(b"a" * 32, MAX_SUM_MSAT)
    with pytest.raises(ValueError, match="no sum of balances"):
        join(most, Node(b"b" * 32, 1))


def test_what_is_no_hash_or_nonce_is_refused() -> None:
    with pytest.raises(ValueError, match="nonce has 32"):
        leaf("wa_1", NONCE[1:], 1)
    with pytest.raises(ValueError, match="hash has 32"):
        Node(b"a" * 31, 1)
    with pytest.raises(ValueError, match="at least one"):
        build([])
