"""``bitcache merchant handle`` and ``lightning-address``: where a merchant is paid by name."""

import click

from bitcache_server.cli.output import emit, fields, json_option
from bitcache_server.cli.work import work
from bitcache_server.models.session import write_transaction
from bitcache_server.services.handles import address_of, require_receiver, set_handle
from bitcache_server.services.lightning_addresses import TRUST, set_lightning_address


@click.command()
@click.argument("merchant_id", metavar="MERCHANT")
@click.argument("name", required=False)
@click.option("--remove", is_flag=True, help="Take the name away.")
@json_option
def handle(merchant_id: str, name: str | None, remove: bool) -> None:
    """Give a merchant the Lightning address NAME@your-host.

    What anybody sends there is received by your node and booked as what you owe them.

    \b
    Examples:
      bitcache merchant handle me_… jane
      bitcache merchant handle me_… --remove
    """
    if (name is None) != remove:
        raise click.UsageError("Give a name, or --remove.")
    with work() as w:
        if name is not None:
            require_receiver(w.deps)
        with write_transaction(w.session):
            found = set_handle(w.session, merchant_id, name)
            address = address_of(w.deps.settings, found)
        emit(
            {"id": merchant_id, "handle": found.handle, "address": address},
            fields([("merchant", merchant_id), ("Lightning address", address or "none")]),
        )


@click.command("lightning-address")
@click.argument("merchant_id", metavar="MERCHANT")
@click.argument("address", required=False)
@click.option("--remove", is_flag=True, help="Receive for them yourself again.")
@json_option
def lightning_address(merchant_id: str, address: str | None, remove: bool) -> None:
    """Pay a merchant at a Lightning address of their own, without any node.

    It is asked first: it must answer, make invoices for this network and say whether they
    were paid (LUD-21). Its provider receives the money, and you and the readers trust its
    word. Your commission is not taken from the payments but owed; see the statement.

    \b
    Examples:
      bitcache merchant lightning-address me_… jane@wallet.example
      bitcache merchant lightning-address me_… --remove
    """
    if (address is None) != remove:
        raise click.UsageError("Give an address, or --remove.")
    with work() as w:
        found = set_lightning_address(w.deps, w.session, merchant_id, address)
        stored = found.lightning_address
        lines = fields([("merchant", merchant_id), ("Lightning address", stored or "none")])
        lines += ["", TRUST] if stored else []
        emit({"id": merchant_id, "lightning_address": stored}, lines)
