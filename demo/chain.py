"""``make chain``: a private chain and a wallet, to try a server of one's own.

Starts the same node and wallet page as the demo and nothing else, prints the address
that ``bitcache init`` asks for, and mines a block now and then.
"""

import contextlib
import signal
import sys
import tempfile
import time
from pathlib import Path

from demo.background import BackgroundServer
from demo.ports import PortTaken, pick_ports
from demo.regtest.node import RegtestNode, RegtestNodeError
from demo.run import BLOCK_EVERY_S, END_SIGNALS, PORTS, interrupt
from demo.shop import USD_PER_BTC, watch_only_descriptor
from demo.wallet import create_wallet


def run() -> None:
    """Run until Ctrl-C."""
    # The first ones are those that a server of one's own will want.
    port = pick_ports(len(PORTS))[-1]
    with (
        tempfile.TemporaryDirectory(prefix="bitcache-chain-") as folder,
        RegtestNode(Path(folder)) as node,
        BackgroundServer(create_wallet(node, USD_PER_BTC), port),
    ):
        node.fund_wallet()
        print(
            f"""A private chain is running. No real money moves.

  The node         {node.rpc_url}
  A phone wallet   http://127.0.0.1:{port}
  A descriptor     {watch_only_descriptor()}

A block is mined every {BLOCK_EVERY_S} seconds. Ctrl-C ends everything.""",
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(BLOCK_EVERY_S)
                node.mine(1)


def main() -> int:
    """Turn what can go wrong into a sentence."""
    for number in END_SIGNALS:
        signal.signal(number, interrupt)
    try:
        run()
    except KeyboardInterrupt:
        return 130
    except (PortTaken, RegtestNodeError) as error:
        print(f"The chain could not start. {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
