"""Every Lightning backend makes invoices, and tells of each that is paid."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bitcache_server.domain.errors import RailError
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import IssuedInvoice, LightningBackend, Settled
from bitcache_server.rails.lightning.decoding import description_hash_of, preimage_fits
from tests.contract.lightning.play import (
    DESCRIPTION,
    EVERYWHERE,
    MEMO,
    NOWHERE,
    PATIENCE_S,
    issue,
    order_of,
    played_on,
    read,
)
from tests.contract.lightning_worlds.base import PRICE_MSAT, Fault, LightningWorld


class Reader:
    """Reads settlements and keeps the cursor, as the server does in its database."""

    def __init__(self, backend: LightningBackend) -> None:
        self._backend = backend
        self.cursor = backend.settlements(None, 0).cursor
        self.seen: list[Settled] = []

    def read(self, wait_s: float = 0.0) -> Sequence[Settled]:
        page = self._backend.settlements(self.cursor, wait_s)
        self.cursor = page.cursor
        self.seen += page.settled
        return page.settled

    def read_until(self, issued: Sequence[IssuedInvoice]) -> None:
        """Read on until all were seen, over a node that is still starting, too."""
        wanted = {one.payment_hash for one in issued}
        deadline = time.monotonic() + PATIENCE_S
        while not wanted.issubset(self.hashes) and time.monotonic() < deadline:
            try:
                self.read(1.0)
            except RailError:
                time.sleep(0.05)

    @property
    def hashes(self) -> list[str]:
        """The payment hashes in the order in which they were first reported."""
        return list(dict.fromkeys(one.payment_hash for one in self.seen))


@EVERYWHERE
def test_an_invoice_asks_for_what_was_ordered(world: LightningWorld) -> None:
    amount_msat = 50_001 if world.backend.abilities.exact_msat else 51_000
    issued = world.backend.create_invoice(order_of(amount_msat, expires_in_s=1_234))
    found = read(issued.bolt11)
    assert found.amount_msat == amount_msat
    assert found.payment_hash == issued.payment_hash
    assert found.expires_at - found.created_at == 1_234


@EVERYWHERE
def test_an_invoice_commits_to_the_description_or_carries_the_memo(world: LightningWorld) -> None:
    found = read(issue(world).bolt11)
    commits = world.backend.abilities.description_hash
    expected = (None, description_hash_of(DESCRIPTION)) if commits else (MEMO, None)
    assert (found.memo, found.description_hash) == expected


@EVERYWHERE
def test_an_invoice_without_a_description_carries_the_memo(world: LightningWorld) -> None:
    found = read(world.backend.create_invoice(order_of(description="")).bolt11)
    assert (found.memo, found.description_hash) == (MEMO, None)


@EVERYWHERE
def test_the_same_label_twice_makes_two_invoices(world: LightningWorld) -> None:
    first, second = issue(world), issue(world)
    assert first.payment_hash != second.payment_hash
    assert first.bolt11 != second.bolt11


@EVERYWHERE
def test_an_open_invoice_is_pending(world: LightningWorld) -> None:
    status = world.backend.lookup_invoice(issue(world).payment_hash)
    assert (status.outcome, status.amount_msat, status.settled_at) == (Outcome.PENDING, 0, 0)
    assert status.preimage == ""


@EVERYWHERE
def test_a_paid_invoice_is_settled_with_amount_time_and_proof(world: LightningWorld) -> None:
    issued = issue(world)
    world.pay(issued)
    status = world.backend.lookup_invoice(issued.payment_hash)
    assert (status.outcome, status.amount_msat) == (Outcome.SETTLED, PRICE_MSAT)
    assert status.settled_at > 1_700_000_000
    assert status.preimage == "" or preimage_fits(status.preimage, issued.payment_hash)


@played_on(Fault.EXPIRY)
def test_an_invoice_that_is_over_has_failed(world: LightningWorld) -> None:
    issued = world.backend.create_invoice(order_of(expires_in_s=world.shortest_expiry_s))
    world.let_expire(issued)
    assert world.backend.lookup_invoice(issued.payment_hash).outcome is Outcome.FAILED


@EVERYWHERE
def test_an_invoice_of_somebody_else_is_unknown(world: LightningWorld) -> None:
    issue(world)
    assert world.backend.lookup_invoice(NOWHERE).outcome is Outcome.UNKNOWN


@EVERYWHERE
def test_without_a_cursor_the_stream_begins_now(world: LightningWorld) -> None:
    before, after = issue(world), issue(world)
    world.pay(before)
    reader = Reader(world.backend)
    world.pay(after)
    reader.read_until([after])
    assert reader.hashes == [after.payment_hash]


@EVERYWHERE
def test_settlements_come_in_order_with_amount_and_proof(world: LightningWorld) -> None:
    reader = Reader(world.backend)
    issued = [issue(world) for _ in range(3)]
    for one in reversed(issued):
        world.pay(one)
    reader.read_until(issued)
    assert sorted(reader.hashes) == sorted(one.payment_hash for one in issued)
    for settled in reader.seen:
        assert settled.amount_msat == PRICE_MSAT
        assert settled.settled_at > 1_700_000_000
        assert settled.preimage == "" or preimage_fits(settled.preimage, settled.payment_hash)
    times = [one.settled_at for one in reader.seen]
    assert times == sorted(times)


@EVERYWHERE
def test_what_was_stored_is_not_the_end_an_old_cursor_gives_it_again(
    world: LightningWorld,
) -> None:
    reader = Reader(world.backend)
    old = reader.cursor
    issued = issue(world)
    world.pay(issued)
    reader.read_until([issued])
    again = world.backend.settlements(old, 0)
    assert issued.payment_hash in {one.payment_hash for one in again.settled}


@EVERYWHERE
def test_a_quiet_stream_brings_nothing(world: LightningWorld) -> None:
    reader = Reader(world.backend)
    issued = issue(world)
    assert reader.read() == ()
    assert reader.read(0.2) == ()
    world.pay(issued)
    reader.read_until([issued])
    assert reader.hashes == [issued.payment_hash]


@EVERYWHERE
def test_a_wait_ends_when_something_arrives(world: LightningWorld) -> None:
    reader = Reader(world.backend)
    issued = issue(world)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.read, 4 * PATIENCE_S)
        world.pay(issued)
        settled = waiting.result(timeout=PATIENCE_S)
    assert [one.payment_hash for one in settled] == [issued.payment_hash]


@played_on(Fault.RESTART)
def test_none_is_missed_over_a_restart_of_the_node(world: LightningWorld) -> None:
    reader = Reader(world.backend)
    issued = [issue(world) for _ in range(3)]
    world.pay(issued[0])
    world.restart()
    world.pay(issued[1])
    reader.read_until(issued[:2])
    world.restart()
    world.pay(issued[2])
    reader.read_until(issued)
    assert set(reader.hashes) == {one.payment_hash for one in issued}


@played_on(Fault.RESTART)
def test_a_wait_over_a_restart_ends_and_the_next_one_goes_on(world: LightningWorld) -> None:
    reader = Reader(world.backend)
    issued = issue(world)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.read_until, [issued])
        world.restart()
        world.pay(issued)
        waiting.result(timeout=2 * PATIENCE_S)
    assert reader.hashes == [issued.payment_hash]
