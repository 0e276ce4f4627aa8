"""Readers with a wallet, at the pages of a world, without a browser."""

from urllib.parse import urlsplit

from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from bitcache_server.extensions import db
from bitcache_server.http.wallet import cookie
from bitcache_server.ledger import recipes
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.sales import Invoice, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.services.claim_balance import claim_to_balance
from bitcache_server.services.once import in_transaction
from bitcache_server.services.top_up import create_top_up
from bitcache_server.services.wallets import create_wallet, open_session
from tests.support.world import PUBLIC_URL, Purchase, World


class Reader:
    """A browser that is signed in to a wallet; sends no headers but those of a form."""

    def __init__(self, world: World, wallet_id: str | None = None) -> None:
        self.world = world
        self.client: FlaskClient = world.app.test_client()
        deps = world.deps
        with write_transaction(world.session):
            self.wallet_id = wallet_id or create_wallet(deps, world.session).id
            self.cookie = open_session(deps, world.session, self.wallet_id, "A test", verified=True)
        self.client.set_cookie(
            f"__Host-{cookie.NAME}", self.cookie, domain="pay.example", path="/", secure=True
        )

    def get(self, path: str) -> TestResponse:
        """Open a page."""
        db.session.rollback()
        return self.client.get(path, base_url=PUBLIC_URL, buffered=True)

    def post(self, path: str, origin: str = PUBLIC_URL, **form: str) -> TestResponse:
        """Send a form."""
        db.session.rollback()
        headers = {"Origin": origin}
        return self.client.post(path, base_url=PUBLIC_URL, headers=headers, data=form)

    def give(self, gift_msat: int) -> None:
        """Give starter credit, without the work."""
        with write_transaction(self.world.session):
            recipes.give_starter_credit(
                self.world.session, self.wallet_id, gift_msat, self.world.clock()
            )

    def top_up(self, amount_sat: int = 20_000) -> str:
        """Ask for a code; return the invoice's id."""
        world = self.world
        return in_transaction(
            world.session,
            lambda: create_top_up(world.deps, world.session, self.wallet_id, amount_sat, "fake").id,
        )

    def pay_in(self, invoice_id: str, amount_msat: int, mine: bool = True) -> str:
        """Pay a top-up and let the jobs see it; return the payment's reference."""
        reference = self.world.rail.pay(target_of(self.world, invoice_id), amount_msat)
        self.world.watch()
        if mine:
            self.world.mine()
        return reference

    def fill(self, amount_sat: int) -> str:
        """Top up, pay, confirm; return the payment's reference."""
        return self.pay_in(self.top_up(amount_sat), amount_sat * 1_000)

    def claim(self, purchase: Purchase) -> int:
        """Move the credit of an invoice; return the msat."""
        world = self.world
        return in_transaction(
            world.session,
            lambda: claim_to_balance(
                world.deps, world.session, self.wallet_id, purchase.id, purchase.verifier
            ),
        )

    @property
    def wallet(self) -> Wallet:
        """Return the wallet's row as it is now."""
        self.world.session.rollback()
        session = self.world.session
        found = session.get_one(Wallet, self.wallet_id, populate_existing=True)
        self.world.session.expunge(found)
        self.world.session.rollback()
        return found

    @property
    def own_msat(self) -> int:
        """Return the reader's own money."""
        return self.wallet.balance_msat

    @property
    def gift_msat(self) -> int:
        """Return what is left of the gift."""
        return self.wallet.gift_msat


def target_of(world: World, invoice_id: str) -> str:
    """Return what the rail watches for an invoice."""
    query = select(RequestRow.target).where(RequestRow.invoice_id == invoice_id)
    target = world.session.scalars(query).one()
    world.session.rollback()
    return target


def stored_invoice(world: World, invoice_id: str) -> Invoice:
    """Return an invoice's row as it is now."""
    world.session.rollback()
    found = world.session.get_one(Invoice, invoice_id, populate_existing=True)
    world.session.expunge(found)
    world.session.rollback()
    return found


def path_of(answer: TestResponse) -> str:
    """Return where a redirect leads, without our host."""
    assert answer.status_code == 303, answer.text
    parts = urlsplit(answer.headers["Location"])
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def offer_refunds(world: World, window_s: int = 86_400, each: int = 3) -> None:
    """Let the merchant take purchases back."""
    with write_transaction(world.session):
        merchant = world.session.get_one(Merchant, world.merchant_id)
        merchant.refund_window_s, merchant.refunds_per_reader = window_s, each
