"""The contract of ``rails/lightning/backend.py``, the same for every backend.

Each test is made for the worlds that can bring about what it needs; which they are stands in
``faults`` of the world.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from bitcache_server.domain.errors import (
    LightningCertificate,
    LightningPermission,
    LightningRejected,
    LightningUnauthorized,
    LightningUnreachable,
    LightningWrongNetwork,
    RailError,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import (
    InvoiceOrder,
    IssuedInvoice,
    LightningBackend,
    PayOrder,
    Sent,
    Settled,
)
from bitcache_server.rails.lightning.decoding import (
    Decoded,
    decode,
    description_hash_of,
    preimage_fits,
)
from bitcache_server.rails.lightning.registry import BACKENDS
from tests.contract.lightning_worlds import WORLDS
from tests.contract.lightning_worlds.base import (
    NETWORK,
    PAYOUT_MSAT,
    PRICE_MSAT,
    Fault,
    LightningWorld,
)
from tests.contract.lightning_worlds.recorded import RECORDINGS

T = TypeVar("T")

DESCRIPTION = '{"amount_msat":50000,"item":"it_1","title":"Über alles · ☕"}'
MEMO = "Über alles"
NOWHERE = "ab" * 32
OPEN = (Outcome.PENDING, Outcome.UNKNOWN)
#: A real node needs its time; a test that waits this long has failed.
PATIENCE_S = 30.0


def _played_on(*faults: Fault) -> pytest.MarkDecorator:
    names = sorted(name for name, world in WORLDS.items() if world.faults.issuperset(faults))
    return pytest.mark.parametrize("world", names, indirect=True)


EVERYWHERE = _played_on()


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[LightningWorld]:
    """Return the world of one backend, in which nothing has happened yet."""
    made = WORLDS[request.param].create(request)
    yield made
    made.close()


def _order(
    amount_msat: int = PRICE_MSAT, description: str = DESCRIPTION, expires_in_s: int = 600
) -> InvoiceOrder:
    return InvoiceOrder("in_1", amount_msat, MEMO, description, expires_in_s)


def _read(bolt11: str) -> Decoded:
    """Return what an invoice says; LNbits makes its own for mainnet, whatever it is told."""
    network = (
        "mainnet" if bolt11.startswith("lnbc") and not bolt11.startswith("lnbcrt") else NETWORK
    )
    return decode(bolt11, network)


def _issue(world: LightningWorld) -> IssuedInvoice:
    return world.backend.create_invoice(_order())


def _payment(
    bolt11: str, amount_msat: int = PAYOUT_MSAT, max_fee_msat: int = 5_000, wait_s: float = 10.0
) -> PayOrder:
    payment_hash = _read(bolt11).payment_hash
    return PayOrder(bolt11, payment_hash, amount_msat, max_fee_msat, wait_s)


def _in_time(ask: Callable[[], T], good: Callable[[T], bool]) -> T:
    """Ask until the answer is good; return the last one when patience ends."""
    deadline = time.monotonic() + PATIENCE_S
    while not good(answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


def _end_of(world: LightningWorld, payment_hash: str) -> Sent:
    return _in_time(
        lambda: world.backend.lookup_payment(payment_hash), lambda sent: sent.outcome not in OPEN
    )


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


# The registry and the recordings.


def test_every_backend_has_a_world() -> None:
    assert set(WORLDS) == set(BACKENDS)
    assert set().union(*(world.faults for world in WORLDS.values())) == set(Fault)


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*/*.json")), ids=lambda path: path.stem)
def test_every_recording_names_its_document_and_version(path: Path) -> None:
    found = json.loads(path.read_text())
    assert found["document"].startswith("https://")
    assert any(digit.isdigit() for digit in found["version"])
    assert found["request"]
    assert found["answers"]


# Invoices.


@EVERYWHERE
def test_an_invoice_asks_for_what_was_ordered(world: LightningWorld) -> None:
    amount_msat = 50_001 if world.backend.abilities.exact_msat else 51_000
    issued = world.backend.create_invoice(_order(amount_msat, expires_in_s=1_234))
    found = _read(issued.bolt11)
    assert found.amount_msat == amount_msat
    assert found.payment_hash == issued.payment_hash
    assert found.expires_at - found.created_at == 1_234


@EVERYWHERE
def test_an_invoice_commits_to_the_description_or_carries_the_memo(world: LightningWorld) -> None:
    found = _read(_issue(world).bolt11)
    commits = world.backend.abilities.description_hash
    expected = (None, description_hash_of(DESCRIPTION)) if commits else (MEMO, None)
    assert (found.memo, found.description_hash) == expected


@EVERYWHERE
def test_an_invoice_without_a_description_carries_the_memo(world: LightningWorld) -> None:
    found = _read(world.backend.create_invoice(_order(description="")).bolt11)
    assert (found.memo, found.description_hash) == (MEMO, None)


@EVERYWHERE
def test_the_same_label_twice_makes_two_invoices(world: LightningWorld) -> None:
    first, second = _issue(world), _issue(world)
    assert first.payment_hash != second.payment_hash
    assert first.bolt11 != second.bolt11


@EVERYWHERE
def test_an_open_invoice_is_pending(world: LightningWorld) -> None:
    status = world.backend.lookup_invoice(_issue(world).payment_hash)
    assert (status.outcome, status.amount_msat, status.settled_at) == (Outcome.PENDING, 0, 0)
    assert status.preimage == ""


@EVERYWHERE
def test_a_paid_invoice_is_settled_with_amount_time_and_proof(world: LightningWorld) -> None:
    issued = _issue(world)
    world.pay(issued)
    status = world.backend.lookup_invoice(issued.payment_hash)
    assert (status.outcome, status.amount_msat) == (Outcome.SETTLED, PRICE_MSAT)
    assert status.settled_at > 1_700_000_000
    assert status.preimage == "" or preimage_fits(status.preimage, issued.payment_hash)


@_played_on(Fault.EXPIRY)
def test_an_invoice_that_is_over_has_failed(world: LightningWorld) -> None:
    issued = world.backend.create_invoice(_order(expires_in_s=world.shortest_expiry_s))
    world.let_expire(issued)
    assert world.backend.lookup_invoice(issued.payment_hash).outcome is Outcome.FAILED


@EVERYWHERE
def test_an_invoice_of_somebody_else_is_unknown(world: LightningWorld) -> None:
    _issue(world)
    assert world.backend.lookup_invoice(NOWHERE).outcome is Outcome.UNKNOWN


# Settlements.


@EVERYWHERE
def test_without_a_cursor_the_stream_begins_now(world: LightningWorld) -> None:
    before, after = _issue(world), _issue(world)
    world.pay(before)
    reader = Reader(world.backend)
    world.pay(after)
    reader.read_until([after])
    assert reader.hashes == [after.payment_hash]


@EVERYWHERE
def test_settlements_come_in_order_with_amount_and_proof(world: LightningWorld) -> None:
    reader = Reader(world.backend)
    issued = [_issue(world) for _ in range(3)]
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
    issued = _issue(world)
    world.pay(issued)
    reader.read_until([issued])
    again = world.backend.settlements(old, 0)
    assert issued.payment_hash in {one.payment_hash for one in again.settled}


@EVERYWHERE
def test_a_quiet_stream_brings_nothing(world: LightningWorld) -> None:
    reader = Reader(world.backend)
    issued = _issue(world)
    assert reader.read() == ()
    assert reader.read(0.2) == ()
    world.pay(issued)
    reader.read_until([issued])
    assert reader.hashes == [issued.payment_hash]


@EVERYWHERE
def test_a_wait_ends_when_something_arrives(world: LightningWorld) -> None:
    reader = Reader(world.backend)
    issued = _issue(world)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.read, 4 * PATIENCE_S)
        world.pay(issued)
        settled = waiting.result(timeout=PATIENCE_S)
    assert [one.payment_hash for one in settled] == [issued.payment_hash]


@_played_on(Fault.RESTART)
def test_none_is_missed_over_a_restart_of_the_node(world: LightningWorld) -> None:
    reader = Reader(world.backend)
    issued = [_issue(world) for _ in range(3)]
    world.pay(issued[0])
    world.restart()
    world.pay(issued[1])
    reader.read_until(issued[:2])
    world.restart()
    world.pay(issued[2])
    reader.read_until(issued)
    assert set(reader.hashes) == {one.payment_hash for one in issued}


@_played_on(Fault.RESTART)
def test_a_wait_over_a_restart_ends_and_the_next_one_goes_on(world: LightningWorld) -> None:
    reader = Reader(world.backend)
    issued = _issue(world)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.read_until, [issued])
        world.restart()
        world.pay(issued)
        waiting.result(timeout=2 * PATIENCE_S)
    assert reader.hashes == [issued.payment_hash]


# Payments.


@EVERYWHERE
def test_a_payment_settles_with_preimage_and_fee(world: LightningWorld) -> None:
    order = _payment(world.foreign_invoice(PAYOUT_MSAT))
    sent = world.backend.pay(order)
    assert sent.outcome is Outcome.SETTLED, sent.detail
    assert preimage_fits(sent.preimage, order.payment_hash)
    assert 0 <= sent.fee_msat <= order.max_fee_msat
    assert list(world.received_msat(order.bolt11)) == [PAYOUT_MSAT]
    found = world.backend.lookup_payment(order.payment_hash)
    assert (found.outcome, found.preimage) == (Outcome.SETTLED, sent.preimage)
    assert found.fee_msat == sent.fee_msat


@EVERYWHERE
def test_an_invoice_without_an_amount_is_paid_with_the_orders_or_refused(
    world: LightningWorld,
) -> None:
    order = _payment(world.foreign_invoice(None), amount_msat=21_000)
    sent = world.backend.pay(order)
    expected = Outcome.SETTLED if world.pays_any_amount else Outcome.FAILED
    assert sent.outcome is expected, sent.detail
    assert list(world.received_msat(order.bolt11)) == ([21_000] if world.pays_any_amount else [])


@EVERYWHERE
def test_paying_twice_pays_once(world: LightningWorld) -> None:
    order = _payment(world.foreign_invoice(PAYOUT_MSAT))
    first, second = world.backend.pay(order), world.backend.pay(order)
    assert (first.outcome, second.outcome) == (Outcome.SETTLED, Outcome.SETTLED)
    assert second.preimage == first.preimage
    assert list(world.received_msat(order.bolt11)) == [PAYOUT_MSAT]


@EVERYWHERE
def test_paying_twice_at_once_pays_once(world: LightningWorld) -> None:
    order = _payment(world.foreign_invoice(PAYOUT_MSAT))
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(world.backend.pay, [order, order]))
    assert Outcome.FAILED not in {sent.outcome for sent in answers}
    assert _end_of(world, order.payment_hash).outcome is Outcome.SETTLED
    assert list(world.received_msat(order.bolt11)) == [PAYOUT_MSAT]


@_played_on(Fault.NO_ROUTE)
def test_no_route_is_a_failure(world: LightningWorld) -> None:
    order = _payment(world.unpayable_invoice(PAYOUT_MSAT))
    sent = world.backend.pay(order)
    assert sent.outcome is Outcome.FAILED
    assert sent.detail
    assert world.backend.lookup_payment(order.payment_hash).outcome is not Outcome.SETTLED


@_played_on(Fault.FEES)
def test_a_fee_is_told(world: LightningWorld) -> None:
    world.charge(1_000)
    order = _payment(world.foreign_invoice(PAYOUT_MSAT), max_fee_msat=1_000)
    assert world.backend.pay(order).fee_msat == 1_000
    assert world.backend.lookup_payment(order.payment_hash).fee_msat == 1_000


@_played_on(Fault.FEES)
def test_a_fee_above_the_limit_fails_where_there_is_a_limit(world: LightningWorld) -> None:
    world.charge(5_000)
    order = _payment(world.foreign_invoice(PAYOUT_MSAT), max_fee_msat=4_000)
    sent = world.backend.pay(order)
    limited = world.backend.abilities.fee_limit
    expected = (Outcome.FAILED, 0) if limited else (Outcome.SETTLED, 5_000)
    assert (sent.outcome, sent.fee_msat) == expected
    assert list(world.received_msat(order.bolt11)) == ([] if limited else [PAYOUT_MSAT])


@_played_on(Fault.HANGING)
@pytest.mark.parametrize("outcome", [Outcome.SETTLED, Outcome.FAILED])
def test_a_payment_that_hangs_is_neither_until_it_ends(
    world: LightningWorld, outcome: Outcome
) -> None:
    order = _payment(world.foreign_invoice(PAYOUT_MSAT), wait_s=0.2)
    world.hang_next_payment()
    assert world.backend.pay(order).outcome in OPEN
    assert world.backend.lookup_payment(order.payment_hash).outcome in OPEN
    assert world.backend.pay(order).outcome in OPEN
    world.release(order.bolt11, outcome)
    sent = _end_of(world, order.payment_hash)
    assert sent.outcome is outcome
    settled = outcome is Outcome.SETTLED
    assert preimage_fits(sent.preimage, order.payment_hash) is settled
    assert list(world.received_msat(order.bolt11)) == ([PAYOUT_MSAT] if settled else [])


@_played_on(Fault.LOST_ANSWER)
def test_a_lost_answer_is_no_failure_and_is_found_by_asking(world: LightningWorld) -> None:
    order = _payment(world.foreign_invoice(PAYOUT_MSAT))
    world.lose_next_answer()
    assert world.backend.pay(order).outcome is not Outcome.FAILED
    assert _end_of(world, order.payment_hash).outcome is Outcome.SETTLED
    assert world.backend.pay(order).outcome is Outcome.SETTLED
    assert list(world.received_msat(order.bolt11)) == [PAYOUT_MSAT]


@_played_on(Fault.RESTART)
def test_a_payment_is_known_after_a_restart(world: LightningWorld) -> None:
    order = _payment(world.foreign_invoice(PAYOUT_MSAT))
    world.backend.pay(order)
    world.restart()
    assert _end_of(world, order.payment_hash).outcome is Outcome.SETTLED
    assert world.backend.pay(order).outcome is Outcome.SETTLED
    assert list(world.received_msat(order.bolt11)) == [PAYOUT_MSAT]


@EVERYWHERE
def test_a_payment_that_was_never_made_is_unknown(world: LightningWorld) -> None:
    sent = world.backend.lookup_payment(NOWHERE)
    assert (sent.outcome, sent.fee_msat, sent.preimage) == (Outcome.UNKNOWN, 0, "")


@_played_on(Fault.LYING_PREIMAGE)
def test_a_preimage_that_does_not_fit_is_unknown(world: LightningWorld) -> None:
    order = _payment(world.foreign_invoice(PAYOUT_MSAT))
    world.lie_next()
    for sent in (world.backend.pay(order), world.backend.lookup_payment(order.payment_hash)):
        assert (sent.outcome, sent.preimage) == (Outcome.UNKNOWN, "")
        assert "preimage" in sent.detail


@_played_on(Fault.NO_PAYOUT_SECRET)
def test_without_a_secret_that_may_pay_nothing_leaves(world: LightningWorld) -> None:
    backend = world.without_payout_secret()
    assert not backend.abilities.pays
    assert world.backend.abilities.pays
    order = _payment(world.foreign_invoice(PAYOUT_MSAT))
    assert backend.pay(order).outcome is Outcome.UNKNOWN
    assert list(world.received_msat(order.bolt11)) == []
    assert backend.create_invoice(_order()).payment_hash
    assert backend.check(world.network)


# Money, and who answers.


@EVERYWHERE
def test_funds_are_told(world: LightningWorld) -> None:
    funds = world.backend.funds()
    assert funds.spendable_msat >= PAYOUT_MSAT
    assert funds.receivable_msat is None or funds.receivable_msat >= PRICE_MSAT
    assert funds.held_msat >= funds.spendable_msat


@_played_on(Fault.KEPT_BACK)
def test_what_cannot_move_now_is_ours_all_the_same(world: LightningWorld) -> None:
    before = world.backend.funds()
    world.keep_back(7_000_000)
    after = world.backend.funds()
    assert after.spendable_msat == before.spendable_msat
    assert after.held_msat == before.held_msat + 7_000_000


@EVERYWHERE
def test_the_doctor_is_told_who_answers(world: LightningWorld) -> None:
    line = world.backend.check(world.network)
    assert line
    assert "\n" not in line


@EVERYWHERE
def test_a_node_on_another_network_is_said(world: LightningWorld) -> None:
    other = "mainnet" if world.network != "mainnet" else "regtest"
    with pytest.raises(LightningWrongNetwork) as caught:
        world.backend.check(other)
    assert other in caught.value.detail


def _questions(backend: LightningBackend, network: str = NETWORK) -> Sequence[Callable[[], object]]:
    return (
        lambda: backend.check(network),
        lambda: backend.create_invoice(_order()),
        lambda: backend.lookup_invoice(NOWHERE),
        lambda: backend.funds(),
        lambda: backend.settlements(None, 0),
    )


def _payment_is_unclear(world: LightningWorld, backend: LightningBackend) -> None:
    order = _payment(world.foreign_invoice(PAYOUT_MSAT), wait_s=0.1)
    for sent in (backend.pay(order), backend.lookup_payment(order.payment_hash)):
        assert sent.outcome is Outcome.UNKNOWN
        assert sent.detail


@EVERYWHERE
def test_a_node_that_is_away_is_said(world: LightningWorld) -> None:
    foreign = world.foreign_invoice(PAYOUT_MSAT)
    backend = world.without_connection()
    for question in _questions(backend):
        with pytest.raises(LightningUnreachable):
            question()
    order = _payment(foreign, wait_s=0.1)
    assert backend.pay(order).outcome is Outcome.UNKNOWN
    assert backend.lookup_payment(order.payment_hash).outcome is Outcome.UNKNOWN


@_played_on(Fault.SILENT)
def test_a_node_that_never_answers_is_given_up(world: LightningWorld) -> None:
    world.fall_silent()
    for question in _questions(world.backend):
        with pytest.raises(LightningUnreachable):
            question()
    _payment_is_unclear(world, world.backend)


@_played_on(Fault.GARBAGE)
def test_a_web_page_is_no_answer(world: LightningWorld) -> None:
    world.talk_nonsense()
    for question in _questions(world.backend):
        with pytest.raises(LightningRejected):
            question()
    _payment_is_unclear(world, world.backend)


@_played_on(Fault.WRONG_SECRET)
def test_a_secret_of_another_node_is_said(world: LightningWorld) -> None:
    for question in _questions(world.wrong_secret()):
        with pytest.raises(LightningUnauthorized):
            question()


@_played_on(Fault.NARROW_SECRET)
def test_a_secret_that_may_not_is_said(world: LightningWorld) -> None:
    backend = world.narrow_secret()
    for question in (lambda: backend.check(NETWORK), lambda: backend.create_invoice(_order())):
        with pytest.raises(LightningPermission):
            question()


@_played_on(Fault.WRONG_CERTIFICATE)
def test_another_certificate_is_said(world: LightningWorld) -> None:
    backend = world.wrong_certificate()
    for question in _questions(backend):
        with pytest.raises(LightningCertificate):
            question()
    _payment_is_unclear(world, backend)


# Secrets and threads.


def _said_by(world: LightningWorld) -> Iterator[str]:
    """Yield every word that the backends of a world say, whatever goes wrong."""
    backends = [world.backend]
    for fault in (Fault.WRONG_SECRET, Fault.NARROW_SECRET, Fault.WRONG_CERTIFICATE):
        if fault in world.faults:
            backends.append(getattr(world, fault)())
    backends.append(world.without_connection())
    for backend in backends:
        yield repr(backend)
        yield str(backend.lookup_payment(NOWHERE))
        for question in _questions(backend):
            try:
                yield repr(question())
            except RailError as error:
                yield f"{error!r} {error} {error.detail} {error.__cause__!r}"


@EVERYWHERE
def test_secrets_are_in_no_error_log_or_repr(
    world: LightningWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = [*_said_by(world), world.backend.check.__doc__ or "", caplog.text]
    assert len(said) > len(_questions(world.backend))
    for secret in world.secrets:
        assert len(secret) > 8
        assert not [text for text in said if secret in text]


@EVERYWHERE
def test_several_threads_may_ask_at_once(world: LightningWorld) -> None:
    together = threading.Barrier(4)

    def _work(number: int) -> list[str]:
        together.wait()
        hashes = []
        for _ in range(3):
            issued = _issue(world)
            assert world.backend.lookup_invoice(issued.payment_hash).outcome is Outcome.PENDING
            hashes.append(issued.payment_hash)
        return hashes

    with ThreadPoolExecutor(4) as pool:
        hashes = [one for found in pool.map(_work, range(4)) for one in found]
    assert len(set(hashes)) == 12


@EVERYWHERE
def test_after_a_close_it_connects_again(world: LightningWorld) -> None:
    world.backend.close()
    issued = _issue(world)
    world.backend.close()
    world.backend.close()
    assert world.backend.lookup_invoice(issued.payment_hash).outcome is Outcome.PENDING
