"""The outbox of events, webhook endpoints, and what was delivered to them."""

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from bitcache_server.extensions import Model

#: SQLite counts up by itself in a column of exactly this type.
GrowingNumber = BigInteger().with_variant(Integer, "sqlite")


class WebhookEvent(Model):
    """Something that happened, for whoever listens. Written in the transaction that did it."""

    __tablename__ = "webhook_events"
    __table_args__ = (
        Index("uq_webhook_events_id", "id", unique=True),
        Index("ix_webhook_events_merchant", "merchant_id", "created_at", "number"),
        Index("ix_webhook_events_subject", "subject"),
        Index("ix_webhook_events_created_at", "created_at"),
    )

    number: Mapped[int] = mapped_column(GrowingNumber, primary_key=True, autoincrement=True)
    """Grows; two transactions at once may commit in another order."""
    id: Mapped[str] = mapped_column(String(64))
    """``ev_…``; receivers see it as ``webhook-id``, the same with each attempt."""
    merchant_id: Mapped[str] = mapped_column(String(64))
    type: Mapped[str] = mapped_column(String(32))
    """See ``services/webhook_types.py``."""
    api_version: Mapped[str] = mapped_column(String(16))
    """The form of the data, as it was when this happened."""
    subject: Mapped[str] = mapped_column(String(96))
    """The id of what it is about; may be empty."""
    data: Mapped[str] = mapped_column(Text)
    """JSON."""
    created_at: Mapped[int] = mapped_column(BigInteger)


class WebhookEndpoint(Model):
    """An address that a merchant's events are sent to."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("ix_webhook_endpoints_merchant_id", "merchant_id", "created_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    merchant_id: Mapped[str] = mapped_column(String(64))
    site_id: Mapped[str | None] = mapped_column(String(64))
    """The site whose server has added it; None for one that a person has."""
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(String(200))
    event_types: Mapped[str] = mapped_column(Text)
    """Names apart by spaces; ``*`` is all that there are and will be."""
    secret_sealed: Mapped[str] = mapped_column(Text)
    """``whsec_…``, by ``tokens/sealing.py``; empty once the endpoint was deleted."""
    old_secret_sealed: Mapped[str | None] = mapped_column(Text)
    """The one before, which signs as well until ``old_secret_until``."""
    old_secret_until: Mapped[int | None] = mapped_column(BigInteger)
    enabled: Mapped[bool]
    disabled_reason: Mapped[str] = mapped_column(String(16))
    """``paused`` by a person, ``failing`` for days, ``gone`` by its own word; else empty."""
    disabled_at: Mapped[int | None] = mapped_column(BigInteger)
    failing_since: Mapped[int | None] = mapped_column(BigInteger)
    """Since when nothing but failures came back; None after any success."""
    slow: Mapped[bool] = mapped_column(default=False)
    """Its last answer took long: it shares a part of the threads with those that fail."""
    served_at: Mapped[int] = mapped_column(BigInteger, default=0)
    """When it had its last turn: whoever waited longest comes first."""
    turns: Mapped[int] = mapped_column(BigInteger, default=0)
    leased_by: Mapped[str | None] = mapped_column(String(64))
    """Who sends to it just now: nobody else does, so that one thing is on its way at most."""
    leased_until: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)


class WebhookDelivery(Model):
    """An event on its way to an endpoint."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("uq_webhook_deliveries_event", "event_number", "endpoint_id", unique=True),
        Index("ix_webhook_deliveries_endpoint", "endpoint_id", "id"),
        Index("ix_webhook_deliveries_state", "endpoint_id", "state", "id"),
        Index(
            "ix_webhook_deliveries_due",
            "endpoint_id",
            "next_at",
            "id",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
        CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="state_known"),
    )

    id: Mapped[int] = mapped_column(GrowingNumber, primary_key=True, autoincrement=True)
    endpoint_id: Mapped[str] = mapped_column(String(64))
    event_number: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    """All that were made."""
    tries: Mapped[int] = mapped_column(default=0)
    """Those since it was sent first or again: they set the time of the next one."""
    next_at: Mapped[int] = mapped_column(BigInteger)
    """Not to be tried before."""
    done_at: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)


class WebhookAttempt(Model):
    """One try to deliver, and what came back."""

    __tablename__ = "webhook_attempts"

    delivery_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Counted for each delivery, from 1."""
    at: Mapped[int] = mapped_column(BigInteger)
    duration_ms: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[int | None] = mapped_column()
    """The HTTP status; None where none came."""
    error: Mapped[str] = mapped_column(String(32))
    """A code of ``delivery/webhook.py``; empty for a success."""
    answer: Mapped[str] = mapped_column(Text)
    """The beginning of what the receiver said: a stranger's words."""
