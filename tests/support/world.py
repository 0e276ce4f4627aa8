"""A whole server in one object, with a scripted rail and a clock that tests move."""

import base64
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from bitcache_server import wiring
from bitcache_server.app import create_app
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.extensions import db
from bitcache_server.ledger.audit import audit
from bitcache_server.models.sales import Invoice
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.fake import FakeRail
from bitcache_server.rates.base import RateSource
from bitcache_server.rates.fixed import FixedRates
from bitcache_server.services.deps import Deps
from bitcache_server.services.housekeeping import expire_invoices
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.merchants import add_merchant, add_site
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.watch_rail import check_unconfirmed, watch_rail
from bitcache_server.settings import Settings
from bitcache_server.tokens.verifier import challenge_of

ORIGIN = "https://blog.example"
PUBLIC_URL = "https://pay.example"
START = 1_800_000_000
LOCKED = "<p>The locked part, ünïcode and <b>bold</b>.</p>"


class MovableClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def pass_time(self, seconds: int) -> None:
        """Let seconds pass."""
        self.now += seconds


@dataclass
class Purchase:
    """A reader's side of an invoice: the invoice as JSON and the verifier."""

    invoice: dict[str, Any]
    verifier: str

    @property
    def id(self) -> str:
        """Return the invoice's id."""
        return str(self.invoice["id"])


@dataclass
class World:
    """A server with one merchant, one site, one article and one file."""

    app: Flask
    deps: Deps
    rail: FakeRail
    clock: MovableClock
    client: FlaskClient = field(init=False)
    merchant_id: str = ""
    site_id: str = ""
    secret: str = ""
    article_id: str = ""
    file_id: str = ""

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    @property
    def session(self) -> Session:
        """Return the session of the pushed app context."""
        return db.session()

    def get(self, path: str, token: str | None = None, **headers: str) -> TestResponse:
        """Send a GET as a page of the site would."""
        return self.client.get(path, headers=self._headers(token, headers))

    def post(
        self, path: str, body: object, token: str | None = None, **headers: str
    ) -> TestResponse:
        """Send a POST with a JSON body as a page of the site would."""
        return self.client.post(path, json=body, headers=self._headers(token, headers))

    @staticmethod
    def _headers(token: str | None, extra: dict[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in extra.items()}
        if token is not None:
            named["Authorization"] = f"Bearer {token}"
        return {"Origin": ORIGIN, **named}

    def buy(self, item_id: str | None = None, rail: str | None = "fake") -> Purchase:
        """Create an invoice with a fresh verifier."""
        verifier = secrets.token_urlsafe(32)
        body: dict[str, object] = {
            "item": item_id or self.article_id,
            "challenge": challenge_of(verifier),
        }
        if rail:
            body["rail"] = rail
        answer = self.post("/v1/invoices", body)
        assert answer.status_code == 201, answer.text
        return Purchase(answer.get_json(), verifier)

    def target_of(self, purchase: Purchase) -> str:
        """Return what the rail watches for an invoice."""
        from sqlalchemy import select

        from bitcache_server.models.sales import RequestRow

        query = select(RequestRow.target).where(RequestRow.invoice_id == purchase.id)
        target = self.session.scalars(query).one()
        self.session.rollback()
        return target

    def pay(self, purchase: Purchase, amount_msat: int | None = None, reason: str = "") -> str:
        """Pay an invoice on the rail and let the jobs see it; return the reference."""
        amount = amount_msat or purchase.invoice["requests"][0]["amount_sat"] * 1000
        reference = self.rail.pay(self.target_of(purchase), amount, reason)
        self.watch()
        return reference

    def watch(self) -> None:
        """Run the watch job once."""
        watch_rail(self.deps, self.session, self.rail)

    def mine(self, blocks: int = 1) -> None:
        """Add blocks and let the jobs see them."""
        self.rail.confirm(blocks)
        self.watch()

    def check_unconfirmed(self) -> None:
        """Run the job that asks about payments without a block."""
        check_unconfirmed(self.deps, self.session, self.rail)

    def expire(self, seconds: int) -> None:
        """Let time pass and run the expiry."""
        self.clock.pass_time(seconds)
        expire_invoices(self.deps, self.session)

    def read(self, purchase: Purchase) -> dict[str, Any]:
        """Return the invoice as the API shows it now."""
        answer = self.get(f"/v1/invoices/{purchase.id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.get_json())

    def state(self, purchase: Purchase) -> InvoiceState:
        """Return the state of an invoice."""
        return InvoiceState(self.read(purchase)["state"])

    def claim(self, purchase: Purchase) -> TestResponse:
        """Show the verifier."""
        return self.post(f"/v1/invoices/{purchase.id}/claim", {"verifier": purchase.verifier})

    def grant(self, purchase: Purchase) -> str:
        """Claim and return the grant."""
        answer = self.claim(purchase)
        assert answer.status_code == 200, answer.text
        return str(answer.get_json()["grant"])

    def stored(self, purchase: Purchase) -> Invoice:
        """Return the invoice's row."""
        self.session.rollback()
        return self.session.get_one(Invoice, purchase.id)

    def assert_books_balance(self) -> None:
        """Audit the ledger."""
        self.session.rollback()
        report = audit(self.session)
        self.session.rollback()
        assert not report.findings, report.findings


def make_settings(folder: Path, database_url: str = "", **overrides: Any) -> Settings:
    """Return settings for a test; nothing is read from the environment but what CI sets."""
    values: dict[str, Any] = {
        "environment": "test",
        "secret_key": "test-" * 8,
        "data_dir": folder,
        "database_url": database_url,
        "public_url": PUBLIC_URL,
        "rails": ["fake"],
        "network": "regtest",
        "onchain_descriptor": "operator",
        "fixed_rates": {"USD": "1000"},
        # One block ends a payout here; test_payout_batches.py has the default.
        "payout_confirmations": 1,
        "limit_invoices_per_address": "10000/minute",
        "limit_invoices_per_site": "10000/minute",
        "limit_reads_per_address": "100000/minute",
        **overrides,
    }
    return Settings(**values)


def make_world(
    settings: Settings,
    *,
    direct: bool = False,
    rate_sources: list[RateSource] | None = None,
) -> World:
    """Build a server over a migrated database; push an app context before using it."""
    clock = MovableClock()
    rail = FakeRail(allow=True)
    sources = rate_sources or [FixedRates(settings.fixed_rates)]
    deps = wiring.build(settings, clock=clock, rails={"fake": rail}, rate_sources=sources)
    world = World(app=create_app(deps), deps=deps, rail=rail, clock=clock)
    with world.app.app_context():
        stock(world, direct)
    return world


def stock(world: World, direct: bool) -> None:
    """Give a server a merchant, a site, an article and a file, in an app context."""
    files = world.deps.settings.files_dir
    files.mkdir(parents=True, exist_ok=True)
    (files / "song.ogg").write_bytes(bytes(range(256)) * 400)
    refresh_rates(world.deps, world.session)
    record_health(world.deps, world.session, world.rail)
    with write_transaction(world.session):
        merchant = add_merchant(world.deps, world.session, "Ada", None)
        merchant.descriptor = "merchants own" if direct else None
        new = add_site(world.deps, world.session, merchant.id, "Ada's blog", [ORIGIN])
        article = NewItem(
            title="On engines", price="0.05", currency="USD", content_html=LOCKED, teaser="Engines!"
        )
        song = NewItem(title="A song", price=7000, currency="SAT", file_path="song.ogg")
        world.merchant_id, world.site_id, world.secret = merchant.id, new.site.id, new.secret
        world.article_id = add_item(world.deps, world.session, new.site, article).id
        world.file_id = add_item(world.deps, world.session, new.site, song).id
    world.watch()


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    """Return a stocked server, once on each database engine."""
    made = make_world(make_settings(tmp_path, database_url))
    with made.app.app_context():
        yield made
        db.session.remove()
        db.engine.dispose()


def sha256_challenge(verifier: str) -> str:
    """Return the challenge by RFC 7636, worked out without our code."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
