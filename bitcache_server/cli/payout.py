"""``bitcache payout``: money that leaves, to readers and merchants."""

import sys

import click
from sqlalchemy.orm import Session

from bitcache_server.cli.output import emit, fields, json_option, moment, note, table
from bitcache_server.cli.work import work
from bitcache_server.domain.money import format_sat
from bitcache_server.domain.payout_state import PayoutState
from bitcache_server.domain.words import count
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchant_payouts import request_merchant_payout
from bitcache_server.services.payout_approvals import (
    approve_payout,
    cancel_payout,
    reject_payout,
)
from bitcache_server.services.payout_batches import run_payouts, set_aside
from bitcache_server.services.payout_contradictions import take_note
from bitcache_server.services.payout_resolutions import Ending, resolve_payout
from bitcache_server.services.payout_restores import hold_after_restore, release_payout
from bitcache_server.services.payout_views import (
    OperatorPayoutView,
    OperatorWord,
    list_payouts,
    operator_payout_view,
    short_destination,
)
from bitcache_server.services.payouts import get_payout

_as_option = click.option("--as", "name", required=True, metavar="NAME", help="Who you are.")
_HEADERS = ["payout", "state", "amount", "whose", "to", "asked for", "note"]


@click.group()
def payout() -> None:
    """Look at payouts, approve large ones, pay merchants."""


@payout.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in PayoutState]),
    help="Only these; without it, those that are not final.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Go on after an earlier list; printed at its end.")
@json_option
def list_(states: tuple[str, ...], limit: int, cursor: str | None) -> None:
    """List payouts, newest first, and why they wait."""
    with work() as w:
        page = list_payouts(w.session, states or None, cursor, limit)
        views = [operator_payout_view(w.session, row) for row in page.rows]
        rows = [
            [
                v.id,
                v.state,
                format_sat(v.amount_msat),
                v.owner,
                short_destination(v.address),
                moment(v.created_at),
                v.reason,
            ]
            for v in views
        ]
        emit(
            {"payouts": [v.model_dump() for v in views], "next_cursor": page.next_cursor},
            table(_HEADERS, rows),
        )
        if page.next_cursor:
            note(f"There are more: --cursor {page.next_cursor}")


@payout.command()
@click.argument("payout_id", metavar="PAYOUT")
@json_option
def show(payout_id: str) -> None:
    """Show a payout: where it goes, who approved it, which transaction carries it."""
    with work() as w:
        _emit(w.session, get_payout(w.session, payout_id))


@payout.command()
@click.argument("payout_id", metavar="PAYOUT")
@_as_option
@json_option
def approve(payout_id: str, name: str) -> None:
    """Approve a large payout; two different operators must.

    Asks for your secret, or reads it from standard input.

    \b
    Example:
      bitcache payout approve po_… --as ada
    """
    secret = _secret()
    with work() as w:
        with write_transaction(w.session):
            approve_payout(w.deps, w.session, payout_id, name, secret)
        _emit(w.session, get_payout(w.session, payout_id))


@payout.command()
@click.argument("payout_id", metavar="PAYOUT")
@_as_option
@click.option("--reason", default="", help="Shown to who asked for the payout.")
@json_option
def reject(payout_id: str, name: str, reason: str) -> None:
    """Reject a payout that waits for approval; its money goes back.

    Asks for your secret, or reads it from standard input.
    """
    secret = _secret()
    with work() as w:
        with write_transaction(w.session):
            reject_payout(w.deps, w.session, payout_id, name, secret, reason)
        _emit(w.session, get_payout(w.session, payout_id))


@payout.command()
@click.argument("payout_id", metavar="PAYOUT")
@click.option("--as", "name", default="", metavar="NAME", help="Who you are; see below.")
@click.option("--reason", default="", help="Shown to who asked for the payout.")
@json_option
def cancel(payout_id: str, name: str, reason: str) -> None:
    """Take back a payout before it is signed; its money goes back.

    One that may have been paid since a backup was taken needs an operator who has seen that
    it was not: with `--as` it asks for your secret, or reads it from standard input.
    """
    secret = _secret() if name else ""
    with work() as w:
        with write_transaction(w.session):
            cancel_payout(w.deps, w.session, payout_id, reason, name=name, secret=secret)
        _emit(w.session, get_payout(w.session, payout_id))


@payout.command("set-aside")
@click.argument("payout_id", metavar="PAYOUT")
@json_option
def set_aside_(payout_id: str) -> None:
    """Let others go first while the node refuses the transaction of this payout.

    Its money stays reserved and the same transaction is sent again and again: a signed
    transaction can never be called back, only its coins can be spent otherwise.
    """
    with work() as w:
        set_aside(w.deps, w.session, payout_id)
        w.session.rollback()
        _emit(w.session, get_payout(w.session, payout_id))


@payout.command()
@click.argument("payout_id", metavar="PAYOUT")
@_as_option
@click.option("--settled/--failed", "is_settled", default=None, help="What became of it.")
@click.option("--reason", default="", help="How you know; shown to the owner if it failed.")
@click.option("--preimage", default="", metavar="HEX", help="The payee's proof, if there is one.")
@click.option(
    "--fee-msat",
    type=click.IntRange(0),
    help="What the network took, in msat; of a transaction on-chain all of it.",
)
@click.option(
    "--transaction",
    default="",
    metavar="HASH",
    help="Of a payout that is held after a restored backup: what paid it.",
)
@json_option
def resolve(
    payout_id: str,
    name: str,
    is_settled: bool | None,
    reason: str,
    preimage: str,
    fee_msat: int | None,
    transaction: str,
) -> None:
    """Say what became of a Lightning payout whose node is gone for good.

    Two operators who say the same end it: `--settled` books it as paid, `--failed` gives
    the money back. Refused while the node of the settings knows the payout or does not
    answer, and while a call to it may be under way. Both must name the same fee, which is
    0 if left out over Lightning. Asks for your secret, or reads it from standard input.

    \b
    Example:
      bitcache payout resolve po_… --as ada --failed --reason "Channel closed, never left."
    """
    if is_settled is None:
        raise click.UsageError("Say --settled or --failed.")
    secret = _secret()
    ending = Ending(is_settled, reason, preimage, fee_msat, transaction)
    with work() as w:
        resolve_payout(w.deps, w.session, payout_id, name, secret, ending)
        _emit(w.session, get_payout(w.session, payout_id))


@payout.command("take-note")
@click.argument("payout_id", metavar="PAYOUT")
@_as_option
@json_option
def take_note_(payout_id: str, name: str) -> None:
    """Say that you know that a node contradicts what operators said of a payout.

    The doctor is silent about it from then on; nothing is booked. Asks for your secret,
    or reads it from standard input.
    """
    secret = _secret()
    with work() as w:
        with write_transaction(w.session):
            take_note(w.deps, w.session, payout_id, name, secret)
        _emit(w.session, get_payout(w.session, payout_id))


@payout.command()
@json_option
def restored() -> None:
    """Say that the database came from a backup, before the jobs start again.

    Holds every open payout that may have been paid since the backup: to an address, and
    behind a link; and what merchants are paid next. Invoices go on, because a node pays
    each once.
    """
    with work() as w:
        held = hold_after_restore(w.deps, w.session)
    emit(
        {"held": held},
        [
            f"{count(held, 'payout is', 'payouts are')} held. `bitcache payout list` shows them.",
            "So is what merchants are paid next, until one of these payouts is released.",
        ],
    )


@payout.command()
@click.argument("payout_id", metavar="PAYOUT")
@_as_option
@json_option
def release(payout_id: str, name: str) -> None:
    """Let a payout go on that is held after a restored backup: it was not paid since.

    Asks for your secret, or reads it from standard input.
    """
    secret = _secret()
    with work() as w:
        with write_transaction(w.session):
            release_payout(w.deps, w.session, payout_id, name, secret)
        _emit(w.session, get_payout(w.session, payout_id))


@payout.command("run-now")
@json_option
def run_now() -> None:
    """Send what waits, without waiting for more to gather; asks about what was sent."""
    signed = 0
    with work() as w:
        for rail in w.deps.rails.values():
            signed += run_payouts(w.deps, w.session, rail, at_once=True)
        page = list_payouts(w.session, None, None, 1_000)
        views = [operator_payout_view(w.session, row) for row in page.rows]
    rows = [[v.id, v.state, format_sat(v.amount_msat), v.reason] for v in views]
    document = {"signed": signed, "payouts": [v.model_dump() for v in views]}
    lines = table(["payout", "state", "amount", "note"], rows)
    emit(document, [f"{count(signed, 'payout was', 'payouts were')} signed. Not final:", *lines])


@payout.command()
@click.argument("merchant_id", metavar="MERCHANT")
@click.option("--sat", "amount_sat", type=click.IntRange(1), help="How much; all if left out.")
@json_option
def request(merchant_id: str, amount_sat: int | None) -> None:
    """Pay a merchant's balance out, to the address stored for them.

    The next transaction carries it, or `bitcache payout run-now`.
    """
    with work() as w:
        asked = request_merchant_payout(w.deps, w.session, merchant_id, amount_sat=amount_sat)
        _emit(w.session, asked)


def _secret() -> str:
    """Return the operator's secret: from a prompt that does not show it, or from a pipe."""
    if sys.stdin.isatty():
        return str(click.prompt("Secret", hide_input=True, err=True))
    return sys.stdin.readline().strip()


def _fee(view: OperatorPayoutView) -> str:
    fee = format_sat(view.fee_msat)
    if not view.fee_returned_msat:
        return fee
    return f"{fee}, of which {format_sat(view.fee_returned_msat)} went back"


def _emit(session: Session, found: Payout) -> None:
    view = operator_payout_view(session, found)
    emit(view.model_dump(), _lines(view))


def _lines(view: OperatorPayoutView) -> list[str]:
    return fields(
        [
            ("payout", view.id),
            ("state", view.state),
            ("owner", view.owner),
            # What waits behind a link has no destination before somebody claims it.
            ("to", f"{view.address or 'whoever claims the link'} ({view.rail})"),
            ("amount", format_sat(view.amount_msat)),
            ("fee reserve" if view.rail == "lightning" else "network fee", _fee(view)),
            ("transaction", view.transaction or "-"),
            ("approved by", ", ".join(view.approvals) or "-"),
            ("note", view.reason or "-"),
            ("asked for", moment(view.created_at)),
            ("settled", moment(view.settled_at)),
            *[("said", _word(word)) for word in view.words],
        ]
    )


def _word(word: OperatorWord) -> str:
    said = "settled" if word.settled else "failed"
    return f"{said}, by {word.operator}, {moment(word.said_at)}: {word.reason or word.preimage}"
