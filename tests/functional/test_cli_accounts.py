"""Accounts and members from the command line."""

from pathlib import Path
from urllib.parse import unquote

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bitcache_server import wiring
from bitcache_server.domain.errors import LinkInvalid
from bitcache_server.models.accounts import Account, AccountSession, AuditEntry, Invitation
from bitcache_server.models.session import write_transaction
from bitcache_server.services.mail_links import reset_password
from bitcache_server.settings import load_settings
from bitcache_server.tokens.secrets import hash_secret, new_id
from tests.support.cli import Cli, write_config
from tests.support.world import START

ADA, BEA = "ada@blog.example", "bea"


@pytest.fixture
def cli(tmp_path: Path, database_url: str) -> Cli:
    settings = {"rails": ["fake"], "node_url": None, "public_url": "https://pay.example"}
    return Cli(write_config(tmp_path, database_url=database_url, **settings))


@pytest.fixture
def merchant_id(cli: Cli) -> str:
    return str(cli.ask("merchant", "add", "--name", "Jane")["id"])


@pytest.fixture(autouse=True)
def accounts(session: Session) -> None:
    """Two people, one of whom is signed in twice."""
    with write_transaction(session):
        for login in (ADA, BEA):
            session.add(
                Account(
                    id="ac_" + login.partition("@")[0],
                    login=login,
                    name=login.title(),
                    totp_last_step=0,
                    is_operator=False,
                    created_at=START,
                )
            )
        for number in range(2):
            session.add(
                AccountSession(
                    account_id="ac_ada",
                    id=new_id("as"),
                    secret_hash=str(number),
                    label="",
                    created_at=START,
                    seen_at=START + number,
                )
            )


def actions(session: Session) -> list[tuple[str, str]]:
    session.rollback()
    found = session.scalars(select(AuditEntry))
    return sorted((row.action, row.subject) for row in found)


def test_accounts_are_listed(cli: Cli, merchant_id: str) -> None:
    cli.ask("merchant", "member", "add", merchant_id, ADA)
    cli.ask("account", "operator", "add", BEA)
    ada, bea = cli.ask("account", "list")["accounts"]
    assert (ada["login"], ada["merchants"], ada["is_operator"]) == (ADA, 1, False)
    assert (ada["seen_at"], bea["seen_at"]) == (START + 1, None)
    assert (bea["login"], bea["merchants"], bea["is_operator"]) == (BEA, 0, True)
    shown = cli.run("account", "list").stdout
    assert "2027-01-15 08:00:01Z" in shown
    assert "operator" in shown


def test_an_existing_merchant_gets_an_owner_and_keeps_one(
    cli: Cli, session: Session, merchant_id: str
) -> None:
    added = cli.ask("merchant", "member", "add", merchant_id, ADA.upper())
    assert added == {"merchant": merchant_id, "login": ADA, "role": "owner"}
    assert cli.refuse("merchant", "member", "add", merchant_id, ADA)[0] == "invalid_request"
    assert cli.refuse("merchant", "member", "remove", merchant_id, ADA)[0] == "last_owner"
    cli.ask("merchant", "member", "add", merchant_id, BEA, "--role", "accountant")
    [ada, bea] = cli.ask("merchant", "member", "list", merchant_id)["members"]
    assert (ada["login"], ada["role"]) == (ADA, "owner")
    assert (bea["login"], bea["role"]) == (BEA, "accountant")
    assert "accountant" in cli.run("merchant", "member", "list", merchant_id).stdout
    cli.ask("merchant", "member", "remove", merchant_id, BEA)
    assert len(cli.ask("merchant", "member", "list", merchant_id)["members"]) == 1
    assert actions(session) == [
        ("member.added", "ac_ada"),
        ("member.added", "ac_bea"),
        ("member.removed", "ac_bea"),
    ]


def test_what_is_not_there_is_said(cli: Cli, merchant_id: str) -> None:
    for words in (
        ("merchant", "member", "add", merchant_id, "nobody"),
        ("merchant", "member", "remove", merchant_id, "nobody"),
        ("merchant", "member", "remove", merchant_id, ADA),
        ("account", "operator", "add", "nobody"),
        ("account", "end-sessions", "nobody"),
    ):
        assert cli.refuse(*words)[0] == "unknown_account"
    for words in (
        ("merchant", "member", "add", "me_nobody", ADA),
        ("merchant", "member", "remove", "me_nobody", ADA),
        ("merchant", "member", "list", "me_nobody"),
        ("account", "invite", "--merchant", "me_nobody"),
    ):
        assert cli.refuse(*words)[0] == "unknown_merchant"


def test_an_invitation_is_a_link_that_is_shown_once(
    cli: Cli, session: Session, merchant_id: str
) -> None:
    made = cli.ask("account", "invite", "--for", "Jane")
    assert made["link"].startswith("https://pay.example/account/invitations/")
    assert made["mailed"] is False
    theirs = cli.ask("account", "invite", "--merchant", merchant_id, "--role", "editor")
    rows = {row.id: row for row in session.scalars(select(Invitation))}
    assert (rows[made["id"]].merchant_id, rows[made["id"]].role) == (None, None)
    assert (rows[theirs["id"]].merchant_id, rows[theirs["id"]].role) == (merchant_id, "editor")
    code = made["link"].rpartition("/")[2]
    assert rows[made["id"]].code_hash == hash_secret(code)
    assert rows[made["id"]].expires_at == made["expires_at"]
    shown = cli.run("account", "invite", "--merchant", merchant_id).stdout
    assert "https://pay.example/account/invitations/" in shown
    assert cli.run("account", "invite", "--role", "owner").exit_code == 2


def test_an_account_becomes_the_operators_and_an_ordinary_one_again(
    cli: Cli, session: Session
) -> None:
    assert cli.ask("account", "operator", "add", BEA)["is_operator"] is True
    cli.ask("account", "operator", "add", BEA)
    assert cli.ask("account", "operator", "remove", BEA)["is_operator"] is False
    assert actions(session) == [
        ("account.operator_added", "ac_bea"),
        ("account.operator_removed", "ac_bea"),
    ]


def test_all_browsers_of_an_account_are_signed_out(cli: Cli, session: Session) -> None:
    assert cli.ask("account", "end-sessions", ADA) == {"login": ADA, "ended": 2}
    assert cli.ask("account", "end-sessions", ADA)["ended"] == 0
    session.rollback()
    assert None not in session.scalars(select(AccountSession.revoked_at)).all()
    assert "2 browsers" not in cli.run("account", "end-sessions", ADA).stdout


def test_an_account_is_opened_with_a_link_to_set_a_password(cli: Cli, session: Session) -> None:
    added = cli.ask("account", "add", "Jane@Blog.example", "--name", "Jane")
    assert added["login"] == "jane@blog.example"
    assert added["link"].startswith("https://pay.example/account/reset?code=ac_")
    row = session.get_one(Account, added["id"])
    assert (row.name, row.is_operator, row.password_hash) == ("Jane", False, None)
    assert cli.refuse("account", "add", "JANE@blog.example", "--name", "J")[0] == "login_taken"
    assert cli.refuse("account", "add", "a b", "--name", "J")[0] == "invalid_request"
    shown = cli.run("account", "add", "boss", "--name", "Boss", "--operator").stdout
    assert "once, within 30 minutes: https://pay.example/account/reset?code=ac_" in shown
    session.rollback()
    assert session.scalars(select(Account.is_operator).where(Account.login == "boss")).one()


def test_who_forgot_the_password_gets_a_link_that_works_once(
    cli: Cli, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = cli.ask("account", "reset", ADA)["link"]
    code = unquote(link.partition("code=")[2])
    monkeypatch.setenv("BITCACHE_CONFIG", str(cli.env["BITCACHE_CONFIG"]))
    deps = wiring.build(load_settings())
    reset_password(deps, session, code, "correct horse battery staple")
    session.rollback()
    assert session.get_one(Account, "ac_ada").password_hash is not None
    assert None not in session.scalars(select(AccountSession.revoked_at)).all()
    with pytest.raises(LinkInvalid):
        reset_password(deps, session, code, "another horse battery staple")
    assert cli.refuse("account", "reset", "nobody")[0] == "unknown_account"
