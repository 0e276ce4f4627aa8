"""A node in trouble: a clear error each time, no secret in it, and then it goes on."""

import threading
import time
import traceback
from collections.abc import Iterator

import pytest

from bitcache_server.domain.errors import (
    ConfigurationError,
    NodePruned,
    NodeRejected,
    NodeSyncing,
    NodeUnauthorized,
    NodeUnreachable,
    NodeWrongNetwork,
    RailError,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import BlockConnected, Cursor, MempoolSeen, PaymentOrder
from bitcache_server.rails.onchain.rail import OnchainRail
from bitcache_server.rails.onchain.rpc import NodeClient
from demo.regtest.node import RegtestNode
from tests.support.payer import new_descriptor
from tests.support.rpc_proxy import IMPATIENT_S, PATIENT_S, Fault, RpcProxy, patience_s

FAULTS: list[tuple[Fault, type[RailError]]] = [
    (Fault.DIE_IN_ANSWER, NodeUnreachable),
    (Fault.DIE_BEFORE_ANSWER, NodeUnreachable),
    (Fault.SLOW, NodeUnreachable),
    (Fault.UNAUTHORIZED, NodeUnauthorized),
    (Fault.BUSY, NodeUnreachable),
    (Fault.WRONG_CHAIN, NodeWrongNetwork),
    (Fault.SYNCING, NodeSyncing),
    (Fault.WARMING_UP, NodeSyncing),
    (Fault.HTML, NodeUnreachable),
    (Fault.BROKEN_JSON, NodeUnreachable),
    (Fault.OTHER_JSON, NodeUnreachable),
]
#: A lookup asks about one transaction, not about the chain.
LOOKUP_FAULTS = [f for f, _ in FAULTS if f not in (Fault.WRONG_CHAIN, Fault.SYNCING)]


@pytest.fixture
def proxy(regtest_node: RegtestNode) -> Iterator[RpcProxy]:
    with RpcProxy(regtest_node.rpc_url) as running:
        yield running


@pytest.fixture
def rail(proxy: RpcProxy, request: pytest.FixtureRequest) -> OnchainRail:
    return OnchainRail(proxy.url, "regtest", timeout_s=patience_s(request))


def _watch(rail: OnchainRail, cursor: Cursor | None = None) -> list[BlockConnected]:
    steps = rail.watch(cursor, lambda scripts: set())
    return [step for step in steps if isinstance(step, BlockConnected)]


@pytest.mark.parametrize("used_before", [False, True], ids=["first call", "later call"])
@pytest.mark.parametrize(("fault", "error"), FAULTS, ids=lambda value: getattr(value, "name", ""))
def test_a_fault_is_named_and_passes(
    proxy: RpcProxy,
    rail: OnchainRail,
    regtest_node: RegtestNode,
    fault: Fault,
    error: type[RailError],
    used_before: bool,
) -> None:
    if used_before:
        assert len(_watch(rail)) == 1
    proxy.fault = fault
    with pytest.raises(RailError) as caught:
        _watch(rail)
    assert type(caught.value) is error
    assert caught.value.detail != ""
    health = rail.health()
    assert (health.ok, health.code) == (False, error.code)
    everything = "".join(traceback.format_exception(caught.value)) + health.detail
    assert regtest_node.password not in everything
    proxy.fault = Fault.NONE
    assert len(_watch(rail)) == 1
    assert rail.health().ok


def test_a_pruned_block_is_named(
    proxy: RpcProxy, rail: OnchainRail, regtest_node: RegtestNode
) -> None:
    [tip] = _watch(rail)
    cursor = Cursor(tip.block.height, tip.block.hash)
    regtest_node.mine(1)
    proxy.fault = Fault.PRUNED
    with pytest.raises(NodePruned):
        _watch(rail, cursor)
    assert rail.health().ok  # the node is well, only that block is gone
    proxy.fault = Fault.NONE
    assert len(_watch(rail, cursor)) == 1


def test_an_idle_connection_that_was_closed_is_built_anew(
    proxy: RpcProxy, rail: OnchainRail
) -> None:
    proxy.fault = Fault.DROP_IDLE
    for _ in range(3):
        assert len(_watch(rail)) == 1
        time.sleep(0.05)  # let the closing arrive, as after an idle minute
    assert proxy.connections > 3


def test_a_good_connection_is_used_again(proxy: RpcProxy, rail: OnchainRail) -> None:
    for _ in range(3):
        _watch(rail)
    assert proxy.connections == 1
    assert proxy.calls["getblockchaininfo"] == 3


def test_a_slow_node_is_not_asked_twice(proxy: RpcProxy) -> None:
    client = NodeClient(proxy.url, IMPATIENT_S)
    client.call("getblockcount")
    proxy.fault = Fault.SLOW
    with pytest.raises(NodeUnreachable):
        client.call("getblockcount")
    assert proxy.calls["getblockcount"] == 2


def test_a_node_that_went_away_comes_back(proxy: RpcProxy, rail: OnchainRail) -> None:
    _watch(rail)
    proxy.go_away()
    with pytest.raises(NodeUnreachable):
        _watch(rail)
    assert rail.health().code == "node_unreachable"
    proxy.come_back()
    assert len(_watch(rail)) == 1


def test_the_answers_of_newer_nodes_are_understood(
    proxy: RpcProxy, rail: OnchainRail, regtest_node: RegtestNode
) -> None:
    proxy.fault = Fault.MODERN
    account = rail.check_account(new_descriptor())
    request = rail.create_request(PaymentOrder("in_1", 5_000_000, 2_000_000_000, account, 0))
    txid = regtest_node.pay(request.destination, 5_000)
    steps = list(rail.watch(None, {request.target}.intersection))
    [seen] = [o for step in steps if isinstance(step, MempoolSeen) for o in step.observations]
    assert seen.reference.startswith(txid)
    client = NodeClient(proxy.url, PATIENT_S)
    found = client.find_many("getrawtransaction", [["ab" * 32, True], [txid, True]])
    assert found[0] is None
    assert found[1] is not None
    assert found[1]["txid"] == txid


@pytest.mark.parametrize("fault", LOOKUP_FAULTS, ids=lambda fault: fault.name)
def test_a_lookup_in_trouble_knows_nothing(
    proxy: RpcProxy, rail: OnchainRail, regtest_node: RegtestNode, fault: Fault
) -> None:
    account = rail.check_account(new_descriptor())
    request = rail.create_request(PaymentOrder("in_1", 5_000_000, 2_000_000_000, account, 0))
    regtest_node.pay(request.destination, 5_000)
    steps = list(rail.watch(None, {request.target}.intersection))
    [seen] = [o for step in steps if isinstance(step, MempoolSeen) for o in step.observations]
    proxy.fault = fault
    assert rail.lookup(seen).outcome is Outcome.UNKNOWN
    proxy.fault = Fault.NONE
    assert rail.lookup(seen).outcome is Outcome.PENDING


def test_threads_do_not_get_each_others_answers(regtest_node: RegtestNode) -> None:
    client = NodeClient(regtest_node.rpc_url, 10)
    hashes = [regtest_node.rpc.getblockhash(height) for height in range(40)]
    wrong: list[int] = []

    def ask() -> None:
        wrong.extend(h for h in range(40) if client.call("getblockhash", h) != hashes[h])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_wrong_password_is_named(regtest_node: RegtestNode) -> None:
    url = f"http://bitcache:not-the-password@127.0.0.1:{regtest_node.port}"
    health = OnchainRail(url, "regtest").health()
    assert health.code == "node_unauthorized"
    assert "not-the-password" not in health.detail


def test_another_network_is_named(regtest_node: RegtestNode) -> None:
    health = OnchainRail(regtest_node.rpc_url, "mainnet").health()
    assert (health.ok, health.code) == (False, "node_wrong_network")


def test_constructing_is_quiet() -> None:
    rail = OnchainRail("http://user:secret@127.0.0.1:9", "regtest", timeout_s=PATIENT_S)
    assert rail.health().code == "node_unreachable"


def test_an_unknown_method_keeps_its_number(regtest_node: RegtestNode) -> None:
    with pytest.raises(NodeRejected) as caught:
        NodeClient(regtest_node.rpc_url, 10).call("nosuchmethod")
    assert caught.value.rpc_code == -32601


def test_a_chain_that_ends_before_the_cursor_is_still_syncing(rail: OnchainRail) -> None:
    [tip] = _watch(rail)
    with pytest.raises(NodeSyncing):
        _watch(rail, Cursor(tip.block.height + 100, "ab" * 32))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8332",
        "ftp://user:hunter2@127.0.0.1:8332",
        "http://127.0.0.1:8332",
        "http://user@127.0.0.1:8332",
        "http://user:hunter2@127.0.0.1",
        "http://user:hunter2@127.0.0.1:port",
        "http://user:hunter2%2f@127.0.0.1:8332",
        "http://user:hunter2/@127.0.0.1:8332",
        "http://user:hunter2[@127.0.0.1:8332",
    ],
)
def test_an_unusable_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        NodeClient(url, 1)
    everything = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in everything


def test_an_encoded_password_is_decoded(regtest_node: RegtestNode) -> None:
    encoded = "".join(f"%{ord(letter):02x}" for letter in regtest_node.password)
    url = f"http://bitcache:{encoded}@127.0.0.1:{regtest_node.port}"
    assert NodeClient(url, 10).call("getblockcount") > 0
