"""The cursor of wallets that only list: nothing is left out, little is told twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.rails.lightning.backend import Settled
from bitcache_server.rails.lightning.recent import BEGINNING, OVERLAP_S, Recent

T = 1_800_000_000


def _settled(number: int, settled_at: int) -> Settled:
    return Settled(f"{number:064x}"[::-1], 1_000, settled_at, "")


def test_what_appears_late_within_the_overlap_is_still_news() -> None:
    first = _settled(1, T)
    place = BEGINNING.after([first])
    late = _settled(2, T - OVERLAP_S)

    assert place.news([first, late]) == (late,)
    assert place.after([first, late]).news([first, late]) == ()


def test_what_was_pushed_does_not_move_the_time() -> None:
    place = BEGINNING.after([_settled(1, T)])
    pushed = _settled(2, T + 10 * OVERLAP_S)
    missed = _settled(3, T + 1)

    place = place.with_one(pushed)

    assert place.news([pushed, missed]) == (missed,)


@pytest.mark.parametrize("text", [None, "", "17", "[]", '{"at": 1}', '{"at": "x"}', "nonsense"])
def test_a_foreign_cursor_is_none(text: str | None) -> None:
    assert Recent.read(text) is None


def test_a_cursor_is_read_as_it_was_written() -> None:
    place = BEGINNING.after([_settled(1, T), _settled(2, T + 5)])
    assert Recent.read(place.cursor) == place


@given(
    times=st.lists(st.integers(0, 500), max_size=30),
    looks=st.lists(st.integers(0, 600), min_size=1, max_size=8).map(sorted),
    lag=st.integers(0, OVERLAP_S),
)
def test_every_settlement_is_told_exactly_once(
    times: list[int], looks: list[int], lag: int
) -> None:
    """Each appears ``lag`` seconds after its time; somebody looks now and then."""
    everything = [_settled(number, T + time) for number, time in enumerate(times)]
    place, told = BEGINNING, list[Settled]()
    for look in (*looks, 10_000):
        listed = [
            one
            for one in everything
            if one.settled_at >= place.since and one.settled_at + lag <= T + look
        ]
        told += place.news(listed)
        # As a caller does: through its database.
        place = Recent.read(place.after(listed).cursor) or BEGINNING

    assert sorted(one.payment_hash for one in told) == sorted(
        one.payment_hash for one in everything
    )
