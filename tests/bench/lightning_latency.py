"""Over a real Lightning channel: from settled at the node to the article in a real browser.

Everything is what a shop runs: ``bitcache serve`` and ``bitcache jobs`` on PostgreSQL, an
Electrum daemon as the node, the widget on a page of another site in Chromium, and a second
Electrum daemon that pays. The clock starts when the merchant's daemon itself calls the invoice
paid: it is asked every few milliseconds, and the last question with another answer counts. The
payer hears of it later, and the wallet's history, which the server reads, shows it later still.
The clock ends when a frame with the article's words was drawn.
"""

import re
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page
from sqlalchemy import create_engine, text

from bitcache_server.models.session import normalise_url
from demo.background import BackgroundServer
from demo.checking import PAID_WORDS
from demo.children import Child
from demo.regtest.lightning import PUSHED_SAT, LightningNetwork
from demo.run import wait_until_ready
from demo.shop import Addresses, Shop, bitcache_command, server_environment
from demo.site_server import create_site
from demo.till import fill_till
from tests.bench.steady import percentile
from tests.bench.stock import UNLIMITED
from tests.bench.table import Row
from tests.e2e.wall import chromium, wall
from tests.support.postgres import PostgresServer

PAYMENTS = 50
BUDGET_MS = 500
POLL_S = 0.003
PATIENCE_S = 30
#: Electrum's ``PR_PAID``.
PAID = 3
#: PostgreSQL notes when each transaction was committed.
COMMIT_TIMES = {"track_commit_timestamp": "on"}
CONFIGURATION = (
    "two Electrum daemons with one channel, bitcache serve and jobs, PostgreSQL with durable "
    "commits, a new browser for each reader, settled by the merchant's daemon's own record"
)
_BOLT11 = re.compile(r"lnbcrt[0-9a-z]+")
#: Notes when the page hears of the payment, and when the frame with the article was drawn.
_NOTES = f"""
window.bench = {{ told: null }};
const late = (tell) => setTimeout(tell, {1_000 * PATIENCE_S}, null);
bench.waits = new Promise((tell) => {{
  window.EventSource = class extends EventSource {{
    constructor(url) {{
      super(url);
      this.addEventListener('open', () => tell(true));
      this.addEventListener('invoice', ({{ data }}) => {{
        if (JSON.parse(data).state === 'paid') bench.told ??= Date.now();
      }});
    }}
  }};
  late(tell);
}});
bench.shown = new Promise((tell) => {{
  const look = () => {{
    const found = document.querySelector('.bitcache-content');
    const there = found?.checkVisibility() && found.textContent.includes({PAID_WORDS!r});
    requestAnimationFrame(there ? () => tell([bench.told, Date.now()]) : look);
  }};
  requestAnimationFrame(look);
  late(tell);
}});
"""


@dataclass(frozen=True)
class Payment:
    """One purchase: Unix seconds with fractions, all of one machine's clock."""

    settled: float
    booked: float
    told: float
    shown: float


def measure(_seconds: float) -> Sequence[Row]:
    """Return the rows of the latency; the payments count, not the seconds."""
    print(f"  latency: {CONFIGURATION}")
    payments = _payments(PAYMENTS)
    parts = {
        "node to booked": [p.booked - p.settled for p in payments],
        "booked to the browser": [p.told - p.booked for p in payments],
        "browser to drawn": [p.shown - p.told for p in payments],
    }
    split = ", ".join(f"{name} {1_000 * median(values):.0f} ms" for name, values in parts.items())
    print(f"  medians: {split}")
    waits_ms = [1_000 * (p.shown - p.settled) for p in payments]
    what = f"settled at the node to article drawn in Chromium, {len(payments)} real payments"
    return [
        _row(f"{what}, PostgreSQL: median", median(waits_ms)),
        _row("the same, 95th percentile", percentile(waits_ms, 95)),
    ]


def _row(what: str, wait_ms: float) -> Row:
    return Row(what, f"{wait_ms:.0f} ms", f"{BUDGET_MS} ms", wait_ms / BUDGET_MS, "< 1")


def _payments(count: int) -> list[Payment]:
    with ExitStack() as stack:
        shop = stack.enter_context(_open_shop())
        browser = stack.enter_context(chromium())
        # The first one finds its way through files and connections that nobody used before.
        return [_buy(shop, browser) for _ in range(count + 1)][1:]


@dataclass(frozen=True)
class _RunningShop:
    network: LightningNetwork
    site: str
    database_url: str


def _buy(shop: _RunningShop, browser: Browser) -> Payment:
    """Let a reader who was never there before buy the article."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.add_init_script(_NOTES)
        page.goto(f"{shop.site}/ferry.html")
        page.get_by_role("button", name="Pay with bitcoin").click()
        link = wall(page).get_by_role("link", name="Open in wallet").get_attribute("href") or ""
        [bolt11] = _BOLT11.findall(link.lower())
        # A reader takes longer than this to find their wallet.
        if not page.evaluate("bench.waits"):
            raise RuntimeError("The page does not listen.")
        return _pay(shop, page, bolt11)
    finally:
        context.close()


def _pay(shop: _RunningShop, page: Page, bolt11: str) -> Payment:
    payment_hash = _request_of(shop.network, bolt11)
    with ThreadPoolExecutor(2) as pool:
        settled = pool.submit(_settled_at, shop.network, payment_hash)
        paid = pool.submit(shop.network.reader.pay, bolt11)
        paid.result()
        found = page.evaluate("bench.shown")
        if not found or found[0] is None:
            raise RuntimeError("The article did not come, or not after an event.")
        told_ms, shown_ms = found
        booked = _booked_at(shop.database_url, payment_hash)
        return Payment(settled.result(), booked, told_ms / 1_000, shown_ms / 1_000)


def _request_of(network: LightningNetwork, bolt11: str) -> str:
    requests = network.merchant.call("list_requests")
    return next(str(r["rhash"]) for r in requests if r["lightning_invoice"] == bolt11)


def _settled_at(network: LightningNetwork, payment_hash: str) -> float:
    """Return when the daemon was last asked and had not settled yet: never too late."""
    ends_at, asked_at = time.monotonic() + PATIENCE_S, time.time()
    while time.monotonic() < ends_at:
        now = time.time()
        if network.merchant.call("get_request", request_id=payment_hash)["status"] == PAID:
            return asked_at
        asked_at = now
        time.sleep(POLL_S)
    raise RuntimeError("The node did not settle.")


def _booked_at(database_url: str, payment_hash: str) -> float:
    """Return when the transaction with the payment was committed, by PostgreSQL's own clock."""
    query = (
        "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM payments"
        " WHERE reference = :reference"
    )
    engine = create_engine(normalise_url(database_url))
    with engine.connect() as connection:
        found = connection.execute(text(query), {"reference": payment_hash}).scalar_one()
    engine.dispose()
    return float(found)


@contextmanager
def _open_shop() -> Iterator[_RunningShop]:
    """Start the network, the server with its jobs and the site; end them afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        network = stack.enter_context(LightningNetwork())
        fill_till(network.node)
        postgres = stack.enter_context(PostgresServer(durable=True, options=COMMIT_TIMES))
        ports = _free_ports(4)
        addresses, url = Addresses.of_ports(ports), postgres.create_database("bench")
        environment = {
            **server_environment(folder, ports, network.node.rpc_url, network.merchant),
            "BITCACHE_DATABASE_URL": url,
            "BITCACHE_LIMIT_INVOICES_PER_ADDRESS": UNLIMITED,
        }
        shop = Shop(folder, environment, addresses.site)
        shop.make_database()
        shop.open(PUSHED_SAT)
        children = []
        for name in ("serve", "jobs"):
            child = Child(f"bitcache-{name}", [bitcache_command(), name], environment, folder)
            stack.callback(child.stop)
            children.append(child)
        wait_until_ready(addresses, children)
        site = create_site(addresses.server, addresses.events, shop.items)
        stack.enter_context(BackgroundServer(site, ports[2]))
        yield _RunningShop(network, addresses.site, url)
        shop.run("ledger", "audit")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(probe.getsockname()[1]) for probe in probes]
