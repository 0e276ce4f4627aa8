import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.domain.errors import InvalidPrice, UnknownCurrency
from bitcache_server.domain.money import (
    CURRENCY_EXPONENTS,
    MAX_PRICE_MSAT,
    MAX_RATE,
    MIN_RATE,
    MSAT_PER_BTC,
    Fiat,
    ceil_div,
    check_price_msat,
    exponent_of,
    fiat_to_msat_ceil,
    format_btc,
    format_sat,
    msat_to_sat_ceil,
    parse_price,
)

# ISO 4217 list one, the currencies that do not have two decimals.
NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"

currencies = st.sampled_from(sorted(CURRENCY_EXPONENTS))
rates = st.decimals(min_value=MIN_RATE, max_value=MAX_RATE, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("currency", sorted(CURRENCY_EXPONENTS))
def test_exponent_is_that_of_iso_4217(currency: str) -> None:
    expected = 0 if currency in NO_DECIMALS else 3 if currency in THREE_DECIMALS else 2
    assert exponent_of(currency) == expected


@pytest.mark.parametrize(
    ("amount", "currency", "price"),
    [
        ("0.05", "USD", Fiat(5, "USD")),
        ("0.5", "USD", Fiat(50, "USD")),
        (5, "USD", Fiat(500, "USD")),
        ("5", "JPY", Fiat(5, "JPY")),
        ("0.001", "KWD", Fiat(1, "KWD")),
        ("1.5", "KWD", Fiat(1500, "KWD")),
        ("1000000000000", "VND", Fiat(10**12, "VND")),
        ("3", "SAT", 3_000),
        (3, "SAT", 3_000),
        (10 * 100_000_000, "SAT", MAX_PRICE_MSAT),
    ],
)
def test_prices_that_a_merchant_may_write(
    amount: str | int, currency: str, price: Fiat | int
) -> None:
    assert parse_price(amount, currency) == price


@pytest.mark.parametrize(
    "amount",
    [
        "0", "0.00", 0, -1, "-1", "+1", "", " ", " 1", "1 ", "1\n", "NaN", "nan", "sNaN", "inf",
        "Infinity", "-Infinity", "1e3", "1E3", "1e9999999", "1e-9999999", "0x10", "1_000", "1,000",
        "0,05", "\u0661", "\u096b", "\uff11", "1.\u0665", "1.", ".5", "05", "00", "1.2.3", "0.001",
        "1000000000001",
        10**12 + 1, 10**5000, "9" * 1_000_000, "0." + "0" * 1_000_000, "1\x00", True, False,
        0.05, 1.0, float("nan"), None, [], {}, b"1", Decimal("0.05"),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else f"{value % 10**9}",
)  # fmt: skip
def test_prices_that_are_refused(amount: object) -> None:
    with pytest.raises(InvalidPrice) as caught:
        parse_price(amount, "USD")  # type: ignore[arg-type]  # what JSON may bring
    assert len(caught.value.detail) < 100


@pytest.mark.parametrize("amount", ["0.1", "1.0", "0", "1000000001", 10**10])
def test_sats_are_whole_and_bounded(amount: str | int) -> None:
    with pytest.raises(InvalidPrice):
        parse_price(amount, "SAT")


@pytest.mark.parametrize(
    ("amount", "currency"), [("0.5", "JPY"), ("0.0001", "KWD"), ("1.0", "KRW")]
)
def test_more_decimals_than_the_currency_has(amount: str, currency: str) -> None:
    with pytest.raises(InvalidPrice, match=f"{currency} has"):
        parse_price(amount, currency)


@pytest.mark.parametrize(
    "currency", ["usd", "MSAT", "BTC", "XXX", "", "US$", "U" * 10**6, None, 5, []]
)
def test_unknown_currencies(currency: object) -> None:
    with pytest.raises(UnknownCurrency) as caught:
        parse_price("1", currency)  # type: ignore[arg-type]  # what JSON may bring
    assert len(caught.value.detail) < 100


@given(st.text() | st.floats().map(str) | st.decimals().map(str))
def test_any_text_is_a_price_or_refused(text: str) -> None:
    try:
        price = parse_price(text, "KWD")
    except InvalidPrice:
        return
    assert isinstance(price, Fiat)
    assert Fraction(text) == Fraction(price.amount_minor, 1000) > 0


@given(
    st.none() | st.booleans() | st.floats() | st.lists(st.integers()),
    currencies | st.just("SAT"),
)
def test_other_json_types_are_refused(amount: object, currency: str) -> None:
    with pytest.raises(InvalidPrice):
        parse_price(json.loads(json.dumps(amount)), currency)


@given(st.integers(1, 10**15 - 1), currencies)
def test_a_price_survives_being_written_and_read(amount_minor: int, currency: str) -> None:
    price = Fiat(amount_minor, currency)
    if amount_minor // 10**price.exponent <= 10**12:
        amount, code = str(price).split()
        assert parse_price(amount, code) == price


def test_hostile_numbers_take_no_time() -> None:
    """Writing them out would outlast the time limit of all tests."""
    for text in ("1e999999999", "9" * 5_000_000, "0." + "1" * 5_000_000):
        with pytest.raises(InvalidPrice):
            parse_price(text, "USD")
    with pytest.raises(InvalidPrice):
        fiat_to_msat_ceil(Fiat(5, "USD"), Decimal("1e999999999"))


@given(st.integers(1, 10**15), currencies, rates)
def test_fiat_is_rounded_up_by_less_than_one_msat(
    amount_minor: int, currency: str, rate: Decimal
) -> None:
    price = Fiat(amount_minor, currency)
    exact = Fraction(amount_minor, 10**price.exponent) * MSAT_PER_BTC / Fraction(rate)
    if exact > MAX_PRICE_MSAT:
        with pytest.raises(InvalidPrice):
            fiat_to_msat_ceil(price, rate)
        return
    amount_msat = fiat_to_msat_ceil(price, rate)
    assert 0 <= amount_msat - exact < 1
    assert 0 <= msat_to_sat_ceil(amount_msat) * 1000 - exact < 1001


@pytest.mark.parametrize(
    ("price", "rate", "amount_msat"),
    [
        (Fiat(5, "USD"), "1000", 5_000_000),
        (Fiat(5, "USD"), "100000", 50_000),
        (Fiat(5, "USD"), "99999.99", 50_001),
        (Fiat(8, "JPY"), "15000000", 53_334),
        (Fiat(8, "KWD"), "30000", 26_667),
        (Fiat(1, "USD"), "1e15", 1),
    ],
)
def test_known_conversions(price: Fiat, rate: str, amount_msat: int) -> None:
    assert fiat_to_msat_ceil(price, Decimal(rate)) == amount_msat


def test_a_rate_of_ten_to_the_minus_eight_is_exact_and_bounded() -> None:
    """At that rate the smallest unit of any currency costs far more than ten bitcoin."""
    with pytest.raises(InvalidPrice, match="at most"):
        fiat_to_msat_ceil(Fiat(1, "KWD"), Decimal("1e-8"))


@pytest.mark.parametrize(
    "rate", ["0", "-1", "9e-9", "1.1e15", "NaN", "sNaN", "Infinity", "-Infinity"]
)
def test_unbelievable_rates(rate: str) -> None:
    with pytest.raises(InvalidPrice, match="not believable"):
        fiat_to_msat_ceil(Fiat(5, "USD"), Decimal(rate))


@pytest.mark.parametrize("amount_msat", [0, -1, MAX_PRICE_MSAT + 1])
def test_prices_out_of_bounds(amount_msat: int) -> None:
    with pytest.raises(InvalidPrice):
        check_price_msat(amount_msat)


@given(st.integers(), st.integers(min_value=1))
def test_division_rounds_up(numerator: int, denominator: int) -> None:
    assert 0 <= ceil_div(numerator, denominator) - Fraction(numerator, denominator) < 1


@pytest.mark.parametrize(
    ("amount_msat", "text"),
    [(0, "0 sats"), (5_000, "5 sats"), (100, "0.1 sats"), (1, "0.001 sats"),
     (1_000, "1 sat"), (-1_000, "-1 sat"), (1_001, "1.001 sats"), (-1_500, "-1.5 sats"),
     (-5_000_000, "-5,000 sats"), (12_345_678_010, "12,345,678.01 sats")],
)  # fmt: skip
def test_sats_for_people(amount_msat: int, text: str) -> None:
    assert format_sat(amount_msat) == text


@given(st.integers(0, 21 * 10**14))
def test_bitcoin_amounts_are_exact_and_short(amount_sat: int) -> None:
    text = format_btc(amount_sat)
    assert Fraction(text) * 100_000_000 == amount_sat
    assert "." not in text or text[-1] in "123456789"


@pytest.mark.parametrize(
    ("price", "text"),
    [(Fiat(5, "USD"), "0.05 USD"), (Fiat(5, "JPY"), "5 JPY"), (Fiat(1_500, "KWD"), "1.500 KWD"),
     (Fiat(10**40 + 1, "USD"), "1" + "0" * 38 + ".01 USD"), (Fiat(-5, "USD"), "-0.05 USD")],
)  # fmt: skip
def test_fiat_for_people_is_never_rounded(price: Fiat, text: str) -> None:
    assert str(price) == text
