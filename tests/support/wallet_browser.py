"""A reader's browser on the wallet's pages: cookies, forms, calls, the gift, passkeys."""

import contextvars
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import altcha
from flask import has_app_context
from werkzeug.test import TestResponse

from bitcache_server.extensions import db
from bitcache_server.models.session import write_transaction
from bitcache_server.services.wallets import create_wallet, open_session
from tests.support.authenticator import Authenticator
from tests.support.world import PUBLIC_URL, World

R = TypeVar("R")
COOKIE = "__Host-bitcache_wallet"
HOST = "pay.example"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko Firefox/140.0"


class Reader:
    """Keeps cookies and sends forms and calls as a browser does, each in its own context."""

    def __init__(self, world: World, address: str = "198.51.100.7") -> None:
        self.world = world
        self.address = address
        self.client = world.app.test_client()

    @property
    def cookie(self) -> str | None:
        """Return the wallet's cookie."""
        found = self.client.get_cookie(COOKIE, HOST)
        return found.value if found else None

    @cookie.setter
    def cookie(self, value: str) -> None:
        self.client.set_cookie(COOKIE, value, domain=HOST, secure=True)

    @property
    def wallet_id(self) -> str:
        """Return the wallet that the cookie names."""
        assert self.cookie is not None
        return self.cookie.split(".")[0]

    @property
    def session_id(self) -> str:
        """Return the session that the cookie names."""
        assert self.cookie is not None
        return self.cookie.split(".")[1]

    def get(self, path: str) -> TestResponse:
        """Open a page."""
        return self._open(path, method="GET")

    def post(
        self, path: str, origin: str = PUBLIC_URL, referer: str = "", **form: str
    ) -> TestResponse:
        """Send a form."""
        headers = {"Origin": origin, **({"Referer": PUBLIC_URL + referer} if referer else {})}
        return self._open(path, method="POST", data=form, headers=headers)

    def call(self, path: str, body: object, origin: str = PUBLIC_URL) -> TestResponse:
        """Send JSON as our scripts do."""
        return self._open(path, method="POST", json=body, headers={"Origin": origin})

    def open_wallet(self, verified: bool = False) -> str:
        """Give this browser a new wallet; return the wallet's id."""
        world = self.world
        with write_transaction(world.session):
            wallet_id = create_wallet(world.deps, world.session).id
            self.cookie = open_session(world.deps, world.session, wallet_id, "Test", verified)
        return wallet_id

    def solve(self) -> str:
        """Ask for a challenge and do the work; return the payload."""
        answer = self.call("/wallet/gift/challenge", {})
        assert answer.status_code == 200, answer.text
        challenge = altcha.Challenge.from_dict(answer.get_json())
        solution = altcha.solve_challenge(challenge)
        assert solution is not None
        return altcha.Payload(challenge, solution).to_base64()

    def take_gift(self) -> TestResponse:
        """Do the work and take the gift."""
        return self.call("/wallet/gift", {"payload": self.solve()})

    def options(self, purpose: str) -> dict[str, Any]:
        """Ask for what goes to ``navigator.credentials``."""
        answer = self.call("/wallet/passkeys/options", {"purpose": purpose})
        assert answer.status_code == 200, answer.text
        return dict(json.loads(answer.text))

    def add_passkey(self) -> Authenticator:
        """Register a passkey and return what keeps it."""
        authenticator = Authenticator(PUBLIC_URL)
        credential = authenticator.create(self.options("register"))
        answer = self.call("/wallet/passkeys", {"credential": credential})
        assert answer.status_code == 201, answer.text
        return authenticator

    def show_passkey(self, purpose: str, authenticator: Authenticator) -> TestResponse:
        """Sign in or confirm with a passkey."""
        credential = authenticator.get(self.options(purpose))
        path = {"sign_in": "sign-in", "confirm": "confirm"}[purpose]
        return self.call(f"/wallet/passkeys/{path}", {"credential": credential})

    def recovery_form(self) -> str:
        """Return the hidden field of the form that makes a recovery code."""
        match = re.search(r'name="form" value="([^"]+)"', self.get("/wallet/security").text)
        assert match is not None
        return match[1]

    def make_recovery_code(self) -> str:
        """Make a recovery code and read it from the page."""
        answer = self.post("/wallet/recovery", form=self.recovery_form())
        assert answer.status_code == 200, answer.text
        return shown_code(answer)

    def enter_code(self, code: str, **form: str) -> TestResponse:
        """Sign in with a recovery code."""
        return self.post("/wallet/sign-in", code=code, **form)

    def is_signed_in(self) -> bool:
        """Say whether the wallet's pages know this browser."""
        answer = self.get("/wallet/security")
        assert answer.status_code in (200, 303), answer.text
        return answer.status_code == 200

    def _open(self, path: str, **options: Any) -> TestResponse:
        headers = {"User-Agent": AGENT, **options.pop("headers", {})}
        return in_own_context(
            lambda: self.client.open(
                path,
                base_url=PUBLIC_URL,
                headers=headers,
                environ_base={"REMOTE_ADDR": self.address},
                buffered=True,
                **options,
            )
        )


def in_own_context(work: Callable[[], R]) -> R:
    """Run with a database session of its own, as each request of a server has it."""
    if has_app_context():
        # What the test looked at before is over.
        db.session.rollback()
    return contextvars.Context().run(work)


def shown_code(answer: TestResponse) -> str:
    """Return the recovery code on a page."""
    match = re.search(r'<p class="token secret">(.*?)</p>', answer.text, re.DOTALL)
    assert match is not None
    return re.sub(r"<[^>]+>|\s", "", match[1])
