"""What payments make of an invoice, through HTTP and the watch, on both databases."""

import pytest

from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from tests.support.shops import (
    PRICE_MSAT,
    held,
    payment_count,
    restarted,
    sell_at,
    transfers,
)
from tests.support.world import LOCKED, Purchase, World

#: The rail's blocks come every ten minutes from here on; see ``rails/fake.py``.
GENESIS_TIME = 1_700_000_000
BLOCK_INTERVAL_S = 600
LIFETIME_S = 900


def _content(shop: World, purchase: Purchase) -> str:
    answer = shop.get(f"/v1/content/{purchase.invoice['item']}", shop.grant(purchase))
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["html"])


def _summary(shop: World, purchase: Purchase) -> tuple[str, list[str], int, int, int]:
    """Return state, marks, received, missing and credit."""
    seen = shop.read(purchase)
    return (
        seen["state"],
        seen["marks"],
        seen["received_msat"],
        seen["missing_msat"],
        seen["credit_msat"],
    )


def _redeem(shop: World, purchase: Purchase) -> tuple[int, str]:
    answer = shop.post(f"/v1/invoices/{purchase.id}/redeem", {"verifier": purchase.verifier})
    return answer.status_code, str(answer.get_json().get("code", ""))


def test_small_payment_opens_on_sight(shop: World) -> None:
    purchase = shop.buy()
    assert purchase.invoice["requests"][0]["confirmations_required"] == 0
    reference = shop.pay(purchase)
    assert _summary(shop, purchase) == ("paid", [], PRICE_MSAT, 0, 0)
    [payment] = shop.read(purchase)["payments"]
    assert payment == {
        "reference": reference,
        "rail": "fake",
        "amount_msat": PRICE_MSAT,
        "confirmations": 0,
        "confirmations_required": 0,
        "state": "seen",
        "note": "",
    }
    assert _content(shop, purchase) == LOCKED
    # Until a block has it the money is at the operator's risk, and booked so.
    assert held(shop, chart.unconfirmed("fake")) == -PRICE_MSAT
    assert held(shop, chart.clearing("fake")) == 0
    shop.mine()
    assert held(shop, chart.unconfirmed("fake")) == 0
    assert held(shop, chart.clearing("fake")) == -PRICE_MSAT
    assert shop.read(purchase)["payments"][0]["state"] == "confirmed"
    assert held(shop, chart.merchant(shop.merchant_id)) == PRICE_MSAT * 99 // 100
    assert held(shop, chart.COMMISSION) == PRICE_MSAT // 100


@pytest.mark.parametrize(("price_sat", "blocks"), [(10_001, 1), (1_000_001, 3), (10_000_001, 6)])
def test_dear_items_wait_for_confirmations(shop: World, price_sat: int, blocks: int) -> None:
    purchase = shop.buy(sell_at(shop, price_sat))
    assert purchase.invoice["requests"][0]["confirmations_required"] == blocks
    shop.pay(purchase)
    for depth in range(blocks):
        seen = shop.read(purchase)
        assert (seen["state"], seen["payments"][0]["confirmations"]) == ("seen", depth)
        assert shop.claim(purchase).get_json()["code"] == "invoice_not_paid"
        assert transfers(shop) == []
        shop.mine()
    assert _summary(shop, purchase) == ("paid", [], price_sat * 1_000, 0, 0)
    assert shop.read(purchase)["payments"][0]["confirmations"] == blocks
    assert shop.claim(purchase).status_code == 200
    assert held(shop, chart.clearing("fake")) == -price_sat * 1_000
    assert transfers(shop, Kind.CONFIRMATION) == []


def test_a_replaceable_small_payment_waits_for_a_block(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase, reason="it may be replaced")
    assert _summary(shop, purchase) == ("seen", [], PRICE_MSAT, 0, 0)
    assert shop.read(purchase)["payments"][0]["note"] == "it may be replaced"
    assert transfers(shop) == []
    shop.mine()
    assert shop.read(purchase)["state"] == "paid"
    assert _content(shop, purchase) == LOCKED


def test_a_part_is_completed_in_time(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase, 2_000_000)
    assert _summary(shop, purchase) == ("open", ["underpaid"], 2_000_000, 3_000_000, 0)
    assert shop.read(purchase)["requests"][0]["amount_sat"] == 3_000
    assert shop.claim(purchase).get_json()["code"] == "invoice_not_paid"
    shop.clock.pass_time(LIFETIME_S)
    shop.pay(purchase, 3_000_000)
    assert _summary(shop, purchase) == ("paid", [], PRICE_MSAT, 0, 0)
    assert len(transfers(shop, Kind.SALE)) == 1


def test_a_part_at_expiry_is_credit(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase, 2_000_000)
    shop.expire(LIFETIME_S)
    assert shop.read(purchase)["state"] == "open"
    shop.expire(1)
    assert _summary(shop, purchase) == ("expired", ["underpaid"], 2_000_000, 3_000_000, 2_000_000)
    assert _redeem(shop, purchase) == (409, "no_credit")
    # The rest comes too late, and then the whole buys the item.
    shop.pay(purchase, 3_000_000)
    assert _summary(shop, purchase) == (
        "expired",
        ["late", "underpaid"],
        PRICE_MSAT,
        3_000_000,
        PRICE_MSAT,
    )
    assert _redeem(shop, purchase) == (200, "")
    assert _content(shop, purchase) == LOCKED
    assert _summary(shop, purchase)[4] == 0


def test_too_much_pays_and_leaves_credit(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase, PRICE_MSAT + 2_000)
    assert _summary(shop, purchase) == ("paid", ["overpaid"], PRICE_MSAT + 2_000, 0, 2_000)
    assert held(shop, chart.invoice(purchase.id)) == 2_000
    assert _content(shop, purchase) == LOCKED


def test_late_money_is_credit_that_buys_once(shop: World) -> None:
    purchase = shop.buy()
    shop.expire(LIFETIME_S + 1)
    assert _summary(shop, purchase) == ("expired", [], 0, PRICE_MSAT, 0)
    shop.pay(purchase, 2 * PRICE_MSAT)
    assert _summary(shop, purchase) == (
        "expired",
        ["late"],
        2 * PRICE_MSAT,
        PRICE_MSAT,
        2 * PRICE_MSAT,
    )
    assert shop.claim(purchase).get_json()["code"] == "invoice_not_paid"
    assert _redeem(shop, purchase) == (200, "")
    assert _redeem(shop, purchase) == (200, "")
    assert _summary(shop, purchase)[4] == PRICE_MSAT
    shop.mine()
    assert _summary(shop, purchase)[4] == PRICE_MSAT
    assert len(transfers(shop, Kind.SALE)) == 1
    assert _content(shop, purchase) == LOCKED


def test_late_money_after_a_sale_is_credit(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase)
    shop.expire(LIFETIME_S + 1)
    shop.pay(purchase, 3_000)
    assert _summary(shop, purchase) == ("paid", ["late"], PRICE_MSAT + 3_000, 0, 3_000)


def test_a_second_full_payment_is_credit(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase)
    shop.pay(purchase)
    assert _summary(shop, purchase) == ("paid", ["overpaid"], 2 * PRICE_MSAT, 0, PRICE_MSAT)
    assert len(transfers(shop, Kind.SALE)) == 1


def test_two_parts_in_one_transaction(shop: World) -> None:
    purchase, other = shop.buy(), shop.buy()
    target = shop.target_of(purchase)
    shop.rail.pay_many(
        [(target, 2_000_000), (shop.target_of(other), PRICE_MSAT), (target, 3_000_000)]
    )
    shop.watch()
    assert _summary(shop, purchase) == ("paid", [], PRICE_MSAT, 0, 0)
    assert _summary(shop, other) == ("paid", [], PRICE_MSAT, 0, 0)
    assert [p["amount_msat"] for p in shop.read(purchase)["payments"]] == [2_000_000, 3_000_000]
    shop.mine()
    assert held(shop, chart.clearing("fake")) == -2 * PRICE_MSAT


def test_seen_often_is_booked_once(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase)
    version = shop.read(purchase)["version"]
    for _ in range(3):
        shop.rail.forget_mempool()
        shop.watch()
        shop.check_unconfirmed()
    assert payment_count(shop) == 1
    assert [t[2] for t in transfers(shop, Kind.RECEIPT)] == [PRICE_MSAT]
    shop.mine()
    with restarted(shop) as again:
        again.watch()
        again.mine(2)
    assert payment_count(shop) == 1
    assert len(transfers(shop)) == 4, "receipt, sale, commission, confirmation"
    assert shop.read(purchase)["version"] >= version


def test_money_to_strangers_is_not_ours(shop: World) -> None:
    shop.buy()
    shop.rail.pay("a stranger's script", PRICE_MSAT)
    shop.watch()
    shop.mine()
    assert payment_count(shop) == 0
    assert transfers(shop) == []


def test_a_seen_payment_outlives_the_expiry(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase, reason="it may be replaced")
    shop.expire(10 * LIFETIME_S)
    assert _summary(shop, purchase) == ("seen", [], PRICE_MSAT, 0, 0)
    shop.mine()
    assert _summary(shop, purchase) == ("paid", [], PRICE_MSAT, 0, 0)


def test_mined_coins_count_a_hundred_blocks_later(shop: World) -> None:
    purchase = shop.buy()
    shop.rail.confirm(coinbase=(shop.target_of(purchase), PRICE_MSAT))
    shop.watch()
    assert _summary(shop, purchase) == ("seen", [], PRICE_MSAT, 0, 0)
    shop.mine(98)
    assert shop.read(purchase)["state"] == "seen"
    assert transfers(shop) == []
    shop.mine()
    assert shop.read(purchase)["state"] == "paid"


def _follow_blocks(shop: World) -> None:
    """Let the server's clock agree with the blocks' times."""
    shop.clock.now = GENESIS_TIME + shop.rail.health().tip_height * BLOCK_INTERVAL_S


@pytest.mark.parametrize(("empty_blocks", "state"), [(0, "paid"), (1, "expired")])
def test_the_block_says_when_money_came_while_we_were_down(
    shop: World, empty_blocks: int, state: str
) -> None:
    """A block within the quarter of an hour is in time; the second block is not."""
    _follow_blocks(shop)
    purchase = shop.buy()
    shop.rail.confirm(empty_blocks)
    shop.rail.pay(shop.target_of(purchase), PRICE_MSAT)
    shop.rail.confirm()
    shop.expire(10 * BLOCK_INTERVAL_S)
    assert shop.read(purchase)["state"] == "expired"
    shop.watch()
    assert shop.read(purchase)["state"] == state
    if state == "expired":
        assert _summary(shop, purchase)[1] == ["late"]
        assert _redeem(shop, purchase) == (200, "")
    assert _content(shop, purchase) == LOCKED
