"""Electrum's answers, read: a cursor that misses nothing, and channels that are quiet or not."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.rails.lightning.backend import Settled
from bitcache_server.rails.lightning.electrum_channels import channels_of, funds_of
from bitcache_server.rails.lightning.electrum_history import OVERLAP_S, Place, received, sent
from demo.regtest.lightning import LightningNetwork, LightningNetworkError

START = 1_800_000_000


def _settled(number: int, at: int) -> Settled:
    return Settled(f"{number:064x}"[::-1], 1_000, at, "00" * 32)


def _channel(**changed: Any) -> dict[str, Any]:
    return {
        "type": "CHANNEL",
        "channel_id": "aa" * 32,
        "state": "OPEN",
        "peer_state": "GOOD",
        "local_balance": 2_000,
        "local_reserve": 100,
        "local_unsettled_sent": 0,
        "remote_balance": 8_000,
        "remote_reserve": 200,
        "remote_unsettled_sent": 0,
        "local_ctn": 5,
        "remote_ctn": 5,
        **changed,
    }


def test_the_beginning_reports_nothing_old() -> None:
    old = [_settled(1, START), _settled(2, START + 5)]
    place = Place.read(Place.after(old).cursor)
    assert place is not None
    assert place.news(old) == ()
    assert place.news([*old, _settled(3, START + 5)]) == (_settled(3, START + 5),)


@pytest.mark.parametrize("cursor", [None, "", "17", "[]", '{"at": 5, "reported": []}', "{"])
def test_the_cursor_of_another_backend_is_none(cursor: str | None) -> None:
    assert Place.read(cursor) is None


def test_what_arrived_long_before_and_settled_now_is_reported() -> None:
    known = [_settled(1, START), _settled(2, START + 10 * OVERLAP_S)]
    late = _settled(3, START + 1)
    assert late in Place.after(known).news([*known, late])


def test_a_channel_that_is_gone_takes_its_payments_along() -> None:
    known = [_settled(n, START + n * OVERLAP_S) for n in range(5)]
    place = Place.after(known)
    # What is left is reported again, and booked once.
    assert set(place.news(known[2:])) <= set(known)
    assert Place.after([]).news([_settled(9, START)]) == (_settled(9, START),)


@given(
    times=st.lists(st.integers(START, START + 5 * OVERLAP_S), max_size=30),
    looks=st.lists(st.booleans(), max_size=30),
)
def test_none_is_ever_left_out(times: list[int], looks: list[bool]) -> None:
    # In whatever order they settle, and whenever somebody looks.
    place, listed, reported = Place.after([]), [], set[str]()
    for number, at in enumerate(times):
        listed.append(_settled(number, at))
        if number < len(looks) and looks[number]:
            continue
        restored = Place.read(place.cursor)
        assert restored is not None
        reported |= {one.payment_hash for one in restored.news(listed)}
        place = Place.after(listed)
    reported |= {one.payment_hash for one in place.news(listed)}
    assert reported == {one.payment_hash for one in listed}
    assert Place.after(listed).news(listed) == ()


def test_a_history_holds_more_than_payments() -> None:
    opened = {"type": "channel_opening", "amount_msat": 5, "timestamp": START}
    into, out = (
        {"payment_hash": digit * 64, "amount_msat": msat, "timestamp": START, "preimage": "p"}
        for digit, msat in (("a", 7_000), ("b", -9_000))
    )
    history = [opened, into, out]
    assert [one.amount_msat for one in received(history)] == [7_000]
    line = sent(history, "b" * 64)
    assert line is not None
    assert line.total_msat == 9_000
    assert sent(history, "a" * 64) is None


@pytest.mark.parametrize(
    ("changed", "quiet"),
    [
        ({}, True),
        ({"local_unsettled_sent": 1}, False),
        ({"peer_state": "DISCONNECTED"}, False),
        ({"state": "FORCE_CLOSING"}, False),
        ({"state": "FUNDED", "peer_state": "DISCONNECTED"}, True),
        ({"state": "REDEEMED", "peer_state": "DISCONNECTED"}, True),
        ({"state": "REDEEMED", "local_unsettled_sent": 1}, False),
    ],
)
def test_a_channel_says_whether_anything_may_be_under_way(
    changed: dict[str, Any], quiet: bool
) -> None:
    [channel] = channels_of([_channel(**changed), {"type": "BACKUP"}])
    assert channel.is_quiet is quiet


def test_only_what_works_can_move() -> None:
    idle = _channel(peer_state="DISCONNECTED")
    busy = _channel(local_unsettled_sent=300, remote_unsettled_sent=400)
    alone = funds_of(channels_of([idle]))
    assert (alone.spendable_msat, alone.receivable_msat) == (0, 0)
    both = funds_of(channels_of([_channel(), busy]))
    assert both.spendable_msat == (1_900 + 1_600) * 1_000
    assert both.receivable_msat == max(7_800, (7_800 + 7_400) // 2) * 1_000
    # A reserve, what is on its way, and what waits for a peer or the chain are still ours.
    gone = [_channel(state="REDEEMED"), _channel(state="PREOPENING")]
    closing = _channel(state="FORCE_CLOSING", peer_state="DISCONNECTED")
    assert funds_of(channels_of([idle, busy, closing, *gone])).held_msat == 3 * 2_000 * 1_000
    many = funds_of(channels_of([_channel()] * 4))
    assert many.receivable_msat == 2 * 7_800 * 1_000


def test_without_electrum_a_person_reads_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    network = LightningNetwork()
    with pytest.raises(LightningNetworkError, match="sudo apt-get install electrum"):
        network.open()
    assert not network.folder.exists()


def test_without_electrumx_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/electrum")
    monkeypatch.setattr("demo.regtest.lightning.ELECTRUMX_PYTHON", tmp_path / "python")
    with pytest.raises(LightningNetworkError, match=r"\.ci/setup lightning"):
        LightningNetwork().open()
