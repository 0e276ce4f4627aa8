"""/dashboard/<merchant>/people: who works for the merchant, in which role, and who is invited."""

from collections.abc import Callable

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import (
    BitcacheError,
    InvalidRequest,
    InvitationInvalid,
    LastOwner,
    UnknownAccount,
)
from bitcache_server.http.account.access import (
    is_confirmed,
    require_confirmed,
    require_member,
)
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import done_notice, page
from bitcache_server.http.dashboard.words import MEANINGS, ROLES
from bitcache_server.http.errors import status_of
from bitcache_server.http.language import gettext, language, said
from bitcache_server.http.limits import check_mail
from bitcache_server.i18n import mark as _
from bitcache_server.services.invitations import (
    NewInvitation,
    invite,
    list_invitations,
    revoke_invitation,
)
from bitcache_server.services.members import OWNERS, Member, Role
from bitcache_server.services.once import in_transaction
from bitcache_server.services.one_time_codes import Purpose, new_code, use_code
from bitcache_server.services.people import change_role, list_people, remove_member

#: The link is shown in the answer to the form; sent again, the form must not make another one.
FORM = Purpose("invitation_form", 43_200)
NOTICES = {
    "role": _("The role is changed. It holds from now on."),
    "removed": _("They work for you no longer, from now on."),
    "revoked": _("The invitation is withdrawn. Its link opens nothing any more."),
    "sent": _("That form was sent before. Look at the list before you send it again."),
}
#: What an error says here; others speak for themselves.
_FAILURES: dict[str, str] = {
    LastOwner.code: _("A merchant needs an owner. Make somebody else an owner first."),
    UnknownAccount.code: _("They work for you no longer."),
    InvitationInvalid.code: _("The invitation was used, was withdrawn or is over."),
}


def add_routes(pages: Blueprint) -> None:
    """Add the page and its forms."""
    base = "/<merchant_id>/people"
    pages.add_url_rule(base, "people", show)
    pages.add_url_rule(f"{base}/invitations", "invite", send_invitation, methods=["POST"])
    pages.add_url_rule(
        f"{base}/invitations/<invitation_id>/revoke", "revoke_invitation", revoke, methods=["POST"]
    )
    pages.add_url_rule(f"{base}/<account_id>/role", "change_role", set_role, methods=["POST"])
    pages.add_url_rule(f"{base}/<account_id>/remove", "remove_member", remove, methods=["POST"])


def show(merchant_id: str) -> ResponseReturnValue:
    """Show members and invitations."""
    return _show(require_member(merchant_id, OWNERS))


def _show(
    member: Member, error: BitcacheError | None = None, made: NewInvitation | None = None
) -> ResponseReturnValue:
    words = _FAILURES.get(error.code) if error else None
    return page(
        "dashboard/people.html",
        status=status_of(type(error)) if error else 200,
        scripts=made is not None,
        here="people",
        people=list_people(session(), member.merchant_id),
        invitations=list_invitations(deps(), session(), member.merchant_id),
        me=member.account_id,
        confirmed=is_confirmed(),
        roles=ROLES,
        meanings=MEANINGS,
        form_code=new_code(deps(), FORM, member.account_id),
        typed=request.form if error else {},
        mails=deps().mail is not None,
        made=made,
        failed=(gettext(words) if words else said(error)) if error else "",
        notice=done_notice(NOTICES),
    )


def set_role(merchant_id: str, account_id: str) -> ResponseReturnValue:
    """Give a member another role."""
    member = _may_change(merchant_id)

    def change() -> None:
        role = _role()
        change_role(deps(), session(), merchant_id, account_id, role, member.account_id)

    return _do(member, change, "role", own=account_id == member.account_id)


def remove(merchant_id: str, account_id: str) -> ResponseReturnValue:
    """End somebody's work for the merchant."""
    member = _may_change(merchant_id)

    def end() -> None:
        remove_member(deps(), session(), merchant_id, account_id, member.account_id)

    return _do(member, end, "removed", own=account_id == member.account_id)


def revoke(merchant_id: str, invitation_id: str) -> ResponseReturnValue:
    """Withdraw an invitation."""
    member = _may_change(merchant_id)

    def withdraw() -> None:
        revoke_invitation(deps(), session(), merchant_id, invitation_id, member.account_id)

    return _do(member, withdraw, "revoked")


def send_invitation(merchant_id: str) -> ResponseReturnValue:
    """Make an invitation and show its link, this one time."""
    member = _may_change(merchant_id)
    email = request.form.get("email", "")
    if email.strip() and deps().mail is not None:
        check_mail(email, member.account_id)
    try:
        made = in_transaction(session(), lambda: _invite(member))
    except InvalidRequest as error:
        return _show(member, error)
    if made is None:
        return redirect(f"/dashboard/{merchant_id}/people?done=sent", 303)
    return _show(member, made=made)


def _invite(member: Member) -> NewInvitation | None:
    code = request.form.get("form", "")
    if not use_code(deps(), session(), FORM, code, member.account_id):
        return None
    return invite(
        deps(),
        session(),
        merchant_id=member.merchant_id,
        role=_role(),
        made_by=member.account_id,
        remark=request.form.get("note", ""),
        email=request.form.get("email", ""),
        language=language(),
    )


def _may_change(merchant_id: str) -> Member:
    member = require_member(merchant_id, OWNERS)
    require_confirmed()
    return member


def _role() -> Role:
    try:
        return Role(request.form.get("role", ""))
    except ValueError:
        raise InvalidRequest(gettext("Choose one of the roles.")) from None


def _do(
    member: Member, deed: Callable[[], None], done: str, *, own: bool = False
) -> ResponseReturnValue:
    """Run a change in a transaction of its own and lead back to the page."""
    try:
        in_transaction(session(), deed)
    except (InvalidRequest, InvitationInvalid, LastOwner, UnknownAccount) as error:
        return _show(member, error)
    # Who has changed what they are themselves may see this page no longer.
    people = f"/dashboard/{member.merchant_id}/people?done={done}"
    return redirect("/dashboard" if own else people, 303)
