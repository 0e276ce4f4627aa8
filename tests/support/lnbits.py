"""A real LNbits with its FakeWallet: payments between two of its wallets really settle.

It runs from an environment of its own, which ``.ci/setup lnbits`` makes, on a free port of
loopback. Its rate providers and extensions are switched off, and what it would still look
for over the network ends at a port where nobody listens.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import pytest

from tests.support.processes import free_ports

VERSION = "1.6.2"
FOLDER = Path(__file__).parents[2] / ".cache" / f"lnbits-{VERSION}"
START_TIMEOUT_S = 240
STOP_TIMEOUT_S = 60
CALL_TIMEOUT_S = 120
_NOWHERE = "http://127.0.0.1:9"


class LnbitsError(Exception):
    """LNbits is not installed, did not start, or refused a call."""


@dataclass(frozen=True)
class LnbitsWallet:
    """One wallet with its two keys."""

    id: str
    admin_key: str
    """May also pay."""
    invoice_key: str
    """May create and read invoices."""


class Lnbits:
    """One server. Its data stay when it is stopped or killed, and its port does too."""

    def __init__(self, folder: Path, database_url: str = "") -> None:
        self.url = f"http://127.0.0.1:{free_ports(1)[0]}"
        self._folder = folder
        self._database_url = database_url
        self._process: subprocess.Popen[bytes] | None = None
        self._signed_in: dict[str, str] = {}

    def start(self) -> Self:
        """Start it and wait until it answers; the first time an operator is made."""
        program = FOLDER / "bin" / "lnbits"
        if not program.exists():
            raise LnbitsError("LNbits is not installed: run .ci/setup lnbits.")
        command = [str(program), "--port", self.url.rpartition(":")[2], "--host", "127.0.0.1"]
        log = self._folder / "log"
        with log.open("ab") as output:
            # It looks for its pages in the working directory, and starts a child: the group
            # of its own lets both be ended.
            self._process = subprocess.Popen(
                command, env=self._environment(), cwd=_packages(), stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_until_ready(log)
            if not self._signed_in:
                self._sign_in()
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End it in good order; does nothing when it does not run."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
            self.kill()

    def kill(self) -> None:
        """End it and its children with SIGKILL, as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def pid(self) -> int:
        """Return the process id while it runs."""
        if self._process is None:
            raise LnbitsError("It does not run.")
        return self._process.pid

    def wallet(self, name: str, sat: int = 0) -> LnbitsWallet:
        """Return a new wallet with so much money in it."""
        made = self.call("POST", "/api/v1/wallet", {"name": name}, self._signed_in)
        if sat:
            balance = {"id": made["id"], "amount": sat}
            self.call("PUT", "/users/api/v1/balance", balance, self._signed_in)
        return LnbitsWallet(made["id"], made["adminkey"], made["inkey"])

    def give_address(self, wallet: LnbitsWallet, name: str) -> str:
        """Let the operator give a wallet a Lightning address, and return it."""
        user = self.call("GET", "/api/v1/auth", None, self._signed_in)["id"]
        path = f"/users/api/v1/user/{user}/wallet/{wallet.id}/lightning-address"
        self.call("PUT", path, {"lightning_address": name}, self._signed_in)
        return f"{name}@{self.url.partition('://')[2]}"

    def invoice(self, wallet: LnbitsWallet, sat: int, **more: object) -> dict[str, Any]:
        """Return a new invoice of that wallet: ``bolt11``, ``payment_hash`` …"""
        body = {"out": False, "amount": sat, "unit": "sat", "memo": "test", **more}
        key = {"X-Api-Key": wallet.invoice_key}
        return self.call("POST", "/api/v1/payments", body, key)

    def pay(self, wallet: LnbitsWallet, bolt11: str) -> dict[str, Any]:
        """Pay an invoice from that wallet and return what LNbits says of the payment."""
        key = {"X-Api-Key": wallet.admin_key}
        return self.call("POST", "/api/v1/payments", {"out": True, "bolt11": bolt11}, key)

    def payments(self, wallet: LnbitsWallet, query: str = "") -> list[dict[str, Any]]:
        """Return the wallet's payments, in and out."""
        key = {"X-Api-Key": wallet.invoice_key}
        return [dict(one) for one in self._call("GET", f"/api/v1/payments?{query}", None, key)]

    def call(
        self, method: str, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Call the API as any client would; raise LnbitsError for an error of its own."""
        return dict(self._call(method, path, body, headers) or {})

    def _call(self, method: str, path: str, body: Any, headers: dict[str, str] | None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", **(headers or {})},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            detail = error.read().decode()[:500]
            raise LnbitsError(f"{path}: {error.code} {detail}") from None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _sign_in(self) -> None:
        login = {"username": "tester", "password": secrets.token_hex(16)}
        login["password_repeat"] = login["password"]
        token = self.call("PUT", "/api/v1/auth/first_install", login)["access_token"]
        self._signed_in = {"Authorization": f"Bearer {token}"}

    def _wait_until_ready(self, log: Path) -> None:
        ends_at = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < ends_at and self._process and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/api/v1/health", timeout=5).close()
                return
            except OSError:
                time.sleep(0.1)
        raise LnbitsError(f"LNbits did not start: {log.read_text(errors='replace')[-2000:]}")

    def _environment(self) -> dict[str, str]:
        environment = {
            **os.environ,
            "LNBITS_BACKEND_WALLET_CLASS": "FakeWallet",
            "LNBITS_DATA_FOLDER": str(self._folder),
            "LNBITS_ADMIN_UI": "true",
            "LNBITS_EXTENSIONS_DEACTIVATE_ALL": "true",
            "LNBITS_EXTENSIONS_MANIFESTS": "[]",
            "LNBITS_PRICE_AGGREGATOR_ENABLED": "false",
            "LNBITS_EXCHANGE_RATE_PROVIDERS": "[]",
            "LNBITS_RATE_LIMIT_NO": "100000000",
            "AUTH_HTTPS_ONLY": "false",
            "ENABLE_LOG_TO_FILE": "false",
            "LOGURU_LEVEL": "ERROR",
            "DEBUG": "false",
            "ALL_PROXY": _NOWHERE,
            "HTTP_PROXY": _NOWHERE,
            "HTTPS_PROXY": _NOWHERE,
        }
        if self._database_url:
            environment["LNBITS_DATABASE_URL"] = self._database_url
        return environment


def _packages() -> Path:
    return next(FOLDER.glob("lib/python3.*/site-packages"))


@pytest.fixture(scope="session")
def lnbits() -> Iterator[Lnbits]:
    """Return a server shared by the tests of one process, each with wallets of its own.

    A test that kills it starts it again.
    """
    with TemporaryDirectory(prefix="bc-lnbits-") as folder, Lnbits(Path(folder)) as server:
        yield server
