"""What the node's refusals mean for a payout. Their numbers are Bitcoin Core's."""

from typing import Any

import pytest
from embit.transaction import Transaction, TransactionInput, TransactionOutput

from bitcache_server.domain.errors import NodeRejected, PayoutsUnavailable
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import PreparedPayout
from bitcache_server.rails.onchain.addresses import script_of
from bitcache_server.rails.onchain.rail import OnchainRail
from bitcache_server.rails.onchain.rpc import NodeClient
from bitcache_server.rails.onchain.wallet import PayoutWallet

ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
URL = "http://user:password@127.0.0.1:9"


@pytest.fixture
def payout() -> PreparedPayout:
    vin = [TransactionInput(bytes(32), 0)]
    tx = Transaction(vin=vin, vout=[TransactionOutput(5_000, script_of(ADDRESS))])
    return PreparedPayout(tx.txid().hex(), tx.serialize().hex(), 5_000_000, 282_000)


def _refuse(monkeypatch: pytest.MonkeyPatch, error: NodeRejected | None) -> list[str]:
    """Let the node refuse all calls, but say what they were."""
    called: list[str] = []

    def call(client: NodeClient, method: str, *params: Any) -> Any:
        called.append(method)
        if error is not None and method != "lockunspent":
            raise error

    monkeypatch.setattr(NodeClient, "call", call)
    return called


@pytest.mark.parametrize(
    ("rpc_code", "message", "outcome"),
    [
        (-27, "Transaction outputs already in utxo set", Outcome.SETTLED),
        (-27, "Transaction already in block chain", Outcome.SETTLED),
        (-26, "txn-already-in-mempool", Outcome.PENDING),
        (-26, "txn-already-known", Outcome.PENDING),
        (-26, "txn-same-nonwitness-data-in-mempool", Outcome.PENDING),
        (-26, "min relay fee not met, 100 < 141", Outcome.UNKNOWN),
        (-26, "insufficient fee, rejecting replacement", Outcome.UNKNOWN),
        (-26, "txn-mempool-conflict", Outcome.UNKNOWN),
        (-25, "bad-txns-inputs-missingorspent", Outcome.UNKNOWN),
        (-25, "Fee exceeds maximum configured by user", Outcome.UNKNOWN),
        (-1, "anything else", Outcome.UNKNOWN),
    ],
)
def test_no_refusal_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
    payout: PreparedPayout,
    rpc_code: int,
    message: str,
    outcome: Outcome,
) -> None:
    called = _refuse(monkeypatch, NodeRejected(message, rpc_code=rpc_code))
    assert OnchainRail(URL, "regtest").send_payout(payout) is outcome
    assert called == ["lockunspent", "sendrawtransaction"]


@pytest.mark.parametrize(
    ("rpc_code", "words"),
    [
        (-4, "cannot pay that now: the node's words"),
        (-6, "cannot pay that now: the node's words"),
        (-13, "walletpassphrase"),
        (-18, "'payouts'"),
        (-19, "payout_wallet"),
        (-32601, "without a wallet"),
    ],
)
def test_a_wallet_that_cannot_pay_says_why(
    monkeypatch: pytest.MonkeyPatch, rpc_code: int, words: str
) -> None:
    _refuse(monkeypatch, NodeRejected("the node's words", rpc_code=rpc_code))
    wallet = PayoutWallet(URL, "payouts", 1)
    for work in (lambda: wallet.fund({ADDRESS: 5_000}, 2_000), lambda: wallet.sign("00")):
        with pytest.raises(PayoutsUnavailable) as caught:
            work()
        assert words in caught.value.detail


def test_other_refusals_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse(monkeypatch, NodeRejected("Invalid parameter", rpc_code=-8))
    with pytest.raises(NodeRejected):
        PayoutWallet(URL, "payouts", 1).fund({ADDRESS: 5_000}, 2_000)


def test_a_signature_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NodeClient, "call", lambda *args: {"hex": "00", "complete": False})
    with pytest.raises(PayoutsUnavailable, match="keys"):
        PayoutWallet(URL, "payouts", 1).sign("00")


@pytest.mark.parametrize(("rate", "text"), [(2_000, "2.000"), (1_001, "1.001"), (12_345, "12.345")])
def test_the_fee_rate_is_exact(monkeypatch: pytest.MonkeyPatch, rate: int, text: str) -> None:
    asked: list[Any] = []

    def call(client: NodeClient, method: str, *params: Any) -> Any:
        asked.append((method, params))
        return "00" if method == "createrawtransaction" else {"hex": "00", "fee": 0}

    monkeypatch.setattr(NodeClient, "call", call)
    PayoutWallet(URL, "", 1).fund({ADDRESS: 123_456_789}, rate)
    assert asked[0] == ("createrawtransaction", ([], [{ADDRESS: "1.23456789"}]))
    method, (_, options) = asked[1]
    assert method == "fundrawtransaction"
    assert options == {"fee_rate": text, "changePosition": 1, "replaceable": True}


@pytest.mark.parametrize(
    ("name", "path"),
    [("", ""), ("payouts", "/wallet/payouts"), ("my/own wallet", "/wallet/my%2Fown%20wallet")],
)
def test_each_wallet_has_its_path(monkeypatch: pytest.MonkeyPatch, name: str, path: str) -> None:
    urls: list[str] = []
    monkeypatch.setattr(NodeClient, "__init__", lambda self, url, timeout_s: urls.append(url))
    PayoutWallet(URL, name, 1)
    assert urls == [f"{URL}{path}"]
