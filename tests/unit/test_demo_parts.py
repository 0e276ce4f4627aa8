"""The parts of the demo that can go wrong on somebody's machine."""

import io
import os
import socket
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
import qrcode

from demo.bell import RATE_HZ, SECONDS, write_bell
from demo.children import Child, ChildDied
from demo.payment_codes import NotAPaymentCode
from demo.ports import HOST, PortTaken, is_free, pick_ports
from demo.regtest.node import RegtestNode
from demo.run import Watch
from demo.wallet import read_qr


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]


def alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def check_until_dead(child: Child) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        child.check()
        time.sleep(0.01)


def test_ports_that_are_taken_are_left_out(
    taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.ports.FIRST_PORT", taken_port)
    ports = pick_ports(4)
    assert taken_port not in ports
    assert len(set(ports)) == 4
    assert all(is_free(port) for port in ports)


def test_a_port_asked_for_by_number_must_be_free(taken_port: int) -> None:
    with pytest.raises(PortTaken, match=f"Port {taken_port} is taken"):
        pick_ports(4, taken_port)


def test_ports_end_somewhere() -> None:
    with pytest.raises(PortTaken, match="65536"):
        pick_ports(2, 65_535)


def test_a_child_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    child = Child("crasher", [sys.executable, "-c", "exit('no database')"], os.environ, tmp_path)
    with pytest.raises(ChildDied, match=r"crasher has ended \(status 1\):\n    no database"):
        check_until_dead(child)
    child.stop()


def test_the_demo_notices_a_child_that_ends(tmp_path: Path) -> None:
    child = Child("crasher", [sys.executable, "-c", "exit(3)"], os.environ, tmp_path)
    watch = Watch(RegtestNode(tmp_path), [child])
    watch.start()
    assert watch.ended.wait(30)
    watch.join()
    assert watch.failure.startswith("crasher has ended (status 3)")


def test_stopping_a_child_takes_along_what_it_started(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(300)\n"
    )
    child = Child("parent", [sys.executable, "-c", script], os.environ, tmp_path)
    deadline = time.monotonic() + 30
    while not (text := child.log.read_text()).endswith("\n"):
        assert time.monotonic() < deadline
        child.check()
    worker = int(text)
    assert alive(worker)
    child.stop()
    while alive(worker):
        assert time.monotonic() < deadline


def picture(text: str) -> bytes:
    image = io.BytesIO()
    qrcode.make(text).save(image)
    return image.getvalue()


def test_the_wallet_reads_a_code_from_a_picture() -> None:
    assert read_qr(picture("BITCOIN:BCRT1QQ?amount=0.00005")) == "BITCOIN:BCRT1QQ?amount=0.00005"


@pytest.mark.parametrize("image", [b"", b"not a picture", picture("x")[:80]])
def test_the_wallet_says_when_there_is_no_code(image: bytes) -> None:
    with pytest.raises(NotAPaymentCode):
        read_qr(image)


def test_the_bell_is_a_sound_and_always_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "1.wav", tmp_path / "2.wav"
    write_bell(first)
    write_bell(second)
    assert first.read_bytes() == second.read_bytes()
    with wave.open(str(first), "rb") as sound:
        assert sound.getnframes() == RATE_HZ * SECONDS
        samples = memoryview(sound.readframes(RATE_HZ)).cast("h")
    assert 8_000 < max(samples) < 32_767
