"""A reader asks how to pay over Lightning: only then a node is asked, outside of everything."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from bitcache_server.domain.errors import (
    LightningUnreachable,
    LnurlUnreachable,
    RailError,
    RailUnavailable,
)
from bitcache_server.extensions import db
from bitcache_server.ledger import chart
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.operations import RailStatus
from bitcache_server.models.sales import Invoice, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PaymentOrder
from bitcache_server.rails.lightning.backend import InvoiceOrder, IssuedInvoice
from bitcache_server.rails.lightning.lnurl_client import LnurlClient, LnurlInvoice
from bitcache_server.services.request_payment import ask_for_payment
from tests.support.api import assert_refused, at_once, call
from tests.support.databases import Databases
from tests.support.lightning_world import (
    LightningWorld,
    lightning_request,
    opened_lightning_world,
    scripted_backend,
)
from tests.support.readers import Reader
from tests.support.shops import PRICE_MSAT, assert_nothing_lost, held, sell_at
from tests.support.world import PUBLIC_URL, Purchase, sha256_challenge

AWAY = LightningUnreachable("Nothing listens at node.internal:8080.")


@pytest.fixture
def shop(lightning_world: LightningWorld) -> Iterator[LightningWorld]:
    """Return a world in which every test must leave the books in order."""
    yield lightning_world
    assert_nothing_lost(lightning_world)


@pytest.fixture
def sqlite_url(databases: Databases) -> Iterator[str]:
    """Return a database for what is the same on both engines."""
    with databases.fresh("sqlite") as url:
        yield url


@pytest.fixture
def made(shop: LightningWorld, monkeypatch: pytest.MonkeyPatch) -> list[InvoiceOrder]:
    """Return what the node was asked for so far."""
    orders: list[InvoiceOrder] = []
    create = shop.lightning.create_invoice

    def counted(order: InvoiceOrder) -> IssuedInvoice:
        orders.append(order)
        return create(order)

    monkeypatch.setattr(shop.lightning, "create_invoice", counted)
    return orders


def _ask(shop: LightningWorld, purchase: Purchase, rail: str = "lightning") -> TestResponse:
    return call(shop, "POST", f"/v1/invoices/{purchase.id}/requests", json={"rail": rail})


def _post_page(shop: LightningWorld, path: str, **form: str) -> TestResponse:
    headers = {"Origin": PUBLIC_URL}
    return shop.client.post(path, base_url=PUBLIC_URL, headers=headers, data=form)


def test_looking_costs_the_node_nothing(shop: LightningWorld, made: list[InvoiceOrder]) -> None:
    """Crawlers follow every link and fetch every page."""
    purchase = shop.buy(rail=None)
    for path in (
        f"/v1/items/{shop.article_id}",
        f"/pay/{shop.article_id}",
        f"/v1/invoices/{purchase.id}",
        f"/v1/invoices/{purchase.id}/qr.svg",
        f"/pay/invoices/{purchase.id}",
        f"/pay/{shop.article_id}/read",
        "/wallet/top-up",
        "/health",
    ):
        for method in ("GET", "HEAD"):
            assert call(shop, method, path).status_code < 500, path
    assert made == []
    assert purchase.invoice["rails"] == ["lightning", "fake"]
    assert purchase.invoice["requests"] == []


def test_asking_again_asks_the_node_once(shop: LightningWorld, made: list[InvoiceOrder]) -> None:
    purchase = shop.buy(rail=None)
    answers = [_ask(shop, purchase).get_json() for _ in range(3)]
    assert len({lightning_request(a)["bolt11"] for a in answers}) == 1
    [order] = made
    assert (order.label, order.amount_msat) == (purchase.id, PRICE_MSAT)
    assert order.expires_in_s == shop.deps.settings.invoice_lifetime_s
    assert order.memo == "On engines · Ada's blog"


def test_the_same_key_is_the_same_invoice(shop: LightningWorld, made: list[InvoiceOrder]) -> None:
    body = {"item": shop.article_id, "challenge": sha256_challenge("v" * 43), "rail": "lightning"}
    headers = {"Idempotency-Key": "once"}
    answers = [call(shop, "POST", "/v1/invoices", json=body, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({lightning_request(a.get_json())["bolt11"] for a in answers}) == 1
    assert len(made) == 1
    other = call(shop, "POST", "/v1/invoices", json={**body, "rail": "any"}, headers=headers)
    assert_refused(shop, other, 409, "idempotency_conflict")


def test_who_lost_the_answer_asks_again_with_the_key(
    shop: LightningWorld, made: list[InvoiceOrder]
) -> None:
    """The node failed after the invoice was stored: the same key finishes that one."""
    body = {"item": shop.article_id, "challenge": sha256_challenge("v" * 43), "rail": "lightning"}
    headers = {"Idempotency-Key": "once"}
    shop.lightning.fail_with(AWAY)
    refused = call(shop, "POST", "/v1/invoices", json=body, headers=headers)
    problem = assert_refused(shop, refused, 503, "lightning_unreachable")
    assert "node.internal" not in str(problem["detail"])
    shop.lightning.fail_with(None)
    answer = call(shop, "POST", "/v1/invoices", json=body, headers=headers)
    assert answer.status_code == 201
    invoices = shop.session.scalars(select(Invoice.id)).all()
    shop.session.rollback()
    assert invoices == [answer.get_json()["id"]]
    # It was asked twice and answered once.
    assert len(made) == 2


def test_no_transaction_waits_for_the_node(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the node thinks, everybody else writes, also to this very invoice."""
    create = shop.lightning.create_invoice
    wrote = []

    def slow(order: InvoiceOrder) -> IssuedInvoice:
        with shop.app.app_context():
            session = db.session()
            with write_transaction(session):
                changed = update(Invoice).where(Invoice.id == order.label)
                session.execute(changed.values(version=Invoice.version + 1))
            wrote.append(order.label)
        return create(order)

    monkeypatch.setattr(shop.lightning, "create_invoice", slow)
    bought = shop.buy()
    asked = shop.buy(rail=None)
    assert _ask(shop, asked).status_code == 200
    reader = Reader(shop)
    assert reader.post("/wallet/top-up", amount="2000").status_code == 303
    assert _post_page(shop, f"/pay/{shop.article_id}").status_code == 303
    assert len(wrote) == 4
    assert wrote[:2] == [bought.id, asked.id]


def test_two_at_once_get_one_answer(shop: LightningWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both asked the node before either stored anything: the first stored one wins."""
    purchase = shop.buy(rail=None)
    create = shop.lightning.create_invoice
    together = threading.Barrier(2, timeout=30)
    issued: list[str] = []

    def slow(order: InvoiceOrder) -> IssuedInvoice:
        together.wait()
        invoice = create(order)
        issued.append(invoice.bolt11)
        return invoice

    monkeypatch.setattr(shop.lightning, "create_invoice", slow)
    answers = at_once(2, lambda _: _ask(shop, purchase))
    assert [answer.status_code for answer in answers] == [200, 200]
    shown = {lightning_request(answer.get_json())["bolt11"] for answer in answers}
    assert len(issued) == 2
    assert len(shown) == 1
    assert shown <= set(issued)
    shop.session.rollback()
    shop.pay_lightning(Purchase(answers[0].get_json(), purchase.verifier))
    assert shop.claim(purchase).status_code == 200


def test_paid_on_chain_while_the_node_was_asked(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is invited to pay a second time."""
    purchase = shop.buy(rail="fake")
    create = shop.lightning.create_invoice

    def slow(order: InvoiceOrder) -> IssuedInvoice:
        with shop.app.app_context():
            shop.pay(purchase)
        return create(order)

    monkeypatch.setattr(shop.lightning, "create_invoice", slow)
    assert_refused(shop, _ask(shop, purchase), 409, "invoice_closed")
    shop.session.rollback()
    assert [r["rail"] for r in shop.read(purchase)["requests"]] == ["fake"]


def test_nobody_is_invited_to_pay_late(shop: LightningWorld, made: list[InvoiceOrder]) -> None:
    late, shown = shop.buy(rail=None), shop.buy()
    shop.clock.pass_time(shop.deps.settings.invoice_lifetime_s + 1)
    for rail in ("lightning", "any"):
        assert_refused(shop, _ask(shop, late, rail), 409, "invoice_closed")
        # What was shown before stays readable.
        assert _ask(shop, shown, rail).status_code == 200
    assert len(made) == 1


def test_any_asks_for_all_on_offer(shop: LightningWorld) -> None:
    invoice = shop.buy(rail="any").invoice
    assert [r["rail"] for r in invoice["requests"]] == ["lightning", "fake"]
    lightning, chain = invoice["requests"]
    unified = invoice["unified"]
    assert unified["uri"] == f"{chain['uri']}&lightning={lightning['bolt11']}"
    assert unified["qr_uri"].endswith(f"&lightning={lightning['bolt11'].upper()}")
    assert "?rail=unified&" in unified["qr_svg_url"]


def test_small_prices_are_for_lightning_alone(tmp_path: Path, sqlite_url: str) -> None:
    with opened_lightning_world(tmp_path, sqlite_url, onchain_floor_sat=6_000) as shop:
        item = shop.get(f"/v1/items/{shop.article_id}").get_json()
        assert item["rails"] == ["lightning"]
        invoice = shop.buy(rail="any").invoice
        assert [r["rail"] for r in invoice["requests"]] == ["lightning"]
        assert invoice["unified"] is None
        assert shop.get(f"/v1/items/{shop.file_id}").get_json()["rails"] == ["lightning", "fake"]
        tiny = sell_at(shop, 1)
        assert shop.buy(tiny).invoice["amount_msat"] == 1_000
        assert_nothing_lost(shop)


def test_a_node_that_is_down_leaves_the_other_rails(shop: LightningWorld) -> None:
    shop.lightning.fail_with(AWAY)
    purchase = shop.buy(rail=None)
    assert_refused(shop, _ask(shop, purchase), 503, "lightning_unreachable")
    answer = _ask(shop, purchase, "any")
    assert answer.status_code == 200
    assert [r["rail"] for r in answer.get_json()["requests"]] == ["fake"]
    # The node comes back: asking again fills what was left out.
    shop.lightning.fail_with(None)
    again = _ask(shop, purchase, "any").get_json()
    assert [r["rail"] for r in again["requests"]] == ["lightning", "fake"]
    assert again["unified"] is not None


def test_when_every_rail_fails_the_first_says_why(tmp_path: Path, sqlite_url: str) -> None:
    with opened_lightning_world(tmp_path, sqlite_url, gap_limit=1) as shop:
        shop.buy(rail="fake")
        shop.lightning.fail_with(AWAY)
        purchase = shop.buy(rail=None)
        assert_refused(shop, _ask(shop, purchase, "any"), 503, "lightning_unreachable")


def test_a_node_that_is_ill_for_long_is_not_offered(shop: LightningWorld) -> None:
    shop.lightning.fail_with(AWAY)
    shop.clock.pass_time(shop.deps.settings.rail_stale_after_s + 1)
    shop.record_health()
    shop.session.rollback()
    item = shop.get(f"/v1/items/{shop.article_id}").get_json()
    assert item["rails"] == ["fake"]
    purchase = shop.buy(rail=None)
    assert_refused(shop, _ask(shop, purchase), 503, "rail_unavailable")
    parts = {part["name"]: part for part in shop.get("/health").get_json()["parts"]}
    assert "node.internal" not in parts["lightning"]["detail"], "anybody may read it"
    assert parts["lightning"]["code"] == "lightning_unreachable"


def test_no_room_is_said_before_the_reader_tries(
    shop: LightningWorld, made: list[InvoiceOrder]
) -> None:
    shop.lightning.set_funds(0, PRICE_MSAT - 1)
    shop.record_health()
    purchase = shop.buy(rail=None)
    assert purchase.invoice["rails"] == ["fake"]
    problem = assert_refused(shop, _ask(shop, purchase), 503, "no_inbound_room")
    assert "4,999.999 sats" in str(problem["detail"])
    assert made == []
    shop.lightning.set_funds(0, PRICE_MSAT)
    shop.record_health()
    shop.session.rollback()
    assert shop.read(purchase)["rails"] == ["lightning", "fake"]
    # A backend that cannot tell promises nothing and forbids nothing.
    shop.lightning.set_funds(0, None)
    shop.record_health()
    assert shop.session.get_one(RailStatus, "lightning").receivable_msat is None
    shop.session.rollback()
    assert shop.read(purchase)["rails"] == ["lightning", "fake"]


def test_pages_ask_for_both(shop: LightningWorld) -> None:
    bought = _post_page(shop, f"/pay/{shop.article_id}")
    assert bought.status_code == 303
    page = shop.client.get(bought.location, base_url=PUBLIC_URL)
    rows = shop.session.scalars(select(RequestRow).order_by(RequestRow.rail)).all()
    assert [row.rail for row in rows] == ["fake", "lightning"]
    assert all(row.destination in page.text for row in rows)
    shop.session.rollback()


def test_a_top_up_page_without_a_node(shop: LightningWorld) -> None:
    """A node that fails shows no code of its own; the wallet that was made stays the reader's."""
    shop.lightning.fail_with(AWAY)
    reader = Reader(shop)
    assert reader.post("/wallet/top-up", amount="2000").status_code == 303
    shown = reader.post("/wallet/top-up", amount="2000", rail="lightning")
    assert shown.status_code == 503
    assert "The Lightning node does not answer." in shown.text
    assert "node.internal" not in shown.text
    fresh = _post_page(shop, "/wallet/top-up", amount="2000", rail="lightning")
    assert fresh.status_code == 503
    assert any("wallet" in cookie for cookie in fresh.headers.getlist("Set-Cookie"))


class _Jane(LnurlClient):
    """A Lightning address that does what a test says, without HTTP."""

    def __init__(self, shop_clock: Callable[[], int]) -> None:
        super().__init__(1, allow_local=True)
        self.node = scripted_backend(shop_clock)
        self.check_url = "https://127.0.0.1/verify/"
        self.failure: Exception | None = None
        self.replay: LnurlInvoice | None = None
        self.asked = 0

    def request_invoice(
        self, address: str, amount_msat: int, network: str, comment: str = ""
    ) -> LnurlInvoice:
        if self.failure is not None:
            raise self.failure
        if self.replay is not None:
            return self.replay
        made = self.node.create_invoice(InvoiceOrder("", amount_msat, comment, "", 3_600))
        check_url = self.check_url and f"{self.check_url}{made.payment_hash}"
        return LnurlInvoice(made.bolt11, made.payment_hash, check_url)

    def check_paid(self, check_url: str, payment_hash: str) -> tuple[bool, str]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        status = self.node.lookup_invoice(payment_hash)
        return bool(status.preimage), status.preimage


@pytest.fixture
def jane_shop(database_url: str, tmp_path: Path) -> Iterator[tuple[LightningWorld, _Jane]]:
    """Return a server without a node, whose merchant is paid at a Lightning address."""
    times: list[Callable[[], int]] = []
    jane = _Jane(lambda: times[0]())
    with opened_lightning_world(tmp_path, database_url, lnurl=jane, with_node=False) as shop:
        times.append(shop.clock)
        with write_transaction(shop.session):
            merchant = shop.session.get_one(Merchant, shop.merchant_id)
            merchant.lightning_address = "jane@wallet.example"
        yield shop, jane
        assert_nothing_lost(shop)


def test_a_merchant_without_a_node_sells(jane_shop: tuple[LightningWorld, _Jane]) -> None:
    shop, jane = jane_shop
    # The operator's own descriptor is not where this merchant is paid.
    assert shop.get(f"/v1/items/{shop.article_id}").get_json()["rails"] == ["lightning"]
    purchase = shop.buy()
    request = lightning_request(purchase.invoice)
    shop.clock.pass_time(2)
    assert shop.check_requests() == 0
    jane.node.pay(request["payment_hash"])
    shop.clock.pass_time(2)
    assert shop.check_requests() == 1
    shop.session.rollback()
    assert shop.read(purchase)["state"] == "paid"
    assert shop.claim(purchase).status_code == 200
    # The money is with the merchant, who owes the commission.
    assert held(shop, chart.clearing("lightning")) == 0
    assert held(shop, chart.merchant(shop.merchant_id)) == -PRICE_MSAT // 100
    assert held(shop, chart.COMMISSION) == PRICE_MSAT // 100
    assert shop.check_requests() == 0


def test_without_a_node_nobody_else_is_paid(jane_shop: tuple[LightningWorld, _Jane]) -> None:
    shop, _ = jane_shop
    with pytest.raises(RailUnavailable):
        shop.lightning_rail.create_request(PaymentOrder("in_x", 1_000, 2_000_000_000, "", 0))
    with write_transaction(shop.session):
        merchant = shop.session.get_one(Merchant, shop.merchant_id)
        merchant.lightning_address = None
    shop.session.rollback()
    assert shop.get(f"/v1/items/{shop.article_id}").get_json()["rails"] == ["fake"]
    assert shop.settle() == 0


def test_young_requests_are_asked_about_often_and_old_ones_seldom(
    jane_shop: tuple[LightningWorld, _Jane],
) -> None:
    shop, jane = jane_shop
    shop.buy()
    counts = []
    for _ in range(4):
        before = jane.asked
        for _ in range(300):
            shop.clock.pass_time(1)
            shop.check_requests()
        counts.append(jane.asked - before)
    # Two seconds for a minute, five until five minutes, then ten.
    assert counts == [30 + 48, 30, 30, 30]
    shop.expire(4 * 86_400)
    before = jane.asked
    assert shop.check_requests() == 0
    assert jane.asked == before, "three days after its end nobody asks any more"


def test_a_provider_that_is_away_keeps_nobody_else_waiting(
    jane_shop: tuple[LightningWorld, _Jane],
) -> None:
    shop, jane = jane_shop
    purchases = [shop.buy() for _ in range(3)]
    shop.clock.pass_time(2)
    jane.failure = LnurlUnreachable("It never answers.")
    before = jane.asked
    assert shop.check_requests() == 0
    assert jane.asked == before + 1, "one time-out is enough in one pass"
    refused = call(
        shop, "POST", f"/v1/invoices/{shop.buy(rail=None).id}/requests", json={"rail": "any"}
    )
    assert_refused(shop, refused, 503, "lnurl_unreachable")
    jane.failure = None
    for purchase in purchases:
        jane.node.pay(lightning_request(purchase.invoice)["payment_hash"])
    shop.clock.pass_time(60)
    assert shop.check_requests() == 3


def test_an_address_that_cannot_tell_sells_nothing(
    jane_shop: tuple[LightningWorld, _Jane],
) -> None:
    shop, jane = jane_shop
    jane.check_url = ""
    refused = _ask(shop, shop.buy(rail=None))
    assert_refused(shop, refused, 422, "lnurl_refused")


def test_an_invoice_that_was_used_before_is_refused(
    jane_shop: tuple[LightningWorld, _Jane],
) -> None:
    """Otherwise one payment would buy twice."""
    shop, jane = jane_shop
    request = lightning_request(shop.buy().invoice)
    jane.replay = LnurlInvoice(request["bolt11"], request["payment_hash"], "https://127.0.0.1/v")
    assert_refused(shop, _ask(shop, shop.buy(rail=None)), 422, "lnurl_refused")


def test_somebody_elses_word_never_pays_our_invoices(shop: LightningWorld) -> None:
    """A provider hands out our own node's invoice as its own, and says that it was paid."""
    ours = shop.buy()
    request = lightning_request(ours.invoice)
    jane = _Jane(shop.clock)
    jane.replay = LnurlInvoice(request["bolt11"], request["payment_hash"], "https://127.0.0.1/v")
    shop.lightning_rail._lnurl = jane
    with write_transaction(shop.session):
        shop.session.get_one(Merchant, shop.merchant_id).lightning_address = "jane@w.example"
    assert_refused(shop, _ask(shop, shop.buy(rail=None)), 422, "lnurl_refused")
    assert shop.read(ours)["state"] == "open"


def test_a_restart_between_invoice_and_payment(shop: LightningWorld) -> None:
    """The node restarts: its answers fail for a while, and the money is found after that."""
    purchase = shop.buy()
    shop.lightning.pay(lightning_request(purchase.invoice)["payment_hash"])
    shop.lightning.fail_with(AWAY)
    with pytest.raises(RailError):
        shop.settle()
    assert shop.read(purchase)["state"] == "open"
    shop.lightning.fail_with(None)
    assert shop.settle() == 1
    shop.session.rollback()
    assert shop.read(purchase)["state"] == "paid"


def test_asking_from_many_threads(shop: LightningWorld) -> None:
    purchases = [shop.buy(rail=None) for _ in range(6)]

    def ask(purchase: Purchase) -> None:
        with shop.app.app_context():
            ask_for_payment(shop.deps, db.session(), purchase.id, "any")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, purchases))
    shop.session.rollback()
    hashes = set()
    for purchase in purchases:
        found = shop.read(purchase)
        hashes.add(lightning_request(found)["payment_hash"])
        assert found["unified"] is not None
    assert len(hashes) == 6
