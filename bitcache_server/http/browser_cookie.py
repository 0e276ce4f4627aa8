"""The cookie that makes a browser one that is signed in, to a wallet or to an account.

First-party, on our own origin: no page can read it (HttpOnly), no other site's form
carries it (SameSite=Lax), and over https its name begins with ``__Host-``, so that no
sibling domain can set it (RFC 6265bis section 4.1.3).
"""

import contextlib
from dataclasses import dataclass

from flask import Response, after_this_request, request

from bitcache_server.domain.errors import StorageBusy, StorageFull
from bitcache_server.http.context import deps, session
from bitcache_server.services.browsers import Browser, Realm, is_seen_lately, mark_seen
from bitcache_server.services.once import in_transaction


@dataclass(frozen=True)
class BrowserCookie:
    """The cookie of one realm."""

    plain_name: str
    realm: Realm

    @property
    def name(self) -> str:
        """Return the cookie's name: with the ``__Host-`` prefix where browsers accept it."""
        return f"__Host-{self.plain_name}" if is_https() else self.plain_name

    @property
    def value(self) -> str | None:
        """Return what the browser sent."""
        return request.cookies.get(self.name)

    def keep(self, response: Response, value: str) -> None:
        """Make the browser one that is signed in; it stays so until it was away for too long."""
        set_cookie(response, self.name, value, self.realm.session_age_s)

    def forget(self, response: Response) -> None:
        """Take the cookie away; ending the session is another's part."""
        response.delete_cookie(
            self.name, path="/", httponly=True, secure=is_https(), samesite="Lax"
        )

    def seen(self, browser: Browser) -> None:
        """Note now and then that the browser was here, and let its cookie live on."""
        value = self.value
        if value and not is_seen_lately(deps(), session(), browser):
            self._seen_again(browser, value)

    def _seen_again(self, browser: Browser, value: str) -> None:
        # A page must open when the disk is full, too.
        with contextlib.suppress(StorageBusy, StorageFull):
            in_transaction(session(), lambda: mark_seen(deps(), session(), browser))

        @after_this_request
        def _keep(response: Response) -> Response:
            # Browsers count the days from when they got the cookie, not from its last use.
            answered = response.headers.getlist("Set-Cookie")
            if not any(line.startswith(f"{self.name}=") for line in answered):
                self.keep(response, value)
            return response


def set_cookie(response: Response, name: str, value: str, age_s: int) -> None:
    """Set a cookie of our own pages that no script reads."""
    response.set_cookie(
        name,
        value,
        max_age=age_s,
        path="/",
        httponly=True,
        secure=is_https(),
        samesite="Lax",
    )


def is_https() -> bool:
    """Say whether our pages are reached over https."""
    return deps().settings.public_url.startswith("https:")
