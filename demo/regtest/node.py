"""Start, stop and command a regtest node (bcoin behind ``node.js``)."""

import os
import re
import shutil
import signal
import subprocess
import time
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from bitcoinrpc.authproxy import AuthServiceProxy, JSONRPCException

HERE = Path(__file__).resolve().parent
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 60
RPC_TIMEOUT_S = 120
#: A coinbase output can be spent 100 blocks later, so the first coin needs 101.
BLOCKS_FOR_FIRST_COIN = 101
_READY = re.compile(r"^READY (\d+)$", re.MULTILINE)


class RegtestNodeError(Exception):
    """The node did not start, or its packages are not installed."""


class _Connection(HTTPConnection):
    """A connection that closes with the last proxy that uses it."""

    def __del__(self) -> None:
        self.close()


class RegtestNode:
    """One node. In memory it is gone after ``stop``; on disk it can start again.

    ``index_tx`` keeps an index of all transactions, which most people's nodes do not.
    """

    def __init__(
        self,
        prefix: Path,
        *,
        memory: bool = True,
        index_tx: bool = False,
        user: str = "bitcache",
        password: str = "worthless-coins",  # noqa: S107 - guards worthless coins on loopback
    ) -> None:
        self.prefix = prefix
        self.memory = memory
        self.index_tx = index_tx
        self.user = user
        self.password = password
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start and wait until the RPC answers; a second start keeps the port."""
        if self._process is not None:
            raise RegtestNodeError("The node runs already.")
        log = self._log_path()
        with log.open("wb") as output:
            self._process = self._spawn(output)
        try:
            self.port = self._wait_for_port(log)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End the node in good order; does nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _close(process)

    def kill(self) -> None:
        """End the node with SIGKILL, as a power cut would."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        _close(process)

    @property
    def pid(self) -> int | None:
        """Return the process id while the node runs."""
        return None if self._process is None else self._process.pid

    @property
    def rpc_url(self) -> str:
        """Return the URL for RPC clients, with user and password."""
        return f"http://{self.user}:{self.password}@127.0.0.1:{self.port}"

    @property
    def rpc(self) -> AuthServiceProxy:
        """Return a fresh proxy, so that no idle or foreign connection is used."""
        return self._proxy(self.rpc_url)

    def wallet_rpc(self, name: str) -> AuthServiceProxy:
        """Return a fresh proxy that speaks for one of the node's wallets."""
        return self._proxy(f"{self.rpc_url}/wallet/{name}")

    def _proxy(self, url: str) -> AuthServiceProxy:
        connection = _Connection("127.0.0.1", self.port, timeout=RPC_TIMEOUT_S)
        return AuthServiceProxy(url, connection=connection)

    def mine(self, count: int, address: str | None = None) -> list[str]:
        """Mine blocks, to the node's own wallet if no address is given; return their hashes."""
        rpc = self.rpc
        hashes: list[str] = rpc.generatetoaddress(count, address or rpc.getnewaddress())
        return hashes

    def fund_wallet(self) -> None:
        """Mine until the wallet has a coin that it can spend."""
        missing = BLOCKS_FOR_FIRST_COIN - int(self.rpc.getblockcount())
        if missing > 0:
            self.mine(missing)

    def pay(self, address: str, amount_sat: int) -> str:
        """Send from the node's wallet; return the txid, which is in the mempool then."""
        return str(self.rpc.sendtoaddress(address, Decimal(amount_sat).scaleb(-8)))

    def submit_blocks_from(self, other: "RegtestNode", leave_out: int = 0) -> None:
        """Bring over the blocks of the other node's best chain that this one lacks.

        As between peers: if that chain has more work, this node reorganises to it.
        The last ``leave_out`` blocks stay where they are.
        """
        theirs, ours = other.rpc, self.rpc
        missing: list[str] = []
        block_hash = str(theirs.getblockhash(theirs.getblockcount() - leave_out))
        while not _has_block(ours, block_hash):
            missing.append(block_hash)
            block_hash = theirs.getblockheader(block_hash)["previousblockhash"]
        for block_hash in reversed(missing):
            verdict = ours.submitblock(theirs.getblock(block_hash, 0))
            # "inconclusive" is a valid block on a branch that is not the best yet.
            if verdict not in (None, "inconclusive"):
                raise RegtestNodeError(f"The node refused block {block_hash}: {verdict}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _log_path(self) -> Path:
        # bcoin's wallet does not create its folder by itself.
        (self.prefix / "regtest" / "wallet").mkdir(parents=True, exist_ok=True)
        return self.prefix / "node.log"

    def _spawn(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [
            _node_binary(),
            str(HERE / "node.js"),
            f"--prefix={self.prefix}",
            f"--wallet-prefix={self.prefix / 'regtest'}",
            f"--memory={_js(self.memory)}",
            f"--index-tx={_js(self.index_tx)}",
            f"--http-port={self.port}",
            f"--api-key={self.password}",
            "--log-level=warning",
        ]
        # Standard input is held open: when this process ends, in whatever way, so does the node.
        return subprocess.Popen(  # noqa: S603 - our own launcher with our own arguments
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "STOP_WITH_STDIN": "1"},
        )

    def _wait_for_port(self, log: Path) -> int:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            text = log.read_text(errors="replace")
            if found := _READY.search(text):
                return int(found.group(1))
            if self._process is None or self._process.poll() is not None:
                raise RegtestNodeError(f"The node ended at start:\n{_tail(text)}")
            time.sleep(0.02)
        raise RegtestNodeError(f"No READY within {START_TIMEOUT_S} s:\n{_tail(text)}")


def _node_binary() -> str:
    node = shutil.which("node")
    if node is None:
        raise RegtestNodeError("Node.js is not installed; version 18 or newer is needed.")
    if not (HERE / "node_modules" / "bcoin").is_dir():
        raise RegtestNodeError(
            f"The node's packages are missing. Run: cd {HERE} && npm ci --ignore-scripts"
        )
    return node


def _has_block(rpc: AuthServiceProxy, block_hash: str) -> bool:
    try:
        rpc.getblockheader(block_hash)
    except JSONRPCException:
        return False
    return True


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _js(flag: bool) -> str:
    return "true" if flag else "false"


def _tail(text: str, lines: int = 20) -> str:
    return "\n".join(text.splitlines()[-lines:])
