"""What each rail needs so that the contract can be played on it: payers, miners, bad luck."""

import itertools
import uuid
from collections.abc import Sequence
from typing import Protocol

from bitcache_server.domain.errors import NodeUnreachable
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import ChainRail, PaymentOrder, PaymentRequest, PreparedPayout
from bitcache_server.rails.fake import FakeRail
from bitcache_server.rails.onchain.addresses import script_of
from bitcache_server.rails.onchain.rail import OnchainRail
from demo.regtest.node import RegtestNode
from tests.support.payer import REPLACEABLE, Coin, Payer, new_descriptor
from tests.support.payout_wallet import NodeWallet
from tests.support.rpc_proxy import Fault, RpcProxy

PRICE_MSAT = 5_000_000
COIN_SAT = 100_000
COINS = 4
#: How deep a conflict must be before a payout has failed, in all worlds.
CONFLICT_CONFIRMATIONS = 3


class World(Protocol):
    """One rail and everything around it. ``mine`` takes what waits in the mempool."""

    @property
    def rail(self) -> ChainRail: ...

    def request(self, amount_msat: int = PRICE_MSAT) -> PaymentRequest: ...
    def pay(self, request: PaymentRequest, amount_msat: int = PRICE_MSAT) -> str: ...
    def pay_many(self, payments: Sequence[tuple[PaymentRequest, int]]) -> list[str]: ...
    def pay_replaceably(self, request: PaymentRequest) -> str: ...
    def mine(self, blocks: int = 1) -> None: ...
    def mine_to(self, request: PaymentRequest) -> None: ...
    def compete(self, blocks: int) -> None: ...
    def disconnect(self, blocks: int) -> None: ...
    def double_spend(self, reference: str) -> None: ...
    def lose(self, reference: str) -> None: ...
    def crash(self) -> None: ...

    def fund(self, amount_msat: int) -> None:
        """Put confirmed money into the wallet that pays out."""

    def destination(self) -> str:
        """Return a fresh place to send money to."""

    def target_of(self, destination: str) -> str:
        """Return what a watch calls that destination."""

    def bump(self, prepared: PreparedPayout) -> str:
        """Replace an unconfirmed payout by one with a higher fee; return its reference."""

    def spend_otherwise(self, prepared: PreparedPayout) -> None:
        """Mine another transaction with the payout's coins."""

    def send_without_answer(self, prepared: PreparedPayout) -> Outcome:
        """Send a payout whose answer gets lost on the way back."""

    def lonely_rail(self) -> ChainRail:
        """Return the rail as it is while its node is away."""


class _Orders:
    """Gives out orders as the server would: one account, each index once."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._indices = itertools.count()

    def next(self, amount_msat: int) -> PaymentOrder:
        index = next(self._indices)
        return PaymentOrder(f"in_{index}", amount_msat, 2_000_000_000, self._account, index)


class FakeWorld:
    """The fake rail does everything by itself."""

    def __init__(self) -> None:
        self.rail = self._fake = FakeRail(allow=True, conflict_confirmations=CONFLICT_CONFIRMATIONS)
        self._orders = _Orders("me_test")

    def request(self, amount_msat: int = PRICE_MSAT) -> PaymentRequest:
        return self.rail.create_request(self._orders.next(amount_msat))

    def pay(self, request: PaymentRequest, amount_msat: int = PRICE_MSAT) -> str:
        return self._fake.pay(request.target, amount_msat)

    def pay_many(self, payments: Sequence[tuple[PaymentRequest, int]]) -> list[str]:
        return self._fake.pay_many([(request.target, msat) for request, msat in payments])

    def pay_replaceably(self, request: PaymentRequest) -> str:
        return self._fake.pay(request.target, PRICE_MSAT, "it may be replaced")

    def mine(self, blocks: int = 1) -> None:
        self._fake.confirm(blocks)

    def mine_to(self, request: PaymentRequest) -> None:
        self._fake.confirm(coinbase=(request.target, PRICE_MSAT))

    def compete(self, blocks: int) -> None:
        self._fake.reorg(blocks)

    def disconnect(self, blocks: int) -> None:
        self._fake.disconnect(blocks)

    def double_spend(self, reference: str) -> None:
        self._fake.double_spend(reference)
        self._fake.confirm()

    def lose(self, reference: str) -> None:
        self._fake.lose(reference)

    def crash(self) -> None:
        self._fake.forget_mempool()

    def fund(self, amount_msat: int) -> None:
        self._fake.fund(amount_msat)

    def destination(self) -> str:
        return f"fake:payee-{uuid.uuid4()}"

    def target_of(self, destination: str) -> str:
        return destination

    def bump(self, prepared: PreparedPayout) -> str:
        return self._fake.bump(prepared.reference)

    def spend_otherwise(self, prepared: PreparedPayout) -> None:
        self._fake.spend_otherwise(prepared.reference)
        self._fake.confirm()

    def send_without_answer(self, prepared: PreparedPayout) -> Outcome:
        self._fake.lose_answers()
        try:
            return self._fake.send_payout(prepared)
        finally:
            self._fake.lose_answers(False)

    def lonely_rail(self) -> ChainRail:
        self._fake.break_with(NodeUnreachable("Nothing listens at the node's address."))
        return self._fake


class OnchainWorld:
    """A real node, a rival whose blocks compete with it, and a payer with own keys."""

    def __init__(self, node: RegtestNode, rival: RegtestNode) -> None:
        self._node, self._rival = node, rival
        self._wallet = NodeWallet(node)
        self.rail = self._rail(node.rpc_url)
        self._orders = _Orders(self.rail.check_account(new_descriptor()))
        self._payer = Payer(node)
        self._coins = [self._payer.coin(COIN_SAT) for _ in range(COINS)]
        self._spent: dict[str, Coin] = {}
        node.mine(1)
        rival.submit_blocks_from(node)

    def request(self, amount_msat: int = PRICE_MSAT) -> PaymentRequest:
        return self.rail.create_request(self._orders.next(amount_msat))

    def pay(self, request: PaymentRequest, amount_msat: int = PRICE_MSAT) -> str:
        return self.pay_many([(request, amount_msat)])[0]

    def pay_many(self, payments: Sequence[tuple[PaymentRequest, int]]) -> list[str]:
        outputs = [(request.destination, msat // 1000) for request, msat in payments]
        coin = self._coins.pop()
        txid = self._node.rpc.sendrawtransaction(self._payer.spend(coin, outputs))
        self._spent[txid] = coin
        return [f"{txid}:{vout}" for vout in range(len(outputs))]

    def pay_replaceably(self, request: PaymentRequest) -> str:
        outputs = [(request.destination, PRICE_MSAT // 1000)]
        raw = self._payer.spend(self._coins.pop(), outputs, sequence=REPLACEABLE)
        return f"{self._node.rpc.sendrawtransaction(raw)}:0"

    def mine(self, blocks: int = 1) -> None:
        self._node.mine(blocks)

    def mine_to(self, request: PaymentRequest) -> None:
        self._node.mine(1, request.destination)

    def compete(self, blocks: int) -> None:
        self._rival.submit_blocks_from(self._node, leave_out=blocks)
        self._rival.mine(blocks + 1)
        self._node.submit_blocks_from(self._rival)

    def disconnect(self, blocks: int) -> None:
        rpc = self._node.rpc
        rpc.invalidateblock(rpc.getblockhash(rpc.getblockcount() - blocks + 1))

    def double_spend(self, reference: str) -> None:
        coin = self._spent[reference.partition(":")[0]]
        raw = self._payer.spend(coin, [(self._payer.address, 2_000)])
        self._rival.submit_blocks_from(self._node)
        self._rival.rpc.sendrawtransaction(raw)
        self._rival.mine(1)
        self._node.submit_blocks_from(self._rival)

    def lose(self, reference: str) -> None:
        self._node.rpc.forgettransaction(reference.partition(":")[0])

    def crash(self) -> None:
        self._node.kill()
        self._node.start()

    def fund(self, amount_msat: int) -> None:
        self._wallet.fund(amount_msat // 1000)

    def destination(self) -> str:
        return Payer(self._node).address

    def target_of(self, destination: str) -> str:
        return str(script_of(destination).data.hex())

    def bump(self, prepared: PreparedPayout) -> str:
        self.lose(prepared.reference)
        return str(self._node.rpc.sendrawtransaction(self._wallet.bumped(prepared)))

    def spend_otherwise(self, prepared: PreparedPayout) -> None:
        self._rival.submit_blocks_from(self._node)
        self._rival.rpc.sendrawtransaction(self._wallet.spent_otherwise(prepared))
        self._rival.mine(1)
        self._node.submit_blocks_from(self._rival)

    def send_without_answer(self, prepared: PreparedPayout) -> Outcome:
        with RpcProxy(self._node.rpc_url) as proxy:
            proxy.fault, proxy.only = Fault.DIE_IN_ANSWER, "sendrawtransaction"
            return self._rail(proxy.url).send_payout(prepared)

    def lonely_rail(self) -> ChainRail:
        return self._rail("http://user:password@127.0.0.1:9")

    def _rail(self, rpc_url: str) -> OnchainRail:
        return OnchainRail(
            rpc_url,
            "regtest",
            payout_wallet=self._wallet.name,
            conflict_confirmations=CONFLICT_CONFIRMATIONS,
        )
