"""Passkeys and Lightning wallets on our pages: the same calls for wallets and for accounts."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

from flask import Blueprint, Response, make_response, redirect, request

from bitcache_server.domain.errors import BitcacheError, InvalidRequest, LoginInvalid
from bitcache_server.http.answers import json_answer
from bitcache_server.http.back import next_path, with_next
from bitcache_server.http.body import Body, read_json
from bitcache_server.http.browser_cookie import BrowserCookie, is_https, set_cookie
from bitcache_server.http.context import deps, session
from bitcache_server.http.forms import same_origin
from bitcache_server.http.limits import RECOVERIES, check_limit
from bitcache_server.http.qr import qr_svg
from bitcache_server.http.user_agent import device_label
from bitcache_server.services import passkeys, wallet_keys
from bitcache_server.services.browsers import Browser, Realm
from bitcache_server.services.once import in_transaction
from bitcache_server.services.wallet_keys import LIFETIME_S, LoginPurpose, LoginView

DONE = "{}"


class Door(ABC):
    """How browsers get in: those of readers' wallets, or those of people's accounts."""

    base: str
    """Where its pages are, such as ``/wallet``."""
    home: str
    cookie: BrowserCookie

    @abstractmethod
    def browser(self) -> Browser | None:
        """Return whose browser asks, or None."""

    @abstractmethod
    def leave(self, before: Browser | None, understood: bool) -> None:
        """Sign a browser out of what it was signed in to, inside the transaction."""

    @abstractmethod
    def show_login(self, view: LoginView, error: str, status: int) -> Response:
        """Return the page with the code for a Lightning wallet."""

    def new_owner(self) -> Callable[[], str] | None:
        """Return what makes an owner for a Lightning wallet that opens none, if that is asked."""
        return None

    @property
    def realm(self) -> Realm:
        """Return what browsers get into."""
        return self.cookie.realm

    @property
    def security(self) -> str:
        """Return the page that says what opens it."""
        return f"{self.base}/security"

    def require(self) -> Browser:
        """Return whose browser asks; raise the realm's ``sign_in_required``."""
        known = self.browser()
        if known is None:
            raise self.realm.sign_in_required()
        return known


class OptionsBody(Body):
    """What the browser is about to do."""

    purpose: Literal["register", "sign_in", "confirm"]


class CredentialBody(Body):
    """What the browser made or signed (WebAuthn's RegistrationResponseJSON and the like)."""

    credential: dict[str, Any]
    understood: bool = False
    """The reader gives up the unsecured wallet that this browser holds."""


class PasskeyCalls:
    """Passkeys, as static/wallet/passkeys.js asks for them: JSON in and out."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_routes(self, pages: Blueprint) -> None:
        """Add the calls, and the form that removes a passkey."""
        rules = {
            "/passkeys/options": self.options,
            "/passkeys": self.register,
            "/passkeys/sign-in": self.sign_in,
            "/passkeys/confirm": self.confirm,
            "/passkeys/remove": self.remove,
        }
        for path, view in rules.items():
            pages.add_url_rule(path, f"passkeys_{view.__name__}", view, methods=["POST"])

    def options(self) -> Response:
        """Return what the browser passes to ``navigator.credentials``."""
        same_origin()
        door = self._door
        match read_json(OptionsBody).purpose:
            case "register":
                made = passkeys.begin_registration(deps(), session(), door.require())
            case "confirm":
                made = passkeys.begin_confirmation(deps(), session(), door.require())
            case "sign_in":
                made = passkeys.begin_sign_in(deps(), door.realm)
        return json_answer(made)

    def register(self) -> Response:
        """Keep a new passkey."""
        same_origin()
        body, known = read_json(CredentialBody), self._door.require()
        label = device_label()
        return self._answer(
            lambda: passkeys.finish_registration(deps(), session(), known, body.credential, label),
            201,
        )

    def sign_in(self) -> Response:
        """Open what a passkey was made for in this browser."""
        same_origin()
        body, before = read_json(CredentialBody), self._door.browser()
        return self._answer(lambda: self._sign_in(body, before))

    def confirm(self) -> Response:
        """Show that the person has a passkey of this very owner."""
        same_origin()
        body, known = read_json(CredentialBody), self._door.require()
        return self._answer(
            lambda: passkeys.finish_confirmation(deps(), session(), known, body.credential)
        )

    def remove(self) -> Response:
        """Forget a passkey."""
        same_origin()
        known = self._door.require()
        credential_id = request.form.get("passkey", "")
        in_transaction(
            session(), lambda: passkeys.remove_passkey(deps(), session(), known, credential_id)
        )
        return make_response(redirect(f"{self._door.security}?done=removed", 303))

    def _answer(self, work: Callable[[], str], status: int = 200) -> Response:
        cookie = in_transaction(session(), work)
        response = json_answer(DONE, status)
        self._door.cookie.keep(response, cookie)
        return response

    def _sign_in(self, body: CredentialBody, before: Browser | None) -> str:
        door = self._door
        cookie = passkeys.finish_sign_in(
            deps(), session(), door.realm, body.credential, device_label()
        )
        door.leave(before, body.understood)
        return cookie


class LightningCalls:
    """Sign in, confirm or add a key with a Lightning wallet (LUD-04).

    Works without scripts: the page with the code loads itself again until a wallet has
    signed, and then asks its reader to go on.
    """

    #: What is wrong with a form that is shown again, with the status it is given.
    SHOWN: tuple[type[BitcacheError], ...] = (InvalidRequest, LoginInvalid)

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_routes(self, pages: Blueprint) -> None:
        """Add the pages and forms."""
        pages.add_url_rule("/lightning", "lightning_begin", self.begin, methods=["POST"])
        pages.add_url_rule("/lightning/remove", "lightning_remove", self.remove, methods=["POST"])
        pages.add_url_rule("/lightning/<k1>", "lightning", self.show)
        pages.add_url_rule("/lightning/<k1>", "lightning_finish", self.finish, methods=["POST"])
        pages.add_url_rule("/lightning/<k1>/qr.svg", "lightning_qr", self.qr)

    def begin(self) -> Response:
        """Make a code, and bind it to this browser."""
        same_origin()
        door = self._door
        purpose = _purpose(request.form.get("purpose", ""))
        known = None if purpose is LoginPurpose.SIGN_IN else door.require()
        # By owner where there is one: strangers at the same address must not keep them out.
        check_limit(RECOVERIES, known.owner_id if known else None)
        new = in_transaction(
            session(),
            lambda: wallet_keys.begin_login(deps(), session(), door.realm, purpose, known),
        )
        path = f"{door.base}/lightning/{new.k1}"
        default = door.home if purpose is LoginPurpose.SIGN_IN else door.security
        response = make_response(redirect(with_next(path, next_path(default)), 303))
        set_cookie(response, self._browser_cookie(), new.browser_secret, LIFETIME_S)
        return response

    def show(self, k1: str) -> Response:
        """Show the code until a wallet has signed it, then the button that goes on."""
        return self._door.show_login(self._view(k1), "", 200)

    def qr(self, k1: str) -> Response:
        """Draw the code."""
        response = make_response(qr_svg(self._view(k1).lnurl))
        response.content_type = "image/svg+xml"
        return response

    def finish(self, k1: str) -> Response:
        """Do what the code was made for, now that its reader agrees."""
        same_origin()
        view, before = self._view(k1), self._door.browser()
        try:
            cookie = in_transaction(session(), lambda: self._finish(view, before))
        except self.SHOWN as error:
            return self._door.show_login(view, error.detail, 403)
        added = view.purpose is LoginPurpose.ADD
        path = f"{self._door.security}?done=lightning" if added else next_path(self._door.home)
        response = make_response(redirect(path, 303))
        response.delete_cookie(self._browser_cookie(), path="/", httponly=True, secure=is_https())
        self._door.cookie.keep(response, cookie)
        return response

    def remove(self) -> Response:
        """Forget a key."""
        same_origin()
        known, key = self._door.require(), request.form.get("key", "")
        in_transaction(session(), lambda: wallet_keys.remove_key(deps(), session(), known, key))
        return make_response(redirect(f"{self._door.security}?done=lightning_removed", 303))

    def _finish(self, view: LoginView, before: Browser | None) -> str:
        door, secret = self._door, self._browser_secret()
        if view.purpose is LoginPurpose.SIGN_IN:
            cookie = wallet_keys.finish_sign_in(
                deps(), session(), door.realm, view.k1, secret, device_label(), door.new_owner()
            )
            door.leave(before, "understood" in request.form)
            return cookie
        known = before or door.require()
        if view.purpose is LoginPurpose.ADD:
            return wallet_keys.finish_adding(deps(), session(), known, view.k1, secret)
        return wallet_keys.finish_confirmation(deps(), session(), known, view.k1, secret)

    def _view(self, k1: str) -> LoginView:
        return wallet_keys.login_view(
            deps(), session(), self._door.realm, k1, self._browser_secret()
        )

    def _browser_cookie(self) -> str:
        """Return the name beside the door's own cookie, with its prefix."""
        return f"{self._door.cookie.name}_login"

    def _browser_secret(self) -> str:
        return request.cookies.get(self._browser_cookie(), "")


def _purpose(text: str) -> LoginPurpose:
    try:
        return LoginPurpose(text)
    except ValueError:
        raise InvalidRequest("Say what the code is for.") from None
