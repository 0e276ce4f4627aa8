"""A server on loopback that gives recorded answers, with a scripted node for a memory.

LND, Core Lightning and phoenixd cannot be installed everywhere. Their answers are in
``tests/contract/recordings``, one file for each call, each with the public document and the
version that it follows. A ``$name`` in a body is filled in from what the node knows.
"""

import datetime
import ipaddress
import json
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import BackendSettings, PayOrder, Sent, Settled
from bitcache_server.rails.lightning.invoice_making import Wording
from bitcache_server.rails.lightning.scripted import ScriptedBackend
from tests.contract.lightning_worlds.base import Clock

RECORDINGS = Path(__file__).parents[1] / "recordings"
LIE = "11" * 32


@dataclass(frozen=True)
class Call:
    """What a client sent."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(self.body.decode()).items()}


@dataclass(frozen=True)
class Answer:
    """What goes back; ``lines`` are sent as they come, each on a line of its own."""

    status: int
    body: Any = None
    lines: Iterator[Any] | None = None


class Recording:
    """The answers to one call, as its document shows them."""

    def __init__(self, backend: str, call: str) -> None:
        self._answers = json.loads((RECORDINGS / backend / f"{call}.json").read_text())["answers"]

    def answer(self, name: str, **values: Any) -> Answer:
        found = self._answers[name]
        return Answer(found["status"], filled(found["body"], values))


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """Return the template with each ``$name`` replaced by that value, whatever its type."""
    match template:
        case dict():
            return {key: filled(value, values) for key, value in template.items()}
        case list():
            return [filled(value, values) for value in template]
        case str() if template.startswith("$"):
            return values[template[1:]]
        case _:
            return template


@dataclass(frozen=True)
class Certificate:
    """A certificate that signs itself, for 127.0.0.1, and its key."""

    pem: str
    key_pem: str

    @classmethod
    def make(cls) -> "Certificate":
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a node")])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(
            made.public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
        )


@dataclass
class Mood:
    """What is wrong with the server at the moment."""

    silent: bool = False
    nonsense: bool = False
    lying: bool = False
    losing_answer: bool = False
    fee_msat: int = 0
    unroutable: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Kept:
    """An invoice that was asked for, as the node keeps it."""

    label: str
    wording: Wording
    bolt11: str
    payment_hash: str
    created_at: int
    index: int


class RecordedNode(ABC):
    """One node: its memory, its mood, and the HTTP server in front of both."""

    backend: ClassVar[str]
    tls: ClassVar[bool] = True
    #: Where a payment is started.
    pay_path: ClassVar[str]
    invoice_secret: ClassVar[str]
    payout_secret: ClassVar[str]
    narrow_secret: ClassVar[str]
    """Known to the node, and good for nothing that we need."""
    unknown_secret: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        settings = BackendSettings("", "", "", "", 1.0, allow_fake=True)
        self.node = ScriptedBackend(settings, self.clock)
        self.mood = Mood()
        self.invoices: dict[str, Kept] = {}
        self.certificate = Certificate.make()
        self._context = self._tls(folder) if self.tls else None
        self._port = 0
        self._stopped = threading.Event()
        self._server: _Server | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._port}"

    @abstractmethod
    def answer(self, call: Call) -> Answer:
        """Return what the node says to a call. Runs in the call's own thread."""

    def recording(self, call: str) -> Recording:
        return Recording(self.backend, call)

    def add_invoice(self, wording: Wording, label: str = "") -> Kept:
        """Make an invoice as the call's parameters say."""
        issued = self.node.add_invoice(wording)
        index = len(self.invoices) + 1
        kept = Kept(label, wording, issued.bolt11, issued.payment_hash, self.clock(), index)
        self.invoices[issued.payment_hash] = kept
        return kept

    def settled(self) -> tuple[Settled, ...]:
        """Return all settlements, oldest first."""
        return self.node.settlements("0", 0).settled

    def pay(self, order: PayOrder) -> Sent:
        """Pay in the node's mood; return what the node knows in the end, at once if it hangs."""
        if order.bolt11 in self.mood.unroutable:
            self.node.plan_payment(Outcome.FAILED, detail="no route")
        elif self.mood.fee_msat:
            self.node.plan_payment(Outcome.SETTLED, self.mood.fee_msat)
        return self.claimed(self.node.pay(order))

    def claimed(self, sent: Sent) -> Sent:
        """Return a payment with the preimage that the node shows: its own, or a lie."""
        if self.mood.lying and sent.outcome is Outcome.SETTLED:
            return Sent(sent.outcome, sent.fee_msat, LIE, sent.detail)
        return sent

    def lookup_payment(self, payment_hash: str) -> Sent | None:
        """Return what the node knows of a payment; None where it has none."""
        sent = self.claimed(self.node.lookup_payment(payment_hash))
        return None if sent.outcome is Outcome.UNKNOWN else sent

    def wait_for_end(self, payment_hash: str, at_most_s: float = 30.0) -> Sent | None:
        """Return a payment's end; None when the server stops or the time is over."""
        for _ in range(int(at_most_s / 0.01)):
            sent = self.lookup_payment(payment_hash)
            if sent is not None and sent.outcome is not Outcome.PENDING:
                return sent
            if self._stopped.wait(0.01):
                return None
        return None

    def start(self) -> None:
        """Listen, after the first time at the same port."""
        self._stopped = threading.Event()
        self._server = _Server(("127.0.0.1", self._port), self._answer, self._context)
        self._port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Go away as a killed process does: every connection ends at once."""
        self._stopped.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut()
            self._server = None

    def _answer(self, call: Call) -> Answer | None:
        """Return the answer; None to end the connection without one."""
        if self.mood.silent:
            self._stopped.wait()
            return None
        if self.mood.nonsense:
            return Answer(200, "<!doctype html><title>It works!</title>")
        answer = self.answer(call)
        if self.mood.losing_answer and call.path == self.pay_path:
            self.mood.losing_answer = False
            return None
        return answer

    def _tls(self, folder: Path) -> ssl.SSLContext:
        chain = folder / "node.pem"
        chain.write_text(self.certificate.pem + self.certificate.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, address: tuple[str, int], answer: Any, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(address, _Handler)
        self.answer = answer
        self.context = context
        self.connections: set[socket.socket] = set()

    def cut(self) -> None:
        for connection in tuple(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients leave in the middle of an answer, and that is the test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.server.connections.add(self.request)
        if self.server.context is not None:
            # The handshake belongs to this thread: a client that gives up hinders nobody.
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
            self.server.connections.add(self.request)
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.server.connections.discard(self.request)
        self.request.close()

    def do_GET(self) -> None:
        self._reply()

    def do_POST(self) -> None:
        self._reply()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _reply(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        call = Call(
            self.command, parts.path, query, dict(self.headers.items()), self.rfile.read(length)
        )
        answer = self.server.answer(call)
        if answer is None:
            self.close_connection = True
        elif answer.lines is not None:
            self._stream(answer)
        else:
            text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            data = text.encode()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def _stream(self, answer: Answer) -> None:
        """Send lines as they come; like the real gateway, the headers with the first of them."""
        begun = False
        for line in answer.lines or ():
            if not begun:
                self.send_response(answer.status)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                begun = True
            data = json.dumps(line).encode() + b"\n"
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.close_connection = True
        if begun:
            self.wfile.write(b"0\r\n\r\n")
