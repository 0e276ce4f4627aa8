"""Accounts of people, the browsers they are signed in with, and what they may do for whom."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from bitcache_server.extensions import Model
from bitcache_server.models.browsers import SignedInBrowser


class Account(Model):
    """A person who works for merchants or for the operator. Readers have none."""

    __tablename__ = "accounts"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    login: Mapped[str] = mapped_column(String(254), unique=True)
    """What they sign in with: a name or an e-mail address, in lower case."""
    name: Mapped[str] = mapped_column(String(200))
    email: Mapped[str | None] = mapped_column(String(254))
    """Where mail goes, once ``email_verified_at`` says that they get it."""
    email_verified_at: Mapped[int | None] = mapped_column(BigInteger)
    password_hash: Mapped[str | None] = mapped_column(String(200))
    """Argon2id; None for who signs in by passkey or Lightning wallet alone."""
    totp_sealed: Mapped[str | None] = mapped_column(Text)
    """The secret of one-time passwords (RFC 6238) as ``tokens/sealing.py`` encrypts it."""
    totp_confirmed_at: Mapped[int | None] = mapped_column(BigInteger)
    totp_last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    """The time step of the last password that was used: each counts once."""
    locale: Mapped[str | None] = mapped_column(String(8))
    """The language of their pages; None is that of the browser."""
    is_operator: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[int] = mapped_column(BigInteger)
    closed_at: Mapped[int | None] = mapped_column(BigInteger)


class AccountSession(SignedInBrowser, Model):
    """A browser that is signed in to an account."""

    __tablename__ = "account_sessions"

    account_id: Mapped[str] = mapped_column(String(64), primary_key=True)


class Membership(Model):
    """What an account may do for a merchant."""

    __tablename__ = "memberships"
    __table_args__ = (
        Index("ix_memberships_account_id", "account_id"),
        CheckConstraint("role IN ('owner', 'editor', 'accountant')", name="role_known"),
    )

    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(BigInteger)


class Invitation(Model):
    """A link that makes whoever opens it a member, or lets them sign up; it works once."""

    __tablename__ = "invitations"
    __table_args__ = (
        Index("uq_invitations_code_hash", "code_hash", unique=True),
        Index("ix_invitations_merchant_id", "merchant_id"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    code_hash: Mapped[str] = mapped_column(String(64))
    merchant_id: Mapped[str | None] = mapped_column(String(64))
    """None: it lets somebody sign up and open a merchant of their own."""
    role: Mapped[str | None] = mapped_column(String(16))
    note: Mapped[str] = mapped_column(String(200))
    """For whom it is, in the words of who made it."""
    made_by: Mapped[str] = mapped_column(String(64))
    """An account; empty for the operator's command line."""
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)
    used_by: Mapped[str | None] = mapped_column(String(64))
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)


class AuditEntry(Model):
    """What somebody did, for a merchant or to their own account. Never changed afterwards."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_merchant", "merchant_id", "created_at", "id"),
        Index("ix_audit_entries_account", "account_id", "created_at", "id"),
        Index("ix_audit_entries_subject", "subject", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    merchant_id: Mapped[str | None] = mapped_column(String(64))
    account_id: Mapped[str | None] = mapped_column(String(64))
    """Who did it; None for the command line, a site's server or a job."""
    action: Mapped[str] = mapped_column(String(64))
    """A stable name such as ``item.price_changed``."""
    subject: Mapped[str] = mapped_column(String(64))
    """The id of what it was done to; may be empty."""
    detail: Mapped[str] = mapped_column(Text)
    """JSON: what it was before and after. Never a secret."""
    created_at: Mapped[int] = mapped_column(BigInteger)


class QueuedMail(Model):
    """A mail that is not sent yet; its row goes when it is."""

    __tablename__ = "mails"
    __table_args__ = (Index("ix_mails_next_try_at", "next_try_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    to_address: Mapped[str] = mapped_column(String(254))
    subject: Mapped[str] = mapped_column(String(200))
    text_sealed: Mapped[str] = mapped_column(Text)
    """It may hold a link that opens something, so ``tokens/sealing.py`` encrypts it."""
    tries: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)
    next_try_at: Mapped[int] = mapped_column(BigInteger)
