"""Unlocks without what each one alone would need: no look at the catalog, no session.

An offer is kept for half a minute, as the keys of a site are: so long a changed price,
split or origin may go unnoticed. Whoever was shown a price sends it along and never pays
more; whoever was shown a lower one than is kept makes us look again.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import PriceChanged
from bitcache_server.ledger.order import Spend
from bitcache_server.ledger.spend import SpendResult, spend
from bitcache_server.services.deps import Deps
from bitcache_server.services.spend_queue import SpendQueue
from bitcache_server.services.unlock_item import (
    Unlocked,
    UnlockOffer,
    UnlockOrder,
    issue,
    read_offer,
    refusal,
    to_spend,
    unlock_item,
)

CACHE_S = 30
CACHE_SIZE = 10_000


class QuickUnlocks:
    """One for each process. ``session()`` is called inside a ``context()``; it connects late."""

    def __init__(
        self,
        deps: Deps,
        engine: Engine,
        context: Callable[[], AbstractContextManager[object]],
        session: Callable[[], Session],
    ) -> None:
        self._deps = deps
        self._context = context
        self._session = session
        self._offers: dict[str, tuple[int, UnlockOffer]] = {}
        together = engine.dialect.name == "postgresql"
        self._spend = SpendQueue(engine, self._alone).spend if together else self._alone

    def unlock(self, order: UnlockOrder) -> Unlocked:
        """Return and raise what ``unlock_item`` does."""
        offer, is_new = self._offer(order.item_id)
        if offer.is_order:
            with self._context():
                return unlock_item(self._deps, self._session(), order)
        try:
            paid = self._spend(to_spend(self._deps, offer, order))
        except PriceChanged as error:
            if is_new:
                raise refusal(offer, error) from None
            offer, paid = self._look_again(order)
        return issue(self._deps, offer, order, paid)

    def _look_again(self, order: UnlockOrder) -> tuple[UnlockOffer, SpendResult]:
        offer = self._read(order.item_id)
        try:
            return offer, self._spend(to_spend(self._deps, offer, order))
        except PriceChanged as error:
            raise refusal(offer, error) from None

    def _offer(self, item_id: str) -> tuple[UnlockOffer, bool]:
        """Return the offer, and whether it was read just now."""
        kept = self._offers.get(item_id)
        if kept is not None and 0 <= self._deps.clock() - kept[0] < CACHE_S:
            return kept[1], False
        return self._read(item_id), True

    def _read(self, item_id: str) -> UnlockOffer:
        now = self._deps.clock()
        with self._context():
            offer = read_offer(self._deps, self._session(), item_id)
        if len(self._offers) >= CACHE_SIZE:
            self._offers.clear()
        self._offers[item_id] = (now, offer)
        return offer

    def _alone(self, order: Spend) -> SpendResult:
        with self._context():
            return spend(self._session(), order)
