"""What is kept of a browser that is signed in, to a wallet as to an account."""

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column


class SignedInBrowser:
    """Columns of a session; the cookie names it and carries its secret."""

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    secret_hash: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(200))
    """Browser and system, for the owner's list of devices."""
    created_at: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[int] = mapped_column(BigInteger)
    verified_at: Mapped[int | None] = mapped_column(BigInteger)
    """When the owner last proved who they are."""
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
