"""Who holds a wallet, and what a site may take from it."""

from sqlalchemy import BigInteger, CheckConstraint, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from bitcache_server.extensions import Model
from bitcache_server.models.browsers import SignedInBrowser


class WalletSession(SignedInBrowser, Model):
    """A browser that is signed in to a wallet."""

    __tablename__ = "wallet_sessions"

    wallet_id: Mapped[str] = mapped_column(String(64), primary_key=True)


class Passkey(Model):
    """A WebAuthn credential (https://www.w3.org/TR/webauthn-3/) of a wallet or an account."""

    __tablename__ = "passkeys"
    __table_args__ = (Index("ix_passkeys_owner_id", "owner_id"),)

    credential_id: Mapped[str] = mapped_column(String(1_400), primary_key=True)
    """In base64url without padding; the specification allows 1,023 bytes."""
    owner_id: Mapped[str] = mapped_column(String(64))
    """A wallet or an account; the letters before its `_` say which."""
    public_key: Mapped[str] = mapped_column(Text)
    """COSE key in base64url."""
    sign_count: Mapped[int] = mapped_column(BigInteger)
    label: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class RecoveryCode(Model):
    """The hash of the code that signs in on a new device; a new code replaces it."""

    __tablename__ = "recovery_codes"
    __table_args__ = (Index("uq_recovery_codes_code_hash", "code_hash", unique=True),)

    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """A wallet or an account."""
    code_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class OneTimeCode(Model):
    """A challenge or code that counts once: passkey challenges, proofs of work, approvals."""

    __tablename__ = "one_time_codes"
    __table_args__ = (Index("ix_one_time_codes_expires_at", "expires_at"),)

    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 in hex."""
    purpose: Mapped[str] = mapped_column(String(32))
    data: Mapped[str] = mapped_column(Text)
    """JSON; what the code stands for."""
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class Allowance(Model):
    """What the pages of one origin may take from a wallet without asking again."""

    __tablename__ = "allowances"
    __table_args__ = (
        Index("ix_allowances_site", "wallet_id", "site_id"),
        CheckConstraint("per_item_msat > 0", name="per_item_positive"),
        CheckConstraint("per_day_msat > 0", name="per_day_positive"),
    )

    wallet_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    site_id: Mapped[str] = mapped_column(String(64))
    origin: Mapped[str] = mapped_column(String(300))
    per_item_msat: Mapped[int] = mapped_column(BigInteger)
    per_day_msat: Mapped[int] = mapped_column(BigInteger)
    auto_msat: Mapped[int] = mapped_column(BigInteger)
    """Prices up to this open without a click; 0 is never."""
    day: Mapped[int] = mapped_column(BigInteger)
    """The UTC day (seconds / 86,400) that ``spent_msat`` counts."""
    spent_msat: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)


class Gift(Model):
    """Starter credit that a wallet got; the address block keeps one reader from many."""

    __tablename__ = "gifts"
    __table_args__ = (Index("ix_gifts_address", "address_hash", "created_at"),)

    wallet_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    address_hash: Mapped[str] = mapped_column(String(64))
    """Keyed hash of the address block; emptied when the limit no longer needs it."""
    amount_msat: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)


class GiftDay(Model):
    """What was given on a UTC day: one conditional statement keeps it within the budget."""

    __tablename__ = "gift_days"

    day: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    given_msat: Mapped[int] = mapped_column(BigInteger)


class LnurlKey(Model):
    """A Lightning wallet's key for this server (LUD-04), of a wallet or an account here."""

    __tablename__ = "lnurl_keys"
    __table_args__ = (Index("ix_lnurl_keys_owner_id", "owner_id"),)

    key: Mapped[str] = mapped_column(String(66), primary_key=True)
    """Compressed secp256k1 public key in hex; wallets make another for each domain (LUD-05)."""
    realm: Mapped[str] = mapped_column(String(8), primary_key=True)
    """``wallet`` or ``account``: one key may open one of each."""
    owner_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class LnurlChallenge(Model):
    """A ``k1`` (LUD-04) that one browser shows and one Lightning wallet signs, once."""

    __tablename__ = "lnurl_challenges"
    __table_args__ = (Index("ix_lnurl_challenges_expires_at", "expires_at"),)

    k1: Mapped[str] = mapped_column(String(64), primary_key=True)
    """32 random bytes in hex. It stands in a QR code, so it opens nothing by itself."""
    realm: Mapped[str] = mapped_column(String(8))
    """``wallet`` or ``account``: what it is to open."""
    purpose: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(140))
    """The owner and session that asked; empty for a sign-in."""
    browser_hash: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the secret that only the browser has that shows the code."""
    key: Mapped[str | None] = mapped_column(String(66))
    """Who signed first; None until somebody did."""
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)


class WalletConnection(Model):
    """A reader's Lightning wallet that fills the balance by itself (NIP-47), within limits."""

    __tablename__ = "wallet_connections"
    __table_args__ = (
        CheckConstraint("amount_msat > 0", name="amount_positive"),
        CheckConstraint("per_day_msat >= amount_msat", name="per_day_reaches"),
    )

    wallet_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    sealed: Mapped[str] = mapped_column(Text)
    """The connection text as ``tokens/sealing.py`` encrypts it."""
    alias: Mapped[str] = mapped_column(String(64))
    """What the wallet calls itself."""
    amount_msat: Mapped[int] = mapped_column(BigInteger)
    """Of one top-up."""
    per_day_msat: Mapped[int] = mapped_column(BigInteger)
    day: Mapped[int] = mapped_column(BigInteger)
    """The UTC day (seconds / 86,400) that ``spent_msat`` counts."""
    spent_msat: Mapped[int] = mapped_column(BigInteger)
    """Counted from the moment that a payment is asked for, until the wallet refuses it."""
    invoice_id: Mapped[str | None] = mapped_column(String(64))
    """The last top-up that the wallet was told to pay, as long as that may still happen."""
    error: Mapped[str] = mapped_column(Text)
    """Why the last one did not work, for its reader; empty when it did."""
    created_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)
