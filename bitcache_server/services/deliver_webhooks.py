"""Deliver what stands in the outbox: several endpoints at once, each in its own order.

An endpoint is leased by one thread of one process for its turn, so that one event at most is
on its way to it, and any number of jobs processes deliver beside each other. Whoever fails or
is slow has its turn among others of its kind, in a part of the threads: nobody else waits for
it. The call is made outside of any transaction. A process that dies in the middle leaves a
lease that ends by itself; then the event is sent again, with the same id.
"""

import logging
import secrets
import threading
import time

from sqlalchemy import ColumnElement, Engine, exists, or_, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bitcache_server.delivery.webhook import Result, WebhookSender
from bitcache_server.domain.errors import BitcacheError
from bitcache_server.models.session import storage_errors, write_transaction
from bitcache_server.models.webhooks import WebhookDelivery, WebhookEndpoint
from bitcache_server.services.deps import Deps
from bitcache_server.services.webhook_steps import Order, give_back, next_order, record

log = logging.getLogger(__name__)

#: Endpoints that are served at once, and how many of them may be failing or slow ones.
THREADS = 8
DOUBTFUL_THREADS = 4
#: A turn ends after so many events or so long, so that others come, too.
TURN_EVENTS = 50
TURN_S = 5.0
#: A lease outlives the call by so much; within it the result is stored.
LEASE_MARGIN_S = 30
#: How long it waits for one of its threads before it looks for work again.
LOOK_S = 0.25
STORE_TRIES = 3


class WebhookCrew:
    """The threads of one process that deliver. ``until_idle`` waits until nothing is due."""

    def __init__(self, deps: Deps, *, until_idle: bool) -> None:
        settings = deps.settings
        self._sender = WebhookSender(settings.webhook_timeout_s, settings.webhook_allow_local)
        self._lease_s = settings.webhook_timeout_s + LEASE_MARGIN_S
        self._until_idle = until_idle
        self._changed = threading.Condition()
        #: From the token of each turn under way to whether its endpoint is doubtful.
        self._turns: dict[str, bool] = {}

    def run(self, deps: Deps, session: Session) -> None:
        """Begin turns for endpoints with something due, as many as there are threads free."""
        engine = session.get_bind()
        if not isinstance(engine, Engine):
            raise TypeError("Each thread needs a connection of its own.")
        while self._begin(deps, session, engine) or (self._until_idle and self._turns):
            with self._changed:
                # A place that becomes free ends the wait at once.
                if len(self._turns) >= THREADS or self._until_idle:
                    self._changed.wait(LOOK_S)
            if not self._until_idle:
                return

    def _begin(self, deps: Deps, session: Session, engine: Engine) -> bool:
        """Begin what can begin; return whether anything did."""
        begun = False
        for doubtful in (False, True):
            for token, endpoint_id in self._claim(deps, session, doubtful):
                with self._changed:
                    self._turns[token] = doubtful
                turn = _Turn(deps, engine, self._sender, token, endpoint_id, self._lease_s)
                threading.Thread(
                    target=self._take, args=(turn,), name="webhook", daemon=True
                ).start()
                begun = True
        return begun

    def _take(self, turn: "_Turn") -> None:
        try:
            turn.run()
        finally:
            with self._changed:
                del self._turns[turn.token]
                self._changed.notify_all()

    def _free(self, doubtful: bool) -> int:
        with self._changed:
            free = THREADS - len(self._turns)
            if doubtful:
                free = min(free, DOUBTFUL_THREADS - sum(self._turns.values()))
        return max(0, free)

    def _claim(self, deps: Deps, session: Session, doubtful: bool) -> list[tuple[str, str]]:
        """Lease endpoints with something due; return each with the token of its turn."""
        free, now = self._free(doubtful), deps.clock()
        query = (
            select(WebhookEndpoint.id)
            .where(*_is_due(now, doubtful))
            .order_by(WebhookEndpoint.served_at, WebhookEndpoint.turns)
            .limit(free)
        )
        # Looking takes no lock: most of the time there is nothing to do.
        with storage_errors():
            found = bool(free and session.scalars(query).first())
        session.rollback()
        if not found:
            return []
        claimed = []
        with write_transaction(session):
            for endpoint_id in session.scalars(query.with_for_update(skip_locked=True)).all():
                token = secrets.token_hex(16)
                session.execute(
                    update(WebhookEndpoint)
                    .where(WebhookEndpoint.id == endpoint_id)
                    .values(
                        leased_by=token,
                        leased_until=now + self._lease_s,
                        served_at=now,
                        turns=WebhookEndpoint.turns + 1,
                    )
                )
                claimed.append((token, endpoint_id))
        return claimed


def _is_due(now: int, doubtful: bool) -> tuple[ColumnElement[bool], ...]:
    is_doubtful = or_(WebhookEndpoint.failing_since.is_not(None), WebhookEndpoint.slow)
    return (
        WebhookEndpoint.enabled.is_(True),
        WebhookEndpoint.deleted_at.is_(None),
        or_(WebhookEndpoint.leased_by.is_(None), WebhookEndpoint.leased_until <= now),
        is_doubtful if doubtful else ~is_doubtful,
        exists().where(
            WebhookDelivery.endpoint_id == WebhookEndpoint.id,
            # Spelt out, or PostgreSQL could not tell that the index of waiting ones serves.
            text("webhook_deliveries.state = 'waiting'"),
            WebhookDelivery.next_at <= now,
        ),
    )


class _Turn:
    """One endpoint's turn in a thread and a session of its own."""

    def __init__(
        self,
        deps: Deps,
        engine: Engine,
        sender: WebhookSender,
        token: str,
        endpoint_id: str,
        lease_s: int,
    ) -> None:
        self._deps, self._engine, self._sender = deps, engine, sender
        self.token, self._endpoint_id, self._lease_s = token, endpoint_id, lease_s

    def run(self) -> None:
        """Deliver until nothing is due, something failed, or the turn is over."""
        ends_at = time.monotonic() + TURN_S
        with Session(self._engine) as session:
            try:
                order = self._first(session)
                for number in range(1, TURN_EVENTS + 1):
                    if order is None:
                        return
                    result = self._send(order)
                    is_last = number == TURN_EVENTS or time.monotonic() > ends_at
                    order = self._store(session, order, result, is_last)
            except (BitcacheError, SQLAlchemyError) as error:
                log.warning("webhooks to endpoint=%s wait: %s", self._endpoint_id, error)
            except Exception:
                log.exception("webhooks to endpoint=%s failed unexpectedly", self._endpoint_id)

    def _first(self, session: Session) -> Order | None:
        with storage_errors():
            order = next_order(self._deps, session, self._endpoint_id, self.token)
        session.rollback()
        if order is None:
            with write_transaction(session):
                give_back(session, self._endpoint_id, self.token)
        return order

    def _send(self, order: Order) -> Result:
        if not order.message.secrets:
            # The server's secret key was changed: the endpoint needs a new secret.
            return Result(None, "secret_unreadable", "", 0)
        return self._sender.send(order.url, order.message, doubtful=order.doubtful)

    def _store(self, session: Session, order: Order, result: Result, last: bool) -> Order | None:
        """Store the result and return what comes next. A busy database is tried again."""
        for attempt in range(1, STORE_TRIES + 1):
            try:
                with write_transaction(session):
                    return record(
                        self._deps, session, order, result, None if last else self._lease_s
                    )
            except BitcacheError:
                if attempt == STORE_TRIES:
                    raise
        return None


def deliver_due(deps: Deps, session: Session) -> None:
    """Deliver all that is due now, and return when nothing is on its way any more."""
    WebhookCrew(deps, until_idle=True).run(deps, session)
