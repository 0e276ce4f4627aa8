"""LNbits as a world: a real server, two of its wallets, and a proxy for the bad luck."""

import re
import secrets
import threading
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import bolt11
import pytest
from bolt11 import Bolt11, MilliSatoshi, TagChar, Tags

from bitcache_server.rails.lightning.backend import BackendSettings, IssuedInvoice
from bitcache_server.rails.lightning.decoding import PREFIXES, decode
from bitcache_server.rails.lightning.lnbits import LnbitsBackend
from tests.contract.lightning_worlds.base import Fault, LightningWorld
from tests.support.lnbits import Lnbits

#: LNbits' FakeWallet makes invoices of this network whatever it is told.
NETWORK = "mainnet"
#: For a server on a busy machine, and for one that will not answer.
TIMEOUT_S, SHORT_TIMEOUT_S = 20.0, 1.0
MUCH_SAT = 1_000_000
_PAYING = b'"out":true'
_PREIMAGE = re.compile(rb'"preimage":"[0-9a-f]{64}"')


class LnbitsWorld(LightningWorld):
    """One wallet is ours and one the stranger's; the server is shared with other tests.

    Its FakeWallet forgets open invoices when it is restarted, which no real node does, so
    ``tests/integration/test_lnbits_faults.py`` kills it instead.
    """

    network = NETWORK
    pays_any_amount = False
    shortest_expiry_s = 1
    faults = frozenset(
        {
            Fault.EXPIRY,
            Fault.NO_ROUTE,
            Fault.LOST_ANSWER,
            Fault.LYING_PREIMAGE,
            Fault.SILENT,
            Fault.GARBAGE,
            Fault.WRONG_SECRET,
            Fault.NO_PAYOUT_SECRET,
        }
    )

    def __init__(self, lnbits: Lnbits) -> None:
        self._lnbits = lnbits
        self._ours = lnbits.wallet("ours", MUCH_SAT)
        self._stranger = lnbits.wallet("stranger", MUCH_SAT)
        self._proxy = Meddler(lnbits.url)
        self.secrets = (self._ours.invoice_key, self._ours.admin_key)
        self._opened: list[LnbitsBackend] = []
        self.backend: LnbitsBackend = self._backend()

    @classmethod
    def create(cls, request: pytest.FixtureRequest) -> "LnbitsWorld":
        return cls(request.getfixturevalue("lnbits"))

    def pay(self, issued: IssuedInvoice) -> None:
        self._lnbits.pay(self._stranger, issued.bolt11)

    def foreign_invoice(self, amount_msat: int | None) -> str:
        if amount_msat is None:
            return far_away_invoice(0)  # LNbits makes none itself
        return str(self._lnbits.invoice(self._stranger, amount_msat // 1000)["bolt11"])

    def received_msat(self, bolt11: str) -> Sequence[int]:
        query = f"payment_hash={decode(bolt11, NETWORK).payment_hash}&status=success"
        return [one["amount"] for one in self._lnbits.payments(self._stranger, query)]

    def without_connection(self) -> LnbitsBackend:
        return self._backend(url="http://127.0.0.1:9")

    def let_expire(self, issued: IssuedInvoice) -> None:
        while time.time() <= decode(issued.bolt11, NETWORK).expires_at:
            time.sleep(0.1)

    def unpayable_invoice(self, amount_msat: int) -> str:
        """Return one of another node; LNbits' FakeWallet reaches none."""
        return far_away_invoice(amount_msat)

    @property
    def url(self) -> str:
        """Return where the backend finds LNbits."""
        return self._proxy.url

    def lose_next_answer(self) -> None:
        self._proxy.fault = "lose"

    def lie_next(self) -> None:
        self._proxy.fault = "lie"

    def fall_silent(self) -> None:
        self.backend = self._backend(timeout_s=SHORT_TIMEOUT_S)
        self._proxy.fault = "silent"

    def talk_nonsense(self) -> None:
        self._proxy.fault = "nonsense"

    def wrong_secret(self) -> LnbitsBackend:
        return self._backend(secret="0" * 32, payout_secret="1" * 32)

    def without_payout_secret(self) -> LnbitsBackend:
        return self._backend(payout_secret="")

    def close(self) -> None:
        for backend in self._opened:
            backend.close()
        self._proxy.close()

    def _backend(
        self,
        url: str | None = None,
        secret: str | None = None,
        payout_secret: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> LnbitsBackend:
        settings = BackendSettings(
            url=self._proxy.url if url is None else url,
            secret=self._ours.invoice_key if secret is None else secret,
            payout_secret=self._ours.admin_key if payout_secret is None else payout_secret,
            certificate="",
            timeout_s=timeout_s,
            allow_fake=False,
        )
        self._opened.append(LnbitsBackend(settings))
        return self._opened[-1]


def far_away_invoice(amount_msat: int) -> str:
    """Return an invoice of a node that nobody has a channel to; 0 is any amount."""
    tags = Tags()
    tags.add(TagChar.payment_hash, secrets.token_hex(32))
    tags.add(TagChar.payment_secret, secrets.token_hex(32))
    tags.add(TagChar.description, "far away")
    amount = MilliSatoshi(amount_msat) if amount_msat else None
    made = Bolt11(PREFIXES[NETWORK], int(time.time()), tags, amount)
    return bolt11.encode(made, secrets.token_hex(32))


class Meddler:
    """A proxy on loopback that hands everything on, until it is told what to spoil."""

    def __init__(self, url: str) -> None:
        self.fault = ""
        self.behind = urlsplit(url)
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.meddler = self
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop, also with answers that were held back."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def spoils(self, paying: bool) -> str:
        """Return what to do with this request; an answer gets lost only once."""
        if self.fault != "lose":
            return self.fault
        if not paying:
            return ""
        fault, self.fault = self.fault, ""
        return fault


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    meddler: Meddler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._hand_on(b"")

    def do_POST(self) -> None:
        self._hand_on(self.rfile.read(int(self.headers["Content-Length"])))

    def _hand_on(self, body: bytes) -> None:
        assert isinstance(self.server, _Server)
        meddler = self.server.meddler
        fault = meddler.spoils(_PAYING in body)
        if fault == "silent":
            meddler.closing.wait()
        if fault == "nonsense":
            self._answer(200, b"<html>Hello</html>")
            return
        behind = HTTPConnection(str(meddler.behind.hostname), meddler.behind.port)
        wanted = ("X-Api-Key", "Content-Type")
        headers = {name: self.headers[name] for name in wanted if self.headers[name]}
        behind.request(self.command, self.path, body or None, headers)
        answer = behind.getresponse()
        text = answer.read()
        behind.close()
        if fault in ("lose", "silent"):
            self.close_connection = True
            return
        if fault == "lie":
            text = _PREIMAGE.sub(b'"preimage":"' + b"00" * 32 + b'"', text)
        self._answer(answer.status, text)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
