"""A person's browser on the pages of accounts: forms, passkeys, the codes of their app."""

import re
from typing import Any
from urllib.parse import unquote

import pyotp
from sqlalchemy import select
from werkzeug.test import TestResponse

from bitcache_server.models.accounts import Account, AuditEntry, QueuedMail
from bitcache_server.tokens.sealing import unseal
from tests.support.authenticator import Authenticator
from tests.support.wallet_browser import HOST, Reader
from tests.support.world import PUBLIC_URL, World

COOKIE = "__Host-bitcache_account"
PASSWORD = "three grey herons"
OPEN: dict[str, Any] = {
    "sign_up": "open",
    "limit_sign_ups_per_address": "999/minute",
    "limit_sign_ins_per_address": "999/minute",
    "limit_recoveries_per_address": "999/minute",
}
"""Settings of a server that lets everybody in and does not count the tries."""


class Visitor(Reader):
    """Keeps cookies and sends forms as a browser does, on the pages of accounts."""

    @property
    def cookie(self) -> str | None:
        """Return the account's cookie."""
        found = self.client.get_cookie(COOKIE, HOST)
        return found.value if found else None

    @cookie.setter
    def cookie(self, value: str) -> None:
        self.client.set_cookie(COOKIE, value, domain=HOST, secure=True)

    @property
    def account_id(self) -> str:
        """Return the account that the cookie names."""
        return str(self.cookie).split(".")[0]

    def sign_up(self, login: str = "ada", password: str = PASSWORD, **form: str) -> TestResponse:
        """Open an account with a password."""
        said = {"login": login, "name": "Ada Lovelace", "merchant_name": "Engines", **form}
        return self.post("/account/sign-up", password=password, **said)

    def enter(self, login: str = "ada", password: str = PASSWORD, **form: str) -> TestResponse:
        """Sign in with a password."""
        return self.post("/account/sign-in", login=login, password=password, **form)

    def is_signed_in(self) -> bool:
        """Say whether the pages of accounts know this browser."""
        answer = self.get("/account/security")
        assert answer.status_code in (200, 303), answer.text
        return answer.status_code == 200

    def options(self, purpose: str) -> dict[str, Any]:
        """Ask for what goes to ``navigator.credentials``."""
        answer = self.call("/account/passkeys/options", {"purpose": purpose})
        assert answer.status_code == 200, answer.text
        return dict(answer.get_json(force=True))

    def add_passkey(self) -> Authenticator:
        """Register a passkey and return what keeps it."""
        key = Authenticator(PUBLIC_URL, verifies=True)
        credential = key.create(self.options("register"))
        answer = self.call("/account/passkeys", {"credential": credential})
        assert answer.status_code == 201, answer.text
        return key

    def show_passkey(self, purpose: str, authenticator: Authenticator) -> TestResponse:
        """Sign in or confirm with a passkey."""
        credential = authenticator.get(self.options(purpose))
        path = {"sign_in": "sign-in", "confirm": "confirm"}[purpose]
        return self.call(f"/account/passkeys/{path}", {"credential": credential})

    def recovery_form(self) -> str:
        """Return the hidden field of the form that makes a recovery code."""
        match = re.search(r'name="form" value="([^"]+)"', self.get("/account/security").text)
        assert match is not None
        return match[1]

    def make_recovery_code(self) -> str:
        """Make a recovery code and read it from the page."""
        answer = self.post("/account/recovery", form=self.recovery_form())
        match = re.search(r'<p class="secret-code".*?</p>', answer.text, re.DOTALL)
        assert match is not None, answer.text
        return re.sub(r"<[^>]+>|\s", "", match[0])

    def set_up_totp(self) -> pyotp.TOTP:
        """Turn one-time passwords on; return the app."""
        assert self.post("/account/totp/begin").status_code == 303
        match = re.search(
            r'<pre class="code wrapped">([A-Z2-7]+)</pre>', self.get("/account/totp").text
        )
        assert match is not None
        app = pyotp.TOTP(match[1])
        answer = self.post("/account/totp", code=app.at(self.world.clock()))
        assert answer.location == "/account/security?done=totp", answer.text
        return app


def proof_on(page: TestResponse) -> str:
    """Return the hidden proof of the page that asks for a one-time password."""
    match = re.search(r'name="proof" value="([^"]+)"', page.text)
    assert match is not None, page.text
    return match[1]


def account_of(world: World, login: str = "ada") -> Account:
    """Return an account as it is stored now."""
    world.session.rollback()
    return world.session.scalars(select(Account).where(Account.login == login)).one()


def deeds(world: World, account_id: str) -> list[str]:
    """Return what the audit trail says of an account, oldest first."""
    world.session.rollback()
    query = select(AuditEntry.action).where(AuditEntry.account_id == account_id)
    rows = world.session.scalars(query.order_by(AuditEntry.created_at, AuditEntry.id)).all()
    world.session.rollback()
    return list(rows)


def mails(world: World) -> list[tuple[str, str]]:
    """Return the mails in the outbox: to whom, and the text."""
    world.session.rollback()
    key = world.deps.settings.secret_key.get_secret_value()
    rows = world.session.scalars(select(QueuedMail).order_by(QueuedMail.created_at)).all()
    found = [(row.to_address, str(unseal(key, "mail", row.id, row.text_sealed))) for row in rows]
    world.session.rollback()
    return found


def code_in(text: str) -> str:
    """Return the code of the link in a mail."""
    match = re.search(r"\?code=(\S+)", text)
    assert match is not None, text
    return unquote(match[1])
