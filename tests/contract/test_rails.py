"""The contract of ``rails/base.py``, the same for every rail.

A watch reads from a cursor that the caller keeps, so these tests keep one too
(``Reader``), as the server does in its database.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import pytest

from bitcache_server.domain.errors import NodeChainUnknown, PrivateKeyRefused
from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.base import (
    BlockConnected,
    BlockDisconnected,
    Cursor,
    MempoolSeen,
    Observation,
    PaymentOrder,
    Step,
)
from bitcache_server.rails.registry import RAIL_FACTORIES
from tests.contract.conftest import WORLDS
from tests.contract.worlds import PRICE_MSAT, World


class Reader:
    """Watches for some targets and keeps the cursor."""

    def __init__(self, world: World, targets: Sequence[str] = ()) -> None:
        self._world = world
        self.targets = set(targets)
        self.questions: list[Sequence[str]] = []
        self.cursor: Cursor | None = None

    def match(self, scripts: Sequence[str]) -> AbstractSet[str]:
        self.questions.append(scripts)
        return self.targets.intersection(scripts)

    def read(self, *, with_mempool: bool = True) -> list[Step]:
        steps = []
        for step in self._world.rail.watch(self.cursor, self.match, with_mempool):
            steps.append(step)
            self.cursor = _after(step) or self.cursor
        return steps


def _after(step: Step) -> Cursor | None:
    match step:
        case BlockConnected(block=block):
            return Cursor(block.height, block.hash)
        case BlockDisconnected(height=height, previous_hash=previous):
            return Cursor(height - 1, previous)
        case MempoolSeen():
            return None


#: Rails without blocks; tests/contract/test_stream_rail.py plays those.
STREAM_RAILS = {"lightning"}


def _connected(steps: Sequence[Step]) -> list[BlockConnected]:
    return [step for step in steps if isinstance(step, BlockConnected)]


def _disconnected(steps: Sequence[Step]) -> list[BlockDisconnected]:
    return [step for step in steps if isinstance(step, BlockDisconnected)]


def _waiting(steps: Sequence[Step]) -> list[Observation]:
    return [o for step in steps if isinstance(step, MempoolSeen) for o in step.observations]


def _mined(steps: Sequence[Step]) -> list[Observation]:
    return [o for step in _connected(steps) for o in step.observations]


def _reader(world: World, *targets: str) -> Reader:
    """Return a reader that has caught up."""
    reader = Reader(world, targets)
    reader.read()
    reader.questions.clear()
    return reader


def test_each_registered_rail_plays_here_or_with_the_stream_rails() -> None:
    assert set(WORLDS) | STREAM_RAILS == set(RAIL_FACTORIES)


def test_name_is_the_registered_one(world: World) -> None:
    assert world.rail.name in RAIL_FACTORIES
    assert world.request().rail == world.rail.name


def test_health_is_good(world: World) -> None:
    [tip] = _connected(Reader(world).read())
    health = world.rail.health()
    assert (health.ok, health.code, health.tip_height) == (True, "ok", tip.block.height)
    assert health.fee_rate_msat_per_vb > 0


def test_a_private_key_is_no_account(world: World) -> None:
    secret = "5Kb8kLf9zgWQnogidDA76MzPL6TsZZY36hWXMssSzNydYXYB9KF"
    with pytest.raises(PrivateKeyRefused) as caught:
        world.rail.check_account(secret)
    assert secret not in str(caught.value)


def test_a_request_is_a_function_of_the_order(
    world: World, account_of: Callable[[World], str]
) -> None:
    account = world.rail.check_account(account_of(world))
    assert world.rail.check_account(account) == account
    order = PaymentOrder("in_1", 1_234_567, 2_000_000_000, account, 7)
    first = world.rail.create_request(order)
    assert world.rail.create_request(order) == first
    other = world.rail.create_request(replace(order, index=8))
    assert other.target != first.target
    assert other.destination != first.destination
    assert 0 <= first.amount_msat - order.amount_msat < 1_000


def test_without_a_cursor_the_watch_begins_at_the_tip(world: World) -> None:
    request = world.request()
    world.pay(request)
    world.mine(3)
    steps = Reader(world, [request.target]).read()
    [tip] = steps
    assert isinstance(tip, BlockConnected)
    assert tip.observations == ()
    assert tip.block.height == world.rail.health().tip_height
    assert tip.previous_hash != tip.block.hash


def test_nothing_new_gives_no_step(world: World) -> None:
    reader = _reader(world)
    assert reader.read() == []


def test_a_payment_is_seen_in_the_mempool(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    reference = world.pay(request)
    [seen] = _waiting(reader.read())
    assert seen.reference == reference
    assert (seen.rail, seen.target) == (world.rail.name, request.target)
    assert (seen.amount_msat, seen.block, seen.spendable_at_height) == (PRICE_MSAT, None, 0)
    assert (seen.sight_ok, seen.sight_reason) == (True, "")
    assert seen.raw


def test_a_replaceable_payment_is_not_trusted_on_sight(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    world.pay_replaceably(request)
    [seen] = _waiting(reader.read())
    assert not seen.sight_ok
    assert "replaced" in seen.sight_reason


def test_a_waiting_payment_is_reported_once(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    world.pay(request)
    assert len(_waiting(reader.read())) == 1
    assert reader.read() == []
    world.rail.forget_mempool()
    assert len(_waiting(reader.read())) == 1


def test_what_the_caller_could_not_store_comes_again(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    world.pay(request)
    steps = world.rail.watch(reader.cursor, reader.match)
    assert isinstance(next(steps), MempoolSeen)
    del steps  # the caller fails here, as with a full disk
    assert len(_waiting(reader.read())) == 1


def test_the_mempool_can_be_left_out(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    world.pay(request)
    assert reader.read(with_mempool=False) == []
    assert len(_waiting(reader.read())) == 1


def test_a_payment_is_seen_in_its_block(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    reference = world.pay(request)
    reader.read()
    world.mine()
    [step] = reader.read()
    assert isinstance(step, BlockConnected)
    [observation] = step.observations
    assert (observation.reference, observation.amount_msat) == (reference, PRICE_MSAT)
    assert observation.block == step.block
    assert observation.spendable_at_height == 0


def test_payments_to_others_are_not_reported(world: World) -> None:
    reader = _reader(world, world.request().target)
    world.pay(world.request())
    assert reader.read() == []
    world.mine()
    [step] = reader.read()
    assert isinstance(step, BlockConnected)
    assert step.observations == ()


def test_the_caller_is_asked_once_for_each_block(world: World) -> None:
    requests = [world.request() for _ in range(3)]
    reader = _reader(world, requests[0].target)
    for request in requests:
        world.pay(request)
    world.mine()
    reader.read()
    [scripts] = reader.questions
    assert {request.target for request in requests} <= set(scripts)
    assert len(set(scripts)) == len(scripts)


def test_a_late_reader_catches_up_in_order(world: World) -> None:
    first, last = world.request(), world.request()
    reader = _reader(world, first.target, last.target)
    start = reader.cursor
    assert start is not None
    references = [world.pay(first)]
    world.mine(2)
    references.append(world.pay(last))
    world.mine(1)
    steps = _connected(reader.read())
    heights = [step.block.height for step in steps]
    assert heights == [start.height + 1, start.height + 2, start.height + 3]
    hashes = [start.hash, *(step.block.hash for step in steps)]
    assert [step.previous_hash for step in steps] == hashes[:-1]
    assert [o.reference for o in _mined(steps)] == references
    assert [len(step.observations) for step in steps] == [1, 0, 1]


def test_one_transaction_pays_several_and_one_twice(world: World) -> None:
    one, two = world.request(), world.request()
    reader = _reader(world, one.target, two.target)
    references = world.pay_many([(one, 1_000_000), (two, 2_000_000), (one, 3_000_000)])
    expected = {
        references[0]: (one.target, 1_000_000),
        references[1]: (two.target, 2_000_000),
        references[2]: (one.target, 3_000_000),
    }
    seen = _waiting(reader.read())
    assert {o.reference: (o.target, o.amount_msat) for o in seen} == expected
    world.mine()
    mined = _mined(reader.read())
    assert {o.reference: (o.target, o.amount_msat) for o in mined} == expected


def test_two_payments_to_one_destination_are_two(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    references = {world.pay(request), world.pay(request, 7_000_000)}
    assert {o.reference for o in _waiting(reader.read())} == references
    world.mine()
    assert {o.reference for o in _mined(reader.read())} == references


def test_a_mined_coin_counts_a_hundred_blocks_later(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    world.mine_to(request)
    [observation] = _mined(reader.read())
    assert observation.block is not None
    assert observation.spendable_at_height == observation.block.height + 100


def test_a_longer_chain_takes_a_payment_back(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    start = reader.cursor
    assert start is not None
    reference = world.pay(request)
    world.mine(2)
    before = _connected(reader.read())
    world.compete(2)
    steps = reader.read()
    gone, new = _disconnected(steps), _connected(steps)
    assert [(s.height, s.hash) for s in gone] == [
        (s.block.height, s.block.hash) for s in reversed(before)
    ]
    assert gone[-1].previous_hash == start.hash == new[0].previous_hash
    assert [s.block.height for s in new] == [start.height + n for n in (1, 2, 3)]
    assert _mined(steps) == []
    assert steps.index(gone[-1]) < steps.index(new[0])
    # It is not lost: it waits again and is mined again.
    assert [o.reference for o in _waiting(steps)] == [reference]
    world.mine()
    [again] = _mined(reader.read())
    assert again.reference == reference


def test_a_payment_that_comes_back_from_a_block_is_news(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    reference = world.pay(request)
    assert len(_waiting(reader.read())) == 1
    world.mine()
    reader.read(with_mempool=False)
    world.compete(1)
    assert [o.reference for o in _waiting(reader.read())] == [reference]


def test_disconnected_blocks_step_down_to_the_ancestor(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    world.mine(1)
    reader.read()
    ancestor = reader.cursor
    reference = world.pay(request)
    world.mine(2)
    reader.read()
    world.disconnect(2)
    steps = reader.read()
    assert len(_disconnected(steps)) == 2
    assert _connected(steps) == []
    assert reader.cursor == ancestor
    assert [o.reference for o in _waiting(steps)] == [reference]
    world.mine(3)  # so that the next test does not stand on a shorter chain
    assert len(_connected(reader.read())) == 3


def test_lookup_follows_a_payment(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    world.pay(request)
    [seen] = _waiting(reader.read())
    assert world.rail.lookup(seen).outcome is Outcome.PENDING
    world.mine()
    [step] = _connected(reader.read())
    answer = world.rail.lookup(seen)
    assert (answer.outcome, answer.block) == (Outcome.SETTLED, step.block)
    assert world.rail.lookup(step.observations[0]) == answer


def test_lookup_after_a_reorganisation_says_pending(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    world.pay(request)
    world.mine()
    [mined] = _mined(reader.read())
    world.compete(1)
    assert world.rail.lookup(mined).outcome is Outcome.PENDING


def test_a_double_spend_is_a_failure(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    reference = world.pay(request)
    [seen] = _waiting(reader.read())
    world.double_spend(reference)
    assert world.rail.lookup(seen).outcome is Outcome.FAILED
    assert _mined(reader.read()) == []


def test_a_lost_payment_is_sent_again(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    reference = world.pay(request)
    [seen] = _waiting(reader.read())
    world.lose(reference)
    assert reader.read() == []
    assert world.rail.lookup(seen).outcome is Outcome.PENDING
    assert [o.reference for o in _waiting(reader.read())] == [reference]
    world.mine()
    assert [o.reference for o in _mined(reader.read())] == [reference]


def test_an_unknown_payment_has_not_failed(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    world.pay(request)
    [seen] = _waiting(reader.read())
    stranger = replace(seen, reference=f"{'ab' * 32}:0", raw="")
    assert world.rail.lookup(stranger).outcome is Outcome.UNKNOWN


def test_the_cursor_outlives_a_crash(world: World) -> None:
    request = world.request()
    reader = _reader(world, request.target)
    reference = world.pay(request)
    world.mine()
    world.crash()
    assert [o.reference for o in _mined(reader.read())] == [reference]
    world.mine()
    assert len(_connected(reader.read())) == 1


def test_a_cursor_from_elsewhere_is_an_error(world: World) -> None:
    [tip] = _connected(Reader(world).read())
    elsewhere = Cursor(tip.block.height, "ab" * 32)
    with pytest.raises(NodeChainUnknown):
        list(world.rail.watch(elsewhere, lambda scripts: set()))
