"""Invoices that are answered in front of Flask: what the route says, and never an old offer.

PostgreSQL only; on SQLite the route answers all of them. The clock stands still in most of
these tests, so that an offer is kept for as long as the test runs.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Executable, Update, delete, func, select, update
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from bitcache_server.domain.errors import LightningUnreachable
from bitcache_server.extensions import db
from bitcache_server.http.invoices import Invoices
from bitcache_server.models.catalog import Item, Site, SiteOrigin
from bitcache_server.models.ledger import IdempotencyKey
from bitcache_server.models.operations import RailStatus, StoredRate
from bitcache_server.models.sales import Invoice, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.backend import InvoiceOrder, IssuedInvoice
from bitcache_server.services import invoice_quickly, together
from bitcache_server.services.invoice_store import store_together
from bitcache_server.services.views import InvoiceView
from tests.support.api import assert_refused, at_once, call
from tests.support.databases import Databases
from tests.support.lightning_world import (
    LightningWorld,
    facts_of,
    lightning_request,
    opened_lightning_world,
)
from tests.support.shops import PRICE_MSAT, assert_nothing_lost
from tests.support.world import ORIGIN, PUBLIC_URL, sha256_challenge

#: What differs between two invoices for the same thing.
OWN = {"id", "events_url", "checkout_url", "requests"}
BUYERS = 12


@pytest.fixture
def shop(databases: Databases, tmp_path: Path) -> Iterator[LightningWorld]:
    """Return a world on PostgreSQL in which every test must leave the books in order."""
    with databases.fresh("postgresql") as url, opened_lightning_world(tmp_path, url) as opened:
        yield opened
        assert_nothing_lost(opened)


@pytest.fixture
def routed(shop: LightningWorld, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths that the route behind was asked for so far."""
    paths: list[str] = []
    front = _front(shop)
    inner = front._inner

    def noted(environ: dict[str, Any], start_response: Any) -> Any:
        paths.append(environ["PATH_INFO"])
        return inner(environ, start_response)

    monkeypatch.setattr(front, "_inner", noted)
    return paths


@pytest.fixture
def made(shop: LightningWorld, monkeypatch: pytest.MonkeyPatch) -> list[InvoiceOrder]:
    """Return what the node was asked for so far."""
    orders: list[InvoiceOrder] = []
    _before_each_invoice(shop, monkeypatch, orders.append)
    return orders


def _before_each_invoice(
    shop: LightningWorld, patch: pytest.MonkeyPatch, work: Callable[[InvoiceOrder], object]
) -> None:
    create = shop.lightning.create_invoice

    def after_work(order: InvoiceOrder) -> IssuedInvoice:
        work(order)
        return create(order)

    patch.setattr(shop.lightning, "create_invoice", after_work)


def _front(shop: LightningWorld) -> Invoices:
    """Return the middleware; it lies behind the two others."""
    layer: Any = shop.app.wsgi_app
    while not isinstance(layer, Invoices):
        layer = layer._inner
    return layer


def _body(shop: LightningWorld, **changes: Any) -> dict[str, Any]:
    challenge = sha256_challenge("v" * 43)
    return {"item": shop.article_id, "challenge": challenge, "rail": "lightning", **changes}


def _order(
    shop: LightningWorld, headers: dict[str, str] | None = None, **body: Any
) -> TestResponse:
    return call(shop, "POST", "/v1/invoices", json=_body(shop, **body), headers=headers or {})


def _write(shop: LightningWorld, statement: Executable) -> None:
    with write_transaction(shop.session):
        shop.session.execute(statement)


def _count(shop: LightningWorld, model: Any) -> int:
    shop.session.rollback()
    return shop.session.scalar(select(func.count()).select_from(model)) or 0


def test_the_answer_is_the_routes(shop: LightningWorld, routed: list[str]) -> None:
    headers = {"Origin": ORIGIN}
    quick = _order(shop, headers)
    assert routed == []
    # A media type with a parameter is left to the route.
    headers["Content-Type"] = "application/json; charset=utf-8"
    plain = call(shop, "POST", "/v1/invoices", data=json.dumps(_body(shop)), headers=headers)
    assert routed == ["/v1/invoices"]
    assert (quick.status_code, quick.mimetype) == (plain.status_code, plain.mimetype)
    ours, theirs = quick.get_json(), plain.get_json()
    assert {k: v for k, v in ours.items() if k not in OWN} == {
        k: v for k, v in theirs.items() if k not in OWN
    }
    [one], [other] = ours["requests"], theirs["requests"]
    same = one.keys() - {
        "bolt11", "payment_hash", "description", "uri", "qr_uri", "qr_svg_url", "qr_png_url",
    }  # fmt: skip
    assert {k: one[k] for k in same} == {k: other[k] for k in same}
    assert facts_of(one) == {**facts_of(other), "invoice": ours["id"]}
    for name in ("Cache-Control", "Vary", "Access-Control-Allow-Origin", "X-Content-Type-Options"):
        assert quick.headers[name] == plain.headers[name], name
    # And what was stored is what was said.
    assert call(shop, "GET", f"/v1/invoices/{ours['id']}").get_json() == ours


@pytest.mark.parametrize("described", [True, False], ids=["hash", "memo"])
def test_odd_words_come_out_as_they_went_in(
    shop: LightningWorld, routed: list[str], described: bool
) -> None:
    """Answers are filled into a form, which no title, name or origin may tear."""
    odd = '100 % of "%(id)s" \\ {0} ß 😀 \u2028'
    _write(shop, update(Item).values(title=odd))
    _write(shop, update(Site).values(name=f"{odd}%s"))
    shop.lightning.description_hash = described
    for headers in ({}, {"Origin": ORIGIN}, {"Idempotency-Key": 'a "%(key)s"'}):
        quick = _order(shop, headers)
        assert quick.status_code == 201
        view = quick.get_json()
        request = lightning_request(view)
        InvoiceView.model_validate(view, strict=True)
        assert call(shop, "GET", f"/v1/invoices/{view['id']}").get_json() == view
        if described:
            facts = facts_of(request)
            assert (facts["title"], facts["site"]) == (odd, f"{odd}%s")
            assert facts["invoice"] == view["id"]
        else:
            assert request["description"] is None
    assert "/v1/invoices" not in routed


def test_what_a_node_says_cannot_leave_its_place(
    shop: LightningWorld, routed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = '","state":"paid","x":"%(id)s'
    create = shop.lightning.create_invoice

    def odd(order: InvoiceOrder) -> IssuedInvoice:
        return IssuedInvoice(said + create(order).bolt11, create(order).payment_hash)

    monkeypatch.setattr(shop.lightning, "create_invoice", odd)
    view = _order(shop).get_json()
    request = lightning_request(view)
    assert view["state"] == "open"
    assert request["bolt11"].startswith(said)
    assert request["uri"] == f"lightning:{request['bolt11'].lower()}"
    assert request["qr_uri"] == request["uri"].upper()
    assert call(shop, "GET", f"/v1/invoices/{view['id']}").get_json() == view
    assert "/v1/invoices" not in routed


def test_the_time_is_that_of_the_nodes_answer(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page counts down by it."""
    began = shop.clock()
    assert _order(shop).get_json()["now"] == began
    _before_each_invoice(shop, monkeypatch, lambda _order: shop.clock.pass_time(3))
    view = _order(shop).get_json()
    assert (view["created_at"], view["now"]) == (began, began + 3)
    assert call(shop, "GET", f"/v1/invoices/{view['id']}").get_json() == view


def test_it_is_paid_like_any_other(shop: LightningWorld, routed: list[str]) -> None:
    purchase = shop.buy()
    assert routed == []
    shop.pay_lightning(purchase)
    assert shop.grant(purchase)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (
            update(Item).values(price_currency="SAT", price_amount=7),
            ("amount_msat", 7_000),
        ),
        (update(Item).values(title="Anew"), ("title", "Anew")),
        (update(Site).values(name="Elsewhere"), ("site", "Elsewhere")),
        (update(StoredRate).values(price_per_btc="500"), ("amount_msat", 2 * PRICE_MSAT)),
    ],
    ids=["price", "title", "site", "rate"],
)
def test_a_change_counts_at_once(
    shop: LightningWorld, change: Update, seen: tuple[str, object]
) -> None:
    assert _order(shop).status_code == 201
    _write(shop, change)
    answer = _order(shop).get_json()
    name, value = seen
    assert {**answer, **facts_of(lightning_request(answer))}[name] == value


def test_a_change_while_the_node_is_asked_counts(
    shop: LightningWorld, routed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No invoice over the old price is ever shown, though the node made one."""
    changed = threading.Event()

    def change(_order: InvoiceOrder) -> None:
        if not changed.is_set():
            changed.set()
            with shop.app.app_context(), db.engine.begin() as connection:
                connection.execute(update(Item).values(price_currency="SAT", price_amount=7))

    _before_each_invoice(shop, monkeypatch, change)
    answer = _order(shop).get_json()
    assert answer["amount_msat"] == lightning_request(answer)["amount_msat"] == 7_000
    assert routed == ["/v1/invoices"]
    assert _count(shop, Invoice) == _count(shop, RequestRow) == 1


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"ok_at": 1}, "rail_unavailable"),
        ({"receivable_msat": 1}, "no_inbound_room"),
    ],
    ids=["ill", "no room"],
)
def test_what_stands_in_the_way_is_said_at_once(
    shop: LightningWorld, values: dict[str, int], code: str
) -> None:
    assert _order(shop).status_code == 201
    _write(shop, update(RailStatus).values(**values))
    answer = _order(shop)
    assert (answer.status_code, answer.get_json()["code"]) == (503, code)
    assert _count(shop, Invoice) == 1


def test_what_is_archived_is_not_sold(shop: LightningWorld, made: list[InvoiceOrder]) -> None:
    assert _order(shop).status_code == 201
    _write(shop, update(Item).values(archived_at=shop.clock()))
    # The first shows that the offer is old, the second finds none.
    for _ in range(2):
        assert _order(shop).get_json()["code"] == "item_archived"
    assert len(made) == 2
    assert _count(shop, Invoice) == 1


def test_an_origin_counts_until_it_is_taken_away(shop: LightningWorld, routed: list[str]) -> None:
    assert _order(shop, {"Origin": ORIGIN}).status_code == 201
    own = _order(shop, {"Origin": PUBLIC_URL})
    assert own.status_code == 201
    assert "Access-Control-Allow-Origin" not in own.headers
    assert routed == []
    stranger = _order(shop, {"Origin": "https://evil.example"})
    assert stranger.get_json()["code"] == "origin_not_allowed"
    _write(shop, delete(SiteOrigin))
    gone = _order(shop, {"Origin": ORIGIN})
    assert gone.get_json()["code"] == "origin_not_allowed"
    assert _count(shop, Invoice) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"challenge": "short"},
        {"item": "it_none"},
        {"rail": "pigeon"},
        {"rail": None},
        {"more": 1},
    ],
    ids=["challenge", "item", "rail", "no rail", "member"],
)
def test_whatever_is_odd_is_said_by_the_route(
    shop: LightningWorld, made: list[InvoiceOrder], wrong: dict[str, Any]
) -> None:
    body = _body(shop, **wrong)
    quick = call(shop, "POST", "/v1/invoices", json=body)
    plain = call(shop, "POST", "/v1/invoices", json=body, headers={"Content-Encoding": "x"})
    assert quick.status_code == plain.status_code
    assert quick.get_json().get("code") == plain.get_json().get("code")
    assert made == []


def test_a_key_asks_the_node_once(
    shop: LightningWorld, routed: list[str], made: list[InvoiceOrder]
) -> None:
    headers = {"Idempotency-Key": "once"}
    first, second = _order(shop, headers), _order(shop, headers)
    assert first.get_json()["id"] == second.get_json()["id"]
    assert routed == ["/v1/invoices"]
    assert len(made) == 1
    assert_refused(shop, _order(shop, headers, rail="any"), 409, "idempotency_conflict")
    assert _count(shop, Invoice) == _count(shop, IdempotencyKey) == 1


def test_one_key_at_once_is_one_invoice(shop: LightningWorld) -> None:
    headers = {"Idempotency-Key": "once"}
    answers = at_once(8, lambda _: _order(shop, headers))
    assert {a.status_code for a in answers} == {201}
    assert len({lightning_request(a.get_json())["bolt11"] for a in answers}) == 1
    assert _count(shop, Invoice) == _count(shop, RequestRow) == 1


def test_many_at_once_are_stored_together(
    shop: LightningWorld, routed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ones lead; those who come meanwhile go together."""
    sizes: list[int] = []
    quick = _front(shop)._quick
    assert quick is not None

    def when_all_are_there(connection: Any, sales: Any) -> Any:
        while not sizes and len(quick._store._waiting) < BUYERS - together.STATEMENTS:
            time.sleep(0.01)
        sizes.append(len(sales))
        return store_together(connection, sales)

    monkeypatch.setattr(invoice_quickly, "store_together", when_all_are_there)
    answers = at_once(BUYERS, lambda n: _order(shop, {"Idempotency-Key": f"k{n}"} if n % 2 else {}))
    assert {a.status_code for a in answers} == {201}
    assert routed == []
    assert sum(sizes) == BUYERS
    # Whoever leads may have taken another one along.
    assert max(sizes) >= BUYERS - 2 * together.STATEMENTS
    for answer in answers:
        view = answer.get_json()
        assert facts_of(lightning_request(view))["invoice"] == view["id"]
        assert call(shop, "GET", f"/v1/invoices/{view['id']}").get_json() == view


def test_one_bad_order_spoils_no_other(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement with it fails as a whole; then each is made in the other way."""

    def broken(connection: Any, sales: Any) -> Any:
        raise OperationalError("INSERT", {}, Exception("the connection broke"))

    monkeypatch.setattr(invoice_quickly, "store_together", broken)
    answers = at_once(4, lambda _: _order(shop))
    assert {a.status_code for a in answers} == {201}
    assert _count(shop, Invoice) == _count(shop, RequestRow) == 4


def test_an_invoice_that_was_handed_out_before_sells_nothing(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = shop.lightning.create_invoice
    kept: list[IssuedInvoice] = []

    def same(order: InvoiceOrder) -> IssuedInvoice:
        if not kept:
            kept.append(create(order))
        return kept[0]

    monkeypatch.setattr(shop.lightning, "create_invoice", same)
    assert _order(shop).status_code == 201
    assert _order(shop).get_json()["code"] == "lnurl_refused"
    assert _count(shop, RequestRow) == 1


def test_a_node_that_is_away_is_said_and_stores_nothing(
    shop: LightningWorld, routed: list[str]
) -> None:
    shop.lightning.fail_with(LightningUnreachable("Nothing listens at node.internal:8080."))
    headers = {"Idempotency-Key": "once", "Origin": ORIGIN}
    problem = assert_refused(shop, _order(shop, headers), 503, "lightning_unreachable")
    assert "node.internal" not in str(problem["detail"])
    assert routed == []
    assert _count(shop, Invoice) == _count(shop, IdempotencyKey) == 0
    shop.lightning.fail_with(None)
    assert _order(shop, headers).status_code == 201


def test_a_file_that_is_gone_is_not_sold(shop: LightningWorld, made: list[InvoiceOrder]) -> None:
    assert _order(shop, item=shop.file_id).status_code == 201
    (shop.deps.settings.files_dir / "song.ogg").unlink()
    assert_refused(shop, _order(shop, item=shop.file_id), 404, "file_missing")
    assert len(made) == 1


def test_any_rail_is_quick_where_lightning_is_alone(
    shop: LightningWorld, routed: list[str]
) -> None:
    both = _order(shop, rail="any").get_json()
    assert {r["rail"] for r in both["requests"]} == {"lightning", "fake"}
    assert routed == ["/v1/invoices"]
    _write(shop, update(RailStatus).where(RailStatus.rail == "fake").values(ok_at=1))
    shop.clock.pass_time(1)
    routed.clear()
    alone = _order(shop, rail="any").get_json()
    assert (alone["rails"], [r["rail"] for r in alone["requests"]]) == (["lightning"],) * 2
    assert routed == []


def test_each_order_counts_once(databases: Databases, tmp_path: Path) -> None:
    with (
        databases.fresh("postgresql") as url,
        opened_lightning_world(tmp_path, url, limit_invoices_per_address="3/hour") as shop,
    ):
        # The second goes on to the route, because its key was used.
        headers = {"Idempotency-Key": "once"}
        codes = [_order(shop, headers).status_code for _ in range(4)]
        assert codes == [201, 201, 201, 429]
        assert_refused(shop, _order(shop), 429, "rate_limited")
