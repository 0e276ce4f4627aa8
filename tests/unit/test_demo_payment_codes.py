"""The demo's wallet reads payment codes as BIP 21 and BOLT 11 say, and nothing else."""

import pytest

from bitcache_server.rails.lightning.backend import InvoiceOrder
from bitcache_server.rails.lightning.invoice_making import make_invoice
from demo.payment_codes import NotAPaymentCode, PaymentCode, parse_payment_code

ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


def signed_invoice(amount_msat: int) -> str:
    """Return an invoice; an amount of 0 leaves it to the payer."""
    order = InvoiceOrder("in_1", amount_msat, "A story", "", 600)
    return make_invoice(order, 1_800_000_000, "11" * 32).bolt11


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


def test_an_invoice_is_paid_over_lightning_also_where_an_address_stands_beside_it() -> None:
    invoice = signed_invoice(4_999_001)
    code = PaymentCode(invoice, 5_000, over_lightning=True)
    assert parse_payment_code(f"lightning:{invoice}") == code
    assert parse_payment_code(f"LIGHTNING:{invoice.upper()}") == code
    assert parse_payment_code(f"bitcoin:{ADDRESS}?amount=0.00005&lightning={invoice}") == code
    assert parse_payment_code(f"BITCOIN:{ADDRESS.upper()}?lightning={invoice.upper()}") == code


@pytest.mark.parametrize("invoice", [signed_invoice(0), "lnbcrt1damaged"])
def test_an_invoice_that_cannot_be_paid_is_refused(invoice: str) -> None:
    for text in (invoice, f"bitcoin:{ADDRESS}?lightning={invoice}"):
        with pytest.raises(NotAPaymentCode):
            parse_payment_code(text)


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
