"""/account: what somebody is called, signs in with, and in which language they read."""

from collections.abc import Callable

from flask import Blueprint, Response, make_response, redirect, request

from bitcache_server.domain.errors import BitcacheError, InvalidRequest, LoginTaken
from bitcache_server.http.account.access import is_confirmed, require_account, require_confirmed
from bitcache_server.http.account.door import BASE, ways
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import gettext, prefer, said
from bitcache_server.http.limits import SIGN_IN_FAILURES, check_limit, check_mail
from bitcache_server.i18n import mark as _
from bitcache_server.services.account_sessions import SignedIn
from bitcache_server.services.accounts import change_login, change_profile, get_account
from bitcache_server.services.mail_links import change_email
from bitcache_server.services.members import merchants_of
from bitcache_server.services.once import in_transaction

NOTICES = {
    "saved": _("Saved."),
    "login": _("From now on you sign in with the new name."),
    "mail": _("Saved. Open the link that is on its way to the new address."),
}


def add_routes(pages: Blueprint) -> None:
    """Add the page and its forms."""
    pages.add_url_rule("", "profile", show)
    pages.add_url_rule("", "profile_form", change, methods=["POST"])
    pages.add_url_rule("/login", "login_form", new_login, methods=["POST"])
    pages.add_url_rule("/address", "address_form", new_address, methods=["POST"])


def show() -> Response:
    """Show the profile."""
    return _page(require_account())


def change() -> Response:
    """Change the name and the language."""
    known, name = require_account(), request.form.get("name", "")
    locale = request.form.get("locale", "") or None
    return _do(
        known,
        lambda: change_profile(deps(), session(), known.account_id, name, locale),
        "saved",
    )


def new_login() -> Response:
    """Change what they sign in with."""
    known, login = require_confirmed(), request.form.get("login", "")
    # It says whether a name is taken.
    check_limit(SIGN_IN_FAILURES, f"names {known.account_id}")
    return _do(known, lambda: change_login(deps(), session(), known, login), "login")


def new_address() -> Response:
    """Change where mail goes."""
    known, email = require_confirmed(), request.form.get("email", "")
    done = "mail" if email.strip() and deps().mail else "saved"
    if done == "mail":
        check_mail(email, known.account_id)
    return _do(known, lambda: change_email(deps(), session(), known, email), done)


def _do(known: SignedIn, work: Callable[[], None], done: str) -> Response:
    try:
        in_transaction(session(), work)
    except (InvalidRequest, LoginTaken) as error:
        return _page(known, error)
    return make_response(redirect(f"{BASE}?done={done}", 303))


def _page(known: SignedIn, error: BitcacheError | None = None) -> Response:
    account = get_account(session(), known.account_id)
    notice = NOTICES.get(request.args.get("done", ""))
    if notice:
        prefer(account.locale)
    typed = request.form
    return page(
        "account/profile.html",
        here="profile",
        status=status_of(type(error)) if error else 200,
        failed=said(error) if error else "",
        notice=gettext(notice) if notice else "",
        account_row=account,
        name=typed.get("name", account.name),
        login=typed.get("login", account.login),
        email=typed.get("email", account.email or ""),
        confirmed=is_confirmed(),
        merchants=merchants_of(session(), account.id),
        ways=ways(),
    )
