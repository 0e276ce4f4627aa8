"""Who gets what of a price, worked out from figures alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.domain.fees import CommissionRule
from bitcache_server.ledger.parts import Part, price_of
from bitcache_server.services.sale_parts import parts_of_price
from tests.unit.test_fees import rules, several_shares

ONE_PER_CENT = CommissionRule()


def parts(
    price_msat: int, rule: CommissionRule = ONE_PER_CENT, *shares: tuple[str, int]
) -> dict[str, int]:
    found = parts_of_price(price_msat, rule, "me_owner", shares)
    return {part.account: part.amount_msat for part in found}


@given(st.integers(1, 10**15), rules(), several_shares())
def test_parts_add_up_to_the_price_and_none_is_zero(
    price_msat: int, rule: CommissionRule, drawn: list[int]
) -> None:
    shares = [(f"me_{number}", share) for number, share in enumerate(drawn)]
    found = parts_of_price(price_msat, rule, "me_owner", shares)
    # What the ledger checks as well: a sum, no part of zero, no account twice.
    assert price_of(found) == price_msat


def test_one_per_cent_of_three_sat() -> None:
    assert parts(3_000) == {"merchant:me_owner": 2_970, "commission": 30}


def test_a_price_of_one_msat_has_one_part() -> None:
    assert parts(1, ONE_PER_CENT, ("me_1", 500_000)) == {"merchant:me_owner": 1}
    assert parts(1, CommissionRule(0, 1)) == {"commission": 1}


def test_a_split_that_does_not_divide_leaves_the_rest_with_the_merchant() -> None:
    third = 333_333
    found = parts(100, CommissionRule(0), ("me_1", third), ("me_2", third), ("me_3", third))
    assert found == {
        "merchant:me_owner": 1,
        "merchant:me_1": 33,
        "merchant:me_2": 33,
        "merchant:me_3": 33,
    }


def test_the_commission_comes_before_the_split() -> None:
    assert parts(10_000, CommissionRule(100_000), ("me_1", 1_000_000)) == {
        "merchant:me_1": 9_000,
        "commission": 1_000,
    }


def test_a_commission_above_the_price_takes_the_price() -> None:
    found = parts_of_price(700, CommissionRule(0, 1_000), "me_owner", [("me_1", 500_000)])
    assert found == (Part("commission", 700),)


def test_whoever_stands_in_it_twice_gets_one_part() -> None:
    shares = (("me_owner", 250_000), ("me_1", 250_000), ("me_1", 100_000))
    assert parts(1_000, CommissionRule(0), *shares) == {
        "merchant:me_owner": 650,
        "merchant:me_1": 350,
    }


def test_shares_of_more_than_the_whole_are_no_split() -> None:
    with pytest.raises(ValueError, match="one whole"):
        parts_of_price(1_000, ONE_PER_CENT, "me_owner", [("me_1", 1_000_001)])
