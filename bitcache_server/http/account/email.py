"""/account/email, /account/forgotten and /account/reset: links that came by mail."""

from flask import Blueprint, Response, make_response, redirect, request

from bitcache_server.domain.errors import BitcacheError, InvalidRequest, LinkInvalid
from bitcache_server.http.account.access import forget, signed_in
from bitcache_server.http.account.door import BASE, ways
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import SIGN_IN, page
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import said
from bitcache_server.http.limits import SIGN_INS, check_limit, check_mail
from bitcache_server.services.accounts import compared_name
from bitcache_server.services.mail_links import ask_reset, reset_password, verify_email
from bitcache_server.services.once import in_transaction


def add_routes(pages: Blueprint) -> None:
    """Add the pages and forms."""
    pages.add_url_rule("/forgotten", "forgotten_form", forgotten, methods=["POST"])
    pages.add_url_rule("/reset", "reset", show_reset)
    pages.add_url_rule("/reset", "reset_form", reset, methods=["POST"])
    pages.add_url_rule("/email", "email", show_email)
    pages.add_url_rule("/email", "email_form", verify, methods=["POST"])


def forgotten() -> Response:
    """Mail a link for a new password, if there is somebody to mail it to; never say so."""
    login = request.form.get("login", "")[:300]
    check_limit(SIGN_INS)
    # So that nobody fills somebody's mailbox, from wherever.
    check_mail(compared_name(login))
    ask_reset(deps(), session(), login)
    return make_response(redirect(f"{SIGN_IN}?done=asked", 303))


def show_reset() -> Response:
    """Ask for the new password."""
    return _reset_page()


def reset() -> Response:
    """Set it. All browsers are signed out, and one-time passwords are still asked for."""
    check_limit(SIGN_INS)
    code, password = request.form.get("code", ""), request.form.get("password", "")
    try:
        reset_password(deps(), session(), code, password)
    except (InvalidRequest, LinkInvalid) as error:
        return _reset_page(error)
    response = make_response(redirect(f"{SIGN_IN}?done=password", 303))
    forget(response)
    return response


def show_email() -> Response:
    """Ask for one click: machines that read mail open links, but send no forms."""
    return page("account/email.html", code=request.args.get("code", ""))


def verify() -> Response:
    """Note that the address is theirs."""
    code, known = request.form.get("code", ""), signed_in()
    try:
        in_transaction(session(), lambda: verify_email(deps(), session(), code))
    except LinkInvalid as error:
        return page(
            "account/email.html",
            status=status_of(type(error)),
            failed=said(error),
            code="",
        )
    return make_response(redirect(f"{BASE if known else SIGN_IN}?done=email", 303))


def _reset_page(error: BitcacheError | None = None) -> Response:
    return page(
        "account/reset.html",
        status=status_of(type(error)) if error else 200,
        failed=said(error) if error else "",
        code=request.values.get("code", ""),
        over=isinstance(error, LinkInvalid),
        ways=ways(),
    )
