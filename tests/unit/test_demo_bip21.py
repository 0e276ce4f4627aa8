"""The demo's wallet reads payment codes as BIP 21 says, and pays nothing that it does not know."""

import pytest

from demo.bip21 import NotAPaymentCode, PaymentCode, parse_payment_code

ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


@pytest.mark.parametrize(
    ("text", "amount_sat"),
    [
        (f"bitcoin:{ADDRESS}?amount=0.00005", 5_000),
        (f"BITCOIN:{ADDRESS.upper()}?amount=0.00005", 5_000),
        (f"BITCOIN:{ADDRESS.upper()}?AMOUNT=0.00005", 5_000),
        (f"  bitcoin:{ADDRESS}?label=Slack%20Water&amount=1.00000001\n", 100_000_001),
        (f"bitcoin:{ADDRESS}?amount=.5", 50_000_000),
        (f"bitcoin:{ADDRESS}?somethingelse=1", None),
        (f"bitcoin:{ADDRESS}", None),
        (ADDRESS, None),
    ],
)
def test_codes_that_can_be_paid(text: str, amount_sat: int | None) -> None:
    assert parse_payment_code(text) == PaymentCode(ADDRESS, amount_sat)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "lightning:lnbc1",
        "https://pay.example/",
        f"bitcoin:{ADDRESS}?amount=",
        f"bitcoin:{ADDRESS}?amount=.",
        f"bitcoin:{ADDRESS}?amount=-1",
        f"bitcoin:{ADDRESS}?amount=1e3",
        f"bitcoin:{ADDRESS}?amount=0.000000001",
        f"bitcoin:{ADDRESS}?amount=1,5",
        f"bitcoin:{ADDRESS}?req-somethingnew=1&amount=1",
        f"bitcoin:{ADDRESS[:-1]}!",
    ],
)
def test_codes_that_are_refused(text: str) -> None:
    with pytest.raises(NotAPaymentCode):
        parse_payment_code(text)
