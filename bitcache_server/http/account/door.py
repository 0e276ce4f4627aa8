"""How browsers get into accounts: ``http/doors.py`` has the calls."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Response, request

from bitcache_server.http.account.access import COOKIE, signed_in
from bitcache_server.http.account.asked import asked_in, form_of
from bitcache_server.http.back import next_path
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.doors import Door
from bitcache_server.http.language import gettext
from bitcache_server.services.account_sessions import SignedIn, leave_account
from bitcache_server.services.accounts import sign_up
from bitcache_server.services.browsers import Browser
from bitcache_server.services.mail_links import greet
from bitcache_server.services.relying_party import relying_party
from bitcache_server.services.wallet_keys import LoginView, lightning_login_works

HOME = "/dashboard"
BASE = "/account"
SECURITY = "/account/security"


class AccountDoor(Door):
    """The pages below /account."""

    base = BASE
    home = HOME
    cookie = COOKIE

    def browser(self) -> SignedIn | None:
        """Return whose browser asks, or None."""
        return signed_in()

    def leave(self, before: Browser | None, understood: bool) -> None:
        """Sign a browser out of the account that it was signed in to."""
        leave_account(deps(), session(), before)

    def new_owner(self) -> Callable[[], str] | None:
        """Open a new account where the person has filled in the form for one."""
        if "new" not in request.form:
            return None
        asked = asked_in(request.form)

        def open_account() -> str:
            account_id = sign_up(deps(), session(), asked, "lightning")
            greet(deps(), session(), account_id)
            return account_id

        return open_account

    def show_login(self, view: LoginView, error: str, status: int) -> Response:
        """Show the code, the form for a new account, or the button that goes on."""
        return page(
            "account/lightning.html",
            status=status,
            login=view,
            minutes_left=-(-(view.expires_at - deps().clock()) // 60),
            next=next_path(HOME),
            failed=gettext(error) if error else "",
            ways=ways(),
            form=form_of(request.values),
        )


DOOR = AccountDoor()


@dataclass(frozen=True)
class Ways:
    """What this server's address and settings allow."""

    passkeys_work: bool
    lightning_works: bool
    mail_works: bool
    sign_up: str
    """Who may open an account: ``open``, ``invited`` or ``closed``."""
    host: str


def ways() -> Ways:
    """Return what pages with passkeys, Lightning wallets and mail need to know."""
    settings = deps().settings
    return Ways(
        passkeys_work=relying_party(settings) is not None,
        lightning_works=lightning_login_works(settings),
        mail_works=deps().mail is not None,
        sign_up=settings.sign_up,
        host=urlsplit(settings.public_url).hostname or "",
    )
