"""As few addresses as is safe: given out late, reused when nobody paid, never given out twice."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bitcache_server.extensions import db
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.sales import Address, AddressBook, Invoice, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.merchants import add_merchant, add_site
from bitcache_server.services.request_payment import request_address
from bitcache_server.tokens.verifier import challenge_of
from tests.support.shops import assert_nothing_lost, opened_world
from tests.support.world import ORIGIN, Purchase, World

LIFETIME_S = 900
QUARANTINE_S = 3_600
GAP_LIMIT = 4
#: Time passes in these tests without the jobs that ask the rail and the rate sources.
PATIENCE: dict[str, Any] = {"rail_stale_after_s": 10**8, "rate_max_age_s": 10**8}


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[World]:
    """Return a world whose wallets look four addresses ahead."""
    settings: dict[str, Any] = {"gap_limit": GAP_LIMIT, "address_quarantine_s": QUARANTINE_S}
    with opened_world(tmp_path, database_url, **settings, **PATIENCE) as world:
        yield world
        assert_nothing_lost(world)


def _index(purchase: Purchase) -> int:
    return int(purchase.invoice["requests"][0]["address_index"])


def _refused(shop: World) -> str:
    body = {"item": shop.article_id, "challenge": challenge_of("x" * 43), "rail": "fake"}
    answer = shop.post("/v1/invoices", body)
    assert answer.status_code == 503, answer.text
    return str(answer.get_json()["code"])


def test_looking_at_a_price_costs_no_address(shop: World) -> None:
    for _ in range(3 * GAP_LIMIT):
        assert shop.buy(rail=None).invoice["requests"] == []
    assert shop.session.scalar(select(AddressBook)) is None
    shop.session.rollback()
    assert _index(shop.buy()) == 0


def test_unpaid_invoices_stay_within_the_gap(shop: World) -> None:
    assert [_index(shop.buy()) for _ in range(GAP_LIMIT)] == list(range(GAP_LIMIT))
    assert _refused(shop) == "addresses_exhausted"
    # Without an address an invoice can still be had, and paid when there is room again.
    waiting = shop.buy(rail=None)
    path, body = f"/v1/invoices/{waiting.id}/requests", {"rail": "fake"}
    assert shop.post(path, body).get_json()["code"] == "addresses_exhausted"


def test_money_moves_the_gap_on(shop: World) -> None:
    purchases = [shop.buy() for _ in range(GAP_LIMIT)]
    shop.pay(purchases[1])
    # Two unused ones lie behind address 1, so two more fit.
    assert [_index(shop.buy()) for _ in range(2)] == [4, 5]
    assert _refused(shop) == "addresses_exhausted"


def test_an_expired_address_rests_before_it_is_reused(shop: World) -> None:
    first = shop.buy()
    shop.expire(LIFETIME_S + QUARANTINE_S - 1)
    assert _index(shop.buy()) == 1
    shop.expire(1)
    again = shop.buy()
    assert _index(again) == 0
    assert again.invoice["requests"][0]["address"] == first.invoice["requests"][0]["address"]
    shop.pay(again)
    assert shop.read(again)["state"] == "paid"
    assert shop.read(first)["state"] == "expired"
    assert shop.read(first)["payments"] == []


def test_with_a_full_gap_the_oldest_expired_one_is_reused_early(shop: World) -> None:
    for _ in range(GAP_LIMIT):
        shop.buy()
        shop.expire(100)
    assert _refused(shop) == "addresses_exhausted"
    shop.expire(LIFETIME_S - GAP_LIMIT * 100)
    assert _refused(shop) == "addresses_exhausted"
    shop.expire(1)
    assert _index(shop.buy()) == 0
    assert _refused(shop) == "addresses_exhausted"
    shop.expire(100)
    assert _index(shop.buy()) == 1


def test_even_a_full_gap_waits_for_the_grace(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, gap_limit=1, late_grace_s=60, **PATIENCE) as shop:
        shop.buy()
        shop.expire(LIFETIME_S + 60)
        assert _refused(shop) == "addresses_exhausted"
        shop.expire(1)
        assert _index(shop.buy()) == 0


@pytest.mark.parametrize("amount_msat", [1_000, 5_000_000])
def test_an_address_that_saw_money_is_never_reused(shop: World, amount_msat: int) -> None:
    paid = shop.buy()
    reference = shop.pay(paid, amount_msat)
    # Not even when the money went away again: its sender may try once more.
    shop.rail.double_spend(reference)
    shop.check_unconfirmed()
    shop.expire(10 * (LIFETIME_S + QUARANTINE_S))
    assert [_index(shop.buy()) for _ in range(GAP_LIMIT)] == [1, 2, 3, 4]
    assert _refused(shop) == "addresses_exhausted"


def test_a_late_payment_goes_to_whom_the_address_was_given(shop: World) -> None:
    old = shop.buy()
    shop.expire(LIFETIME_S + QUARANTINE_S)
    shop.pay(old)
    assert shop.read(old)["marks"] == ["late"]
    assert shop.read(old)["credit_msat"] == 5_000_000
    assert _index(shop.buy()) == 1


def test_asking_again_gives_the_same_address(shop: World) -> None:
    purchase = shop.buy(rail=None)
    path, body = f"/v1/invoices/{purchase.id}/requests", {"rail": "fake"}
    first = shop.post(path, body).get_json()
    assert shop.post(path, body).get_json()["requests"] == first["requests"]
    shop.pay(Purchase(first, purchase.verifier))
    assert shop.post(path, body).get_json()["requests"][0]["address_index"] == 0
    closed = shop.buy(rail=None)
    shop.expire(LIFETIME_S + 1)
    answer = shop.post(f"/v1/invoices/{closed.id}/requests", body)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "invoice_closed")


def test_merchants_with_the_same_wallet_share_one_book(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, direct=True) as shop:
        with write_transaction(shop.session):
            other = add_merchant(shop.deps, shop.session, "Charles", None)
            other.descriptor = shop.session.get_one(Merchant, shop.merchant_id).descriptor
            site = add_site(shop.deps, shop.session, other.id, "Engines", [ORIGIN]).site
            new = NewItem(title="On Ada", price=5_000, currency="SAT", content_html="<p>!</p>")
            item_id = add_item(shop.deps, shop.session, site, new).id
        bought = [shop.buy(), shop.buy(item_id), shop.buy(), shop.buy(item_id)]
        assert [_index(purchase) for purchase in bought] == [0, 1, 2, 3]
        shop.pay(bought[1])
        states = [shop.read(purchase)["state"] for purchase in bought]
        assert states == ["open", "paid", "open", "open"]
        assert_nothing_lost(shop)


@contextmanager
def _together(shop: World, count: int) -> Iterator[Callable[[Callable[[], object]], list[object]]]:
    """Give a function that runs a job in several threads at once, each with its own session."""
    barrier = threading.Barrier(count)

    def run(job: Callable[[], object]) -> object:
        with shop.app.app_context():
            barrier.wait(30)
            return job()

    with ThreadPoolExecutor(count) as pool:
        yield lambda job: [f.result(60) for f in [pool.submit(run, job) for _ in range(count)]]


def test_two_readers_never_get_one_address(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url) as shop, _together(shop, 6) as all_at_once:
        bought = all_at_once(lambda: [_index(shop.buy()) for _ in range(3)])
        indices = [index for part in bought if isinstance(part, list) for index in part]
        assert sorted(indices) == list(range(18))
        assert_nothing_lost(shop)


def test_a_double_click_gets_one_address(shop: World) -> None:
    purchase = shop.buy(rail=None)
    path, body = f"/v1/invoices/{purchase.id}/requests", {"rail": "fake"}
    with _together(shop, 4) as all_at_once:
        answers = all_at_once(lambda: _answer(shop, path, body))
    assert answers == [(200, 0)] * 4
    assert _index(shop.buy()) == 1


def _answer(shop: World, path: str, body: dict[str, str]) -> tuple[int, int | None]:
    answer = shop.app.test_client().post(path, json=body, headers={"Origin": ORIGIN})
    requests = answer.get_json().get("requests")
    return answer.status_code, requests[0]["address_index"] if requests else None


def test_money_found_while_an_address_is_about_to_be_reused(shop: World) -> None:
    """Whoever wants it waits for the watch, which marks it as used, and takes another."""
    shop.buy()
    shop.expire(LIFETIME_S + QUARANTINE_S)
    waiting = shop.buy(rail=None)
    with ThreadPoolExecutor(1) as pool:
        with write_transaction(shop.session):
            address = shop.session.scalars(select(Address).with_for_update()).one()
            address.used = True
            shop.session.flush()
            asked = pool.submit(_request_in_thread, shop, waiting.id)
            # If it does not wait for us, it has its answer by now.
            threading.Event().wait(0.3)
            address.used = True
        index = asked.result(30)
    assert index == 1
    with write_transaction(shop.session):
        shop.session.scalars(select(Address).where(Address.index == 0)).one().used = False


def _request_in_thread(shop: World, invoice_id: str) -> int | None:
    with shop.app.app_context():
        session = db.session()
        with write_transaction(session):
            invoice = session.get_one(Invoice, invoice_id)
            row: RequestRow = request_address(shop.deps, session, invoice, "fake")
            index = row.address_index
        db.session.remove()
        return index
