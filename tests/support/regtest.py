"""Bitcoin nodes for tests: one, and a rival that knows nothing of its mempool."""

from collections.abc import Iterator

import pytest

from demo.regtest.node import RegtestNode


@pytest.fixture(scope="session")
def regtest_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegtestNode]:
    """Return a node with spendable coins, on disk, shared by the tests of one process.

    Tests leave blocks behind, but no node that is stopped or on another chain.
    """
    with RegtestNode(tmp_path_factory.mktemp("node"), memory=False) as node:
        node.fund_wallet()
        yield node


@pytest.fixture(scope="session")
def _rival(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegtestNode]:
    with RegtestNode(tmp_path_factory.mktemp("rival"), index_tx=True) as node:
        yield node


@pytest.fixture
def rival_node(_rival: RegtestNode, regtest_node: RegtestNode) -> RegtestNode:
    """Return a second node with the same blocks; the two exchange only what a test brings over.

    It keeps a transaction index, which the other does not.
    """
    _rival.submit_blocks_from(regtest_node)
    return _rival
