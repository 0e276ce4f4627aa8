"""Invitations: a link that makes whoever opens it a member, or lets them sign up. Once, for a week.

Of the link's code only its SHA-256 is stored. Those that change something run inside the
caller's write transaction.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from bitcache_server.delivery.mail import one_line
from bitcache_server.domain.errors import InvalidRequest, InvitationInvalid, UnknownAccount
from bitcache_server.i18n import mark as _
from bitcache_server.i18n import translations
from bitcache_server.models.accounts import Account, Invitation, Membership
from bitcache_server.models.catalog import Merchant
from bitcache_server.services.audit_trail import note
from bitcache_server.services.deps import Deps
from bitcache_server.services.mail_outbox import queue_mail
from bitcache_server.services.members import Role
from bitcache_server.services.merchant_lock import lock_merchant
from bitcache_server.services.texts import check_text
from bitcache_server.tokens.secrets import hash_secret, new_id

LIFETIME_S = 7 * 86_400
CODE_BYTES = 32
MAX_NOTE_CHARS = 200
#: Links that wait for one merchant at once: more is a slip, or somebody who should not invite.
MAX_WAITING = 100
PATH = "/account/invitations"


@dataclass(frozen=True)
class NewInvitation:
    """An invitation that was just made; its link is shown this once."""

    id: str
    link: str = field(repr=False)
    expires_at: int
    is_mailed: bool


@dataclass(frozen=True)
class InvitationView:
    """What whoever opens an invitation's link is told."""

    id: str
    merchant_id: str | None
    merchant_name: str
    role: Role | None
    invited_by: str
    """A person's name; empty for the operator."""
    expires_at: int


def invite(
    deps: Deps,
    session: Session,
    *,
    merchant_id: str | None = None,
    role: Role | None = None,
    made_by: str = "",
    remark: str = "",
    email: str = "",
    language: str = "en",
) -> NewInvitation:
    """Make an invitation to work for a merchant, or without one: to sign up.

    ``made_by`` is an account, empty for the operator; ``remark`` says for whom it is. With
    ``email`` the link is also mailed, in ``language``, where mail is configured. Raises
    UnknownMerchant, InvalidRequest.
    """
    if (merchant_id is None) != (role is None):
        raise InvalidRequest("An invitation to a merchant has a role, and no other has one.")
    if merchant_id is not None:
        lock_merchant(session, merchant_id)
        if len(list_invitations(deps, session, merchant_id)) >= MAX_WAITING:
            raise InvalidRequest(_("Too many invitations wait already; withdraw some first."))
    code, now = secrets.token_urlsafe(CODE_BYTES), deps.clock()
    row = Invitation(
        id=new_id("iv"),
        code_hash=hash_secret(code),
        merchant_id=merchant_id,
        role=role.value if role else None,
        note=_remark(remark or email),
        made_by=made_by,
        created_at=now,
        expires_at=now + LIFETIME_S,
    )
    session.add(row)
    session.flush()
    link = f"{deps.settings.public_url}{PATH}/{code}"
    is_mailed = bool(email) and _mail(deps, session, row, email, link, language)
    _note(deps, session, "invitation.made", row, made_by or None)
    return NewInvitation(row.id, link, row.expires_at, is_mailed)


def look_at_invitation(deps: Deps, session: Session, code: str) -> InvitationView:
    """Return what a code invites to; raise InvitationInvalid for one that is not open."""
    return _view(session, _find(deps, session, code))


def use_invitation(deps: Deps, session: Session, code: str, account_id: str) -> InvitationView:
    """Use an invitation up: the account becomes a member of its merchant, if it names one.

    Raises InvitationInvalid for a code that is not open, also for who works for the merchant
    already: the invitation then stays for whom it was meant. UnknownAccount for a closed one.
    """
    account = session.get(Account, account_id)
    if account is None or account.closed_at is not None:
        raise UnknownAccount()
    row = _find(deps, session, code)
    if row.merchant_id is not None:
        # Whoever takes an owner's role away does so under the same lock.
        lock_merchant(session, row.merchant_id)
    row = _find(deps, session, code, lock=True)
    if row.merchant_id is not None:
        _join(deps, session, row, account_id)
    row.used_at, row.used_by = deps.clock(), account_id
    session.flush()
    return _view(session, row)


def revoke_invitation(
    deps: Deps, session: Session, merchant_id: str | None, invitation_id: str, by: str | None
) -> None:
    """Withdraw an invitation of a merchant; raise InvitationInvalid where none of theirs waits."""
    query = select(Invitation).where(Invitation.id == invitation_id, *_waits(deps, merchant_id))
    row = session.scalar(query.with_for_update().execution_options(populate_existing=True))
    if row is None:
        raise InvitationInvalid()
    row.revoked_at = deps.clock()
    _note(deps, session, "invitation.revoked", row, by)


def revoke_invitations_of(deps: Deps, session: Session, merchant_id: str, account_id: str) -> None:
    """Withdraw what somebody has invited to a merchant: they are its owner no longer."""
    session.execute(
        update(Invitation)
        .where(Invitation.made_by == account_id, *_waits(deps, merchant_id))
        .values(revoked_at=deps.clock())
    )


def list_invitations(deps: Deps, session: Session, merchant_id: str | None) -> Sequence[Invitation]:
    """Return a merchant's invitations that wait to be used, newest first; None: to sign up."""
    query = select(Invitation).where(*_waits(deps, merchant_id))
    return session.scalars(query.order_by(Invitation.created_at.desc(), Invitation.id.desc())).all()


def _open(deps: Deps) -> tuple[ColumnElement[bool], ...]:
    return (
        Invitation.used_at.is_(None),
        Invitation.revoked_at.is_(None),
        Invitation.expires_at > deps.clock(),
    )


def _waits(deps: Deps, merchant_id: str | None) -> tuple[ColumnElement[bool], ...]:
    return (Invitation.merchant_id.is_not_distinct_from(merchant_id), *_open(deps))


def _find(deps: Deps, session: Session, code: str, *, lock: bool = False) -> Invitation:
    query = select(Invitation).where(Invitation.code_hash == hash_secret(code), *_open(deps))
    if lock:
        query = query.with_for_update()
    row = session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        raise InvitationInvalid()
    return row


def _join(deps: Deps, session: Session, row: Invitation, account_id: str) -> None:
    merchant_id, role = row.merchant_id, row.role
    if session.get(Membership, (merchant_id, account_id)) is not None:
        raise InvitationInvalid(_("You work for this merchant already."))
    session.add(
        Membership(
            merchant_id=merchant_id, account_id=account_id, role=role, created_at=deps.clock()
        )
    )
    note(
        deps,
        session,
        "member.joined",
        merchant_id=merchant_id,
        account_id=account_id,
        subject=account_id,
        role=role,
    )


def _note(deps: Deps, session: Session, action: str, row: Invitation, by: str | None) -> None:
    note(
        deps,
        session,
        action,
        merchant_id=row.merchant_id,
        account_id=by,
        subject=row.id,
        role=row.role,
        note=row.note,
    )


def _view(session: Session, row: Invitation) -> InvitationView:
    merchant = session.get(Merchant, row.merchant_id) if row.merchant_id else None
    inviter = session.get(Account, row.made_by) if row.made_by else None
    return InvitationView(
        id=row.id,
        merchant_id=row.merchant_id,
        merchant_name=merchant.name if merchant else "",
        role=Role(row.role) if row.role else None,
        invited_by=inviter.name if inviter else "",
        expires_at=row.expires_at,
    )


def _remark(text: str) -> str:
    remark = " ".join(check_text(text, "The note").split())
    if len(remark) > MAX_NOTE_CHARS:
        raise InvalidRequest(
            _("%(what)s is longer than %(number)s characters."),
            what=_("The note"),
            number=MAX_NOTE_CHARS,
        )
    return remark


def _mail(
    deps: Deps, session: Session, row: Invitation, email: str, link: str, language: str
) -> bool:
    """Write the invitation as a mail; names are text on one line of their own."""
    _ = translations(language).ugettext
    seen = _view(session, row)
    host = deps.settings.public_url.partition("://")[2]
    if seen.merchant_id:
        subject = _("You are invited to work for %(merchant)s") % {
            "merchant": one_line(seen.merchant_name)
        }
    else:
        subject = _("You are invited to open an account at %(host)s") % {"host": host}
    lines = [
        subject,
        _("Invited by: %(name)s") % {"name": one_line(seen.invited_by) or host},
        "",
        _("Open this link. It works once, and for seven days:"),
        link,
        "",
        _("If you expected no invitation, you need not do anything."),
    ]
    return queue_mail(deps, session, email, subject, "\n".join(lines))
