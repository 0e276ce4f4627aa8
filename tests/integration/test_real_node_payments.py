"""A real node, a real wallet's public key, real payments: through HTTP and the watch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from embit import script
from embit.bip32 import HDKey
from embit.networks import NETWORKS

from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.services.watch_rail import check_unconfirmed
from demo.regtest.node import RegtestNode
from tests.support.node_shop import PRICE_SAT, Reader, catch_up, opened_node_shop
from tests.support.payer import REPLACEABLE, new_account_key
from tests.support.shops import (
    assert_nothing_lost,
    held,
    payment_count,
    read_anew,
    restarted,
    sell_at,
    transfers,
)
from tests.support.world import Purchase, World

LIFETIME_S = 900
DEAR_SAT = 20_000
VERY_DEAR_SAT = 1_500_000


@pytest.fixture
def shop(tmp_path: Path, database_url: str, regtest_node: RegtestNode) -> Iterator[World]:
    with opened_node_shop(tmp_path, database_url, regtest_node.rpc_url) as world:
        catch_up(world)
        yield world
        assert_nothing_lost(world)


def _buy(shop: World, price_sat: int = PRICE_SAT) -> Purchase:
    item_id = shop.article_id if price_sat == PRICE_SAT else sell_at(shop, price_sat)
    return shop.buy(item_id, rail="onchain")


def _summary(shop: World, purchase: Purchase) -> tuple[str, list[str], int]:
    """Return state, marks and credit in sats."""
    seen = read_anew(shop, purchase)
    return seen["state"], seen["marks"], seen["credit_msat"] // 1_000


def _content(shop: World, purchase: Purchase, grant: str | None = None) -> tuple[int, str]:
    path = f"/v1/content/{purchase.invoice['item']}"
    answer = shop.get(path, grant or shop.grant(purchase))
    return answer.status_code, str(answer.get_json().get("code", ""))


def _mine(shop: World, reader: Reader, blocks: int = 1) -> None:
    reader.node.mine(blocks)
    shop.watch()


def test_on_sight_then_confirmed(shop: World, regtest_node: RegtestNode) -> None:
    reader = Reader(regtest_node)
    shop.watch()
    purchase = _buy(shop)
    [request] = purchase.invoice["requests"]
    assert request["address"].startswith("bcrt1q")
    assert request["uri"] == f"bitcoin:{request['address']}?amount=0.00005"
    txid = reader.pay(purchase)
    shop.watch()
    assert _summary(shop, purchase) == ("paid", [], 0)
    [payment] = shop.read(purchase)["payments"]
    assert payment["reference"] == f"{txid}:0"
    assert _content(shop, purchase) == (200, "")
    assert held(shop, chart.unconfirmed("onchain")) == -PRICE_SAT * 1_000
    _mine(shop, reader)
    assert shop.read(purchase)["payments"][0]["confirmations"] == 1
    assert held(shop, chart.unconfirmed("onchain")) == 0
    assert held(shop, chart.clearing("onchain")) == -PRICE_SAT * 1_000


def test_every_way_to_pay_wrongly(shop: World, regtest_node: RegtestNode) -> None:
    reader = Reader(regtest_node, coins=7)
    shop.watch()
    under, over, twice, parts, late = (_buy(shop) for _ in range(5))
    reader.pay(under, 2_000)
    reader.pay(over, 7_000)
    reader.pay(twice)
    reader.pay(twice)
    reader.pay(parts, 1_000, 4_000)
    shop.watch()
    assert _summary(shop, under) == ("open", ["underpaid"], 0)
    assert _summary(shop, over) == ("paid", ["overpaid"], 2_000)
    assert _summary(shop, twice) == ("paid", ["overpaid"], PRICE_SAT)
    assert _summary(shop, parts) == ("paid", [], 0)
    shop.expire(LIFETIME_S + 1)
    reader.pay(late)
    reader.pay(under, 3_000)
    shop.watch()
    assert _summary(shop, late) == ("expired", ["late"], PRICE_SAT)
    assert _summary(shop, under) == ("expired", ["late", "underpaid"], PRICE_SAT)
    for purchase in (late, under):
        body = {"verifier": purchase.verifier}
        assert shop.post(f"/v1/invoices/{purchase.id}/redeem", body).status_code == 200
        assert _content(shop, purchase) == (200, "")
    _mine(shop, reader)
    received_sat = 2_000 + 7_000 + 4 * PRICE_SAT + 3_000
    assert held(shop, chart.clearing("onchain")) == -received_sat * 1_000
    assert len(transfers(shop, Kind.RECEIPT)) == payment_count(shop) == 8


def test_confirmations_by_amount(shop: World, regtest_node: RegtestNode) -> None:
    reader = Reader(regtest_node)
    shop.watch()
    small, dear, very_dear = _buy(shop), _buy(shop, DEAR_SAT), _buy(shop, VERY_DEAR_SAT)
    reader.pay(small, sequence=REPLACEABLE)
    reader.pay(dear)
    reader.pay(very_dear)
    shop.watch()
    states = []
    for _ in range(4):
        states.append(tuple(_summary(shop, p)[0] for p in (small, dear, very_dear)))
        _mine(shop, reader)
    assert states == [
        ("seen", "seen", "seen"),
        ("paid", "paid", "seen"),
        ("paid", "paid", "seen"),
        ("paid", "paid", "paid"),
    ]


def test_a_competing_chain_takes_a_sale_back(
    shop: World, regtest_node: RegtestNode, rival_node: RegtestNode
) -> None:
    reader = Reader(regtest_node)
    shop.watch()
    purchase = _buy(shop, DEAR_SAT)
    reader.pay(purchase)
    _mine(shop, reader, 2)
    grant = shop.grant(purchase)
    assert _content(shop, purchase, grant) == (200, "")

    rival_node.submit_blocks_from(regtest_node, leave_out=2)
    rival_node.mine(3)
    regtest_node.submit_blocks_from(rival_node)
    shop.watch()
    assert _summary(shop, purchase)[0] == "seen"
    assert _content(shop, purchase, grant) == (403, "grant_revoked")
    assert held(shop, chart.merchant(shop.merchant_id)) == 0
    assert_nothing_lost(shop)

    _mine(shop, reader)
    assert _summary(shop, purchase) == ("paid", [], 0)
    assert _content(shop, purchase) == (200, "")
    assert held(shop, chart.clearing("onchain")) == -DEAR_SAT * 1_000


@pytest.mark.parametrize(("price_sat", "blocks"), [(PRICE_SAT, 0), (PRICE_SAT, 1), (DEAR_SAT, 1)])
def test_a_double_spend_on_the_other_chain(
    shop: World,
    regtest_node: RegtestNode,
    rival_node: RegtestNode,
    price_sat: int,
    blocks: int,
) -> None:
    """Unconfirmed or confirmed: the chain with more work has the coin go elsewhere."""
    reader = Reader(regtest_node)
    shop.watch()
    rival_node.submit_blocks_from(regtest_node)
    purchase = _buy(shop, price_sat)
    txid = reader.pay(purchase)
    shop.watch()
    _mine(shop, reader, blocks)
    grant = shop.grant(purchase)
    reader.spend_elsewhere(txid, rival_node)
    rival_node.mine(blocks + 1)
    regtest_node.submit_blocks_from(rival_node)
    # bcoin keeps a transaction whose coin is gone as an orphan, and says that it has it.
    regtest_node.kill()
    regtest_node.start()
    shop.watch()
    seen = read_anew(shop, purchase)
    assert (seen["state"], seen["received_msat"]) == ("open", 0)
    assert [payment["state"] for payment in seen["payments"]] == ["removed"]
    assert _content(shop, purchase, grant) == (403, "grant_revoked")
    for account in (chart.merchant(shop.merchant_id), chart.COMMISSION, chart.LOSS):
        assert held(shop, account) == 0
    assert_nothing_lost(shop)
    reader.pay(purchase)
    shop.watch()
    _mine(shop, reader, blocks)
    assert _summary(shop, purchase) == ("paid", [], 0)
    assert _content(shop, purchase) == (200, "")


def test_what_happened_while_we_were_down(shop: World, regtest_node: RegtestNode) -> None:
    """Blocks say when money came: nobody is late because our machine was."""
    reader = Reader(regtest_node, coins=5)
    shop.watch()
    bought = [_buy(shop, price) for price in (PRICE_SAT, DEAR_SAT, VERY_DEAR_SAT, PRICE_SAT)]
    for purchase in bought[:3]:
        reader.pay(purchase)
        regtest_node.mine(5)
    regtest_node.mine(10)
    reader.pay(bought[3])
    shop.expire(LIFETIME_S * 2)
    assert {read_anew(shop, purchase)["state"] for purchase in bought} == {"expired"}
    with restarted(shop) as again:
        catch_up(again)
    assert [_summary(shop, purchase)[0] for purchase in bought] == ["paid"] * 3 + ["expired"]
    # The mempool does not say since when: that one is late, and its money is credit.
    assert _summary(shop, bought[3]) == ("expired", ["late"], PRICE_SAT)
    assert len(transfers(shop, Kind.RECEIPT)) == 4


def test_a_power_cut_at_the_node(shop: World, regtest_node: RegtestNode) -> None:
    """The node forgets its mempool; the payment is sent again, and nobody loses the article."""
    reader = Reader(regtest_node)
    shop.watch()
    purchase = _buy(shop)
    txid = reader.pay(purchase)
    shop.watch()
    grant = shop.grant(purchase)
    regtest_node.kill()
    regtest_node.start()
    assert txid not in regtest_node.rpc.getrawmempool()
    check_unconfirmed(shop.deps, shop.session, shop.rail)
    assert txid in regtest_node.rpc.getrawmempool()
    assert _content(shop, purchase, grant) == (200, "")
    _mine(shop, reader)
    assert shop.read(purchase)["payments"][0]["confirmations"] == 1
    assert len(transfers(shop, Kind.RECEIPT)) == 1


@pytest.mark.parametrize("form", ["{}", "wpkh({}/<0;1>/*)", "wpkh({}/0/*)"])
def test_the_operators_key_in_any_form(
    tmp_path: Path, database_url: str, regtest_node: RegtestNode, form: str
) -> None:
    """All three mean the receive branch of the same wallet: the same first address."""
    key = new_account_key()
    expected = _first_address(key.to_public().to_base58())
    descriptor = form.format(key.to_public().to_base58())
    node_url = regtest_node.rpc_url
    with opened_node_shop(tmp_path, database_url, node_url, onchain_descriptor=descriptor) as shop:
        catch_up(shop)
        assert _buy(shop).invoice["requests"][0]["address"] == expected


def _first_address(key: str) -> str:
    child = HDKey.from_base58(key).derive("m/0/0")
    return str(script.p2wpkh(child).address(NETWORKS["regtest"]))


def test_a_merchants_own_wallet_is_paid_directly(
    tmp_path: Path, database_url: str, regtest_node: RegtestNode
) -> None:
    node_url = regtest_node.rpc_url
    with opened_node_shop(tmp_path, database_url, node_url, onchain_descriptor=None) as shop:
        reader = Reader(regtest_node)
        catch_up(shop)
        purchase = _buy(shop)
        reader.pay(purchase)
        shop.watch()
        assert _content(shop, purchase) == (200, "")
        assert held(shop, chart.merchant(shop.merchant_id)) == -PRICE_SAT * 10
        assert held(shop, chart.clearing("onchain")) == 0
        assert held(shop, chart.unconfirmed("onchain")) == 0
        assert_nothing_lost(shop)
