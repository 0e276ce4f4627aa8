import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.rates.base import Rate, RateSource, RateSourceError
from bitcache_server.rates.fixed import FixedRates
from bitcache_server.rates.median import fetch_median


def clock() -> int:
    return 7


@dataclass(frozen=True)
class Doing:
    """A source that runs a function."""

    name: str
    function: Callable[[], object]

    def fetch(self, currency: str) -> Decimal:
        return self.function()  # type: ignore[return-value]  # bad sources are the point


def saying(*prices: object) -> list[RateSource]:
    return [Doing(f"s{i}", partial(lambda price: price, price)) for i, price in enumerate(prices)]


def raising(error: BaseException) -> Doing:
    def function() -> Decimal:
        raise error

    return Doing("bad", function)


def price_of(*prices: object) -> Decimal | None:
    rate = fetch_median(saying(*map(Decimal, map(str, prices))), "USD", clock).rate
    return rate.price_per_btc if rate else None


def test_the_answer_says_where_it_came_from() -> None:
    asked = fetch_median([FixedRates({"USD": Decimal("1000.00")})], "USD", clock)
    assert asked.rate == Rate("USD", Decimal(1000), 7, ("fixed",))
    assert str(asked.rate.price_per_btc) == "1000.00"
    assert asked.problems == ()


@pytest.mark.parametrize(
    ("prices", "median"),
    [
        ([100], 100),
        ([100, 110], 105),
        (["1e5"], 100_000),
        ([100, 104, 110], 104),
        ([100, 104, 106, 110], 105),
        ([100, 101, 1_000_000], Decimal("100.5")),
        ([100, 101, Decimal("0.001")], Decimal("100.5")),
        ([100, 120, 81], 100),
        ([100, 120, Decimal("79.9")], 110),
    ],
)
def test_median_without_outliers(prices: list[object], median: Decimal) -> None:
    price = price_of(*prices)
    assert price == median
    assert "E" not in str(price)


@pytest.mark.parametrize("prices", [(100, 151), (100, 100, 200, 200), (1, 10**14)])
def test_sources_that_contradict_each_other_give_no_rate(prices: tuple[int, ...]) -> None:
    asked = fetch_median(saying(*map(Decimal, prices)), "USD", clock)
    assert asked.rate is None
    assert "too far from the others" in asked.problems[0]
    assert len(asked.problems) == len(prices) + 1


@pytest.mark.parametrize(
    "junk",
    [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("-Infinity"), Decimal(0),
     Decimal(-1), Decimal("1e99"), Decimal("1e-99"), Decimal("1e999999"), None, "junk", object,
     float("nan"), float("inf"), 1e99, ()],
    ids=repr,
)  # fmt: skip
def test_insane_values_are_thrown_out(junk: object) -> None:
    asked = fetch_median([*saying(Decimal(100)), Doing("junk", lambda: junk)], "USD", clock)
    assert asked.rate == Rate("USD", Decimal(100), 7, ("s0",))
    assert len(asked.problems) == 1
    assert asked.problems[0].startswith("junk: ")
    assert fetch_median([Doing("junk", lambda: junk)], "USD", clock).rate is None


@pytest.mark.parametrize(
    "error",
    [RateSourceError("is tired"), ValueError("secret"), RecursionError(), OSError(), KeyError()],
)
def test_no_error_of_a_source_spreads(error: Exception) -> None:
    asked = fetch_median([raising(error), *saying(Decimal(100))], "USD", clock)
    assert asked.rate
    assert asked.rate.sources == ("s0",)
    assert "secret" not in asked.problems[0]


def test_no_sources_and_no_rates() -> None:
    assert fetch_median([], "USD", clock).rate is None
    asked = fetch_median([FixedRates({})], "EUR", clock)
    assert asked.rate is None
    assert asked.problems == ("fixed: has no rate for EUR", "0 usable answers of 1")


def test_a_minimum_of_answers() -> None:
    sources = [*saying(Decimal(100), Decimal(101)), raising(RateSourceError("x"))]
    assert fetch_median(sources, "USD", clock, min_answers=2).rate
    assert fetch_median(sources, "USD", clock, min_answers=3).rate is None


def test_a_source_that_hangs_is_left_behind() -> None:
    release = threading.Event()
    came_back = threading.Event()

    def hang() -> object:
        release.wait(60)
        came_back.set()
        return None

    try:
        sources = [Doing("hangs", hang), *saying(Decimal(100))]
        asked = fetch_median(sources, "USD", clock, deadline_s=0.2)
        assert not came_back.is_set()
    finally:
        release.set()
    assert asked.rate
    assert asked.rate.sources == ("s0",)
    assert asked.problems == ("hangs: gave no answer within 0.2 s",)


def test_sources_are_asked_at_the_same_time() -> None:
    together = threading.Barrier(5)

    def function() -> Decimal:
        together.wait(5)
        return Decimal(100)

    asked = fetch_median([Doing(f"s{i}", function) for i in range(5)], "USD", clock)
    assert asked.rate
    assert asked.rate.sources == ("s0", "s1", "s2", "s3", "s4")


@given(st.lists(st.integers(90_000, 110_000), min_size=3, max_size=7), st.integers(1, 10**14))
def test_one_liar_cannot_move_the_rate_out_of_what_the_others_say(
    honest: list[int], lie: int
) -> None:
    price = price_of(lie, *honest)
    assert price is not None
    assert min(honest) <= price <= max(honest)


@given(st.lists(st.decimals(Decimal("1e-8"), Decimal("1e15")), min_size=1, max_size=5))
def test_a_price_is_short_enough_to_be_kept_as_text(prices: list[Decimal]) -> None:
    price = price_of(*prices)
    assert price is None or len(f"{price:f}") <= 40
