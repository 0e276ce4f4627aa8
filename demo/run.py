"""``make demo``: the whole system on one machine, with a private chain and no real money.

Starts a Bitcoin node on regtest, a Lightning network of two wallets with a channel, the
server and its jobs, a magazine that sells an article and a file, and a page that plays
the reader's phone wallet. Ends all of them with Ctrl-C. ``--check`` plays the reader as
well and says what happened.
"""

import argparse
import contextlib
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import httpx

from demo.background import BackgroundServer
from demo.check import check
from demo.children import Child, ChildDied
from demo.ports import FIRST_PORT, PortTaken, pick_ports
from demo.regtest.lightning import (
    PUSHED_SAT,
    LightningNetwork,
    LightningNetworkError,
    NotInstalled,
)
from demo.regtest.node import RegtestNode, RegtestNodeError
from demo.shop import GIFT_SAT, USD_PER_BTC, Addresses, CommandFailed, Shop, bitcache_command
from demo.shop import server_environment as environment
from demo.site_server import create_site
from demo.till import fill_till
from demo.wallet import create_wallet

if TYPE_CHECKING:
    from demo.wordpress import DemoWordPress

BLOCK_EVERY_S = 20
READY_TIMEOUT_S = 180
#: SIGINT as well: a shell without job control starts background programs deaf to it.
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NO_LIGHTNING = """
Electrum is not installed, so everything is paid on-chain here.
"""
PORTS = ("the server", "its live events", "the magazine", "the wallet")


class Watch(threading.Thread):
    """Mines a block now and then, and notices when a program ends by itself."""

    def __init__(self, node: RegtestNode, children: list[Child]) -> None:
        super().__init__(daemon=True)
        self.failure = ""
        self.ended = threading.Event()
        self._node = node
        self._children = children

    def run(self) -> None:
        """Go on until ``stop`` or until something has ended; then ``failure`` says what."""
        next_block = time.monotonic() + BLOCK_EVERY_S
        try:
            while not self.ended.wait(0.5):
                for child in self._children:
                    child.check()
                if time.monotonic() >= next_block:
                    self._node.mine(1)
                    next_block += BLOCK_EVERY_S
        except ChildDied as error:
            self.failure = str(error)
        except Exception as error:  # Whatever the client raises: the node is gone.
            self.failure = f"The Bitcoin node does not answer any more: {error}"
        self.ended.set()

    def stop(self) -> None:
        """End without a failure."""
        self.ended.set()
        self.join()


@dataclass(frozen=True)
class Networks:
    """The chain, and the Lightning network on top of it where its programs are installed."""

    node: RegtestNode
    lightning: LightningNetwork | None


def start_networks(stack: contextlib.ExitStack, folder: Path) -> Networks:
    """Start the node and, if possible, the Lightning network; fill the operator's wallet."""
    try:
        lightning = stack.enter_context(LightningNetwork())
        node = lightning.node
    except NotInstalled as error:
        print(f"  no Lightning: {error}", flush=True)
        lightning = None
        node = stack.enter_context(RegtestNode(folder / "node"))
        node.fund_wallet()
    fill_till(node)
    step("a private Bitcoin chain, and a wallet that payouts leave from")
    if lightning:
        step("two Lightning wallets, the operator's and the reader's, with a channel between them")
    return Networks(node, lightning)


@contextlib.contextmanager
def whole_system(folder: Path, ports: list[int]) -> Iterator[tuple[Watch, Shop, Networks]]:
    """Start everything in order, and end it in the opposite order."""
    addresses = Addresses.of_ports(ports)
    with contextlib.ExitStack() as stack:
        try:
            networks = start_networks(stack, folder)
            node, lightning = networks.node, networks.lightning
            env = environment(
                folder, ports, node.rpc_url, lightning.merchant if lightning else None
            )
            shop = Shop(folder, env, addresses.site)
            shop.make_database()
            step("a database")
            children = []
            for name in ("serve", "jobs"):
                child = Child(f"bitcache-{name}", [bitcache_command(), name], env, folder)
                stack.callback(child.stop)
                children.append(child)
            shop.open(PUSHED_SAT if lightning else 0)
            step("a merchant, a site, an article and a file")
            wait_until_ready(addresses, children)
            step("the server and its jobs")
            site = create_site(addresses.server, addresses.events, shop.items)
            stack.enter_context(BackgroundServer(site, ports[2]))
            wallet = create_wallet(node, USD_PER_BTC, lightning.reader if lightning else None)
            stack.enter_context(BackgroundServer(wallet, ports[3]))
            watch = Watch(node, children)
            watch.start()
            stack.callback(watch.stop)
            yield watch, shop, networks
        finally:
            # Everything ends now; another Ctrl-C must not leave a part behind.
            for number in END_SIGNALS:
                signal.signal(number, signal.SIG_IGN)


def step(what: str) -> None:
    """Tell the person who waits what is there by now."""
    print(f"  {what}", flush=True)


def wait_until_ready(addresses: Addresses, children: list[Child]) -> None:
    """Return when the server says that it is well; raise ChildDied when it cannot be."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    answer = "nothing"
    while time.monotonic() < deadline:
        for child in children:
            child.check()
        with contextlib.suppress(httpx.TransportError):
            response = httpx.get(f"{addresses.server}/health")
            if response.status_code == httpx.codes.OK:
                return
            answer = response.text
        time.sleep(0.1)
    logs = "\n".join(f"{child.name}:\n{child.log_tail()}" for child in children)
    raise ChildDied(
        f"The server was not well after {READY_TIMEOUT_S} s. Its answer: {answer}\n{logs}"
    )


@contextlib.contextmanager
def wordpress_beside(
    shop: Shop, addresses: Addresses, wanted: bool
) -> "Iterator[DemoWordPress | None]":
    """Start a WordPress that is connected to the server, if it is wanted."""
    if not wanted:
        yield None
        return
    # It needs what only ``.ci/setup wordpress`` installs.
    from demo.wordpress import DemoWordPress

    with DemoWordPress(shop, addresses.server) as wordpress:
        step("a WordPress with three priced posts and a paid picture")
        yield wordpress


def announce(addresses: Addresses, ports: list[int], over_lightning: bool) -> None:
    """Tell the person what to open and what to do there."""
    if ports[0] != FIRST_PORT or ports[-1] != FIRST_PORT + len(ports) - 1:
        print("\nSome of the usual ports are taken, so these are others.")
    print(f"""
Bitcache is running with a private chain. No real money moves.

  The magazine     {addresses.site}
  A phone wallet   {addresses.wallet}
  The server       {addresses.server}

1. Open the magazine and pick a story or the bell.
2. Press "Read with one click". A small window offers {GIFT_SAT:,} sats as a gift
   and asks once what the magazine may take. The story opens by itself; the
   next one takes one click and no window. Your balance is at
   {addresses.server}/wallet
3. Or press "Pay with bitcoin". A QR code appears. Give the wallet a
   screenshot of the code, or paste the code from "Open in wallet", and
   press Pay. A balance is topped up in the same way.

One bitcoin costs {USD_PER_BTC:,} dollars here, so that five cents are 5,000 sat and can be
paid both ways. At a real rate five cents are a fraction of that: too little to pay
on-chain, where the fee alone costs more, and Lightning alone is offered.
{"" if over_lightning else NO_LIGHTNING}
A block is mined every {BLOCK_EVERY_S} seconds. Ctrl-C ends everything.""", flush=True)  # fmt: skip


def run(first_port: int | None, checking: bool, with_wordpress: bool = False) -> int:
    """Run the demo until Ctrl-C, or check it; return the exit status."""
    ports = pick_ports(len(PORTS), first_port)
    addresses = Addresses.of_ports(ports)
    print("Starting:", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="bitcache-demo-") as folder,
        whole_system(Path(folder), ports) as (watch, shop, networks),
        wordpress_beside(shop, addresses, with_wordpress) as wordpress,
    ):
        if checking:
            print("Reading:", flush=True)
            problem = check(addresses, shop, networks.node, networks.lightning, wordpress)
        else:
            # Ctrl-C may come as soon as the last line is there.
            with contextlib.suppress(KeyboardInterrupt):
                announce(addresses, ports, networks.lightning is not None)
                if wordpress:
                    wordpress.announce()
                watch.ended.wait()
            print("\nStopping …", flush=True)
            problem = ""
    problem = watch.failure or problem
    if problem:
        print(f"The demo failed: {problem}", file=sys.stderr)
    return 1 if problem else 0


def main() -> int:
    """Read the command line, and turn what can go wrong into a sentence."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--check", action="store_true", help="play the reader, report, and stop")
    parser.add_argument("--wordpress", action="store_true", help="with a WordPress beside it")
    parser.add_argument("--port", type=int, help="first of four ports in a row")
    arguments = parser.parse_args()
    for number in END_SIGNALS:
        signal.signal(number, interrupt)
    try:
        return run(arguments.port, arguments.check, arguments.wordpress)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except (
        PortTaken,
        RegtestNodeError,
        LightningNetworkError,
        ChildDied,
        CommandFailed,
    ) as error:
        print(f"The demo could not start. {error}", file=sys.stderr)
        return 1


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Treat a closed terminal and a polite kill like Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
