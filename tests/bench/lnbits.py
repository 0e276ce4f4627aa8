"""Beside LNbits: paying between two of its wallets through its API, and an unlock of ours.

LNbits comes from an environment of its own, which ``.ci/setup lnbits`` makes. It runs with
its FakeWallet on the same PostgreSQL server as ours.
"""

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.engine import make_url

from tests.bench.readers import SERVER_OPTIONS, readers
from tests.bench.server import CONNECTIONS, requests_per_second, served
from tests.bench.table import Row, in_turns
from tests.bench.unlocks import WORKERS, configuration
from tests.support.lnbits import VERSION, Lnbits
from tests.support.postgres import PostgresServer

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
    print(f"  ours: {configuration()}\n  {PEER}")
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(durable=True, options=SERVER_OPTIONS))
        crowd = stack.enter_context(readers(server.create_database("ours")))
        ours = stack.enter_context(
            served("bitcache_server.app:create_app", crowd.environment, WORKERS)
        )
        peer = open_peer(stack, server.create_database("lnbits"))
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


class Peer:
    """A running LNbits with a wallet that pays and one that is paid."""

    def __init__(self, server: Lnbits) -> None:
        self._server = server
        self._payer, self._payee = server.wallet("payer", PAYER_SAT), server.wallet("payee")

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

    def invoices_per_second(self, seconds: float) -> float:
        """Return how many invoices a second one wallet made."""
        body = json.dumps({"out": False, "amount": PRICE_SAT, "unit": "sat", "memo": "bench"})
        script = (
            'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            f'wrk.headers["X-Api-Key"] = "{self._payee.invoice_key}"\nwrk.body = [[{body}]]'
        )
        made = requests_per_second(f"{self._server.url}/api/v1/payments", seconds, script)
        self._wait_until_idle()
        return made

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
        fields = Path(f"/proc/{self._server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _invoice(self, _number: int = 0) -> str:
        return str(self._server.invoice(self._payee, PRICE_SAT)["bolt11"])

    def _pay(self, invoice: str, ends_at: float) -> int:
        if time.perf_counter() > ends_at:
            return 0
        done = self._server.pay(self._payer, invoice or self._invoice())
        if done["status"] != "success":
            raise RuntimeError(f"The payment is {done['status']}.")
        return 1


def open_peer(stack: ExitStack, database_url: str) -> Peer:
    """Return a running LNbits with its FakeWallet on that database, which ends with the stack."""
    folder = Path(stack.enter_context(TemporaryDirectory()))
    # LNbits has another name for the driver.
    database = make_url(database_url).set(drivername="postgres")
    url = database.render_as_string(hide_password=False)
    return Peer(stack.enter_context(Lnbits(folder, url)))
