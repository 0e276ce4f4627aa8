"""Top-ups: whatever arrives is the reader's, and what vanishes is nobody's but once."""

from pathlib import Path

import pytest

from bitcache_server.domain.errors import InvalidRequest, UnknownInvoice, UnknownWallet
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.services.close_wallet import close_wallet
from bitcache_server.services.once import in_transaction
from bitcache_server.services.settle_invoice import settle_invoice
from bitcache_server.services.top_up import create_top_up, get_top_up
from bitcache_server.services.unlock_item import UnlockOrder, unlock_item
from tests.support.api import call
from tests.support.cli import Cli, write_config
from tests.support.readers import Reader, stored_invoice, target_of
from tests.support.shops import PRICE_MSAT, held, transfers
from tests.support.world import World

LIFETIME_S = 900
ASKED_MSAT = 20_000_000


def spend(reader: Reader, item_id: str | None = None) -> None:
    world = reader.world
    order = UnlockOrder(reader.wallet_id, item_id or world.article_id, None)
    unlock_item(world.deps, world.session, order)


@pytest.mark.parametrize("paid_msat", [ASKED_MSAT, 1_000, ASKED_MSAT * 3])
def test_every_msat_becomes_own_money_whatever_the_amount(shop: World, paid_msat: int) -> None:
    reader = Reader(shop)
    reader.pay_in(reader.top_up(), paid_msat)
    assert (reader.own_msat, reader.gift_msat) == (paid_msat, 0)
    assert held(shop, chart.clearing("fake")) == -paid_msat
    kinds = (Kind.RECEIPT, Kind.TOP_UP)
    assert [len(transfers(shop, kind)) for kind in kinds] == [1, 1]


def test_late_money_and_money_in_parts_count(shop: World) -> None:
    reader = Reader(shop)
    invoice_id = reader.top_up()
    reader.pay_in(invoice_id, 3_000_000)
    assert reader.own_msat == 3_000_000
    shop.expire(LIFETIME_S + 1)
    assert reader.own_msat == 3_000_000
    reader.pay_in(invoice_id, 4_000_000)
    assert reader.own_msat == 7_000_000
    assert stored_invoice(shop, invoice_id).state == "expired"


def test_nothing_counts_on_sight_because_it_could_be_withdrawn(shop: World) -> None:
    reader = Reader(shop)
    reference = reader.pay_in(reader.top_up(5_000), 5_000_000, mine=False)
    assert reader.own_msat == 0
    assert shop.buy().invoice["requests"][0]["confirmations_required"] == 0
    shop.rail.double_spend(reference)
    shop.check_unconfirmed()
    assert reader.own_msat == 0
    assert transfers(shop) == []


def test_settling_again_changes_nothing(shop: World) -> None:
    reader = Reader(shop)
    invoice_id = reader.top_up()
    reader.pay_in(invoice_id, ASKED_MSAT)
    before = (transfers(shop), stored_invoice(shop, invoice_id).claimed_msat)
    for _ in range(2):
        in_transaction(shop.session, lambda: settle_invoice(shop.deps, shop.session, invoice_id))
    assert (transfers(shop), stored_invoice(shop, invoice_id).claimed_msat) == before


def test_a_reorg_takes_an_untouched_top_up_back_until_it_is_mined_again(shop: World) -> None:
    reader = Reader(shop)
    reader.fill(20_000)
    shop.rail.reorg()
    shop.watch()
    assert reader.own_msat == 0
    assert held(shop, chart.LOSS) == 0
    shop.mine()
    assert reader.own_msat == ASKED_MSAT
    assert held(shop, chart.LOSS) == 0


def test_a_reorg_after_spending_leaves_the_operator_with_the_rest(shop: World) -> None:
    reader = Reader(shop)
    invoice_id = reader.top_up()
    reader.pay_in(invoice_id, ASKED_MSAT)
    spend(reader)
    shop.rail.reorg()
    shop.watch()
    assert reader.own_msat == 0
    assert held(shop, chart.LOSS) == -PRICE_MSAT
    # The merchant keeps the sale, and the reader what they read.
    assert held(shop, chart.merchant(shop.merchant_id)) == PRICE_MSAT * 99 // 100
    again = transfers(shop)
    in_transaction(shop.session, lambda: settle_invoice(shop.deps, shop.session, invoice_id))
    assert transfers(shop) == again
    shop.mine()
    assert held(shop, chart.LOSS) == 0
    assert reader.own_msat == ASKED_MSAT - PRICE_MSAT


def test_a_double_spend_after_spending_is_a_loss_for_good(shop: World) -> None:
    reader = Reader(shop)
    reference = reader.fill(5_000)
    spend(reader)
    shop.rail.reorg()
    shop.rail.double_spend(reference)
    shop.mine()
    assert reader.own_msat == 0
    assert held(shop, chart.LOSS) == -5_000_000
    # Money of another top-up is not taken for it later.
    reader.fill(6_000)
    assert reader.own_msat == 6_000_000


def test_the_gift_is_never_taken_for_a_top_up_that_vanished(shop: World) -> None:
    reader = Reader(shop)
    reader.give(2_000_000)
    reader.fill(5_000)
    spend(reader)
    assert (reader.own_msat, reader.gift_msat) == (2_000_000, 0)
    reader.give(1_000_000)
    shop.rail.reorg()
    shop.watch()
    assert (reader.own_msat, reader.gift_msat) == (0, 1_000_000)
    assert held(shop, chart.LOSS) == -3_000_000
    shop.mine()


def test_one_part_vanishes_while_another_arrives(shop: World) -> None:
    reader = Reader(shop)
    invoice_id = reader.top_up()
    first = reader.pay_in(invoice_id, 8_000_000)
    shop.rail.reorg()
    shop.rail.double_spend(first)
    shop.rail.pay(target_of(shop, invoice_id), 9_000_000)
    shop.mine()
    assert reader.own_msat == 9_000_000
    assert held(shop, chart.LOSS) == 0


def test_money_for_a_deleted_wallet_stays_with_its_invoice(shop: World) -> None:
    reader = Reader(shop)
    invoice_id = reader.top_up()
    in_transaction(
        shop.session,
        lambda: close_wallet(shop.deps, shop.session, reader.wallet_id, give_up_rest=False),
    )
    reader.pay_in(invoice_id, ASKED_MSAT)
    assert reader.own_msat == 0
    assert held(shop, chart.invoice(invoice_id)) == ASKED_MSAT
    assert stored_invoice(shop, invoice_id).credit_msat == ASKED_MSAT
    shop.rail.reorg()
    shop.watch()
    assert held(shop, chart.LOSS) == 0
    shop.mine()
    with pytest.raises(UnknownWallet):
        reader.top_up()


def test_a_top_up_is_no_invoice_of_an_item(shop: World) -> None:
    reader = Reader(shop)
    invoice_id = reader.top_up()
    path = f"/v1/invoices/{invoice_id}"
    body = {"verifier": "x" * 43}
    for method, suffix, sent in (
        ("GET", "", None),
        ("POST", "/requests", {"rail": "fake"}),
        ("POST", "/claim", body),
        ("POST", "/redeem", body),
    ):
        answer = call(shop, method, path + suffix, json=sent)
        assert (answer.status_code, answer.get_json()["code"]) == (404, "unknown_invoice")
    assert call(shop, "GET", f"/pay/invoices/{invoice_id}").status_code == 404
    assert call(shop, "GET", f"{path}/qr.svg?rail=fake").status_code == 200
    listed = call(shop, "GET", "/v1/invoices", shop.secret).get_json()["invoices"]
    assert listed == []
    with pytest.raises(UnknownInvoice):
        get_top_up(shop.session, Reader(shop).wallet_id, invoice_id)
    shop.session.rollback()


@pytest.mark.parametrize("amount_sat", [0, 999, 1_000_001, -5_000])
def test_the_operators_limits(shop: World, amount_sat: int) -> None:
    reader = Reader(shop)
    with pytest.raises(InvalidRequest, match="from 1,000 to 1,000,000 sats"):
        in_transaction(
            shop.session,
            lambda: create_top_up(shop.deps, shop.session, reader.wallet_id, amount_sat, "fake"),
        )
    assert shop.rail.health().ok


def test_the_operator_sees_a_top_up(shop: World, database_url: str, tmp_path: Path) -> None:
    reader = Reader(shop)
    invoice_id = reader.top_up()
    reader.pay_in(invoice_id, ASKED_MSAT)
    config = write_config(
        tmp_path, database_url=database_url, rails=["fake"], node_url=None, secret_key="test-" * 8
    )
    shown = Cli(config).run("invoice", "show", invoice_id).output
    assert "none: it tops up a reader's balance" in shown
    assert "top_up" in shown
    assert f"wallet:{reader.wallet_id}" in shown
    # What came after the wallet was deleted is nobody's now; the operator finds it here.
    late = Reader(shop)
    late_id = late.top_up()
    in_transaction(
        shop.session,
        lambda: close_wallet(shop.deps, shop.session, late.wallet_id, give_up_rest=False),
    )
    late.pay_in(late_id, ASKED_MSAT)
    lines = Cli(config).run("invoice", "show", late_id).output.splitlines()
    [credit] = [line for line in lines if line.startswith("credit")]
    assert "20,000 sats" in credit
