"""Electrum's daemon with a Lightning wallet, on regtest: start, kill, command over JSON-RPC.

Debian packages it; its daemon is a Lightning node of its own.
"""

import ast
import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import httpx

from demo.children import Child

START_TIMEOUT_S = 180
#: Electrum itself gives up a payment after 120 s.
RPC_TIMEOUT_S = 150
POLL_S = 0.02
MSAT_PER_SAT = 1_000

T = TypeVar("T")


class LightningNetworkError(Exception):
    """A program of the network did not start, refused a call, or is not installed."""


class NotInstalled(LightningNetworkError):
    """A program is missing; the message says how to get it."""


def wait_for(ask: Callable[[], T], what: str, timeout_s: float = START_TIMEOUT_S) -> T:
    """Return the first true answer; raise LightningNetworkError when none comes in time."""
    ends_at = time.monotonic() + timeout_s
    while time.monotonic() < ends_at:
        if answer := ask():
            return answer
        time.sleep(POLL_S)
    raise LightningNetworkError(f"{what}: not within {timeout_s:g} s.")


class ElectrumDaemon:
    """One daemon with one wallet. After ``kill`` or ``stop`` it can start again.

    Both keep its port, so that a client finds it where it was.
    """

    user_password = "bitcache:worthless-coins"  # noqa: S105 - they are, and on loopback

    def __init__(
        self, name: str, folder: Path, electrumx_port: int, listen_port: int | None = None
    ) -> None:
        self.name = name
        self.port = 0
        self._folder = folder
        self._home = folder / name
        self._data = self._home / "regtest"
        self._child: Child | None = None
        self._client: httpx.Client | None = None
        self._data.mkdir(parents=True)
        user, _, password = self.user_password.partition(":")
        # Written directly: a call of setconfig for each would take seconds.
        config = {
            "config_version": 3,
            "rpcuser": user,
            "rpcpassword": password,
            "rpcsock": "tcp",
            "server": f"127.0.0.1:{electrumx_port}:t",
            "oneserver": True,
            "auto_connect": False,
            "check_updates": False,
            "log_to_file": False,
            # Without its own map of channels it would need a trampoline node.
            "use_gossip": True,
            "dynamic_fees": False,
            "fee_per_kb": 5000,
            "lightning_to_self_delay": 144,
            "test_force_disable_mpp": True,
            # Money that came to an invoice's on-chain address would not be seen.
            "bolt11_fallback": False,
        }
        if listen_port is not None:
            config["lightning_listen"] = f"127.0.0.1:{listen_port}"
        (self._data / "config").write_text(json.dumps(config))

    def create_wallet(self) -> Child:
        """Begin to make the wallet; the program ends when it is there."""
        return self._run(f"{self.name}-create", "create", "--offline")

    def start(self) -> None:
        """Start the daemon; ``wait_until_answering`` then opens the wallet."""
        if self._child is not None:
            raise LightningNetworkError(f"Electrum ({self.name}) runs already.")
        # What a killed daemon leaves behind makes the next one wait.
        (self._data / "daemon").unlink(missing_ok=True)
        # Without -d it does not fork, so that the process is our own.
        self._child = self._run(self.name, "daemon", "--rpcport", str(self.port))

    def wait_until_answering(self) -> None:
        """Return when the daemon answers and the wallet is open."""
        wait_for(self._opened, f"Electrum ({self.name}) opens its wallet")

    def wait_until_synchronized(self, height: int) -> None:
        """Return when the wallet knows the chain up to that height."""
        wait_for(lambda: self._knows(height), f"Electrum ({self.name}) synchronizes")

    def wait_until_channel_open(self) -> None:
        """Return when payments can go through the channel."""
        wait_for(self.has_channel, f"Electrum ({self.name}) has an open channel")

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        child, self._child = self._child, None
        self._hang_up()
        if child is not None:
            child.kill()

    def stop(self) -> None:
        """End it in good order; does nothing when it does not run."""
        child, self._child = self._child, None
        self._hang_up()
        if child is not None:
            child.stop()

    @property
    def pid(self) -> int | None:
        """Return the process id while it runs."""
        return None if self._child is None else self._child.pid

    @property
    def url(self) -> str:
        """Return where its JSON-RPC listens, without user and password."""
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, **params: Any) -> Any:
        """Return the result of a command; raise LightningNetworkError for a refusal."""
        if self._client is None:
            user, _, password = self.user_password.partition(":")
            self._client = httpx.Client(
                auth=(user, password), timeout=RPC_TIMEOUT_S, trust_env=False
            )
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._client.post(self.url, json=body)
        answer.raise_for_status()
        said = answer.json()
        if said.get("error"):
            raise LightningNetworkError(f"{self.name}, {method}: {said['error']['message']}")
        return said["result"]

    def invoice(self, amount_sat: int, memo: str = "", expires_in_s: int = 3600) -> str:
        """Return a new BOLT 11 invoice."""
        amount = str(Decimal(amount_sat).scaleb(-8))
        request = self.call(
            "add_request", amount=amount, memo=memo, expiration=expires_in_s, force=True
        )
        return str(request["lightning_invoice"])

    def pay(self, bolt11: str) -> str:
        """Pay an invoice; return the preimage. Raises LightningNetworkError with the reason."""
        result = self.call("lnpay", invoice=bolt11)
        if not result["success"]:
            raise LightningNetworkError(f"{self.name} could not pay: {result['log']}")
        return str(result["preimage"])

    def payments(self, payment_hash: str) -> list[dict[str, Any]]:
        """Return what its history says of a payment, sent or received; one line at most."""
        history: list[dict[str, Any]] = self.call("lightning_history")
        return [line for line in history if line.get("payment_hash") == payment_hash]

    def balance_msat(self) -> int:
        """Return its side of the channel, in whole sats as Electrum tells it."""
        sat = sum(int(c["local_balance"]) for c in self.call("list_channels"))
        return sat * MSAT_PER_SAT

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it stand still for a while, as on a machine that sleeps."""
        pid = self.pid
        if pid is None:
            raise LightningNetworkError(f"Electrum ({self.name}) does not run.")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def hold(self, held: bool = True) -> None:
        """Keep payments that arrive in the air, or take them again; a restart ends it."""
        self.call("enable_htlc_settle", b=not held)

    def refuse(self, refused: bool = True) -> None:
        """Send back payments that arrive or are held, or take them again."""
        key = "test_fail_htlcs_with_temp_node_failure"
        self.call("setconfig", key=key, value=str(refused))

    def in_flight_sat(self) -> int:
        """Return what it has sent and nobody has claimed or sent back yet."""
        channels = self.call("list_channels")
        return sum(int(channel["local_unsettled_sent"]) for channel in channels)

    def has_channel(self) -> bool:
        """Return whether payments can go through the channel now."""
        return any(
            channel["state"] == "OPEN" and channel["peer_state"] == "GOOD"
            for channel in self.call("list_channels")
        )

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _run(self, log_name: str, *arguments: str) -> Child:
        # The program of the distribution needs the distribution's Python, not ours.
        command = [electrum_program(), "--regtest", "-D", str(self._home), *arguments]
        return Child(
            log_name, command, {"PATH": "/usr/bin:/bin", "HOME": str(self._home)}, self._folder
        )

    def _opened(self) -> bool:
        if self._child is None:
            raise LightningNetworkError(f"Electrum ({self.name}) does not run.")
        self._child.check()
        try:
            self.port = self.port or _port_in(self._data / "daemon")
            if not self.port:
                return False
            self.call("load_wallet", wallet_path=str(self._data / "wallets" / "default_wallet"))
        except httpx.TransportError:
            return False
        return True

    def _knows(self, height: int) -> bool:
        info = self.call("getinfo")
        return (
            bool(info["connected"])
            and int(info["blockchain_height"]) >= height
            and bool(self.call("is_synchronized"))
        )


def electrum_program() -> str:
    """Return Electrum's program; raise LightningNetworkError when it is not installed."""
    program = shutil.which("electrum")
    if program is None:
        raise NotInstalled(
            "Electrum is not installed. On Debian and Ubuntu: sudo apt-get install electrum"
        )
    return program


def _port_in(lockfile: Path) -> int:
    """Return the port that the daemon has written down; 0 before."""
    try:
        _, (_, port), _ = ast.literal_eval(lockfile.read_text())
    except (FileNotFoundError, SyntaxError):
        return 0
    return int(port)
