"""A wallet of a regtest node that pays out, with what an operator can do to it by hand."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from embit.script import Script

from bitcache_server.domain.money import format_btc
from bitcache_server.rails.base import PreparedPayout
from bitcache_server.rails.onchain.rpc import NodeClient
from bitcache_server.rails.onchain.spenders import Outpoint
from bitcache_server.rails.onchain.transactions import read_raw
from demo.regtest.node import RegtestNode
from tests.support.payer import REGTEST, Payer

#: More than the payouts that it takes the place of.
HAND_FEE_SAT = 2_000


class NodeWallet:
    """A fresh and empty wallet."""

    def __init__(self, node: RegtestNode) -> None:
        self.node = node
        self.name = f"payouts-{uuid.uuid4().hex[:12]}"
        node.rpc.createwallet(self.name)
        self.client = NodeClient(f"{node.rpc_url}/wallet/{self.name}", 10)

    def fund(self, *amounts_sat: int) -> None:
        """Put a confirmed coin of each amount into it."""
        for amount_sat in amounts_sat:
            self.node.pay(self.client.call("getnewaddress"), amount_sat)
        self.node.mine(1)

    def outputs(self, prepared: PreparedPayout) -> dict[str, int]:
        """Return sats by address, the change last."""
        return {
            str(Script(bytes.fromhex(script)).address(REGTEST)): sat
            for script, sat in read_raw(prepared.raw).outputs
        }

    def bumped(self, prepared: PreparedPayout, fee_sat: int = HAND_FEE_SAT) -> str:
        """Return what ``bumpfee`` would make: the same payees, less change, signed."""
        outputs = self.outputs(prepared)
        change = list(outputs)[-1]
        outputs[change] -= fee_sat
        return self.signed(read_raw(prepared.raw).inputs, outputs)

    def spent_otherwise(self, prepared: PreparedPayout) -> str:
        """Return a signed transaction that spends the same coins to somebody else."""
        total_sat = sum(self.outputs(prepared).values())
        outputs = {Payer(self.node).address: total_sat - HAND_FEE_SAT}
        return self.signed(read_raw(prepared.raw).inputs, outputs)

    def signed(self, coins: Sequence[Outpoint], outputs: Mapping[str, int]) -> str:
        """Return a signed transaction of these coins and sats by address; the rest is fee."""
        inputs = [{"txid": txid, "vout": vout} for txid, vout in coins]
        amounts = [{address: format_btc(sat)} for address, sat in outputs.items()]
        bare = self.client.call("createrawtransaction", inputs, amounts)
        signed: dict[str, Any] = self.client.call("signrawtransactionwithwallet", bare)
        assert signed["complete"]
        return str(signed["hex"])
