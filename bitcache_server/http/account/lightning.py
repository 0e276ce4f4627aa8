"""/account/lightning: Lightning wallets that open an account (LUD-04), also a new one."""

from flask import Response, request

from bitcache_server.domain.errors import InvitationInvalid, LoginTaken, SignUpClosed
from bitcache_server.http.account.door import DOOR
from bitcache_server.http.doors import LightningCalls
from bitcache_server.http.limits import SIGN_UPS, check_limit


class AccountLightningCalls(LightningCalls):
    """The same calls, of which one may open an account."""

    SHOWN = (*LightningCalls.SHOWN, InvitationInvalid, LoginTaken, SignUpClosed)

    def finish(self, k1: str) -> Response:
        """Do what the code was made for; new accounts are counted."""
        if "new" in request.form:
            check_limit(SIGN_UPS)
        return super().finish(k1)


add_routes = AccountLightningCalls(DOOR).add_routes
