from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.domain.fees import CommissionRule, shares_msat

shares = st.integers(0, 1_000_000)
amounts = st.integers(0, 10**15)
bounds = st.integers(0, 10**7)


@st.composite
def rules(draw: st.DrawFn) -> CommissionRule:
    """Draw any rule: with and without bounds."""
    low, high = sorted((draw(bounds), draw(bounds)))
    return CommissionRule(draw(shares), low, draw(st.none() | st.just(high)))


@st.composite
def several_shares(draw: st.DrawFn) -> list[int]:
    """Draw shares that together are at most the whole."""
    left, drawn = 1_000_000, []
    for _ in range(draw(st.integers(0, 10))):
        drawn.append(draw(st.integers(0, left)))
        left -= drawn[-1]
    return drawn


@given(amounts, shares)
def test_the_commission_is_rounded_down_by_less_than_one_msat(amount: int, share: int) -> None:
    exact = Fraction(amount * share, 1_000_000)
    assert 0 <= exact - CommissionRule(share).commission_msat(amount) < 1


@given(amounts, rules())
def test_the_parts_are_the_whole_and_never_negative(amount: int, rule: CommissionRule) -> None:
    merchant, operator = rule.split_msat(amount)
    assert merchant + operator == amount
    assert merchant >= 0 <= operator


@given(amounts, amounts, rules())
def test_a_higher_price_never_brings_anybody_less(one: int, two: int, rule: CommissionRule) -> None:
    low, high = sorted((one, two))
    parts_low, parts_high = (rule.split_msat(amount) for amount in (low, high))
    assert parts_low[0] <= parts_high[0]
    assert parts_low[1] <= parts_high[1]


@given(amounts, rules())
def test_the_commission_keeps_its_bounds(amount: int, rule: CommissionRule) -> None:
    commission = rule.commission_msat(amount)
    assert commission <= amount
    assert commission >= min(rule.min_msat, amount)
    if rule.max_msat is not None:
        assert commission <= rule.max_msat


@pytest.mark.parametrize(
    ("amount_msat", "commission_msat"),
    [(3_000, 30), (100, 1), (99, 0), (1, 0), (0, 0), (5_000_000, 50_000), (5_000_199, 50_001)],
)
def test_one_per_cent(amount_msat: int, commission_msat: int) -> None:
    assert CommissionRule().commission_msat(amount_msat) == commission_msat


@pytest.mark.parametrize(
    ("amount_msat", "commission_msat"),
    [(0, 0), (1, 1), (499, 499), (500, 500), (50_000, 500), (50_100, 501), (10**9, 2_000)],
)
def test_at_least_and_at_most(amount_msat: int, commission_msat: int) -> None:
    assert CommissionRule(10_000, 500, 2_000).commission_msat(amount_msat) == commission_msat


def test_a_largest_amount_of_nothing_takes_nothing() -> None:
    assert CommissionRule(10_000, 0, 0).split_msat(3_000) == (3_000, 0)


def test_negative_amounts_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="never negative"):
        CommissionRule().commission_msat(-1)


@pytest.mark.parametrize("rule", [(-1,), (1_000_001,), (0, -1), (0, 2, 1), (0, 0, -1)])
def test_rules_out_of_bounds(rule: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError):
        CommissionRule(*rule)


@given(amounts, several_shares())
def test_co_authors_never_get_more_than_there_is(net: int, drawn: list[int]) -> None:
    parts = shares_msat(net, drawn)
    assert sum(parts) <= net
    for part, share in zip(parts, drawn, strict=True):
        assert 0 <= Fraction(net * share, 1_000_000) - part < 1


@pytest.mark.parametrize("drawn", [[1_000_001], [600_000, 400_001], [-1]])
def test_shares_of_more_than_the_whole(drawn: list[int]) -> None:
    with pytest.raises(ValueError, match="one whole"):
        shares_msat(1_000, drawn)


def test_shares_of_less_than_nothing() -> None:
    with pytest.raises(ValueError, match="one whole"):
        shares_msat(-1, [10])
