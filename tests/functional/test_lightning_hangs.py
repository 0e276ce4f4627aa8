"""A node that hangs keeps some of the server's threads, never all of them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bitcache_server.domain.errors import LightningUnreachable
from bitcache_server.rails.lightning import gate
from bitcache_server.rails.lightning.backend import InvoiceOrder, IssuedInvoice
from tests.support.api import assert_refused, call
from tests.support.databases import Databases
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.shops import assert_nothing_lost
from tests.support.world import sha256_challenge


@pytest.fixture
def shop(databases: Databases, tmp_path: Path) -> Iterator[LightningWorld]:
    with databases.fresh("sqlite") as url, opened_lightning_world(tmp_path, url) as opened:
        yield opened
        assert_nothing_lost(opened)


def _order(shop: LightningWorld, rail: str = "lightning") -> dict[str, str]:
    return {"item": shop.article_id, "challenge": sha256_challenge("v" * 43), "rail": rail}


def test_others_are_sent_away_while_some_wait(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = shop.lightning.create_invoice
    inside, go = threading.Semaphore(0), threading.Event()

    def hang(order: InvoiceOrder) -> IssuedInvoice:
        inside.release()
        assert go.wait(60)
        return create(order)

    monkeypatch.setattr(shop.lightning, "create_invoice", hang)
    with ThreadPoolExecutor(gate.MOST_INSIDE) as pool:
        waiting = [
            pool.submit(call, shop, "POST", "/v1/invoices", json=_order(shop))
            for _ in range(gate.MOST_INSIDE)
        ]
        for _ in waiting:
            assert inside.acquire(timeout=60)
        refused = call(shop, "POST", "/v1/invoices", json=_order(shop))
        assert_refused(shop, refused, 503, "lightning_unreachable")
        onchain = call(shop, "POST", "/v1/invoices", json=_order(shop, "any")).get_json()
        assert [request["rail"] for request in onchain["requests"]] == ["fake"]
        assert call(shop, "GET", f"/v1/items/{shop.article_id}").status_code == 200
        go.set()
        assert {call.result(60).status_code for call in waiting} == {201}


def test_after_a_time_out_nobody_asks_it(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[InvoiceOrder] = []

    def time_out(order: InvoiceOrder) -> IssuedInvoice:
        asked.append(order)
        raise LightningUnreachable("It timed out.")

    monkeypatch.setattr(shop.lightning, "create_invoice", time_out)
    monkeypatch.setattr(gate, "SLOW_S", -1)
    monkeypatch.setattr(gate, "FIRST_PAUSE_S", 3_600)
    for _ in range(3):
        refused = call(shop, "POST", "/v1/invoices", json=_order(shop))
        assert_refused(shop, refused, 503, "lightning_unreachable")
    assert len(asked) == 1
