"""Who waits for which invoice, kept as small as thousands of them at once want it."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Flag


@dataclass(frozen=True, slots=True)
class Reader:
    """Who waits for which invoice."""

    invoice_id: str
    origin: str | None
    """Of the page, where it is not ours."""
    block: str
    """The reader's address, or its /64."""


class Call(Flag):
    """Why a waiter wakes."""

    NONE = 0
    BEAT = 1
    CHANGED = 2
    GONE = 4


class Waiter:
    """One reader who waits: a future, and no task, timer or event of its own."""

    __slots__ = ("_calls", "_future", "reader")

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._calls = Call.NONE
        self._future: asyncio.Future[None] | None = None

    def call(self, call: Call) -> None:
        """Wake the waiter, now or when it waits next."""
        self._calls |= call
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def next(self) -> Call:
        """Wait for a call. Of several the most important comes first and makes up for others."""
        if not self._calls:
            self._future = asyncio.get_running_loop().create_future()
            await self._future
            self._future = None
        call = next(call for call in (Call.GONE, Call.CHANGED, Call.BEAT) if call in self._calls)
        # Who has left stays away.
        self._calls &= Call.GONE
        return call


class Waiters:
    """All of them, by invoice, and in groups whose heartbeats fall at different times."""

    def __init__(self, groups: int) -> None:
        self._by_invoice: dict[str, set[Waiter]] = {}
        self._groups: list[dict[Waiter, None]] = [{} for _ in range(groups)]
        self._blocks: Counter[str] = Counter()
        self._entered = 0
        self.count = 0

    def enter(self, waiter: Waiter) -> None:
        """Add one."""
        self._by_invoice.setdefault(waiter.reader.invoice_id, set()).add(waiter)
        self._groups[self._entered % len(self._groups)][waiter] = None
        self._entered += 1
        self._change(waiter.reader.block, 1)

    def leave(self, waiter: Waiter) -> None:
        """Forget one."""
        others = self._by_invoice[waiter.reader.invoice_id]
        others.discard(waiter)
        if not others:
            del self._by_invoice[waiter.reader.invoice_id]
        for group in self._groups:
            group.pop(waiter, None)
        self._change(waiter.reader.block, -1)

    def _change(self, block: str, by: int) -> None:
        self.count += by
        self._blocks[block] += by
        if not self._blocks[block]:
            del self._blocks[block]

    def of_block(self, block: str) -> int:
        """Return how many wait at an address."""
        return self._blocks[block]

    def ids(self) -> list[str]:
        """Return the invoices that somebody waits for."""
        return list(self._by_invoice)

    def __contains__(self, invoice_id: str) -> bool:
        return invoice_id in self._by_invoice

    def tell(self, invoice_id: str) -> None:
        """Wake all who wait for an invoice."""
        for waiter in self._by_invoice.get(invoice_id, ()):
            waiter.call(Call.CHANGED)

    def beat(self, group: int) -> None:
        """Wake one group for its heartbeat."""
        members: Iterable[Waiter] = self._groups[group % len(self._groups)]
        for waiter in members:
            waiter.call(Call.BEAT)
