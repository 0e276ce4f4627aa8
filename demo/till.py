"""The operator's paying wallet of the demo: a wallet of the node with a float in it.

What readers pay stays at addresses whose keys the server does not have. Payouts leave
from here, so there must be something in it before the first one.
"""

from demo.regtest.node import RegtestNode

PAYING_WALLET = "till"
FLOAT_SAT = 1_000_000


def fill_till(node: RegtestNode) -> None:
    """Make the wallet and put the float into it, confirmed."""
    node.rpc.createwallet(PAYING_WALLET)
    node.pay(node.wallet_rpc(PAYING_WALLET).getnewaddress(), FLOAT_SAT)
    node.mine(1)
