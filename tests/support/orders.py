"""Orders of the world's shop, their customers, and the proof that each was sold once."""

import secrets
from typing import Any

from sqlalchemy import select

from bitcache_server.models.ledger import Grant
from bitcache_server.models.orders import Order
from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchants import add_merchant, add_site
from bitcache_server.tokens.verifier import challenge_of
from tests.support.api import call
from tests.support.shops import assert_nothing_lost
from tests.support.world import ORIGIN, Purchase, World

#: Two lines that come to 12.50 USD: at 1,000 dollars for a bitcoin 1,250,000 sat.
LINES = [
    {"title": "Tea <b>Earl Grey</b>", "quantity": 2, "unit_minor": 500, "tax_ppm": 190_000},
    {"title": "Shipping", "quantity": 1, "unit_minor": 250},
]
TOTAL_MINOR = 1_250
ORDER_MSAT = 1_250_000_000


def order_body(**changed: Any) -> dict[str, Any]:
    """Return what a shop sends."""
    return {
        "reference": f"A-{secrets.token_hex(4)}",
        "currency": "USD",
        "lines": LINES,
        "total_minor": TOTAL_MINOR,
        "return_url": f"{ORIGIN}/thanks?basket=7",
        "cancel_url": f"{ORIGIN}/basket",
        **changed,
    }


def send_order(world: World, **changed: Any) -> Any:
    """Create an order as the shop's server does, and return the answer."""
    return call(world, "POST", "/v1/orders", world.secret, json=order_body(**changed))


def make_order(world: World, **changed: Any) -> dict[str, Any]:
    """Create an order and return it."""
    answer = send_order(world, **changed)
    assert answer.status_code == 201, answer.text
    return dict(answer.get_json())


def sat_order(world: World, total_sat: int = 5_000, **changed: Any) -> dict[str, Any]:
    """Create an order of one line that is priced in sats."""
    lines = [{"title": "A print", "unit_minor": total_sat}]
    return make_order(world, currency="SAT", lines=lines, total_minor=total_sat, **changed)


def read_order(world: World, order_id: str) -> dict[str, Any]:
    """Return the order as the shop reads it now."""
    answer = call(world, "GET", f"/v1/orders/{order_id}", world.secret)
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def cancel(world: World, order_id: str) -> Any:
    """Cancel an order as the shop's server does, and return the answer."""
    return call(world, "POST", f"/v1/orders/{order_id}/cancel", world.secret)


def begin(world: World, order: dict[str, Any]) -> Purchase:
    """Let a customer ask for a code."""
    return world.buy(order["item"])


def ask(world: World, order: dict[str, Any]) -> Any:
    """Ask for a code and return the answer, whatever it is."""
    body = {"item": order["item"], "challenge": challenge_of(secrets.token_urlsafe(32))}
    return world.post("/v1/invoices", {**body, "rail": "fake"})


def other_shop(world: World) -> str:
    """Return the secret of another merchant's site."""
    with write_transaction(world.session):
        merchant = add_merchant(world.deps, world.session, "Bob", None)
        origins = ["https://bob.example"]
        return add_site(world.deps, world.session, merchant.id, "Bob's", origins).secret


def assert_sold_once(world: World) -> None:
    """Work out every fact again, and that exactly the paid orders have one living grant."""
    assert_nothing_lost(world)
    session = world.session
    for order in session.scalars(select(Order)).all():
        grants = session.scalars(select(Grant).where(Grant.item_id == order.item_id)).all()
        alive = [grant for grant in grants if grant.revoked_at is None]
        assert len(alive) == (1 if order.state == "paid" else 0), order.state
        if order.state == "paid":
            paid = (order.paid_by, order.paid_group, order.paid_msat)
            assert paid == (alive[0].owner_id, alive[0].group_id, alive[0].price_msat)
    session.rollback()
