"""One of each thing that a merchant has, by the name that addresses give it."""

from collections.abc import Callable

from bitcache_server.domain.payout_state import PayoutState
from bitcache_server.ledger import chart
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import write_transaction
from bitcache_server.services.api_keys import KeyOrder, add_key
from bitcache_server.services.invitations import invite
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import get_site
from bitcache_server.services.order_links import NewLink, add_link
from bitcache_server.services.webhook_endpoints import list_endpoints
from bitcache_server.tokens.secrets import new_id
from tests.support.dashboard import sign_in
from tests.support.orders import make_order
from tests.support.sales_book import book
from tests.support.webhooks import deliveries, happen, listen
from tests.support.world import World


def _account(world: World) -> str:
    return sign_in(world, Role.EDITOR).account_id


def _invitation(world: World) -> str:
    with write_transaction(world.session):
        made = invite(world.deps, world.session, merchant_id=world.merchant_id, role=Role.EDITOR)
    return made.id


def _site(world: World) -> str:
    return world.site_id


def _item(world: World) -> str:
    return world.article_id


def _key(world: World) -> str:
    order = KeyOrder(world.site_id, "A script", ["items:read"], None)
    with write_transaction(world.session):
        made = add_key(world.deps, world.session, world.merchant_id, "", order)
    return made.key.id


def _payout(world: World) -> str:
    with write_transaction(world.session):
        row = Payout(
            id=new_id("po"),
            owner_account=chart.merchant(world.merchant_id),
            rail="fake",
            destination="fake:ada",
            amount_msat=1_000,
            fee_msat=0,
            state=PayoutState.FAILED.value,
            idempotency_key=new_id("key"),
            created_at=world.clock.now,
        )
        world.session.add(row)
        payout_id = row.id
    return payout_id


def _order(world: World) -> str:
    return str(make_order(world)["id"])


def _link(world: World) -> str:
    new = NewLink(title="Mending", currency="SAT", price="5000")
    with write_transaction(world.session):
        site = get_site(world.session, world.site_id)
        link_id = add_link(world.deps, world.session, site, new).id
    return link_id


def _sale(world: World) -> str:
    world.pay(world.buy())
    [sale] = book(world)
    return sale.id


def _endpoint(world: World) -> str:
    known = list_endpoints(world.session, world.merchant_id)
    return known[0].id if known else listen(world, "https://hooks.example/in").endpoint.id


def _delivery(world: World) -> str:
    endpoint_id = _endpoint(world)
    happen(world)
    return str(deliveries(world, endpoint_id)[-1].id)


#: Name of an argument in addresses to what makes such an object of ``world.merchant_id``.
ARGUMENTS: dict[str, Callable[[World], str]] = {
    "account_id": _account,
    "delivery_id": _delivery,
    "endpoint_id": _endpoint,
    "invitation_id": _invitation,
    "item_id": _item,
    "key_id": _key,
    "link_id": _link,
    "order_id": _order,
    "payout_id": _payout,
    "sale_id": _sale,
    "site_id": _site,
}
