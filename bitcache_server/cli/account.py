"""``bitcache account``: the people who use the dashboard."""

from dataclasses import asdict

import click

from bitcache_server.cli.output import emit, fields, json_option, moment, table
from bitcache_server.cli.work import work
from bitcache_server.models.session import write_transaction
from bitcache_server.services.account_admin import (
    end_sessions,
    list_accounts,
    new_link,
    open_account,
    set_operator,
)
from bitcache_server.services.invitations import invite as make_invitation
from bitcache_server.services.mail_links import RESET
from bitcache_server.services.members import Role


@click.group()
def account() -> None:
    """Accounts of people: merchants' and the operator's own."""


@account.command("add")
@click.argument("login")
@click.option("--name", required=True, help="What other people call them.")
@click.option("--operator", "is_operator", is_flag=True, help="They see the operator's pages, too.")
@json_option
def add_(login: str, name: str, is_operator: bool) -> None:
    """Open an account, and print a link with which its person sets a password.

    \b
    Examples:
      bitcache account add jane@blog.example --name Jane
      bitcache merchant member add me_… jane@blog.example --role owner
    """
    with work() as w, write_transaction(w.session):
        added = open_account(w.deps, w.session, login, name, is_operator=is_operator)
        link = new_link(w.deps, w.session, added.login)
        document = {"id": added.id, "login": added.login, "name": added.name, "link": link}
    lines = fields([("account", document["id"]), ("login", document["login"])])
    emit(document, [*lines, "", *_link_lines(document["login"], link)])


@account.command()
@click.argument("login")
@json_option
def reset(login: str) -> None:
    """Print a link with which somebody sets a new password; all their browsers are then out."""
    with work() as w, write_transaction(w.session):
        link = new_link(w.deps, w.session, login)
    emit({"login": login, "link": link}, _link_lines(login, link))


def _link_lines(login: str, link: str) -> list[str]:
    return [
        f"Link for this person alone, once, within {RESET.lifetime_s // 60} minutes: {link}",
        f"Another one: bitcache account reset {login}",
    ]


@account.command("list")
@json_option
def list_() -> None:
    """List all accounts."""
    with work() as w:
        found = list_accounts(w.session)
    rows = [
        [
            one.login,
            one.name,
            "operator" if one.is_operator else "",
            str(one.merchants),
            moment(one.seen_at),
            one.id,
        ]
        for one in found
    ]
    headers = ["login", "name", "", "merchants", "last seen", "account"]
    emit({"accounts": [asdict(one) for one in found]}, table(headers, rows))


@account.command()
@click.option(
    "--merchant", "merchant_id", help="Whom they will work for; else they open their own."
)
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    help="With --merchant; default owner.",
)
@click.option("--for", "remark", default="", help="For whom it is; you and the owners read it.")
@click.option("--email", default="", help="Mail the link to this address, too.")
@json_option
def invite(merchant_id: str | None, role: str | None, remark: str, email: str) -> None:
    """Print a link that lets one person sign up, or work for a merchant.

    It works once, and for seven days.

    \b
    Examples:
      bitcache account invite --for "Jane of the blog"
      bitcache account invite --merchant me_… --role owner --for Jane
    """
    if role is not None and merchant_id is None:
        raise click.UsageError("Give --role with --merchant.")
    with work() as w, write_transaction(w.session):
        made = make_invitation(
            w.deps,
            w.session,
            merchant_id=merchant_id,
            role=Role(role or Role.OWNER) if merchant_id else None,
            remark=remark,
            email=email,
        )
    document = {
        "id": made.id,
        "link": made.link,
        "expires_at": made.expires_at,
        "mailed": made.is_mailed,
    }
    lines = fields([("invitation", made.id), ("ends", moment(made.expires_at))])
    mailed = ["It is mailed as well."] if made.is_mailed else []
    emit(
        document, [*lines, *mailed, "", f"Link for this person alone, shown only now: {made.link}"]
    )


@account.command("end-sessions")
@click.argument("login")
@json_option
def end_sessions_(login: str) -> None:
    """Sign an account out in every browser."""
    with work() as w, write_transaction(w.session):
        ended = end_sessions(w.deps, w.session, login)
    browsers = "one browser" if ended == 1 else f"{ended} browsers"
    emit({"login": login, "ended": ended}, [f"{login} is signed out of {browsers}."])


@account.group()
def operator() -> None:
    """Say which accounts see the operator's pages."""


@operator.command()
@click.argument("login")
@json_option
def add(login: str) -> None:
    """Let an account see and use the operator's pages."""
    _set_operator(login, True, "sees the operator's pages from now on.")


@operator.command()
@click.argument("login")
@json_option
def remove(login: str) -> None:
    """Make it an ordinary account again."""
    _set_operator(login, False, "does not see the operator's pages any more.")


def _set_operator(login: str, is_operator: bool, words: str) -> None:
    with work() as w, write_transaction(w.session):
        found = set_operator(w.deps, w.session, login, is_operator)
        document = {"id": found.id, "login": found.login, "is_operator": found.is_operator}
    emit(document, [f"{document['login']} {words}"])
