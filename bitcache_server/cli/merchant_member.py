"""``bitcache merchant member``: who works for a merchant in the dashboard."""

from dataclasses import asdict

import click

from bitcache_server.cli.output import emit, json_option, moment, table
from bitcache_server.cli.work import work
from bitcache_server.models.session import write_transaction
from bitcache_server.services.account_admin import require_account
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.members import Role
from bitcache_server.services.people import add_member, list_people, remove_member


@click.group()
def member() -> None:
    """Say who works for a merchant in the dashboard, and in which role."""


@member.command()
@click.argument("merchant_id", metavar="MERCHANT")
@click.argument("login")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.OWNER.value,
    show_default=True,
)
@json_option
def add(merchant_id: str, login: str, role: str) -> None:
    """Let an account work for a merchant.

    Whoever has no account yet gets one by: bitcache account invite --merchant …

    \b
    Example:
      bitcache merchant member add me_… jane@blog.example --role owner
    """
    with work() as w, write_transaction(w.session):
        found = require_account(w.session, login)
        add_member(w.deps, w.session, merchant_id, found.id, Role(role))
        known = found.login
    document = {"merchant": merchant_id, "login": known, "role": role}
    emit(document, [f"{known} works for {merchant_id} as {role}."])


@member.command()
@click.argument("merchant_id", metavar="MERCHANT")
@click.argument("login")
@json_option
def remove(merchant_id: str, login: str) -> None:
    """End somebody's work for a merchant; the last owner stays."""
    with work() as w, write_transaction(w.session):
        found = require_account(w.session, login)
        remove_member(w.deps, w.session, merchant_id, found.id, None)
        known = found.login
    document = {"merchant": merchant_id, "login": known}
    emit(document, [f"{known} works for {merchant_id} no longer."])


@member.command("list")
@click.argument("merchant_id", metavar="MERCHANT")
@json_option
def list_(merchant_id: str) -> None:
    """List who works for a merchant."""
    with work() as w:
        found = list_people(w.session, get_merchant(w.session, merchant_id).id)
    rows = [
        [one.login, one.name, one.role, moment(one.since), moment(one.seen_at)] for one in found
    ]
    headers = ["login", "name", "role", "since", "last seen"]
    document = {"merchant": merchant_id, "members": [asdict(one) for one in found]}
    emit(document, table(headers, rows))
