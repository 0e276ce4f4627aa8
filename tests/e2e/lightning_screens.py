"""The pages that Lightning adds to the shop and the wallet, and those that say what went wrong.

Money moves on the scripted node, so no other is needed.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import select

from bitcache_server.http.wallet.withdraw_order import WithdrawOrder, seal_order
from bitcache_server.models.sales import RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import WalletConnection
from bitcache_server.services.once import in_transaction
from bitcache_server.services.request_payment import ANY, ask_for_payment
from bitcache_server.services.top_up import create_top_up
from bitcache_server.services.withdraw_claims import claim, look_at_link
from bitcache_server.services.withdraw_links import (
    GIFT_LIFETIME_S,
    NewLink,
    create_link,
    quote_link,
)
from tests.e2e.api_double import Running
from tests.e2e.wallet_shop import Shown
from tests.support.lightning_payouts import pay_out
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.readers import Reader

LINK_REVIEW = "/wallet/withdraw/link/review"
LOGIN = "/wallet/lightning"


@contextmanager
def lightning_screens(
    database_url: str, folder: Path
) -> Iterator[tuple[LightningWorld, dict[str, Shown]]]:
    """Give a running server and its pages by name."""
    # The port is known before the server is: its address is one of its settings.
    server = Running(Flask("not_yet"))
    settings: dict[str, Any] = {
        "public_url": server.origin,
        "rail_stale_after_s": 10**8,
        "rate_max_age_s": 10**8,
        "limit_recoveries_per_address": "999/minute",
        "limit_reads_per_address": "99999/minute",
    }
    try:
        with opened_lightning_world(folder, database_url, **settings) as world:
            server.server.app = world.app
            yield world, _stock(world)
    finally:
        server.stop()


def top_up(world: LightningWorld, reader: Reader, amount_sat: int = 20_000) -> str:
    """Ask for a code for both ways to pay; return the invoice's id."""
    args = world.deps, world.session
    invoice_id = in_transaction(
        world.session, lambda: create_top_up(*args, reader.wallet_id, amount_sat, ANY).id
    )
    ask_for_payment(*args, invoice_id, ANY)
    return invoice_id


def pay_top_up(world: LightningWorld, invoice_id: str) -> None:
    """Pay a code over Lightning, and let the server hear of it."""
    query = select(RequestRow.target).where(
        RequestRow.invoice_id == invoice_id, RequestRow.rail == "lightning"
    )
    payment_hash = world.session.scalars(query).one()
    world.session.rollback()
    world.lightning.pay(payment_hash)
    world.settle()


def _stock(world: LightningWorld) -> dict[str, Shown]:
    rich, plain, connected = (Reader(world) for _ in range(3))
    rich.fill(150_000)
    _connect(world, connected)
    waiting, paid = top_up(world, plain), top_up(world, plain, 5_000)
    pay_top_up(world, paid)
    open_link, taken = _link(world, rich, "open"), _link(world, rich, "taken")
    _take(world, taken)
    invoice = world.lightning.foreign_invoice(20_000_500)
    return {
        "gift": Shown(f"/gift/{open_link.secret}", None),
        "gift-maker": Shown(f"/gift/{open_link.secret}", rich),
        "gift-taken": Shown(f"/gift/{taken.secret}", None),
        "withdraw-link": Shown("/wallet/withdraw", rich),
        "withdraw-scan": Shown(_review(world, rich, LINK_REVIEW, "scan", "20000"), rich),
        "withdraw-give": Shown(_review(world, rich, LINK_REVIEW, "give", "20000"), rich),
        "withdraw-lightning": Shown(
            _review(world, rich, "/wallet/withdraw/review", invoice, ""), rich
        ),
        "connection-none": Shown("/wallet/connection", plain),
        "connection": Shown("/wallet/connection?done=connected", connected),
        "top-up-both": Shown(f"/wallet/top-up/{waiting}", plain),
        "top-up-lightning": Shown(f"/wallet/top-up/{waiting}?way=lightning", plain),
        "top-up-still": Shown(f"/wallet/top-up/{waiting}?way=lightning&still=1", plain),
        "top-up-lightning-paid": Shown(f"/wallet/top-up/{paid}", plain),
        "login": Shown(LOGIN, None, {"purpose": "sign_in"}),
        "login-add": Shown(LOGIN, plain, {"purpose": "add"}),
        "error-item": Shown("/pay/it_nope", None),
        "error-invoice": Shown("/pay/invoices/in_nope", plain),
        "error-gift": Shown("/gift/nope", None),
        "error-wallet": Shown("/wallet/nothing-here", plain),
        "error-form": Shown(f"/pay/{world.article_id}/balance", plain, {"price_msat": "much"}),
    }


def _review(world: LightningWorld, reader: Reader, path: str, to: str, amount: str) -> str:
    """Return where a form of the withdrawal page leads."""
    return f"{path}?order={seal_order(world.deps, reader.wallet_id, WithdrawOrder(to, amount))}"


def _link(world: LightningWorld, reader: Reader, key: str, amount_sat: int = 20_000) -> NewLink:
    fee_msat = quote_link(world.deps, world.session, reader.wallet_id, amount_sat).fee_msat
    world.session.rollback()
    made = create_link(
        world.deps,
        world.session,
        reader.wallet_id,
        amount_sat=amount_sat,
        fee_msat=fee_msat,
        lifetime_s=GIFT_LIFETIME_S,
        idempotency_key=key,
    )
    world.session.rollback()
    return made


def _take(world: LightningWorld, link: NewLink) -> None:
    found = look_at_link(world.deps, world.session, link.secret)
    invoice = world.lightning.foreign_invoice(found.amount_msat)
    claim(world.deps, world.session, link.secret, found.k1, invoice)
    pay_out(world)


def _connect(world: LightningWorld, reader: Reader) -> None:
    """Keep a connection that was used today and refused; nobody asks that wallet here."""
    now = world.clock()
    with write_transaction(world.session):
        world.session.add(
            WalletConnection(
                wallet_id=reader.wallet_id,
                sealed=secrets.token_urlsafe(16),
                alias="Alby of the kitchen table",
                amount_msat=20_000_000,
                per_day_msat=100_000_000,
                day=now // 86_400,
                spent_msat=40_000_000,
                invoice_id=None,
                error="Your wallet says that its budget is used up.",
                created_at=now - 86_400,
                used_at=now,
            )
        )
