"""Beside LNbits: paying between two of its wallets through its API, and an unlock of ours.

``python -m tests.bench lnbits`` installs LNbits into a folder of its own (``.cache``, which
git ignores) with the newest Python that it takes. It runs with its FakeWallet on the same
PostgreSQL server as ours, and its rate providers are switched off, so that nothing is
looked for over the network.
"""

import json
import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy.engine import make_url

from tests.bench.readers import SERVER_OPTIONS, readers
from tests.bench.server import CONNECTIONS, served
from tests.bench.table import Row, in_turns
from tests.bench.unlocks import WORKERS, configuration
from tests.support.postgres import PostgresServer

VERSION = "1.6.2"
#: It wants Python 3.10 to 3.12. The second requirement is what its own lock file says:
#: with a newer bitstring its bolt11 cannot be imported.
REQUIREMENTS = (f"lnbits=={VERSION}", "bitstring<5")
PYTHONS = ("python3.12", "python3.11", "python3.10", "python3")
FOLDER = Path(__file__).parents[2] / ".cache" / f"lnbits-{VERSION}"
START_TIMEOUT_S = 120
IDLE_TIMEOUT_S = 60
PAYER_SAT, PRICE_SAT = 10_000_000, 1
#: Several times what it was ever seen to reach.
MOST_PER_SECOND = 200
PEER = (
    f"LNbits {VERSION}: FakeWallet, one process as it ships, the same PostgreSQL server, no "
    f"extensions, no rate providers, {CONNECTIONS} threads; a payment is two calls, the payee's "
    "for an invoice and the payer's to pay it"
)


def measure(seconds: float) -> Sequence[Row]:
    """Return the row of the comparison."""
    program = _install()
    print(f"  ours: {configuration()}\n  {PEER}")
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(durable=True, options=SERVER_OPTIONS))
        crowd = stack.enter_context(readers(server.create_database("ours")))
        ours = stack.enter_context(
            served("bitcache_server.app:create_app", crowd.environment, WORKERS)
        )
        peer = stack.enter_context(_lnbits(program, server.create_database("lnbits")))
        payments, paying, unlocks = in_turns(
            lambda: peer.payments_per_second(seconds),
            lambda: peer.payments_per_second(seconds, with_invoice=False),
            lambda: crowd.unlocks_per_second(ours, seconds),
        )
        crowd.require_clean_books()
    return [
        Row(
            "unlocks a second, beside payments between two wallets of LNbits",
            f"{unlocks:,.0f}",
            f"LNbits {VERSION}, FakeWallet: {payments:,.1f}",
            unlocks / payments,
            "≥ 100",
        ),
        Row(
            "the same, when its invoices were made before and only paying counts",
            f"{unlocks:,.0f}",
            f"LNbits {VERSION}, FakeWallet: {paying:,.1f}",
            unlocks / paying,
            "—",
        ),
    ]


def _install() -> Path:
    """Return the peer's program, installed when it is not there yet."""
    program = FOLDER / "bin" / "lnbits"
    if not program.exists():
        python = next(name for name in PYTHONS if _suits(name))
        print(f"  installing LNbits {VERSION} with {python} …", flush=True)
        subprocess.run([python, "-m", "venv", "--clear", str(FOLDER)], check=True)
        pip = [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "-qq", *REQUIREMENTS]
        subprocess.run(pip, check=True)
    return program


def _suits(python: str) -> bool:
    check = "import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))"
    try:
        return subprocess.run([python, "-c", check], check=False).returncode == 0
    except OSError:
        return False


class Lnbits:
    """A running LNbits with a wallet that pays and one that is paid."""

    def __init__(self, base_url: str, pid: int) -> None:
        self._base_url = base_url
        self._pid = pid
        login = {"username": "bench", "password": secrets.token_hex(16)}
        login["password_repeat"] = login["password"]
        token = self._call("PUT", "/api/v1/auth/first_install", login)["access_token"]
        signed_in = {"Authorization": f"Bearer {token}"}
        self._payer, self._payee = (
            self._call("POST", "/api/v1/wallet", {"name": name}, signed_in)
            for name in ("payer", "payee")
        )
        balance = {"id": self._payer["id"], "amount": PAYER_SAT}
        self._call("PUT", "/users/api/v1/balance", balance, signed_in)

    def payments_per_second(self, seconds: float, *, with_invoice: bool = True) -> float:
        """Return how many payments a second one wallet made to the other."""
        count = int(MOST_PER_SECOND * seconds)
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            ready = [""] * count if with_invoice else list(pool.map(self._invoice, range(count)))
            began = time.perf_counter()
            ends_at = began + seconds
            paid = sum(pool.map(lambda invoice: self._pay(invoice, ends_at), ready))
            ended = time.perf_counter()
        if paid == count:
            raise RuntimeError("It ran out of invoices; it is faster than this bench expects.")
        self._wait_until_idle()
        return paid / (ended - began)

    def _wait_until_idle(self) -> None:
        """Let it finish what a payment leaves behind, which would slow down what comes next."""
        ends_at = time.monotonic() + IDLE_TIMEOUT_S
        before_s = self._cpu_s()
        while time.monotonic() < ends_at:
            time.sleep(1)
            now_s = self._cpu_s()
            if now_s - before_s < 0.1:
                return
            before_s = now_s

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _invoice(self, _number: int = 0) -> str:
        body = {"out": False, "amount": PRICE_SAT, "unit": "sat", "memo": "bench"}
        key = {"X-Api-Key": self._payee["inkey"]}
        return str(self._call("POST", "/api/v1/payments", body, key)["bolt11"])

    def _pay(self, invoice: str, ends_at: float) -> int:
        if time.perf_counter() > ends_at:
            return 0
        invoice = invoice or self._invoice()
        key = {"X-Api-Key": self._payer["adminkey"]}
        done = self._call("POST", "/api/v1/payments", {"out": True, "bolt11": invoice}, key)
        if done["status"] != "success":
            raise RuntimeError(f"The payment is {done['status']}.")
        return 1

    def _call(
        self, method: str, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        request = urllib.request.Request(
            self._base_url + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **(headers or {})},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return dict(json.load(answer) or {})
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.code} {error.read().decode()[:500]}") from None


@contextmanager
def _lnbits(program: Path, database_url: str) -> Iterator[Lnbits]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    database = make_url(database_url).set(drivername="postgres")
    with TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "LNBITS_BACKEND_WALLET_CLASS": "FakeWallet",
            "LNBITS_DATABASE_URL": database.render_as_string(hide_password=False),
            "LNBITS_DATA_FOLDER": folder,
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
            # Whatever it would still look for elsewhere ends here at once.
            "ALL_PROXY": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
        }
        # It looks for its pages in the working directory.
        packages = next(FOLDER.glob("lib/python3.*/site-packages"))
        command = [str(program), "--port", str(port), "--host", "127.0.0.1"]
        with (FOLDER / "log").open("wb") as log:
            process = subprocess.Popen(
                command, env=environment, cwd=packages, stdout=log, stderr=log
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process)
            yield Lnbits(url, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    ends_at = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < ends_at and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/api/v1/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"LNbits did not start; see {FOLDER / 'log'}.")
