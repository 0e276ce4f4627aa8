"""Lightning addresses of a real LNbits, followed by our client.

LNbits 1.6.2 has addresses of its own (LUD-16, LUD-06 with a description hash, LUD-12) but no
LUD-21; that is in its pay links, an extension that no Python package brings. So it can be
paid out to, and nothing can be sold through it: our server must say so.
"""

import pytest

from bitcache_server.domain.errors import LightningAddressInvalid, LnurlRefused
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.lnurl_client import LnurlClient
from tests.support.lnbits import Lnbits

#: What its FakeWallet writes in front of invoices.
NETWORK = "mainnet"


@pytest.fixture
def client() -> LnurlClient:
    return LnurlClient(10, allow_local=True)


def test_it_is_paid_at_its_address(lnbits: Lnbits, client: LnurlClient) -> None:
    receiver, payer = lnbits.wallet("receiver"), lnbits.wallet("payer", 1_000)
    address = lnbits.give_address(receiver, "jane.doe")
    made = client.request_invoice(address, 21_000, NETWORK, "Well done")
    assert f"Payment to {address}" in made.description
    assert decode(made.bolt11, NETWORK).amount_msat == 21_000
    lnbits.pay(payer, made.bolt11)
    [received] = lnbits.payments(receiver)
    assert (received["payment_hash"], received["amount"]) == (made.payment_hash, 21_000)
    assert received["extra"]["comment"] == "Well done"


def test_nothing_is_sold_through_it(lnbits: Lnbits, client: LnurlClient) -> None:
    address = lnbits.give_address(lnbits.wallet("receiver"), "shop")
    with pytest.raises(LightningAddressInvalid, match="LUD-21"):
        client.require_sellable(address, NETWORK)


def test_nobody_has_that_address(lnbits: Lnbits, client: LnurlClient) -> None:
    with pytest.raises(LnurlRefused, match="not found"):
        client.pay_terms(f"nobody@{lnbits.url.partition('://')[2]}")
