"""Other people's Lightning addresses: what is believed, and where we never go."""

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from bitcache_server import netguard
from bitcache_server.domain.errors import (
    LightningAddressInvalid,
    LnurlForbidden,
    LnurlRefused,
    LnurlUnreachable,
)
from bitcache_server.rails.lightning import lnurl_client
from bitcache_server.rails.lightning.lnurl_client import (
    MOST_AT_ONCE,
    LnurlClient,
    is_lightning_address,
    normal_address,
)
from bitcache_server.rails.lightning.safe_http import MAX_ANSWER_BYTES, SafeJson
from tests.support.certificates import certificate_for
from tests.support.lnurl_provider import Provider, dripping, lnurl_provider, saying

AMOUNT_MSAT = 21_000
PUBLIC = "93.184.215.14"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with lnurl_provider() as made:
        yield made


@pytest.fixture
def client() -> LnurlClient:
    return LnurlClient(2, allow_local=True)


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Answer look-ups of names with these lists in turn; return who was asked for."""
    asked: list[str] = []

    def lookup(host: str, port: int | None) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    monkeypatch.setattr(netguard, "_lookup", lookup)
    return asked


def test_an_invoice_for_exactly_what_was_asked(provider: Provider, client: LnurlClient) -> None:
    made = client.request_invoice(provider.address, AMOUNT_MSAT, "regtest", "x" * 30)
    assert made.bolt11.startswith("lnbcrt210n1")
    assert made.check_url == f"{provider.url}/verify/{made.payment_hash}"
    assert made.description == provider.metadata
    # The callback's own parameters stay, and the comment is as long as the address takes.
    assert provider.asked[1][1] == f"/callback?account=7&amount={AMOUNT_MSAT}&comment={'x' * 20}"


def test_whether_it_was_paid(provider: Provider, client: LnurlClient) -> None:
    made = client.request_invoice(provider.address, AMOUNT_MSAT, "regtest")
    assert client.check_paid(made.check_url, made.payment_hash) == (False, "")
    provider.pay(made.payment_hash)
    paid, preimage = client.check_paid(made.check_url, made.payment_hash)
    assert paid
    assert preimage == provider.node.lookup_invoice(made.payment_hash).preimage


def test_a_provider_that_keeps_the_preimage(provider: Provider, client: LnurlClient) -> None:
    made = client.request_invoice(provider.address, AMOUNT_MSAT, "regtest")
    provider.pay(made.payment_hash)
    provider.status["preimage"] = None
    assert client.check_paid(made.check_url, made.payment_hash) == (True, "")


@pytest.mark.parametrize("preimage", ["00" * 32, "12", "not hex", "\u0660" * 64])
def test_a_preimage_that_is_a_lie(provider: Provider, client: LnurlClient, preimage: str) -> None:
    made = client.request_invoice(provider.address, AMOUNT_MSAT, "regtest")
    provider.status.update(settled=True, preimage=preimage)
    with pytest.raises(LnurlRefused, match="does not belong"):
        client.check_paid(made.check_url, made.payment_hash)


@pytest.mark.parametrize("settled", ["true", 1, None, {"yes": True}])
def test_settled_is_a_plain_yes_or_no(
    provider: Provider, client: LnurlClient, settled: object
) -> None:
    made = client.request_invoice(provider.address, AMOUNT_MSAT, "regtest")
    provider.status["settled"] = settled
    with pytest.raises(LnurlRefused, match="settled"):
        client.check_paid(made.check_url, made.payment_hash)


def test_an_invoice_over_another_amount(provider: Provider, client: LnurlClient) -> None:
    provider.invoice["pr"] = provider.node.foreign_invoice(AMOUNT_MSAT + 1_000)
    with pytest.raises(LnurlRefused, match="another amount"):
        client.request_invoice(provider.address, AMOUNT_MSAT, "regtest")
    provider.invoice["pr"] = provider.node.foreign_invoice(None)
    with pytest.raises(LnurlRefused, match="another amount"):
        client.request_invoice(provider.address, AMOUNT_MSAT, "regtest")


def test_an_invoice_of_another_network(provider: Provider, client: LnurlClient) -> None:
    with pytest.raises(LnurlRefused, match="regtest"):
        client.request_invoice(provider.address, AMOUNT_MSAT, "mainnet")


def test_an_invoice_that_is_over(provider: Provider, client: LnurlClient) -> None:
    later = LnurlClient(2, allow_local=True, clock=lambda: int(time.time()) + 3_601)
    with pytest.raises(LnurlRefused, match="expired"):
        later.request_invoice(provider.address, AMOUNT_MSAT, "regtest")


@pytest.mark.parametrize("pr", ["", "hello", "lnbcrt1", 7, None, "x" * 50_000])
def test_something_else_than_an_invoice(
    provider: Provider, client: LnurlClient, pr: object
) -> None:
    provider.answers["/callback"] = saying({"pr": pr})
    with pytest.raises(LnurlRefused):
        client.request_invoice(provider.address, AMOUNT_MSAT, "regtest")


def test_an_invoice_for_something_else(provider: Provider, client: LnurlClient) -> None:
    provider.description = '[["text/plain","A new car"]]'
    with pytest.raises(LnurlRefused, match="something else"):
        client.request_invoice(provider.address, AMOUNT_MSAT, "regtest")


def test_an_invoice_with_a_memo_commits_to_nothing(provider: Provider, client: LnurlClient) -> None:
    provider.description = ""
    made = client.request_invoice(provider.address, AMOUNT_MSAT, "regtest")
    assert made.description == ""


def test_the_amount_is_one_that_the_address_takes(provider: Provider, client: LnurlClient) -> None:
    for amount_msat in (999, 100_000_001):
        with pytest.raises(LightningAddressInvalid, match="1 sat to 100,000 sats"):
            client.request_invoice(provider.address, amount_msat, "regtest")
    assert "/callback" not in str(provider.asked)


@pytest.mark.parametrize(
    "terms",
    [
        {"tag": "withdrawRequest"},
        {"tag": None},
        {"callback": None},
        {"callback": ["x"]},
        {"minSendable": 0},
        {"minSendable": "1000"},
        {"minSendable": 2_000, "maxSendable": 1_000},
        {"maxSendable": 10**30},
        {"minSendable": True},
        {"metadata": "no json"},
        {"metadata": "{}"},
        {"metadata": "[]"},
        {"metadata": '[["text/plain","a"],["text/plain","b"]]'},
        {"metadata": "[" * 50_000},
        {"metadata": [["text/plain", "x"]]},
        {"commentAllowed": "many"},
    ],
)
def test_terms_that_break_the_protocol(
    provider: Provider, client: LnurlClient, terms: dict[str, Any]
) -> None:
    provider.terms = terms
    with pytest.raises(LnurlRefused):
        client.pay_terms(provider.address)


@pytest.mark.parametrize("body", ["", "<html>", "[]", '"x"', "null", "[" * 90_000, b"\xff\xfe{}"])
def test_what_is_no_json_object(provider: Provider, client: LnurlClient, body: str | bytes) -> None:
    provider.answers["/.well-known/lnurlp/jane"] = saying(body)
    with pytest.raises(LnurlRefused):
        client.pay_terms(provider.address)


@pytest.mark.parametrize("status", [200, 404, 500])
def test_an_error_in_the_words_of_the_provider(
    provider: Provider, client: LnurlClient, status: int
) -> None:
    body = {"status": "ERROR", "reason": "No such\nuser \x1b[31m" + "x" * 1_000}
    provider.answers["/.well-known/lnurlp/jane"] = saying(body, status)
    with pytest.raises(LnurlRefused, match=r"No suchuser \[31mx") as caught:
        client.pay_terms(provider.address)
    assert len(caught.value.detail) < 250


def test_an_error_without_words(provider: Provider, client: LnurlClient) -> None:
    provider.answers["/.well-known/lnurlp/jane"] = saying("Bad gateway", 502)
    with pytest.raises(LnurlUnreachable, match="502"):
        client.pay_terms(provider.address)


def test_a_huge_answer_is_not_read(provider: Provider, client: LnurlClient) -> None:
    provider.answers["/.well-known/lnurlp/jane"] = saying(b" " * (MAX_ANSWER_BYTES + 1) + b"{}")
    with pytest.raises(LnurlRefused, match="more than"):
        client.pay_terms(provider.address)


def test_a_compressed_answer_is_not_unpacked(provider: Provider, client: LnurlClient) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    provider.answers["/.well-known/lnurlp/jane"] = saying(bomb, Content_Encoding="gzip")
    with pytest.raises(LnurlRefused, match="compressed"):
        client.pay_terms(provider.address)


def test_an_answer_that_drips_is_given_up(provider: Provider) -> None:
    provider.answers["/.well-known/lnurlp/jane"] = dripping
    with pytest.raises(LnurlUnreachable, match=r"0\.3 s"):
        LnurlClient(0.3, allow_local=True).pay_terms(provider.address)


def test_one_host_that_hangs_does_not_take_all_threads(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lnurl_client, "TURN_WAIT_S", 0.05)
    client = LnurlClient(30, allow_local=True)
    go_on, arrived = threading.Event(), threading.Semaphore(0)

    def hanging(handler: BaseHTTPRequestHandler) -> None:
        arrived.release()
        assert go_on.wait(30)
        saying("{}")(handler)

    def ask(address: str = provider.address) -> str:
        try:
            return client.request_invoice(address, AMOUNT_MSAT, "regtest").bolt11
        except (LnurlRefused, LnurlUnreachable) as error:
            return error.detail

    provider.answers["/.well-known/lnurlp/jane"] = hanging
    with ThreadPoolExecutor(MOST_AT_ONCE) as threads:
        waiting = [threads.submit(ask) for _ in range(MOST_AT_ONCE)]
        for _ in waiting:
            assert arrived.acquire(timeout=30)
        try:
            assert ask().startswith("Many wait for 127.0.0.1")
            with lnurl_provider() as other:
                assert ask(other.address).startswith("lnbcrt")
        finally:
            go_on.set()
        assert not [one.result() for one in waiting if one.result().startswith("Many")]
    # Those that came to nothing have given their turns back.
    del provider.answers["/.well-known/lnurlp/jane"]
    assert ask().startswith("lnbcrt")


def test_a_name_that_nobody_answers_for_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def lookup(host: str, port: int | None) -> list[str]:
        assert answered.wait(30)
        return []

    monkeypatch.setattr(netguard, "_lookup", lookup)
    with pytest.raises(LnurlUnreachable, match=r"0\.2 s"):
        LnurlClient(0.2, allow_local=True).pay_terms("jane@shop.test")
    # Given up while the name server was still silent.
    answered.set()


@pytest.mark.parametrize(
    "target",
    [
        "https://127.0.0.1/x",
        "http://127.0.0.1:1/x",
        "https://shop.test/elsewhere",
        "http://169.254.169.254/latest/meta-data",
        "/.well-known/lnurlp/other",
    ],
)
def test_a_redirect_is_not_followed(provider: Provider, client: LnurlClient, target: str) -> None:
    provider.answers["/.well-known/lnurlp/jane"] = saying("{}", 302, Location=target)
    with pytest.raises(LnurlForbidden, match="another address"):
        client.pay_terms(provider.address)
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    "callback",
    [
        "http://10.0.0.1/",
        "http://shop.test/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00::1]/",
        "https://user:secret@shop.test/",
        "https://example.onion/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "https://",
        "//127.0.0.1/",
        "not an address",
        "https://" + "x" * 3_000,
        "https://shop.test:99999999/",
        "https://\x00/",
        "",
    ],
)
def test_a_callback_to_an_internal_or_odd_address(
    provider: Provider, client: LnurlClient, callback: str
) -> None:
    provider.terms["callback"] = callback
    with pytest.raises(LnurlForbidden):
        client.request_invoice(provider.address, AMOUNT_MSAT, "regtest")
    with pytest.raises(LnurlForbidden):
        client.check_paid(callback, "00" * 32)
    assert len(provider.asked) == 1
    provider.terms.clear()
    provider.invoice["verify"] = callback
    with pytest.raises(LnurlForbidden if callback else LnurlRefused, match="verify"):
        client.request_sale(provider.address, AMOUNT_MSAT, "regtest")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:53aa:64c:0:0:80ff:fffe",
        "2001:db8::1",
        "fc00::1",
        "fe80::1",
        "ff02::1",
        "fec0::1",
    ],
)
def test_a_name_that_means_an_internal_address(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    connected: list[str] = []

    async def read(self: SafeJson, url: httpx.URL, address: str) -> bytes:
        connected.append(address)
        return b"{}"

    monkeypatch.setattr(SafeJson, "_read", read)
    # One public address among them does not help.
    for found in ([address], [PUBLIC, address], [address, PUBLIC]):
        resolving(monkeypatch, found)
        with pytest.raises(LnurlForbidden, match="internal"):
            LnurlClient(2, allow_local=False).pay_terms("jane@shop.test")
    assert connected == []


def test_the_address_that_was_checked_is_the_one_that_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[str] = []

    async def read(self: SafeJson, url: httpx.URL, address: str) -> bytes:
        called.append(address)
        raise httpx.ConnectError("nobody there")

    monkeypatch.setattr(SafeJson, "_read", read)
    asked = resolving(monkeypatch, [PUBLIC, "2606:2800:21f:cb07::1"], ["127.0.0.1"])
    with pytest.raises(LnurlUnreachable):
        LnurlClient(2, allow_local=False).pay_terms("jane@shop.test")
    assert asked == ["shop.test"]
    assert called == [PUBLIC, "2606:2800:21f:cb07::1"]


def test_tls_is_for_the_name_and_not_for_the_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = certificate_for(tmp_path, "shop.test")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.chain, made.key)
    trusting = ssl.create_default_context(cafile=str(made.authority))
    monkeypatch.setattr(netguard, "_tls", lambda: trusting)
    client = LnurlClient(2, allow_local=True)
    asked = resolving(monkeypatch, ["127.0.0.1"])
    with lnurl_provider("shop.test", server) as provider:
        invoice = client.request_invoice(provider.address, AMOUNT_MSAT, "regtest")
        assert invoice.check_url.startswith(f"https://{provider.host}/verify/")
        assert asked == ["shop.test", "shop.test"]
        assert {host for host, _ in provider.asked} == {provider.host}
        other = provider.address.replace("shop.test", "other.test")
        with pytest.raises(LnurlUnreachable, match="no certificate that can be trusted"):
            client.pay_terms(other)


def test_where_nothing_listens_it_is_said_in_plain_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, ["127.0.0.1"])
    # Nothing ever listens on port 1.
    with pytest.raises(LnurlUnreachable, match=r"^No server listens at shop\.test, or") as caught:
        LnurlClient(2, allow_local=True).pay_terms("jane@shop.test:1")
    assert "Error" not in caught.value.detail


def test_a_name_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(host: str, port: int | None) -> list[str]:
        raise socket.gaierror(8, "unknown")

    monkeypatch.setattr(netguard, "_lookup", lookup)
    with pytest.raises(LnurlUnreachable, match="no server"):
        LnurlClient(2, allow_local=False).pay_terms("jane@shop.test")


def test_loopback_is_for_tests_only(provider: Provider) -> None:
    with pytest.raises(LnurlForbidden, match="internal"):
        LnurlClient(2, allow_local=False).pay_terms("jane@localhost")
    with pytest.raises(LightningAddressInvalid, match="no port"):
        LnurlClient(2, allow_local=False).pay_terms(provider.address)
    assert provider.asked == []


@pytest.mark.parametrize(
    ("own_url", "address"),
    [
        ("https://pay.example", "jane@pay.example"),
        ("https://pay.example", "JANE@PAY.EXAMPLE:443"),
        ("http://pay.example", "jane@pay.example"),
        ("https://PAY.example./", "jane@pay.example"),
        ("https://b\u00fccher.example", "jane@xn--bcher-kva.example"),
        ("http://127.0.0.1:8000", "jane@127.0.0.1:8000"),
        ("http://localhost:8000", "lightning:jane@127.0.0.1:8000"),
    ],
)
def test_this_very_server_is_never_called(
    monkeypatch: pytest.MonkeyPatch, own_url: str, address: str
) -> None:
    asked = resolving(monkeypatch, [PUBLIC])
    client = LnurlClient(2, allow_local=True, own_url=own_url)
    for use in (
        lambda: client.refuse_own(address),
        lambda: client.pay_terms(address),
        lambda: client.request_invoice(address, AMOUNT_MSAT, "regtest"),
        lambda: client.require_sellable(address, "regtest"),
    ):
        with pytest.raises(LightningAddressInvalid, match="this very server"):
            use()
    assert asked == []


def test_another_server_is_not_this_one(provider: Provider) -> None:
    """Nor is a name that only ends alike, nor, on one's own machine, another port."""
    client = LnurlClient(2, allow_local=True, own_url="http://127.0.0.1:1")
    assert client.require_sellable(provider.address, "regtest") == provider.address
    client = LnurlClient(2, allow_local=False, own_url="https://pay.example")
    client.refuse_own("jane@other.pay.example")
    with pytest.raises(LightningAddressInvalid, match="this very server"):
        client.refuse_own("jane@pay.example:8443")


def test_a_provider_that_leads_back_to_us(provider: Provider) -> None:
    client = LnurlClient(2, allow_local=True, own_url="https://pay.example")
    provider.invoice["verify"] = "https://pay.example/lnurl/verify/00"
    with pytest.raises(LnurlForbidden, match="this very server"):
        client.request_sale(provider.address, AMOUNT_MSAT, "regtest")
    provider.terms["callback"] = "https://pay.example/lnurl/pay/ada/callback"
    with pytest.raises(LnurlForbidden, match="this very server"):
        client.request_invoice(provider.address, AMOUNT_MSAT, "regtest")


def test_a_provider_that_can_sell(provider: Provider, client: LnurlClient) -> None:
    assert client.require_sellable(provider.address.upper(), "regtest") == provider.address
    provider.terms["minSendable"] = 1
    assert client.require_sellable(provider.address, "regtest") == provider.address
    assert "amount=1000" in provider.asked[-2][1]


def test_a_provider_that_cannot_sell_is_told_why(provider: Provider, client: LnurlClient) -> None:
    provider.invoice["verify"] = None
    with pytest.raises(LightningAddressInvalid, match="LUD-21"):
        client.require_sellable(provider.address, "regtest")
    provider.invoice["verify"] = "https://10.0.0.1/"
    with pytest.raises(LightningAddressInvalid, match="internal"):
        client.require_sellable(provider.address, "regtest")
    # Who is only paid needs none of that.
    assert client.request_invoice(provider.address, AMOUNT_MSAT, "regtest").bolt11
    with pytest.raises(LightningAddressInvalid, match="mainnet"):
        client.require_sellable(provider.address, "mainnet")
    nobody = provider.address.replace("jane", "nobody")
    with pytest.raises(LightningAddressInvalid, match="Not found"):
        client.require_sellable(nobody, "regtest")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("jane@pay.example", "jane@pay.example"),
        (" Jane@Pay.Example ", "jane@pay.example"),
        ("lightning:jane@pay.example", "jane@pay.example"),
        ("LIGHTNING:JANE@PAY.EXAMPLE", "jane@pay.example"),
        ("a.b-c_d+tag@xn--mnchen-3ya.example", "a.b-c_d+tag@xn--mnchen-3ya.example"),
        ("jane@localhost:8402", "jane@localhost:8402"),
    ],
)
def test_addresses(text: str, normal: str) -> None:
    assert is_lightning_address(text)
    assert normal_address(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jane",
        "@pay.example",
        "jane@",
        "jane@pay",
        "jane@@pay.example",
        "jane doe@pay.example",
        "jane@pay.example/x",
        "jane@pay.example?x",
        "jane@user:secret@pay.example",
        "jane@pay..example",
        "jane@-pay.example",
        "jäne@pay.example",
        "jane@münchen.example",
        "jane@pay.example\n",
        "j" * 65 + "@pay.example",
        "jane@" + "a." * 200 + "example",
        "jane@[::1]",
        "lnbc1",
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert is_lightning_address(text) == (text.strip() == "jane@pay.example")
    if not is_lightning_address(text):
        with pytest.raises(LightningAddressInvalid):
            normal_address(text)
