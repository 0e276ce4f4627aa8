"""A running server whose Lightning node refuses everything: nothing that it says is a secret.

Each node here repeats in its refusals what it was sent, as some proxies do, and everything
logs as much as it can.
"""

import base64
import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from coincurve import PrivateKey
from sqlalchemy.orm import Session

from bitcache_server.models.operations import RailStatus
from tests.support.certificates import Certificate, certificate_for
from tests.support.databases import Databases, open_engine
from tests.support.processes import Programs, programs
from tests.support.world import ORIGIN

#: So much of a secret would be too much already.
PIECE_CHARS = 12
#: Written where Python looks first: every logger of every program tells all that it knows.
TALKATIVE = """
import logging, sys
handler = logging.StreamHandler(sys.stderr)
for name in (None, "bitcache_server", "httpx", "httpcore", "asyncio"):
    logger = logging.getLogger(name)
    logger.setLevel(1)
    logger.propagate = False
    logger.addHandler(handler)
"""
#: What the HTTP client and the event loop say then.
NOISE = ("connect_tcp.started", "Using selector")
CARRIERS = ("grpc-metadata-macaroon", "rune", "authorization", "x-api-key")


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who speaks no HTTP, or is killed in the middle of it, is no error here."""


class EchoingNode:
    """Refuses every call in another way, and repeats the secret that came with it."""

    def __init__(self, certificate: Certificate | None) -> None:
        self.heard: list[str] = []
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, body = node.answer(dict(self.headers))
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.chain, certificate.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def answer(self, headers: Mapping[str, str]) -> tuple[int, Any]:
        sent = " ".join(v for k, v in headers.items() if k.lower() in CARRIERS)
        self.heard.append(sent)
        status = (400, 401, 500, 200)[len(self.heard) % 4]
        words = f"{sent} is wrong"
        error = {"message": words, "code": 2}
        return status, {"error": error, "message": words, "detail": words, "code": 2}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass(frozen=True)
class Case:
    """A backend's settings and what of them nobody may read."""

    scheme: str
    secret: str = ""
    payout_secret: str = ""
    url: str = "{scheme}://{host}"
    parts: tuple[str, ...] = field(default=())
    """What of the secrets is secret, where the whole is made of several things."""

    @property
    def hidden(self) -> set[str]:
        """Return every secret in the forms in which it could come out."""
        wholes = {text for text in (self.secret, self.payout_secret) if text}
        plain = {*self.parts} or {text.rpartition(":")[2] for text in wholes}
        found = {form for text in plain | wholes for form in _forms(text.encode())}
        # A password goes out with its user, whose name is no secret, or with an empty one.
        found |= {form for text in plain for form in _forms(f":{text}".encode())}
        for text in plain:
            try:
                found |= _forms(bytes.fromhex(text))
            except ValueError:
                continue
        return found


def _forms(secret: bytes) -> set[str]:
    """Return the bytes as text, in hex and in both forms of base64."""
    coded = base64.b64encode(secret).decode().rstrip("=")
    urlsafe = base64.urlsafe_b64encode(secret).decode().rstrip("=")
    return {secret.decode("utf-8", "replace"), secret.hex(), secret.hex().upper(), coded, urlsafe}


def _macaroon() -> str:
    """Return something that begins as LND's macaroons do."""
    return "0201036c6e64" + secrets.token_hex(90)


def _rune() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32) + b"=1&method=invoice").decode()


def _nwc(secret: str) -> str:
    wallet = PrivateKey().public_key.format().hex()[2:]
    return f"nostr+walletconnect://{wallet}?relay=ws://{{host}}&secret={secret}"


def _cases() -> dict[str, Case]:
    password, receiving, paying = (secrets.token_hex(24) for _ in range(3))
    keys = secrets.token_hex(32), secrets.token_hex(32)
    return {
        "lnd": Case("https", _macaroon(), _macaroon()),
        "cln": Case("https", _rune(), _rune()),
        "phoenixd": Case("http", receiving, paying),
        "lnbits": Case("http", secrets.token_hex(16), secrets.token_hex(16)),
        "nwc": Case("ws", "", _nwc(keys[1]), _nwc(keys[0]), keys),
        "electrum": Case("http", f"bitcache:{password}"),
    }


CASES = _cases()
#: What has nothing to do with a node: who reads the metrics, who sends the mail.
METRICS_TOKEN, MAIL_PASSWORD = secrets.token_hex(24), secrets.token_hex(24)
OPERATORS = {form for text in (METRICS_TOKEN, MAIL_PASSWORD) for form in _forms(text.encode())}


@dataclass
class Refused:
    """A running server with a backend that gets nothing out of its node."""

    name: str
    case: Case
    node: EchoingNode
    programs: Programs
    answers: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request and keep every word of the answer."""
        answer = self.programs.ask(method, path, **more)
        self.answers.append(f"{answer.headers}\n{answer.text}")
        return answer

    def said(self) -> dict[str, str]:
        """Return all that anybody could read: output, answers, files."""
        found = {**self.programs.said(), "answers": "\n".join(self.answers)}
        kept = {"bitcache.toml", "payout-secret", "sitecustomize.py"}
        for path in self.programs.folder.rglob("*"):
            if path.is_file() and path.name not in kept:
                found[path.name] = path.read_bytes().decode("latin-1")
        return found


@contextmanager
def _refused(name: str, folder: Path, url: str) -> Iterator[Refused]:
    case = CASES[name]
    certificate = certificate_for(folder, "127.0.0.1") if case.scheme == "https" else None
    node = EchoingNode(certificate)
    try:
        (folder / "sitecustomize.py").write_text(TALKATIVE)
        payout_secret = folder / "payout-secret"
        payout_secret.write_text(case.payout_secret.format(host=node.host))
        settings: dict[str, Any] = {
            "rails": ["lightning"],
            "lightning_backend": name,
            "lightning_url": case.url.format(scheme=case.scheme, host=node.host),
            "lightning_secret": case.secret,
            "lightning_timeout_s": 2,
            "limit_invoices_per_address": "1000/minute",
            "metrics_token": METRICS_TOKEN,
            "smtp_url": f"smtp://mailer:{MAIL_PASSWORD}@127.0.0.1:1",
            "mail_from": "pay@example.org",
            "log_format": "json",
        }
        if certificate is not None:
            settings["lightning_certificate"] = certificate.authority.read_text()
        variables = {"PYTHONPATH": str(folder), "RUST_LOG": "trace", "PYTHONASYNCIODEBUG": "1"}
        if case.payout_secret:
            variables["BITCACHE_LIGHTNING_PAYOUT_SECRET_FILE"] = str(payout_secret)
        with programs(folder, url, variables, **settings) as made:
            yield Refused(name, case, node, made)
    finally:
        node.close()


def _sells(shop: Programs) -> str:
    """Stock the shop from its command line; return the article."""
    cli = shop.cli
    merchant = cli.ask("merchant", "add", "--name", "Ada", "--handle", "ada")["id"]
    site = cli.ask("site", "add", "--merchant", merchant, "--name", "Blog", "--origin", ORIGIN)
    article = shop.folder / "article.html"
    article.write_text("<p>Locked.</p>")
    words = ("--title", "On engines", "--price", "0.05", "--article", str(article))
    return str(cli.ask("item", "add", "--site", site["id"], *words)["id"])


def _let_readers_ask(url: str) -> None:
    """Let the node count as well, so that requests are not refused before it is asked."""
    engine = open_engine(url)
    with Session(engine) as session:
        status = session.get_one(RailStatus, "lightning")
        status.ok, status.code, status.detail = True, "ok", ""
        status.checked_at = status.ok_at = int(time.time())
        status.receivable_msat = 10**9
        session.commit()
    engine.dispose()


def _try_all(shop: Refused, article_id: str) -> None:
    """Ask for all that needs the node; it refuses each of them."""
    buying = {"item": article_id, "challenge": "A" * 43}
    origin = {"Origin": ORIGIN}
    waiting = shop.ask("POST", "/v1/invoices", json=buying, headers=origin).json()["id"]
    path = f"/v1/invoices/{waiting}/requests"
    refused = [
        shop.ask("POST", path, json={"rail": rail}, headers=origin) for rail in ("lightning", "any")
    ]
    pay = {**buying, "rail": "lightning"}
    refused.append(shop.ask("POST", "/v1/invoices", json=pay, headers=origin))
    refused.append(shop.ask("GET", "/lnurl/pay/ada/callback?amount=21000"))
    # A client that is no browser is asked to pay at once (L402).
    refused.append(shop.ask("GET", f"/v1/content/{article_id}"))
    assert {answer.status_code for answer in refused} <= {502, 503}
    assert all(answer.json()["code"].startswith("lightning_") for answer in refused)
    for page in ("/health", "/.well-known/lnurlp/ada", f"/v1/items/{article_id}"):
        shop.ask("GET", page)
    for token in (METRICS_TOKEN, METRICS_TOKEN[:-1]):
        answer = shop.ask("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == (200 if token == METRICS_TOKEN else 404)


@pytest.mark.parametrize("name", CASES)
def test_no_secret_is_said(name: str, tmp_path: Path, databases: Databases) -> None:
    with databases.fresh("sqlite") as url, _refused(name, tmp_path, url) as shop:
        article_id = _sells(shop.programs)
        shop.programs.serve()
        # Prices and the node's state are known before the first reader comes.
        assert shop.programs.run("jobs", "--once") == 1
        shop.programs.wait_until_serving()
        _let_readers_ask(url)
        _try_all(shop, article_id)
        assert shop.programs.run("doctor", "--json") == 1
        said = shop.said()
    _assert_talkative(shop, said)
    for where, text in said.items():
        assert not _pieces_in(text, shop.case.hidden | OPERATORS), where


def _assert_talkative(shop: Refused, said: Mapping[str, str]) -> None:
    """The node got the secret and said so, and every log would have told it."""
    for log in ("jobs.err", "doctor.err", "serve.err"):
        assert any(words in said[log] for words in NOISE), said[log]
    if shop.name != "nwc":  # Its secret signs, and is never sent.
        assert _pieces_in(" ".join(shop.node.heard), shop.case.hidden)
        assert "is wrong" in said["doctor.out"] + said["jobs.err"]


def _pieces_in(text: str, hidden: set[str]) -> list[str]:
    """Return what of the secrets stands in a text."""
    return [
        secret[start : start + PIECE_CHARS]
        for secret in hidden
        for start in range(max(1, len(secret) - PIECE_CHARS + 1))
        if secret[start : start + PIECE_CHARS] in text
    ]
