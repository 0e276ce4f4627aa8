"""GET /v1/sales"""

from typing import Any

from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchants import add_site
from bitcache_server.services.refund import undo_purchase
from tests.support.api import assert_refused, call
from tests.support.purchases import WALLET, buy_from_balance, fill_wallet, holder_of
from tests.support.sales_book import book, write_book
from tests.support.shops import assert_nothing_lost, sell_at
from tests.support.world import START, World


def sales(world: World, secret: str = "", **query: object) -> list[dict[str, Any]]:
    answer = call(world, "GET", "/v1/sales", secret or world.secret, query_string=query)
    assert answer.status_code == 200, answer.text
    return list(answer.get_json()["sales"])


def test_sales_of_a_site_and_what_is_known_of_them(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    world.clock.pass_time(10)
    purchase = world.buy()
    world.pay(purchase)
    write_book(world)
    newest, oldest = sales(world)
    assert (newest["invoice"], newest["rail"], newest["amount_msat"]) == (
        purchase.id, "fake", 5_000_000,
    )  # fmt: skip
    assert (oldest["holder"], oldest["invoice"], oldest["state"]) == (
        holder_of(world), None, "paid",
    )  # fmt: skip
    assert oldest["amount_msat"] == oldest["net_msat"] + oldest["commission_msat"]
    for query, found in (
        ({"since": START + 10}, [newest]),
        ({"until": START + 10}, [oldest]),
        ({"item": world.file_id}, [oldest]),
        ({"rail": "fake"}, [newest]),
        ({"buyer": purchase.id}, [newest]),
        ({"buyer": holder_of(world)}, [oldest]),
        ({"state": "refunded"}, []),
    ):
        assert sales(world, **query) == found, query
    with write_transaction(world.session):
        undo_purchase(world.deps, world.session, WALLET, world.file_id)
    write_book(world)
    (refunded,) = sales(world, state="refunded")
    assert (refunded["id"], refunded["refund_by"]) == (oldest["id"], "undo")
    assert_nothing_lost(world)


def test_pages_are_complete_while_sales_are_added(sqlite_world: World) -> None:
    world = sqlite_world
    fill_wallet(world, 900_000_000)
    for number in range(7):
        buy_from_balance(world, sell_at(world, 1))
        world.clock.pass_time(number % 3 // 2)
    before = {row.id for row in book(world)}
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = call(world, "GET", "/v1/sales", world.secret, query_string=query).get_json()
        seen += [sale["id"] for sale in page["sales"]]
        world.clock.pass_time(1)
        buy_from_balance(world, sell_at(world, 1))
        write_book(world)
        cursor = page["next_cursor"]
    assert len(seen) == 7
    assert set(seen) == before


def test_a_site_sees_its_own_sales(sqlite_world: World) -> None:
    world = sqlite_world
    fill_wallet(world)
    buy_from_balance(world)
    write_book(world)
    with write_transaction(world.session):
        other = add_site(world.deps, world.session, world.merchant_id, "B", ["https://b.example"])
        secret = other.secret
    assert sales(world, secret) == []


def test_bad_queries_and_secrets(world: World) -> None:
    for query in ("cursor=x", "state=open", "since=-1", "since=x", "limit=0", "what=1",
                  "item=a&item=b", "since=99999999999999999999"):  # fmt: skip
        answer = call(world, "GET", f"/v1/sales?{query}", world.secret)
        assert_refused(world, answer, 422, "invalid_request")
    assert_refused(world, call(world, "GET", "/v1/sales"), 401, "missing_secret")
    assert_refused(world, call(world, "GET", "/v1/sales", world.secret[:-1]), 401, "bad_secret")
