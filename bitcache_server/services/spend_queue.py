"""Sends spends that arrive together in one statement; each answer waits for its commit.

While one statement is on its way the next clicks gather, so that a busy server pays
for fewer round trips and fewer commits, and a quiet one loses no time: whoever finds
nothing under way sends at once. There is no thread of its own. Whoever arrives first
sends for all who wait and then hands over to the first of those who came meanwhile.

What cannot be done together is done alone: a wallet that somebody else uses at this
moment, and all orders of a statement that failed.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bitcache_server.domain.errors import BitcacheError, StorageBusy
from bitcache_server.ledger.order import Spend
from bitcache_server.ledger.spend import SpendResult, spend_together

MAX_TOGETHER = 64
#: Statements under way at once: while one waits for the disk, the next is worked out.
STATEMENTS = 2
#: Orders that may wait for a wallet in use, each in a thread that then answers nobody else.
MAX_ALONE = 4
#: How long the orders of a statement that failed wait for their turn alone.
PATIENCE_S = 5.0
#: How long the order of a wallet in use waits for one of those places. Other clicks of the
#: same reader are over in milliseconds; who would have to wait longer is told to come back.
BUSY_PATIENCE_S = 0.25

Answer = SpendResult | BitcacheError | None
"""None: it has to be done alone."""


@dataclass(eq=False)
class _Ticket:
    """One click that waits."""

    order: Spend
    answered: bool = False
    answer: Answer = None
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Taken from the start; who waits takes it again when somebody lets go of it."""

    def __post_init__(self) -> None:
        self.turn.acquire()


class SpendQueue:
    """One for each process and database. ``alone`` does one spend as ``ledger.spend`` does."""

    def __init__(self, engine: Engine, alone: Callable[[Spend], SpendResult]) -> None:
        self._engine = engine
        self._alone = alone
        self._lock = threading.Lock()
        self._waiting: deque[_Ticket] = deque()
        self._free = STATEMENTS
        self._connections: list[Connection] = []
        self._may_wait = threading.BoundedSemaphore(MAX_ALONE)
        event.listen(engine, "engine_disposed", lambda _engine: self.close())

    def spend(self, order: Spend) -> SpendResult:
        """Return and raise what ``ledger.spend`` does."""
        ticket = _Ticket(order)
        with self._lock:
            leads = self._free > 0
            if leads:
                self._free -= 1
            else:
                self._waiting.append(ticket)
        if not leads:
            ticket.turn.acquire()
        if not ticket.answered:
            self._lead(ticket)
        if isinstance(ticket.answer, SpendResult):
            return ticket.answer
        if isinstance(ticket.answer, BitcacheError) and not isinstance(ticket.answer, StorageBusy):
            raise ticket.answer
        return self._spend_alone(order, patience_s=BUSY_PATIENCE_S if ticket.answer else PATIENCE_S)

    def close(self) -> None:
        """Close the connections that are kept; the next spend opens others."""
        with self._lock:
            kept, self._connections = self._connections, []
        for connection in kept:
            connection.close()

    def _lead(self, first: _Ticket) -> None:
        """Send for the first and all who wait, then let the next one lead."""
        with self._lock:
            count = min(len(self._waiting), MAX_TOGETHER - 1)
            tickets = [first, *(self._waiting.popleft() for _ in range(count))]
        answers: Sequence[Answer] = [None] * len(tickets)
        try:
            answers = self._send([ticket.order for ticket in tickets])
        finally:
            self._hand_over()
            for ticket, answer in zip(tickets, answers, strict=True):
                ticket.answer, ticket.answered = answer, True
                if ticket is not first:
                    ticket.turn.release()

    def _hand_over(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().turn.release()
            else:
                self._free += 1

    def _send(self, orders: Sequence[Spend]) -> Sequence[Answer]:
        connection = None
        try:
            connection = self._take_connection()
            answers = spend_together(connection, orders)
        except (DBAPIError, PoolTimeout):
            # Which of the orders it was, or what ails the database, shows when each is alone.
            if connection is not None:
                with contextlib.suppress(DBAPIError):
                    connection.close()
            return [None] * len(orders)
        with self._lock:
            self._connections.append(connection)
        return answers

    def _take_connection(self) -> Connection:
        with self._lock:
            if self._connections:
                return self._connections.pop()
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # Kept for good, so it is none of the pool's.
        connection.detach()
        return connection

    def _spend_alone(self, order: Spend, patience_s: float) -> SpendResult:
        if not self._may_wait.acquire(timeout=patience_s):
            raise StorageBusy("Too many wallets are in use at this moment; try again.")
        try:
            return self._alone(order)
        finally:
            self._may_wait.release()
