"""Payment links: exact amounts, and upper case only where it is allowed."""

from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcache_server.rails.lightning.uris import lightning_qr_uri, lightning_uri
from bitcache_server.rails.onchain.bip21 import payment_uri, qr_uri

BECH32 = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"
BASE58 = "1LqBGSKuX5yYUonjxT5qGfpUsXKYYWeabA"
NESTED = "2Mww8dCYPUpKHofjgcXcBCEGmniw9CoaiD2"
ALL_SAT = 21_000_000 * 100_000_000


@pytest.mark.parametrize(
    ("amount_sat", "amount"),
    [
        (1, "0.00000001"),
        (294, "0.00000294"),
        (5_000, "0.00005"),
        (10_000_000, "0.1"),
        (100_000_000, "1"),
        (1_000_000_000, "10"),
        (2_030_000_000, "20.3"),
        (ALL_SAT, "21000000"),
    ],
)
def test_amounts_are_plain_decimals(amount_sat: int, amount: str) -> None:
    assert payment_uri(BECH32, amount_sat) == f"bitcoin:{BECH32}?amount={amount}"


@given(st.integers(min_value=1, max_value=ALL_SAT))
def test_amounts_are_exact(amount_sat: int) -> None:
    for uri in (payment_uri(BASE58, amount_sat), qr_uri(BECH32, amount_sat)):
        amount = uri.partition("amount=")[2]
        assert set(amount) <= set("0123456789.")
        assert Decimal(amount) * 100_000_000 == amount_sat
        assert not ("." in amount and amount.endswith(("0", ".")))


def test_a_label_is_escaped() -> None:
    label = "Café & more: 100% \u2603?#"
    uri = urlsplit(payment_uri(BECH32, 5_000, label))
    assert (uri.scheme, uri.path, uri.fragment) == ("bitcoin", BECH32, "")
    assert parse_qs(uri.query) == {"amount": ["0.00005"], "label": [label]}


def test_no_label_gives_no_parameter() -> None:
    assert payment_uri(BECH32, 5_000, "") == payment_uri(BECH32, 5_000)


@pytest.mark.parametrize("address", [BECH32, "tb1qabc", "bcrt1qabc", "bc1pabc"])
def test_bech32_is_upper_case_in_the_code(address: str) -> None:
    assert qr_uri(address, 5_000) == f"BITCOIN:{address.upper()}?amount=0.00005"


@pytest.mark.parametrize("address", [BASE58, NESTED, "bc3notbech32"])
def test_base58_keeps_its_case(address: str) -> None:
    assert qr_uri(address, 5_000) == payment_uri(address, 5_000)


BOLT11 = "lnbc50u1p5sample0invoice"


def test_one_link_for_both_rails() -> None:
    uri = urlsplit(payment_uri(BECH32, 5_000, "A song", bolt11=BOLT11))
    assert parse_qs(uri.query) == {
        "amount": ["0.00005"],
        "label": ["A song"],
        "lightning": [BOLT11],
    }
    dense = f"BITCOIN:{BECH32.upper()}?amount=0.00005&lightning={BOLT11.upper()}"
    assert qr_uri(BECH32, 5_000, bolt11=BOLT11) == dense
    # What may not be changed stays; the invoice alone is made smaller.
    assert qr_uri(BASE58, 5_000, bolt11=BOLT11) == payment_uri(BASE58, 5_000, bolt11=BOLT11.upper())


def test_links_of_a_lightning_invoice() -> None:
    assert lightning_uri(BOLT11.upper()) == f"lightning:{BOLT11}"
    assert lightning_qr_uri(BOLT11) == f"LIGHTNING:{BOLT11.upper()}"
