"""Readers whose wallet allows the world's site to take money, and their clicks there."""

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from werkzeug.test import TestResponse

from bitcache_server.ledger import chart, recipes
from bitcache_server.ledger.journal import Entry, Kind, post
from bitcache_server.models.ledger import Grant, Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import Allowance
from bitcache_server.tokens.allowances import AllowanceClaims, issue_allowance
from tests.support.api import call
from tests.support.world import ORIGIN, World

PATH = "/v1/unlocks"


@dataclass(frozen=True)
class Clicker:
    """A wallet and the token that a site's page keeps."""

    world: World
    wallet_id: str
    allowance_id: str
    token: str

    def click(
        self, item_id: str | None = None, *, origin: str | None = ORIGIN, key: str = "", **body: Any
    ) -> TestResponse:
        """Ask for an item as the site's page does; safe in any thread."""
        headers = {} if origin is None else {"Origin": origin}
        if key:
            headers["Idempotency-Key"] = key
        wanted = {"item": item_id or self.world.article_id, **body}
        return call(self.world, "POST", PATH, self.token, json=wanted, headers=headers)

    def unlock(self, item_id: str | None = None, **options: Any) -> dict[str, Any]:
        """Click and return the answer, which must be good."""
        answer = self.click(item_id, **options)
        assert answer.status_code == 200, answer.text
        return dict(answer.get_json())

    def money(self) -> tuple[int, int]:
        """Return what is left: own money and starter credit, in msat."""
        session = self.world.session
        session.rollback()
        wallet = session.get_one(Wallet, self.wallet_id)
        left = (wallet.balance_msat, wallet.gift_msat)
        session.rollback()
        return left

    def grants(self) -> list[Grant]:
        """Return all grants of the wallet, oldest first."""
        session = self.world.session
        session.rollback()
        query = select(Grant).where(Grant.owner_id == self.wallet_id)
        found = list(session.scalars(query.order_by(Grant.item_id, Grant.revision)))
        session.expunge_all()
        session.rollback()
        return found

    def change_allowance(self, **values: Any) -> None:
        """Let the reader change or revoke the allowance."""
        with write_transaction(self.world.session):
            row = self.world.session.get_one(Allowance, (self.wallet_id, self.allowance_id))
            for name, value in values.items():
                setattr(row, name, value)


def open_clicker(
    world: World, balance_msat: int = 20_000_000, gift_msat: int = 0, **limits: Any
) -> Clicker:
    """Create a wallet with money and an allowance for the world's site: 10,000 sat an item."""
    wallet_id, allowance_id = f"wa_{secrets.token_hex(8)}", f"al_{secrets.token_hex(8)}"
    session, now = world.session, world.clock()
    values: dict[str, Any] = {
        "site_id": world.site_id,
        "origin": ORIGIN,
        "per_item_msat": 10_000_000,
        "per_day_msat": 50_000_000,
        "auto_msat": 0,
        "day": 0,
        "spent_msat": 0,
        "created_at": now,
        "expires_at": now + 30 * 86_400,
        **limits,
    }
    with write_transaction(session):
        session.add(Wallet(id=wallet_id, balance_msat=0, gift_msat=0, created_at=now))
        session.flush()
        if balance_msat:
            entry = Entry(Kind.TOP_UP, chart.OPENING, chart.wallet(wallet_id), balance_msat)
            post(session, [entry], owner_id=wallet_id, now=now)
        if gift_msat:
            recipes.give_starter_credit(session, wallet_id, gift_msat, now)
        session.add(Allowance(wallet_id=wallet_id, id=allowance_id, **values))
    claims = AllowanceClaims(wallet_id, allowance_id, values["site_id"], values["origin"])
    token = issue_allowance(world.deps.settings.secret_key.get_secret_value(), claims, now)
    return Clicker(world, wallet_id, allowance_id, token)
