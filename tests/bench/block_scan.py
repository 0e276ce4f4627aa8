"""Scanning blocks of a real node with 100, 10,000 and 100,000 open addresses."""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import delete, insert

from bitcache_server import wiring
from bitcache_server.app import create_bare_app
from bitcache_server.extensions import db
from bitcache_server.models import migrate
from bitcache_server.models.operations import ChainBlock
from bitcache_server.models.sales import Address, AddressBook
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.onchain.rail import OnchainRail
from bitcache_server.services.watch_rail import watch_rail
from demo.regtest.node import RegtestNode
from tests.bench.table import Row, in_turns
from tests.support.world import make_settings

OPEN_ADDRESSES = (100, 10_000, 100_000)
BLOCKS = 10
OUTPUTS_PER_BLOCK = 2_000
CHUNK = 5_000


def measure(_seconds: float) -> Sequence[Row]:
    """Return a row for each number of addresses, against the smallest."""
    with TemporaryDirectory() as folder, RegtestNode(Path(folder)) as node, ExitStack() as stack:
        node.fund_wallet()
        start = node.rpc.getblockcount()
        _fill_blocks(node)
        scans = [
            stack.enter_context(_scanner(Path(folder, str(count)), node, start, count))
            for count in OPEN_ADDRESSES
        ]
        times = in_turns(*(scan.run for scan in scans))
    return [
        Row(
            f"block of {OUTPUTS_PER_BLOCK:,} outputs scanned with {count:,} open addresses",
            f"{1000 * seconds / BLOCKS:.1f} ms",
            f"with {OPEN_ADDRESSES[0]} open addresses: {1000 * times[0] / BLOCKS:.1f} ms",
            seconds / times[0],
            "≤ 1.2",
        )
        for count, seconds in zip(OPEN_ADDRESSES[1:], times[1:], strict=True)
    ]


def _fill_blocks(node: RegtestNode) -> None:
    """Mine blocks with thousands of payments to strangers."""
    for _ in range(BLOCKS):
        strangers = {node.rpc.getnewaddress(): 0.0001 for _ in range(OUTPUTS_PER_BLOCK)}
        node.rpc.sendmany("", strangers)
        node.mine(1)


class Scanner:
    """A database with open addresses, and the scan of the blocks from the same cursor."""

    def __init__(self, folder: Path, node: RegtestNode, start_height: int) -> None:
        settings = make_settings(folder, f"sqlite:///{folder}/bench.db", node_url=node.rpc_url)
        self.rail = OnchainRail(node.rpc_url, "regtest")
        self.deps = wiring.build(settings, rails={"onchain": self.rail})
        self.app = create_bare_app(self.deps)
        self.start_height = start_height
        self.start_hash = node.rpc.getblockhash(start_height)

    def add_addresses(self, count: int) -> None:
        """Give out that many addresses that nobody pays."""
        with self.app.app_context(), write_transaction(db.session()):
            db.session.execute(
                insert(AddressBook).values(id="b", rail="onchain", account="a", next_index=count)
            )
            for first in range(0, count, CHUNK):
                numbers = range(first, min(first + CHUNK, count))
                db.session.execute(insert(Address), [_address(number) for number in numbers])

    def run(self) -> float:
        """Return the seconds that scanning all blocks takes."""
        with self.app.app_context():
            with write_transaction(db.session()):
                db.session.execute(delete(ChainBlock))
                db.session.add(
                    ChainBlock(
                        rail="onchain",
                        height=self.start_height,
                        hash=self.start_hash,
                        previous_hash="",
                    )
                )
            started_at = time.perf_counter()
            report = watch_rail(self.deps, db.session(), self.rail)
            seconds = time.perf_counter() - started_at
        if report.blocks != BLOCKS:
            raise RuntimeError(f"{report.blocks} blocks were scanned instead of {BLOCKS}")
        return seconds


def _address(number: int) -> dict[str, object]:
    return {
        "book_id": "b",
        "index": number,
        "target": f"0014{secrets.token_hex(20)}",
        "destination": f"address {number}",
        "invoice_id": "in_nobody",
        "free_at": 2**40,
        "used": False,
    }


@contextmanager
def _scanner(folder: Path, node: RegtestNode, start: int, count: int) -> Iterator[Scanner]:
    folder.mkdir()
    migrate.upgrade(f"sqlite:///{folder}/bench.db")
    scanner = Scanner(folder, node, start)
    scanner.add_addresses(count)
    yield scanner
    with scanner.app.app_context():
        db.session.remove()
        db.engine.dispose()
