"""A real Lightning network on loopback: two Electrum wallets with a channel between them.

The regtest node makes blocks, ElectrumX tells the wallets of them, and the wallets pay
each other. Everything lives in one temporary folder and ends with this process.
"""

import contextlib
import os
import re
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.children import Child
from demo.regtest.electrum_daemon import (
    ElectrumDaemon,
    LightningNetworkError,
    NotInstalled,
    electrum_program,
    wait_for,
)
from demo.regtest.node import RegtestNode

__all__ = ["ElectrumDaemon", "LightningNetwork", "LightningNetworkError", "NotInstalled"]

ROOT = Path(__file__).resolve().parents[2]
ELECTRUMX_VERSION = "2.0.0"
#: It has dependencies that ours must not meet, and so a folder of its own; git ignores it.
ELECTRUMX_PYTHON = ROOT / ".cache" / f"electrumx-{ELECTRUMX_VERSION}" / "bin" / "python"
ELECTRUMX_POLL_MS = 100
READER_FUNDS_SAT = 100_000_000
CHANNEL_SAT = 10_000_000
#: The merchant's side at the start, so that both can pay.
PUSHED_SAT = 2_000_000
CHANNEL_CONFIRMATIONS = 3
_LISTENING = re.compile(r"TCP server listening on")


class LightningNetwork:
    """Node, ElectrumX and the wallets ``merchant`` and ``reader``, ready to pay.

    A node of one's own must keep an index of transactions, for ElectrumX asks for them.
    ``kill`` and ``start`` take a name, so that tests can play bad luck: ``merchant``,
    ``reader``, ``electrumx`` or ``node``.
    """

    def __init__(self, node: RegtestNode | None = None) -> None:
        self._own_node = node is None
        self._exit = contextlib.ExitStack()
        self._electrumx: Child | None = None
        folder = self._exit.enter_context(
            tempfile.TemporaryDirectory(prefix="bitcache-lightning-", ignore_cleanup_errors=True)
        )
        self.folder = Path(folder)
        self.node = node or RegtestNode(self.folder / "node", memory=False, index_tx=True)
        self._electrumx_port, listen_port = _free_ports(2)
        self.merchant = ElectrumDaemon(
            "merchant", self.folder, self._electrumx_port, listen_port=listen_port
        )
        self.reader = ElectrumDaemon("reader", self.folder, self._electrumx_port)

    def open(self) -> Self:
        """Start everything and open the channel; takes some seconds.

        Raises LightningNetworkError with a sentence when something is not installed.
        """
        try:
            electrum_program()
            if not ELECTRUMX_PYTHON.exists():
                raise NotInstalled(
                    "ElectrumX is not installed. Install it with: .ci/setup lightning"
                )
            self._start_programs()
            self._open_channel()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End all programs, wallets first, and remove the folder."""
        for daemon in (self.reader, self.merchant):
            # Nothing of them is kept, and in good order they would take their time.
            daemon.kill()
        self._kill_electrumx()
        if self._own_node:
            self.node.stop()
        self._exit.close()

    def daemon(self, name: str) -> ElectrumDaemon:
        """Return the wallet of that name."""
        return {"merchant": self.merchant, "reader": self.reader}[name]

    def kill(self, name: str) -> None:
        """End a program with SIGKILL, as a power cut would."""
        if name == "node":
            self.node.kill()
        elif name == "electrumx":
            self._kill_electrumx()
        else:
            self.daemon(name).kill()

    def start(self, name: str) -> None:
        """Start a program again, and wait until it answers."""
        if name == "node":
            self.node.start()
        elif name == "electrumx":
            self._start_electrumx()
        else:
            self.daemon(name).start()
            self.daemon(name).wait_until_answering()

    def wait_until_ready(self) -> None:
        """Return when both wallets run and can pay each other."""
        for daemon in (self.merchant, self.reader):
            daemon.wait_until_answering()
        if not self.reader.has_channel():
            # It would try by itself, but takes its time after each failure.
            with contextlib.suppress(LightningNetworkError):
                self.reader.call("add_peer", connection_string=self.merchant.call("nodeid"))
        for daemon in (self.merchant, self.reader):
            daemon.wait_until_channel_open()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _start_programs(self) -> None:
        # The wallets are made while the node starts: each is a program of its own.
        made = [daemon.create_wallet() for daemon in (self.merchant, self.reader)]
        if self._own_node:
            self.node.start()
        self.node.fund_wallet()
        self._start_electrumx()
        for child in made:
            child.wait()
        for daemon in (self.merchant, self.reader):
            daemon.start()
        for daemon in (self.merchant, self.reader):
            daemon.wait_until_answering()

    def _start_electrumx(self) -> None:
        self._electrumx = electrumx = self._spawn_electrumx()
        wait_for(lambda: _listens(electrumx), "ElectrumX starts")

    def _kill_electrumx(self) -> None:
        electrumx, self._electrumx = self._electrumx, None
        if electrumx is not None:
            electrumx.kill()

    def _spawn_electrumx(self) -> Child:
        data = self.folder / "electrumx"
        data.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "COIN": "Bitcoin",
            "NET": "regtest",
            "DB_DIRECTORY": str(data),
            "DB_ENGINE": "leveldb",
            "DAEMON_URL": self.node.rpc_url,
            "SERVICES": f"tcp://127.0.0.1:{self._electrumx_port}",
            "PEER_DISCOVERY": "off",
            "PEER_ANNOUNCE": "",
            "ALLOW_ROOT": "1",
            "COST_SOFT_LIMIT": "0",
            "COST_HARD_LIMIT": "0",
            "DAEMON_POLL_INTERVAL_BLOCKS": str(ELECTRUMX_POLL_MS),
            "DAEMON_POLL_INTERVAL_MEMPOOL": str(ELECTRUMX_POLL_MS),
        }
        script = Path(__file__).with_name("run_electrumx.py")
        command = [str(ELECTRUMX_PYTHON), str(script)]
        return Child("electrumx", command, environment, self.folder)

    def _open_channel(self) -> None:
        self.node.pay(str(self.reader.call("getunusedaddress")), READER_FUNDS_SAT)
        self.node.mine(1)
        height = int(self.node.rpc.getblockcount())
        for daemon in (self.merchant, self.reader):
            daemon.wait_until_synchronized(height)
        wait_for(self._reader_has_funds, "the reader's wallet sees its coins")
        channel = str(
            self.reader.call(
                "open_channel",
                connection_string=self.merchant.call("nodeid"),
                amount=f"{CHANNEL_SAT / 100_000_000:.8f}",
                push_amount=f"{PUSHED_SAT / 100_000_000:.8f}",
            )
        )
        funding = channel.partition(":")[0]
        wait_for(lambda: funding in self.node.rpc.getrawmempool(), "the channel is funded")
        self.node.mine(CHANNEL_CONFIRMATIONS)
        self.wait_until_ready()

    def _reader_has_funds(self) -> bool:
        return float(self.reader.call("getbalance").get("confirmed", 0)) > 0


def _listens(electrumx: Child) -> bool:
    electrumx.check()
    return _LISTENING.search(electrumx.log.read_text(errors="replace")) is not None


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
