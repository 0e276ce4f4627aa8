"""Spends that arrive together go to the database together (``together.py``).

What cannot be done together is done alone: a wallet that somebody else uses at this
moment, and all orders of a statement that failed.
"""

import threading
from collections.abc import Callable

from sqlalchemy import Engine

from bitcache_server.domain.errors import BitcacheError, StorageBusy
from bitcache_server.ledger.order import Spend
from bitcache_server.ledger.spend import SpendResult, spend_together
from bitcache_server.services.together import Together

#: Orders that may wait for a wallet in use, each in a thread that then answers nobody else.
MAX_ALONE = 4
#: How long the orders of a statement that failed wait for their turn alone.
PATIENCE_S = 5.0
#: How long the order of a wallet in use waits for one of those places. Other clicks of the
#: same reader are over in milliseconds; who would have to wait longer is told to come back.
BUSY_PATIENCE_S = 0.25


class SpendQueue:
    """One for each process and database. ``alone`` does one spend as ``ledger.spend`` does."""

    def __init__(self, engine: Engine, alone: Callable[[Spend], SpendResult]) -> None:
        self._alone = alone
        self._together: Together[Spend, SpendResult | BitcacheError] = Together(
            engine, lambda connection, orders: spend_together(connection, orders)
        )
        self._may_wait = threading.BoundedSemaphore(MAX_ALONE)

    def spend(self, order: Spend) -> SpendResult:
        """Return and raise what ``ledger.spend`` does."""
        answer = self._together.send(order)
        if isinstance(answer, SpendResult):
            return answer
        if isinstance(answer, BitcacheError) and not isinstance(answer, StorageBusy):
            raise answer
        return self._spend_alone(order, patience_s=BUSY_PATIENCE_S if answer else PATIENCE_S)

    def _spend_alone(self, order: Spend, patience_s: float) -> SpendResult:
        if not self._may_wait.acquire(timeout=patience_s):
            raise StorageBusy("Too many wallets are in use at this moment; try again.")
        try:
            return self._alone(order)
        finally:
            self._may_wait.release()
