"""What tests ask the book of sales."""

from sqlalchemy import func, select

from bitcache_server.models.ledger import Transfer
from bitcache_server.models.sales_book import Sale
from bitcache_server.services.sales_book import sales_book
from tests.support.world import World


def write_book(world: World) -> int:
    """Run the job until it has nothing left to read."""
    walked = 0
    while step := sales_book(world.deps, world.session):
        walked += step
    return walked


def book(world: World, merchant_id: str = "") -> list[Sale]:
    """Write the book up and return a merchant's sales, the world's own unless another is named."""
    write_book(world)
    query = select(Sale).where(Sale.merchant_id == (merchant_id or world.merchant_id))
    query = query.order_by(Sale.created_at, Sale.transfer_id)
    rows = list(world.session.scalars(query.execution_options(populate_existing=True)))
    world.session.expunge_all()
    world.session.rollback()
    return rows


def ledger_net_msat(world: World, merchant_id: str) -> int:
    """Return what sales brought a merchant by the ledger, less what was taken back."""
    account = f"merchant:{merchant_id}"
    total = func.coalesce(func.sum(Transfer.amount_msat), 0)
    sold = select(total).where(Transfer.kind == "sale", Transfer.to_account == account)
    back = select(total).where(Transfer.kind == "reversal", Transfer.from_account == account)
    net = int(world.session.execute(sold).scalar_one() - world.session.execute(back).scalar_one())
    world.session.rollback()
    return net


def book_net_msat(world: World, merchant_id: str) -> int:
    """Return the same by the book."""
    query = select(func.coalesce(func.sum(Sale.net_msat), 0)).where(
        Sale.merchant_id == merchant_id, Sale.state == "paid"
    )
    net = int(world.session.execute(query).scalar_one())
    world.session.rollback()
    return net
