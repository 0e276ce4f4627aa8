"""``bitcache merchant statement``: what happened in a merchant's account."""

import csv
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime

import click

from bitcache_server.cli.output import emit, json_option, moment, table, wants_json
from bitcache_server.cli.work import work
from bitcache_server.domain.money import format_sat
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.statement import StatementLine, all_lines
from bitcache_server.services.texts import table_cell

_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
_COLUMNS = ("time", "kind", "words", "amount_msat", "item", "title", "holder", "payout")


@click.command()
@click.argument("merchant_id", metavar="MERCHANT")
@click.option("--since", type=click.DateTime(_TIMES), help="From this day or time on, in UTC.")
@click.option("--until", type=click.DateTime(_TIMES), help="Before this day or time, in UTC.")
@click.option("--csv", "as_csv", is_flag=True, help="For a spreadsheet: amounts in msat.")
@json_option
def statement(
    merchant_id: str, since: datetime | None, until: datetime | None, as_csv: bool
) -> None:
    """List what happened in a merchant's account, newest first.

    \b
    Example:
      bitcache merchant statement me_… --since 2026-01-01 --until 2026-02-01 --csv > january.csv
    """
    if as_csv and wants_json():
        raise click.UsageError("Give either --csv or --json.")
    with work() as w:
        found_id = get_merchant(w.session, merchant_id).id
        lines = all_lines(w.deps, w.session, found_id, _seconds(since), _seconds(until))
        if as_csv:
            _write_csv(lines)
            return
        known = list(lines)
    rows = [
        [
            moment(line.created_at),
            format_sat(line.amount_msat),
            line.words,
            line.title or line.payout_id or "",
            line.holder or "",
        ]
        for line in known
    ]
    emit(
        {"merchant": merchant_id, "lines": [asdict(line) for line in known]},
        table(["time", "amount", "what", "item or payout", "holder"], rows),
    )


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.replace(tzinfo=UTC).timestamp())


def _write_csv(lines: Iterable[StatementLine]) -> None:
    """Write lines as they are read: a long statement needs little memory (RFC 4180)."""
    writer = csv.writer(sys.stdout)
    writer.writerow(_COLUMNS)
    for line in lines:
        texts = (line.item_id, line.title, line.holder, line.payout_id)
        writer.writerow(
            [
                moment(line.created_at),
                line.kind,
                line.words,
                line.amount_msat,
                *(table_cell(text or "") for text in texts),
            ]
        )
