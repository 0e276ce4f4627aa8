"""``bitcache refund``: give a purchase back on behalf of its merchant."""

import click

from bitcache_server.cli.output import emit, json_option
from bitcache_server.cli.work import work
from bitcache_server.domain.money import format_sat
from bitcache_server.models.session import write_transaction
from bitcache_server.services.items import get_item
from bitcache_server.services.merchants import get_site
from bitcache_server.services.refund import refund_by_merchant


@click.command()
@click.argument("holder", metavar="HOLDER")
@click.argument("item_id", metavar="ITEM")
@json_option
def refund(holder: str, item_id: str) -> None:
    """Give a purchase back in full, your commission included, and end its grant.

    HOLDER is an invoice, or a reader as the merchant's statement names them: ho_…
    What was paid by invoice becomes credit of the invoice: its payer may move it to a
    balance or buy again.

    \b
    Example:
      bitcache refund in_… it_…
    """
    with work() as w:
        with write_transaction(w.session):
            site = get_site(w.session, get_item(w.session, item_id).site_id)
            made = refund_by_merchant(w.deps, w.session, site, holder, item_id)
            amount = format_sat(made.amount_msat)
            document = {
                "id": made.id,
                "holder": holder,
                "item": made.item_id,
                "amount_msat": made.amount_msat,
                "created_at": made.created_at,
            }
        emit(document, [f"Gave {amount} back to {holder}."])
