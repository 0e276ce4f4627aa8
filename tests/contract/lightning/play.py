"""What the tests of the contract of Lightning backends share.

Each test is made for the worlds that can bring about what it needs; which they are stands in
``faults`` of the world.
"""

import time

import pytest

from bitcache_server.domain.outcome import Outcome
from bitcache_server.rails.lightning.backend import InvoiceOrder, IssuedInvoice, PayOrder, Sent
from bitcache_server.rails.lightning.decoding import Decoded, decode
from tests.contract.lightning_worlds import WORLDS
from tests.contract.lightning_worlds.base import (
    NETWORK,
    PAYOUT_MSAT,
    PRICE_MSAT,
    Fault,
    LightningWorld,
)

DESCRIPTION = '{"amount_msat":50000,"item":"it_1","title":"Über alles · ☕"}'
MEMO = "Über alles"
NOWHERE = "ab" * 32
OPEN = (Outcome.PENDING, Outcome.UNKNOWN)
#: A real node needs its time; a test that waits this long has failed.
PATIENCE_S = 30.0


def played_on(*faults: Fault) -> pytest.MarkDecorator:
    """Make a test for every world in which all of this can be brought about."""
    names = sorted(name for name, world in WORLDS.items() if world.faults.issuperset(faults))
    return pytest.mark.parametrize("world", names, indirect=True)


EVERYWHERE = played_on()


def order_of(
    amount_msat: int = PRICE_MSAT, description: str = DESCRIPTION, expires_in_s: int = 600
) -> InvoiceOrder:
    return InvoiceOrder("in_1", amount_msat, MEMO, description, expires_in_s)


def read(bolt11: str) -> Decoded:
    """Return what an invoice says; LNbits makes its own for mainnet, whatever it is told."""
    network = (
        "mainnet" if bolt11.startswith("lnbc") and not bolt11.startswith("lnbcrt") else NETWORK
    )
    return decode(bolt11, network)


def issue(world: LightningWorld) -> IssuedInvoice:
    return world.backend.create_invoice(order_of())


def payment(
    bolt11: str, amount_msat: int = PAYOUT_MSAT, max_fee_msat: int = 5_000, wait_s: float = 10.0
) -> PayOrder:
    payment_hash = read(bolt11).payment_hash
    return PayOrder(bolt11, payment_hash, amount_msat, max_fee_msat, wait_s)


def end_of(world: LightningWorld, payment_hash: str) -> Sent:
    """Ask until the payment is over; return the last answer when patience ends."""
    deadline = time.monotonic() + PATIENCE_S
    while (sent := world.backend.lookup_payment(payment_hash)).outcome in OPEN:
        if time.monotonic() >= deadline:
            break
        time.sleep(0.05)
    return sent
