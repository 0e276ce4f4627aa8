"""Every Lightning backend says who answers and what is wrong, and never a secret."""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
from bitcache_server.rails.lightning.backend import LightningBackend
from bitcache_server.rails.lightning.registry import BACKENDS
from tests.contract.lightning.play import EVERYWHERE, NOWHERE, issue, order_of, payment, played_on
from tests.contract.lightning_worlds import WORLDS
from tests.contract.lightning_worlds.base import NETWORK, PAYOUT_MSAT, Fault, LightningWorld
from tests.contract.lightning_worlds.recorded import RECORDINGS
from tests.contract.lightning_worlds.recorded_world import RecordedWorld


def test_every_backend_has_a_world() -> None:
    assert set(WORLDS) == set(BACKENDS)
    assert set().union(*(world.faults for world in WORLDS.values())) == set(Fault)


def test_every_recorded_node_has_recordings() -> None:
    """Without them it breaks every connection off, which takes long and explains nothing."""
    nodes = [world.node_class for world in WORLDS.values() if issubclass(world, RecordedWorld)]
    assert {path.name for path in RECORDINGS.iterdir()} == {node.backend for node in nodes}


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*/*.json")), ids=lambda path: path.stem)
def test_every_recording_names_its_document_and_version(path: Path) -> None:
    found = json.loads(path.read_text())
    assert found["document"].startswith("https://")
    assert any(digit.isdigit() for digit in found["version"])
    assert found["request"]
    assert found["answers"]


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
        lambda: backend.create_invoice(order_of()),
        lambda: backend.lookup_invoice(NOWHERE),
        lambda: backend.funds(),
        lambda: backend.settlements(None, 0),
    )


def _payment_is_unclear(world: LightningWorld, backend: LightningBackend) -> None:
    order = payment(world.foreign_invoice(PAYOUT_MSAT), wait_s=0.1)
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
    order = payment(foreign, wait_s=0.1)
    assert backend.pay(order).outcome is Outcome.UNKNOWN
    assert backend.lookup_payment(order.payment_hash).outcome is Outcome.UNKNOWN


@played_on(Fault.SILENT)
def test_a_node_that_never_answers_is_given_up(world: LightningWorld) -> None:
    world.fall_silent()
    for question in _questions(world.backend):
        with pytest.raises(LightningUnreachable):
            question()
    _payment_is_unclear(world, world.backend)


@played_on(Fault.GARBAGE)
def test_a_web_page_is_no_answer(world: LightningWorld) -> None:
    world.talk_nonsense()
    for question in _questions(world.backend):
        with pytest.raises(LightningRejected):
            question()
    _payment_is_unclear(world, world.backend)


@played_on(Fault.WRONG_SECRET)
def test_a_secret_of_another_node_is_said(world: LightningWorld) -> None:
    for question in _questions(world.wrong_secret()):
        with pytest.raises(LightningUnauthorized):
            question()


@played_on(Fault.NARROW_SECRET)
def test_a_secret_that_may_not_is_said(world: LightningWorld) -> None:
    backend = world.narrow_secret()
    for question in (lambda: backend.check(NETWORK), lambda: backend.create_invoice(order_of())):
        with pytest.raises(LightningPermission):
            question()


@played_on(Fault.WRONG_CERTIFICATE)
def test_another_certificate_is_said(world: LightningWorld) -> None:
    backend = world.wrong_certificate()
    for question in _questions(backend):
        with pytest.raises(LightningCertificate):
            question()
    _payment_is_unclear(world, backend)


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
            issued = issue(world)
            assert world.backend.lookup_invoice(issued.payment_hash).outcome is Outcome.PENDING
            hashes.append(issued.payment_hash)
        return hashes

    with ThreadPoolExecutor(4) as pool:
        hashes = [one for found in pool.map(_work, range(4)) for one in found]
    assert len(set(hashes)) == 12


@EVERYWHERE
def test_after_a_close_it_connects_again(world: LightningWorld) -> None:
    world.backend.close()
    issued = issue(world)
    world.backend.close()
    world.backend.close()
    assert world.backend.lookup_invoice(issued.payment_hash).outcome is Outcome.PENDING
