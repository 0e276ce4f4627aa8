"""``bitcache operator``: the people who approve large payouts."""

from typing import Any

import click

from bitcache_server.cli.output import emit, fields, json_option, moment, table
from bitcache_server.cli.work import work
from bitcache_server.models.payouts import Operator
from bitcache_server.models.session import write_transaction
from bitcache_server.services.payout_approvals import (
    add_operator,
    list_operators,
    remove_operator,
)


@click.group()
def operator() -> None:
    """Add and remove the people who approve large payouts."""


@operator.command()
@click.argument("name")
@json_option
def add(name: str) -> None:
    """Add an operator; prints a secret, once.

    Give it to that person and keep no copy: a large payout needs two people.

    \b
    Example:
      bitcache operator add ada
    """
    with work() as w:
        with write_transaction(w.session):
            added = add_operator(w.deps, w.session, name)
            document = _document(added.operator)
        lines = fields([("operator", document["name"]), ("since", moment(document["created_at"]))])
        secret = f"Secret for this person alone, shown only now: {added.secret}"
        emit({**document, "secret": added.secret}, [*lines, "", secret])


@operator.command()
@click.argument("name")
@json_option
def remove(name: str) -> None:
    """Remove an operator: the secret, and approvals of payouts that still wait, count no more."""
    with work() as w:
        with write_transaction(w.session):
            document = _document(remove_operator(w.deps, w.session, name))
        emit(document, [f"{document['name']} approves nothing any more."])


@operator.command("list")
@json_option
def list_() -> None:
    """List all operators, the removed ones as well."""
    with work() as w:
        documents = [_document(found) for found in list_operators(w.session)]
    rows = [[d["name"], moment(d["created_at"]), moment(d["removed_at"])] for d in documents]
    emit({"operators": documents}, table(["operator", "since", "removed"], rows))


def _document(found: Operator) -> dict[str, Any]:
    return {
        "name": found.name,
        "created_at": found.created_at,
        "removed_at": found.removed_at,
    }
