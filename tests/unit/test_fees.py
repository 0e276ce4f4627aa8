from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.domain.fees import CommissionRule

shares = st.integers(0, 1_000_000)
amounts = st.integers(0, 10**15)


@given(amounts, shares)
def test_the_commission_is_rounded_down_by_less_than_one_msat(amount: int, share: int) -> None:
    exact = Fraction(amount * share, 1_000_000)
    assert 0 <= exact - CommissionRule(share).commission_msat(amount) < 1


@given(amounts, shares)
def test_the_parts_are_the_whole_and_never_negative(amount: int, share: int) -> None:
    merchant, operator = CommissionRule(share).split_msat(amount)
    assert merchant + operator == amount
    assert merchant >= 0 <= operator


@given(amounts, amounts, shares)
def test_a_higher_price_never_brings_anybody_less(one: int, two: int, share: int) -> None:
    low, high = sorted((one, two))
    parts_low, parts_high = (CommissionRule(share).split_msat(amount) for amount in (low, high))
    assert parts_low[0] <= parts_high[0]
    assert parts_low[1] <= parts_high[1]


@pytest.mark.parametrize(
    ("amount_msat", "commission_msat"),
    [(3_000, 30), (100, 1), (99, 0), (1, 0), (0, 0), (5_000_000, 50_000), (5_000_199, 50_001)],
)
def test_one_per_cent(amount_msat: int, commission_msat: int) -> None:
    assert CommissionRule().commission_msat(amount_msat) == commission_msat


def test_negative_amounts_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="never negative"):
        CommissionRule().commission_msat(-1)


@pytest.mark.parametrize("share_ppm", [-1, 1_000_001])
def test_shares_out_of_bounds(share_ppm: int) -> None:
    with pytest.raises(ConfigurationError):
        CommissionRule(share_ppm)
