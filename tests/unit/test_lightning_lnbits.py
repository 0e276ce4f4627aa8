"""LNbits' API client: every bad answer has its error, and none carries a key."""

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bitcache_server.domain.errors import (
    ConfigurationError,
    LightningCertificate,
    LightningPermission,
    LightningRejected,
    LightningUnauthorized,
    LightningUnreachable,
    RailError,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import BackendSettings, PayOrder
from bitcache_server.rails.lightning.lnbits import LnbitsBackend
from bitcache_server.rails.lightning.lnbits_api import LnbitsApi
from bitcache_server.rails.lightning.rest import MissingAnswer, Refusal

KEY = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
HASH = "00" * 32

Serve = Callable[[int, bytes], str]


class _Handler(BaseHTTPRequestHandler):
    answer = (200, b"{}")

    def do_GET(self) -> None:
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _start(handler: type[_Handler], context: ssl.SSLContext | None = None) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


def _api(url: str, certificate: str = "") -> LnbitsApi:
    return LnbitsApi(BackendSettings(url, KEY, "", certificate, 5, False))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that answers everything with a status and a body at an address."""
    servers = []

    def start(status: int, body: bytes) -> str:
        handler = type("Handler", (_Handler,), {"answer": (status, body)})
        servers.append(_start(handler))
        return f"http://127.0.0.1:{servers[-1].server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, b'{"detail": "Payment does not exist."}', MissingAnswer),
        (401, b'{"detail": "No Api Key provided."}', LightningUnauthorized),
        (404, b'{"detail": "Wallet not found."}', LightningUnauthorized),
        (403, b'{"detail": "Invoice (or Admin) key required."}', LightningPermission),
        (429, b'{"detail": "Rate limit exceeded"}', LightningUnreachable),
        (520, b'{"detail": "Insufficient balance.", "status": "failed"}', Refusal),
        (400, b'{"detail": "Invoice has no amount."}', Refusal),
        (500, b'{"detail": "Unexpected error! ID: 1"}', LightningUnreachable),
        (404, b"<html>nginx</html>", LightningRejected),
        (302, b"", LightningRejected),
        (200, b"<html>It works!</html>", LightningRejected),
    ],
)
def test_each_bad_answer_has_its_error(
    serve: Serve, status: int, body: bytes, error: type[RailError]
) -> None:
    api = _api(serve(status, body))
    with pytest.raises(RailError) as caught:
        api.call("GET", "wallet", KEY)
    assert type(caught.value) is error
    assert KEY not in str(caught.value)
    api.close()


def test_a_stranger_s_view_of_a_payment_is_a_wrong_key(serve: Serve) -> None:
    settings = BackendSettings(serve(200, b'{"paid": true}'), KEY, KEY, "", 5, False)
    backend = LnbitsBackend(settings)
    with pytest.raises(LightningUnauthorized):
        backend.lookup_invoice(HASH)
    sent = backend.lookup_payment(HASH)
    assert (sent.outcome, sent.missing) == ("unknown", False)
    assert KEY not in repr(backend) + repr(settings) + sent.detail
    backend.close()


@pytest.mark.parametrize("body", [b"[]", b"17", b'"ok"', b'{"details": {}}', b'{"details": 1}'])
def test_json_of_another_form_is_no_answer(serve: Serve, body: bytes) -> None:
    """Above all it never ends the run that asks about everybody's payments."""
    backend = LnbitsBackend(BackendSettings(serve(200, body), KEY, KEY, "", 5, False))
    for question in (backend.funds, lambda: backend.lookup_invoice(HASH)):
        with pytest.raises(RailError):
            question()
    order = PayOrder("lnbc1", HASH, 1_000, 1_000, 5)
    for sent in (backend.lookup_payment(HASH), backend.pay(order)):
        assert (sent.outcome, sent.missing) == (Outcome.UNKNOWN, False)
    backend.close()


def test_a_certificate_is_checked_and_may_be_given(tmp_path: Path) -> None:
    pem, context = _self_signed(tmp_path)
    other_pem, _ = _self_signed(tmp_path)
    server = _start(_Handler, context)
    url = f"https://127.0.0.1:{server.server_address[1]}"
    for certificate in ("", other_pem):
        api = _api(url, certificate)
        with pytest.raises(LightningCertificate):
            api.call("GET", "wallet", KEY)
        api.close()

    trusting = _api(url, pem)
    assert trusting.call("GET", "wallet", KEY) == {}
    trusting.close()
    assert trusting.call("GET", "wallet", KEY) == {}  # it opens again
    trusting.close()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("url", "secret", "certificate"),
    [
        ("", KEY, ""),
        ("lnbits.example", KEY, ""),
        ("ftp://lnbits.example", KEY, ""),
        ("http://[::1", KEY, ""),
        ("https://lnbits.example", "", ""),
        ("https://lnbits.example", KEY, "no certificate"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(url: str, secret: str, certificate: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LnbitsBackend(BackendSettings(url, secret, "", certificate, 5, False))
    assert KEY not in str(caught.value)


def _self_signed(folder: Path) -> tuple[str, ssl.SSLContext]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "LNbits")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "certificate.pem"
    path.write_bytes(pem + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return pem.decode(), context
