"""Sends orders that arrive together in one statement; each answer waits for its commit.

While one statement is on its way the next orders gather, so that a busy server pays
for fewer round trips and fewer commits, and a quiet one loses no time: whoever finds
nothing under way sends at once. There is no thread of its own. Whoever arrives first
sends for all who wait and then hands over to the first of those who came meanwhile.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

Order = TypeVar("Order")
Answer = TypeVar("Answer")

MAX_TOGETHER = 64
#: Statements under way at once: while one waits for the disk, the next is worked out.
STATEMENTS = 2
#: A statement is planned once, perhaps while its tables are empty, and the plan is kept. It
#: is always about a few rows, so indexes and loops are right whatever the planner has seen;
#: such a plan looks dear, and nothing may be compiled for it.
_FEW_ROWS = (
    "SET jit = off; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
)


@dataclass(eq=False)
class _Ticket(Generic[Order, Answer]):
    """One order that waits."""

    order: Order
    answered: bool = False
    answer: Answer | None = None
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Taken from the start; who waits takes it again when somebody lets go of it."""

    def __post_init__(self) -> None:
        self.turn.acquire()


class Together(Generic[Order, Answer]):
    """One for each process, database and kind of statement.

    ``send`` does many orders in one statement on a connection that commits each statement
    by itself, and returns an answer for each; None says that it has to be done alone.
    """

    def __init__(
        self, engine: Engine, send: Callable[[Connection, Sequence[Order]], Sequence[Answer | None]]
    ) -> None:
        self._engine = engine
        self._send_all = send
        self._lock = threading.Lock()
        self._waiting: deque[_Ticket[Order, Answer]] = deque()
        self._free = STATEMENTS
        self._connections: list[Connection] = []
        event.listen(engine, "engine_disposed", lambda _engine: self.close())

    def send(self, order: Order) -> Answer | None:
        """Return the answer to an order; None when it has to be done alone.

        So it has to when its statement failed: which of the orders it was, or what ails the
        database, shows when each is alone.
        """
        ticket: _Ticket[Order, Answer] = _Ticket(order)
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
        return ticket.answer

    def close(self) -> None:
        """Close the connections that are kept; the next order opens others."""
        with self._lock:
            kept, self._connections = self._connections, []
        for connection in kept:
            connection.close()

    def _lead(self, first: _Ticket[Order, Answer]) -> None:
        """Send for the first and all who wait, then let the next one lead."""
        with self._lock:
            count = min(len(self._waiting), MAX_TOGETHER - 1)
            tickets = [first, *(self._waiting.popleft() for _ in range(count))]
        answers: Sequence[Answer | None] = [None] * len(tickets)
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

    def _send(self, orders: Sequence[Order]) -> Sequence[Answer | None]:
        connection = None
        try:
            connection = self._take_connection()
            answers = self._send_all(connection, orders)
        except (DBAPIError, PoolTimeout):
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
        connection.exec_driver_sql(_FEW_ROWS)
        return connection
