"""A browser that is signed in to the dashboard, without going through its sign-in pages."""

from collections.abc import Mapping
from dataclasses import dataclass

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bitcache_server.http.account.access import NAME
from bitcache_server.models.accounts import Account, Membership
from bitcache_server.models.session import write_transaction
from bitcache_server.services.account_sessions import open_account_session
from bitcache_server.services.members import Role
from bitcache_server.tokens.secrets import new_id
from tests.support.world import PUBLIC_URL, World


@dataclass
class Person:
    """Somebody with an account, in a browser of their own."""

    world: World
    client: FlaskClient
    account_id: str
    merchant_id: str

    def path(self, below: str = "") -> str:
        """Return the address of a page of the merchant's dashboard."""
        return f"/dashboard/{self.merchant_id}{below}"

    def get(self, path: str, **headers: str) -> TestResponse:
        """Open a page; a path that begins with ``.`` is below the merchant's dashboard."""
        return self.client.get(self._full(path), headers=_named(headers), base_url=PUBLIC_URL)

    def post(self, path: str, form: Mapping[str, object], **headers: str) -> TestResponse:
        """Send a form of our own page."""
        sent = {"Origin": PUBLIC_URL, "Sec-Fetch-Site": "same-origin", **_named(headers)}
        return self.client.post(self._full(path), data=form, headers=sent, base_url=PUBLIC_URL)

    def _full(self, path: str) -> str:
        return self.path(path[1:]) if path.startswith(".") else path


def sign_in(
    world: World, role: Role = Role.OWNER, *, merchant_id: str = "", operator: bool = False
) -> Person:
    """Return a new person who has just shown who they are, with a role for the merchant."""
    merchant_id = merchant_id or world.merchant_id
    account = Account(
        id=new_id("ac"),
        login=new_id("login").lower(),
        name="Ada Lovelace",
        totp_last_step=0,
        is_operator=operator,
        created_at=world.deps.clock(),
    )
    with write_transaction(world.session):
        world.session.add(account)
        world.session.flush()
        world.session.add(
            Membership(
                merchant_id=merchant_id,
                account_id=account.id,
                role=role.value,
                created_at=world.deps.clock(),
            )
        )
        cookie = open_account_session(world.deps, world.session, account.id, "Firefox on Linux")
        account_id = account.id
    client = world.app.test_client()
    client.set_cookie(f"__Host-{NAME}", cookie, domain="pay.example", secure=True)
    return Person(world, client, account_id, merchant_id)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
