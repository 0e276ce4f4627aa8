"""A merchant without a node sells: their Lightning address receives, at somebody else's server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from bitcache_server import netguard
from bitcache_server.domain.errors import (
    InvalidRequest,
    LightningAddressInvalid,
    LnurlUnreachable,
    SplitInvalid,
    UnknownMerchant,
)
from bitcache_server.ledger import chart
from bitcache_server.ledger.balances import balance
from bitcache_server.models.sales import Invoice, Payment
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PaymentOrder, PaymentRequest
from bitcache_server.rails.lightning.decoding import preimage_fits
from bitcache_server.services.handles import set_handle
from bitcache_server.services.items import get_item
from bitcache_server.services.lightning_addresses import set_lightning_address
from bitcache_server.services.splits import set_splits
from bitcache_server.services.watch_stream import check_requests
from tests.support.api import call
from tests.support.databases import Databases
from tests.support.lightning_world import (
    LightningWorld,
    lightning_request,
    make_lightning_rail,
    opened_lightning_world,
)
from tests.support.lnurl_provider import Provider, dripping, lnurl_provider, saying
from tests.support.loopback import loopback
from tests.support.purchases import add_author, earned, sell_shared
from tests.support.shops import PRICE_MSAT, assert_nothing_lost, restarted
from tests.support.world import LOCKED, PUBLIC_URL, Purchase

#: One per cent of the price, and what is not taken at source is owed.
COMMISSION_MSAT = PRICE_MSAT // 100


@pytest.fixture
def provider() -> Iterator[Provider]:
    with lnurl_provider() as made:
        yield made


@contextmanager
def node_free(
    folder: Path, url: str, address: str, provider: Provider | None = None
) -> Iterator[LightningWorld]:
    """Give a server without a node whose merchant is paid at an address."""
    # Only a scripted provider keeps us waiting on purpose.
    timeout_s = 30 if provider is None else 3
    with opened_lightning_world(folder, url, with_node=False, lnurl_timeout_s=timeout_s) as shop:
        if provider is not None:
            provider.node.clock = shop.clock
        merchant = set_lightning_address(shop.deps, shop.session, shop.merchant_id, address)
        assert merchant.lightning_address == address
        yield shop
        assert_nothing_lost(shop)


@pytest.fixture
def shop(databases: Databases, tmp_path: Path, provider: Provider) -> Iterator[LightningWorld]:
    """Return one that is paid through a provider that does what a test says."""
    with (
        databases.fresh("sqlite") as url,
        node_free(tmp_path, url, provider.address, provider) as made,
    ):
        yield made


def owed_by_merchant(shop: LightningWorld) -> int:
    """Return the commission that the merchant owes, in msat."""
    shop.session.rollback()
    return -balance(shop.session, chart.merchant(shop.merchant_id))


def refused(shop: LightningWorld, code: str) -> str:
    """Try to buy, and return why that does not work."""
    body = {"item": shop.article_id, "challenge": "A" * 43, "rail": "lightning"}
    answer = shop.post("/v1/invoices", body)
    assert answer.get_json()["code"] == code, answer.text
    return str(answer.get_json()["detail"])


def look_again(shop: LightningWorld) -> int:
    """Let a moment pass and ask the provider about open invoices."""
    shop.clock.pass_time(10)
    return shop.check_requests()


def test_served_by_a_second_server_of_ours(
    database_url: str, tmp_path: Path, databases: Databases
) -> None:
    """A shop without a node, and our own server elsewhere as the provider of its address."""
    with loopback() as port, databases.fresh("sqlite") as url:
        home = f"http://127.0.0.1:{port.port}"
        with opened_lightning_world(tmp_path / "b", url, public_url=home) as provider:
            with write_transaction(provider.session):
                set_handle(provider.session, provider.merchant_id, "ada")
            port.serve(provider.app)
            address = f"ada@127.0.0.1:{port.port}"
            with node_free(tmp_path / "a", database_url, address) as shop:
                purchase = shop.buy()
                request = lightning_request(purchase.invoice)
                assert look_again(shop) == 0
                with provider.app.app_context():
                    provider.lightning.pay(str(request["payment_hash"]))
                    provider.settle()
                assert look_again(shop) == 1
                _assert_sold(shop, purchase)
            provider.session.rollback()
            kept = provider.session.scalars(
                select(Invoice).where(Invoice.item_id == "").order_by(Invoice.created_at)
            ).all()
            # The first was made to see whether it can be sold through this address.
            assert [(one.state, one.comment) for one in kept] == [
                ("open", None),
                ("paid", "On engines · Ada's blog"),
            ]
            received = balance(provider.session, chart.merchant(provider.merchant_id))
            assert received == PRICE_MSAT - COMMISSION_MSAT
            assert_nothing_lost(provider)


def _assert_sold(shop: LightningWorld, purchase: Purchase) -> None:
    assert shop.state(purchase) == "paid"
    _assert_reads(shop, shop.grant(purchase))


def _assert_reads(shop: LightningWorld, grant: str) -> None:
    answer = shop.get(f"/v1/content/{shop.article_id}", grant)
    assert answer.get_json()["html"] == LOCKED
    assert owed_by_merchant(shop) == COMMISSION_MSAT


def test_paid_through_any_provider(shop: LightningWorld, provider: Provider) -> None:
    purchase = shop.buy()
    request = lightning_request(purchase.invoice)
    assert request["amount_msat"] == PRICE_MSAT
    provider.pay(str(request["payment_hash"]))
    assert look_again(shop) == 1
    _assert_sold(shop, purchase)
    # Asked no more, booked no more.
    asked = len(provider.asked)
    assert look_again(shop) == 0
    assert len(provider.asked) == asked


def test_only_the_address_receives(shop: LightningWorld) -> None:
    item = shop.get(f"/v1/items/{shop.article_id}").get_json()
    assert item["rails"] == ["lightning"]
    answer = shop.post(
        "/v1/invoices", {"item": shop.article_id, "challenge": "A" * 43, "rail": "fake"}
    )
    assert answer.get_json()["code"] == "rail_unavailable"


def test_a_provider_that_is_away_for_a_while(shop: LightningWorld, provider: Provider) -> None:
    purchase = shop.buy()
    payment_hash = str(lightning_request(purchase.invoice)["payment_hash"])
    path = f"/verify/{payment_hash}"
    provider.pay(payment_hash)
    for trouble in (
        saying("Bad gateway", 502),
        saying({"status": "ERROR", "reason": "Not found"}),
        saying("<html>"),
        saying("{}", 302, Location="http://169.254.169.254/"),
        dripping,
        saying(b" " * 200_000),
    ):
        provider.answers[path] = trouble
        assert look_again(shop) == 0
        assert shop.state(purchase) == "open"
    del provider.answers[path]
    assert look_again(shop) == 1
    _assert_sold(shop, purchase)


def test_nobody_could_ask_for_hours(shop: LightningWorld, provider: Provider) -> None:
    """We were down, or the provider was: what was paid is noticed, and buys the article."""
    purchase, unpaid = shop.buy(), shop.buy()
    provider.pay(str(lightning_request(purchase.invoice)["payment_hash"]))
    shop.clock.pass_time(86_400)
    with restarted(shop) as again:
        assert check_requests(again.deps, shop.session, shop.lightning_rail) == 1
    # Nobody says when it was paid, so it is late, and still the reader's.
    stored = shop.stored(purchase)
    assert (stored.state, stored.marks, stored.credit_msat) == ("expired", "late", PRICE_MSAT)
    answer = call(
        shop, "POST", f"/v1/invoices/{purchase.id}/redeem", json={"verifier": purchase.verifier}
    )
    assert answer.status_code == 200, answer.text
    _assert_reads(shop, str(answer.get_json()["grant"]))
    # The other one is asked about more and more rarely, and no more in the end.
    asked = len(provider.asked)
    for _ in range(100):
        shop.clock.pass_time(3_600)
        assert shop.check_requests() == 0
    assert 2 <= len(provider.asked) - asked <= 10
    assert shop.stored(unpaid).received_msat == 0


def test_a_provider_that_lies_about_the_preimage(shop: LightningWorld, provider: Provider) -> None:
    purchase = shop.buy()
    provider.status.update(settled=True, preimage="ab" * 32)
    assert look_again(shop) == 0
    assert shop.state(purchase) == "open"
    provider.status.clear()
    assert look_again(shop) == 0
    assert shop.state(purchase) == "open"


def test_the_proof_is_kept(shop: LightningWorld, provider: Provider) -> None:
    purchase = shop.buy()
    payment_hash = str(lightning_request(purchase.invoice)["payment_hash"])
    provider.pay(payment_hash)
    look_again(shop)
    answer = shop.client.get(f"/lnurl/verify/{payment_hash}").get_json()
    assert (answer["settled"], answer["preimage"]) == (True, None)
    shop.session.rollback()
    [payment] = shop.session.scalars(select(Payment)).all()
    assert preimage_fits(payment.raw, payment_hash)


TERMS = "/.well-known/lnurlp/jane"
FAULTS: dict[str, tuple[str, Callable[[Provider], object]]] = {
    "another amount": (
        "lnurl_refused",
        lambda p: p.invoice.update(pr=p.node.foreign_invoice(PRICE_MSAT + 1_000)),
    ),
    "no invoice": ("lnurl_refused", lambda p: p.invoice.update(pr="lnbc1pvjluez")),
    "something else": (
        "lnurl_refused",
        lambda p: setattr(p, "description", '[["text/plain","A new car"]]'),
    ),
    "no verify": ("lnurl_refused", lambda p: p.invoice.update(verify=None)),
    "a verify that is none": ("lnurl_refused", lambda p: p.invoice.update(verify="")),
    "a verify of another kind": ("lnurl_refused", lambda p: p.invoice.update(verify=7)),
    "a verify inside": (
        "lnurl_forbidden",
        lambda p: p.invoice.update(verify="http://169.254.169.254/latest/meta-data"),
    ),
    "a malformed verify": ("lnurl_forbidden", lambda p: p.invoice.update(verify="/verify/1")),
    "a verify without TLS": (
        "lnurl_forbidden",
        lambda p: p.invoice.update(verify="http://shop.test/verify/1"),
    ),
    "an endless verify": (
        "lnurl_forbidden",
        lambda p: p.invoice.update(verify=f"{p.url}/verify/{'1' * 3_000}"),
    ),
    "a verify of ours": (
        "lnurl_forbidden",
        lambda p: p.invoice.update(verify=f"{PUBLIC_URL}/lnurl/verify/{'00' * 32}"),
    ),
    "no JSON": ("lnurl_refused", lambda p: p.answers.update({"/callback": saying("not json")})),
    "huge": (
        "lnurl_refused",
        lambda p: p.answers.update({"/callback": saying(b"{" + b" " * 200_000)}),
    ),
    "an error": (
        "lnurl_refused",
        lambda p: p.answers.update({TERMS: saying({"status": "ERROR", "reason": "Closed"})}),
    ),
    "a redirect inside": (
        "lnurl_forbidden",
        lambda p: p.answers.update({TERMS: saying("{}", 302, Location="http://10.0.0.1/")}),
    ),
    "a callback inside": (
        "lnurl_forbidden",
        lambda p: p.terms.update(callback="http://10.0.0.1/admin"),
    ),
    "never answers": ("lnurl_unreachable", lambda p: p.answers.update({"/callback": dripping})),
    "broken": (
        "lnurl_unreachable",
        lambda p: p.answers.update({"/callback": saying("Bad gateway", 502)}),
    ),
    "too small": (
        "lightning_address_invalid",
        lambda p: p.terms.update(minSendable=PRICE_MSAT + 1_000),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_provider_can_do_wrong(shop: LightningWorld, provider: Provider, fault: str) -> None:
    code, break_it = FAULTS[fault]
    break_it(provider)
    assert refused(shop, code)
    assert owed_by_merchant(shop) == 0
    # Nobody was invited to pay, and the next reader can buy when it is over.
    provider.invoice.clear()
    provider.terms.clear()
    provider.answers.clear()
    provider.description = None
    assert lightning_request(shop.buy().invoice)["bolt11"]


def test_a_lying_check_address(shop: LightningWorld, provider: Provider) -> None:
    """Nobody is invited to pay what could never be seen: it is refused before that."""
    provider.invoice["verify"] = "https://169.254.169.254/latest/meta-data"
    assert "internal" in refused(shop, "lnurl_forbidden")
    assert [path for _, path in provider.asked if "meta-data" in path] == []
    with pytest.raises(LightningAddressInvalid, match=r"verify.*internal"):
        set_lightning_address(shop.deps, shop.session, shop.merchant_id, provider.address)


def test_a_check_address_that_leads_elsewhere_later(
    shop: LightningWorld, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was allowed when the invoice was made is looked at again before each question."""
    purchase = shop.buy()
    provider.pay(str(lightning_request(purchase.invoice)["payment_hash"]))
    asked = len(provider.asked)
    with monkeypatch.context() as patch:
        patch.setattr(netguard, "_lookup", lambda host, port: ["10.0.0.1"])
        assert look_again(shop) == 0
    assert len(provider.asked) == asked
    assert look_again(shop) == 1
    _assert_sold(shop, purchase)


def test_an_address_of_this_very_server(
    tmp_path: Path, database_url: str, databases: Databases
) -> None:
    """Our node would pay itself; another server of ours, at another port, is somebody else."""
    with loopback() as port, databases.fresh("sqlite") as url:
        home = f"http://127.0.0.1:{port.port}"
        with opened_lightning_world(tmp_path / "b", url, public_url=home) as provider:
            with write_transaction(provider.session):
                set_handle(provider.session, provider.merchant_id, "ada")
            port.serve(provider.app)
            for host in ("127.0.0.1", "localhost", "LOCALHOST"):
                with pytest.raises(LightningAddressInvalid, match="this very server"):
                    set_lightning_address(
                        provider.deps,
                        provider.session,
                        provider.merchant_id,
                        f"ada@{host}:{port.port}",
                    )
            # Nobody called anybody for that: no invoice was made.
            assert provider.session.scalars(select(Invoice)).all() == []
            provider.session.rollback()
            with node_free(tmp_path / "a", database_url, f"ada@127.0.0.1:{port.port}") as shop:
                assert lightning_request(shop.buy().invoice)["bolt11"]


def test_a_server_that_moved_to_its_merchants_provider(
    tmp_path: Path, database_url: str, provider: Provider
) -> None:
    """An address that was stored under another ``public_url`` is refused when it is used."""
    with node_free(tmp_path, database_url, provider.address, provider) as shop:
        asked = len(provider.asked)
        moved = shop.deps.settings.model_copy(update={"public_url": provider.url})
        rail = make_lightning_rail(None, moved, shop.clock)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shop.lightning_rail, "create_request", rail.create_request)
            assert "this very server" in refused(shop, "lightning_address_invalid")
        assert len(provider.asked) == asked
        assert lightning_request(shop.buy().invoice)["bolt11"]


def test_an_address_is_asked_before_it_is_stored(shop: LightningWorld, provider: Provider) -> None:
    stored = provider.address
    provider.invoice["verify"] = None
    with pytest.raises(LightningAddressInvalid, match="LUD-21"):
        set_lightning_address(shop.deps, shop.session, shop.merchant_id, stored)
    for wrong in ("jane", "nobody@" + provider.host, "jane@10.0.0.1", "jane@10.0.0.1:80"):
        with pytest.raises(LightningAddressInvalid):
            set_lightning_address(shop.deps, shop.session, shop.merchant_id, wrong)
    provider.invoice.clear()
    with pytest.raises(UnknownMerchant):
        set_lightning_address(shop.deps, shop.session, "me_unknown", stored)
    item = shop.get(f"/v1/items/{shop.article_id}").get_json()
    assert item["rails"] == ["lightning"]


def test_taken_away_again(shop: LightningWorld, provider: Provider) -> None:
    purchase = shop.buy()
    set_lightning_address(shop.deps, shop.session, shop.merchant_id, None)
    assert "lightning" not in shop.get(f"/v1/items/{shop.article_id}").get_json()["rails"]
    # What was open is still noticed, and still theirs.
    provider.pay(str(lightning_request(purchase.invoice)["payment_hash"]))
    assert look_again(shop) == 1
    assert owed_by_merchant(shop) == COMMISSION_MSAT


def test_not_beside_a_name_that_we_serve(
    lightning_world: LightningWorld, provider: Provider
) -> None:
    shop = lightning_world
    provider.node.clock = shop.clock
    with write_transaction(shop.session):
        set_handle(shop.session, shop.merchant_id, "ada")
    with pytest.raises(InvalidRequest, match="merchant handle"):
        set_lightning_address(shop.deps, shop.session, shop.merchant_id, provider.address)


def _asked_again(shop: LightningWorld, purchase: Purchase, rail: str) -> str:
    answer = call(shop, "POST", f"/v1/invoices/{purchase.id}/requests", json={"rail": rail})
    return str(answer.get_json().get("code", "ok"))


def test_an_older_invoice_is_not_paid_elsewhere(
    lightning_world: LightningWorld, provider: Provider
) -> None:
    """It would book the provider's word as money of our node, or our money as the merchant's."""
    shop = lightning_world
    provider.node.clock = shop.clock
    pooled = shop.buy(rail=None)
    set_lightning_address(shop.deps, shop.session, shop.merchant_id, provider.address)
    for rail in ("lightning", "fake", "any"):
        assert _asked_again(shop, pooled, rail) in ("invoice_closed", "rail_unavailable")
    direct = shop.buy(rail=None)
    set_lightning_address(shop.deps, shop.session, shop.merchant_id, None)
    for rail in ("lightning", "fake", "any"):
        assert _asked_again(shop, direct, rail) == "invoice_closed"
    assert _asked_again(shop, pooled, "lightning") == "ok"
    assert_nothing_lost(shop)


def test_changed_while_the_provider_was_asked(
    lightning_world: LightningWorld, provider: Provider
) -> None:
    shop = lightning_world
    provider.node.clock = shop.clock
    purchase = shop.buy(rail=None)
    create = shop.lightning_rail.create_request

    def switched(order: PaymentOrder) -> PaymentRequest:
        return create(replace(order, account=provider.address))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop.lightning_rail, "create_request", switched)
        assert _asked_again(shop, purchase, "lightning") == "invoice_closed"
    assert _asked_again(shop, purchase, "lightning") == "ok"


def test_co_authors_are_not_paid_on_a_providers_word(
    lightning_world: LightningWorld, provider: Provider
) -> None:
    shop = lightning_world
    provider.node.clock = shop.clock
    bob = add_author(shop)
    item_id = sell_shared(shop, 100, {bob: 900_000})
    with pytest.raises(SplitInvalid, match="co-authors"):
        set_lightning_address(shop.deps, shop.session, shop.merchant_id, provider.address)
    with write_transaction(shop.session):
        set_splits(shop.session, get_item(shop.session, item_id), {})
    set_lightning_address(shop.deps, shop.session, shop.merchant_id, provider.address)
    purchase = shop.buy(item_id)
    # Shares that are agreed on afterwards do not reach what is paid at the old address.
    set_lightning_address(shop.deps, shop.session, shop.merchant_id, None)
    with write_transaction(shop.session):
        set_splits(shop.session, get_item(shop.session, item_id), {bob: 900_000})
    provider.pay(str(lightning_request(purchase.invoice)["payment_hash"]))
    assert look_again(shop) == 1
    assert earned(shop, bob) == (0,)
    assert owed_by_merchant(shop) == 1_000
    assert_nothing_lost(shop)


def test_a_provider_with_a_new_name_for_each_invoice(
    shop: LightningWorld, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for once in a pass, so that it cannot hold up everybody else's invoices.

    Each invoice has its turn, so that one bad answer does not hide the payment of another.
    """
    for number in range(3):
        provider.invoice["verify"] = f"http://127.0.0.{number + 2}:1/verify"
        shop.buy()
    asked: list[str] = []

    def never(request: PaymentRequest) -> None:
        asked.append(request.check_url)
        raise LnurlUnreachable("It gave no answer within 5 s.")

    monkeypatch.setattr(shop.lightning_rail, "check_request", never)
    for passes in range(1, 4):
        assert look_again(shop) == 0
        assert len(asked) == passes
    assert len(set(asked)) == 3
