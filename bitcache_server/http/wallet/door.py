"""How browsers get into wallets: ``http/doors.py`` has the calls."""

from collections.abc import Callable

from flask import Response, request

from bitcache_server.http.back import HOME, next_path
from bitcache_server.http.context import deps, session
from bitcache_server.http.doors import Door
from bitcache_server.http.wallet.cookie import COOKIE, holder
from bitcache_server.http.wallet.look import page
from bitcache_server.services.browsers import Browser
from bitcache_server.services.wallet_keys import LoginView
from bitcache_server.services.wallets import Holder, create_wallet, is_secured, leave_wallet


class WalletDoor(Door):
    """The pages below /wallet."""

    base = HOME
    home = HOME
    cookie = COOKIE

    def browser(self) -> Holder | None:
        """Return whose browser asks, or None."""
        return holder()

    def leave(self, before: Browser | None, understood: bool) -> None:
        """Sign a browser out of the wallet that it held; raise InvalidRequest if that loses it."""
        leave_wallet(deps(), session(), before, understood)

    def new_owner(self) -> Callable[[], str] | None:
        """Open a new wallet where the reader has asked for one."""
        if "new" not in request.form:
            return None
        return lambda: create_wallet(deps(), session()).id

    def show_login(self, view: LoginView, error: str, status: int) -> Response:
        """Show the code, or the button that goes on."""
        known = holder()
        return page(
            "wallet_lightning.html",
            status=status,
            login=view,
            minutes_left=-(-(view.expires_at - deps().clock()) // 60),
            next=next_path(),
            failed=error,
            holds_wallet=known is not None,
            gives_up=known is not None and not is_secured(session(), known.wallet_id),
        )


DOOR = WalletDoor()
