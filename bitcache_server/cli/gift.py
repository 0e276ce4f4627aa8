"""``bitcache gift``: links with money behind them, at the operator's cost."""

from typing import Any

import click

from bitcache_server.cli.durations import duration_s
from bitcache_server.cli.output import emit, json_option, moment, shown, table
from bitcache_server.cli.work import Work, work
from bitcache_server.domain.payout_state import PayoutState
from bitcache_server.services.gift_outlook import GiftOutlook, gift_outlook
from bitcache_server.services.withdraw_links import (
    GIFT_LIFETIME_S,
    MAX_AT_ONCE,
    NewLink,
    create_gifts,
)


@click.group()
def gift() -> None:
    """Make links that turn into sats in whatever Lightning wallet scans them."""


@gift.command()
@click.argument("amount_sat", metavar="AMOUNT", type=click.IntRange(1))
@click.option(
    "--count",
    type=click.IntRange(1, MAX_AT_ONCE),
    default=1,
    show_default=True,
    help="How many, each of this amount.",
)
@click.option(
    "--expires",
    type=duration_s,
    metavar="TIME",
    default=f"{GIFT_LIFETIME_S // 86_400}d",
    show_default=True,
    help="When what nobody took comes back.",
)
@json_option
def create(amount_sat: int, count: int, expires: int) -> None:
    """Make links over AMOUNT sats each; the money is put aside now, from your promotion account.

    Whoever has a link can take its money, once. Print or send them; they are shown only now.
    Large ones wait for two operators, as every large payout does; that is said below them.
    Take one back with `bitcache payout cancel`.

    \b
    Example:
      bitcache gift create 1000 --count 20 --expires 14d
    """
    with work() as w:
        made = create_gifts(w.deps, w.session, amount_sat, count, expires)
        outlook = gift_outlook(w.deps, w.session, made)
        documents = [_document(w, link, outlook) for link in made]
    rows = [[d["payout"], d["state"], d["url"], moment(d["expires_at"])] for d in documents]
    notes = ["", *map(shown, outlook.notes)] if outlook.notes else []
    emit(
        {"gifts": documents, "notes": list(outlook.notes)},
        [*table(["payout", "state", "link", "until"], rows), *notes],
    )


def _document(w: Work, link: NewLink, outlook: GiftOutlook) -> dict[str, Any]:
    waits = link.payout_id in outlook.for_approval
    return {
        "payout": link.payout_id,
        "state": (PayoutState.APPROVAL if waits else PayoutState.OFFERED).value,
        "url": f"{w.deps.settings.public_url}/gift/{link.secret}",
        "amount_msat": link.amount_msat,
        "expires_at": link.expires_at,
    }
