"""A shop that takes real bitcoin of a regtest chain, with readers who pay from their own keys."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from bitcache_server import wiring
from bitcache_server.app import create_app
from bitcache_server.extensions import db
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import Rail
from bitcache_server.rails.fake import FakeRail
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.merchants import add_merchant, add_site
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.watch_rail import watch_rail
from demo.regtest.node import RegtestNode
from tests.support.payer import FINAL, Coin, Payer, new_account_key, new_descriptor
from tests.support.world import ORIGIN, MovableClock, Purchase, World, make_settings

COIN_SAT = 5_000_000
PRICE_SAT = 5_000


class Reader:
    """Has some confirmed coins and pays with one of them each time."""

    def __init__(self, node: RegtestNode, coins: int = 3) -> None:
        self.node = node
        self.payer = Payer(node)
        self.coins = [self.payer.coin(COIN_SAT) for _ in range(coins)]
        self.spent: dict[str, Coin] = {}
        node.mine(1)

    def pay(self, purchase: Purchase, *amounts_sat: int, sequence: int = FINAL) -> str:
        """Pay the invoice's address, one output for each amount; return the txid."""
        [request] = purchase.invoice["requests"]
        outputs = [(request["address"], sat) for sat in amounts_sat or (request["amount_sat"],)]
        return self.spend(self.coins.pop(), outputs, sequence)

    def spend(self, coin: Coin, outputs: Sequence[tuple[str, int]], sequence: int = FINAL) -> str:
        """Send a transaction that spends the coin; return the txid."""
        raw = self.payer.spend(coin, outputs, sequence=sequence)
        txid = str(self.node.rpc.sendrawtransaction(raw))
        self.spent[txid] = coin
        return txid

    def spend_elsewhere(self, txid: str, rival: RegtestNode) -> str:
        """Give the coin of a payment to the rival's miners in another transaction."""
        raw = self.payer.spend(self.spent[txid], [(self.payer.address, 2_000)])
        return str(rival.rpc.sendrawtransaction(raw))


@contextmanager
def opened_node_shop(
    folder: Path, database_url: str, node_url: str, rail: Rail | None = None, **settings: Any
) -> Iterator[World]:
    """Give a shop whose only rail is a real node, wired as in production."""
    chosen = {"rails": ["onchain"], "node_url": node_url, **settings}
    operator = f"wpkh({new_account_key().to_public().to_base58()}/0/*)"
    made = make_settings(folder, database_url, **{"onchain_descriptor": operator, **chosen})
    clock = MovableClock()
    clock.now = int(time.time())
    deps = wiring.build(made, clock=clock, rails=None if rail is None else {"onchain": rail})
    # What a test tells the fake rail, it does here with a node; the watch is the same.
    world = World(create_app(deps), deps, cast(FakeRail, deps.rail("onchain")), clock)
    with world.app.app_context():
        refresh_rates(deps, world.session)
        _stock(world)
        yield world
        db.session.remove()
        db.engine.dispose()


def _stock(world: World) -> None:
    session = world.session
    with write_transaction(session):
        descriptor = None if world.deps.settings.onchain_descriptor else new_descriptor()
        merchant = add_merchant(world.deps, session, "Ada", descriptor)
        new = add_site(world.deps, session, merchant.id, "Ada's blog", [ORIGIN])
        article = NewItem(
            title="On engines", price=PRICE_SAT, currency="SAT", content_html="<p>Locked.</p>"
        )
        world.merchant_id, world.site_id, world.secret = merchant.id, new.site.id, new.secret
        world.article_id = add_item(world.deps, session, new.site, article).id


def catch_up(world: World) -> None:
    """Ask the node how it is and watch, as the jobs do."""
    record_health(world.deps, world.session, world.rail)
    watch_rail(world.deps, world.session, world.rail)
