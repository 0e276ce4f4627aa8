"""Who pays to take it back: more money needs more depth, and what vanishes leaves the wallet."""

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AddressesExhausted,
    InvalidRequest,
    NoCredit,
    UnknownWallet,
    WalletNotEmpty,
)
from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.domain.outcome import Outcome
from bitcache_server.extensions import db
from bitcache_server.ledger import chart, wallet_recipes
from bitcache_server.models.ledger import Wallet
from bitcache_server.models.operations import ChainBlock
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import Lookup
from bitcache_server.services import claim_balance, gifts, watch_rail
from bitcache_server.services.close_wallet import close_wallet
from bitcache_server.services.once import in_transaction
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.unlock_item import UnlockOrder, unlock_item
from tests.support.api import at_once
from tests.support.databases import Databases
from tests.support.readers import Reader, stored_invoice, target_of
from tests.support.shops import PRICE_MSAT, assert_nothing_lost, held, open_content, opened_world
from tests.support.world import Purchase, World

LIFETIME_S = 900
DAY_S = 86_400
#: 3,000,000 sats, which need three confirmations.
LARGE_MSAT = 3_000_000_000


def late(shop: World, paid_msat: int) -> tuple[Purchase, str]:
    """Return an invoice whose money came after its time, and the payment; in no block yet."""
    purchase = shop.buy()
    shop.expire(LIFETIME_S + 1)
    record_health(shop.deps, shop.session, shop.rail)
    return purchase, shop.pay(purchase, paid_msat)


def close(reader: Reader) -> None:
    world = reader.world
    in_transaction(
        world.session,
        lambda: close_wallet(world.deps, world.session, reader.wallet_id, give_up_rest=True),
    )


def vanish(shop: World, reference: str) -> None:
    shop.rail.disconnect()
    shop.rail.double_spend(reference)
    shop.mine(2)
    shop.check_unconfirmed()


def test_a_small_top_up_that_is_overpaid_waits_for_the_depth_of_what_came(shop: World) -> None:
    reader = Reader(shop)
    reader.pay_in(reader.top_up(1_000), LARGE_MSAT)
    assert reader.own_msat == 0
    shop.mine()
    assert reader.own_msat == 0
    assert_nothing_lost(shop)
    shop.mine()
    assert reader.own_msat == LARGE_MSAT


def test_money_in_many_parts_waits_for_the_depth_of_their_sum(shop: World) -> None:
    reader = Reader(shop)
    target = target_of(shop, reader.top_up(1_000))
    shop.rail.pay_many([(target, LARGE_MSAT // 10)] * 10)
    shop.mine()
    assert reader.own_msat == 0
    shop.mine(2)
    assert reader.own_msat == LARGE_MSAT


def test_an_overpaid_article_opens_and_pays_out_at_the_depth_of_what_came(shop: World) -> None:
    reader, purchase = Reader(shop), shop.buy()
    shop.pay(purchase, LARGE_MSAT)
    assert shop.state(purchase) is InvoiceState.SEEN
    shop.mine(2)
    with pytest.raises(NoCredit):
        reader.claim(purchase)
    shop.mine()
    assert open_content(shop, purchase, shop.grant(purchase)) == (200, "")
    assert reader.claim(purchase) == LARGE_MSAT - PRICE_MSAT


def test_money_on_top_does_not_take_a_sale_back(shop: World) -> None:
    purchase = shop.buy()
    shop.pay(purchase)
    grant = shop.grant(purchase)
    shop.pay(purchase, LARGE_MSAT)
    for credit_msat in (0, 0, LARGE_MSAT):
        shop.mine()
        assert open_content(shop, purchase, grant) == (200, "")
        assert shop.read(purchase)["credit_msat"] == credit_msat
        assert_nothing_lost(shop)


def test_what_a_reorg_put_back_into_the_mempool_cannot_be_claimed(shop: World) -> None:
    reader, (purchase, reference) = Reader(shop), late(shop, PRICE_MSAT)
    shop.mine()
    shop.rail.reorg()
    shop.watch()
    with pytest.raises(NoCredit, match="first confirmation"):
        reader.claim(purchase)
    shop.rail.double_spend(reference)
    shop.check_unconfirmed()
    assert (reader.own_msat, held(shop, chart.LOSS)) == (0, 0)


def test_a_claim_leaves_the_wallet_when_its_payment_vanishes(shop: World) -> None:
    reader, (purchase, reference) = Reader(shop), late(shop, PRICE_MSAT)
    shop.mine()
    reader.claim(purchase)
    vanish(shop, reference)
    assert (reader.own_msat, held(shop, chart.LOSS)) == (0, 0)
    assert stored_invoice(shop, purchase.id).claimed_msat == 0


def test_a_claim_that_was_spent_in_part_comes_back_with_its_payment(shop: World) -> None:
    readers = [Reader(shop), Reader(shop)]
    purchase = shop.buy()
    shop.expire(LIFETIME_S + 1)
    record_health(shop.deps, shop.session, shop.rail)
    for reader, amount_msat in zip(readers, (PRICE_MSAT + 3_000_000, 4_000_000), strict=True):
        shop.pay(purchase, amount_msat, "it may be replaced")
        shop.mine()
        reader.claim(purchase)
    spent = UnlockOrder(readers[0].wallet_id, shop.article_id, None)
    unlock_item(shop.deps, shop.session, spent)
    for _ in range(2):
        shop.rail.reorg(2)
        shop.watch()
        assert [reader.own_msat for reader in readers] == [0, 0]
        assert held(shop, chart.LOSS) == -PRICE_MSAT
        assert_nothing_lost(shop)
        shop.mine(2)
        assert [reader.own_msat for reader in readers] == [3_000_000, 4_000_000]
        assert held(shop, chart.LOSS) == 0
        assert_nothing_lost(shop)
    assert shop.read(purchase)["credit_msat"] == 0


def test_what_comes_back_for_a_deleted_wallet_stays_with_its_invoice(shop: World) -> None:
    reader, other, purchase = Reader(shop), Reader(shop), shop.buy()
    shop.expire(LIFETIME_S + 1)
    shop.pay(purchase, PRICE_MSAT, "it may be replaced")
    shop.mine()
    reader.claim(purchase)
    shop.rail.reorg()
    shop.watch()
    close(reader)
    shop.mine()
    assert reader.own_msat == 0
    assert other.claim(purchase) == PRICE_MSAT


def test_nobody_gets_the_address_of_anothers_top_up_early(
    tmp_path: Path, database_url: str
) -> None:
    with opened_world(tmp_path, database_url, gap_limit=1, rail_stale_after_s=10 * DAY_S) as shop:
        victim, thief = Reader(shop), Reader(shop)
        invoice_id = victim.top_up()
        target = target_of(shop, invoice_id)
        shop.expire(LIFETIME_S + 1)
        with pytest.raises(AddressesExhausted):
            thief.top_up()
        again = victim.top_up()
        assert target_of(shop, again) == target
        victim.world.rail.pay(target, 20_000_000)
        shop.mine()
        assert (victim.own_msat, thief.own_msat) == (20_000_000, 0)
        assert_nothing_lost(shop)


def test_one_wallet_holds_three_addresses_at_most(shop: World) -> None:
    reader = Reader(shop)
    targets = {target_of(shop, reader.top_up()) for _ in range(3)}
    with pytest.raises(InvalidRequest, match="wait for a payment"):
        reader.top_up()
    shop.expire(LIFETIME_S + 1)
    record_health(shop.deps, shop.session, shop.rail)
    assert {target_of(shop, reader.top_up()) for _ in range(3)} == targets
    Reader(shop).top_up()


def test_a_top_up_that_never_confirms_does_not_keep_a_wallet_open(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(shop)
    reference = reader.pay_in(reader.top_up(), 20_000_000, mine=False)
    shop.rail.lose(reference)
    unknown = Lookup(Outcome.UNKNOWN, None, "missing inputs")
    monkeypatch.setattr(shop.rail, "lookup", lambda _: unknown)
    shop.clock.pass_time(14 * DAY_S - 1)
    shop.check_unconfirmed()
    with pytest.raises(WalletNotEmpty):
        close(reader)
    shop.clock.pass_time(1)
    close(reader)


def test_a_deleted_wallet_gets_no_gift(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gifts, "_use_work", lambda *_: None)
    with opened_world(
        tmp_path, database_url, gift_sat=1_000, gift_budget_sat_per_day=100_000
    ) as shop:
        reader, other = Reader(shop), Reader(shop)
        close(reader)

        def take(wallet_id: str) -> None:
            in_transaction(
                shop.session,
                lambda: gifts.take_gift(shop.deps, shop.session, wallet_id, "192.0.2.1", ""),
            )

        with pytest.raises(UnknownWallet):
            take(reader.wallet_id)
        take(other.wallet_id)
        assert (reader.gift_msat, other.gift_msat) == (0, 1_000_000)
        assert_nothing_lost(shop)


def test_one_watch_of_a_rail_at_a_time_though_the_tip_moves(shop: World) -> None:
    inside: list[int] = []
    together: list[int] = []

    def walk(number: int) -> None:
        with shop.app.app_context():
            session = db.session()
            for _ in range(4):
                with write_transaction(session):
                    watch_rail._lock_walk(session, "other")
                    inside.append(number)
                    together.append(len(inside))
                    tip = session.scalar(
                        select(func.max(ChainBlock.height)).where(ChainBlock.rail == "other")
                    )
                    height = (tip or 0) + 1
                    session.add(
                        ChainBlock(rail="other", height=height, hash=f"{height}", previous_hash="")
                    )
                    session.flush()
                    time.sleep(0.02)
                    inside.remove(number)
            db.session.remove()

    at_once(4, walk)
    assert together == [1] * 16


def test_a_claim_and_the_watch_never_wait_for_each_other(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch has the wallet and wants the invoice; the claim the other way round."""
    with databases.fresh("postgresql") as url, opened_world(tmp_path, url) as shop:
        reader, (purchase, _) = Reader(shop), late(shop, PRICE_MSAT)
        shop.mine()
        top_up_id = _top_up_before(reader, purchase.id)
        shop.rail.pay(target_of(shop, top_up_id), 20_000_000)
        shop.rail.pay(shop.target_of(purchase), 7_000_000, "it may be replaced")
        shop.watch()
        shop.rail.confirm()
        has_wallet, has_invoice = threading.Event(), threading.Event()
        top_up, lock_wallet = wallet_recipes.top_up, wallet_recipes.lock_wallet

        def slow_top_up(session: Session, invoice_id: str, wallet_id: str, now: int) -> int:
            moved_msat = top_up(session, invoice_id, wallet_id, now)
            has_wallet.set()
            has_invoice.wait(1)
            return moved_msat

        def late_lock(session: Session, wallet_id: str) -> Wallet:
            has_invoice.set()
            has_wallet.wait(1)
            time.sleep(0.1)
            return lock_wallet(session, wallet_id)

        monkeypatch.setattr(wallet_recipes, "top_up", slow_top_up)
        monkeypatch.setattr(claim_balance, "lock_wallet", late_lock)

        def run(number: int) -> None:
            with shop.app.app_context():
                if number:
                    reader.claim(purchase)
                else:
                    shop.watch()
                db.session.remove()

        shop.session.rollback()
        at_once(2, run)
        monkeypatch.undo()
        credit_msat = shop.read(purchase)["credit_msat"]
        assert reader.own_msat + credit_msat == 20_000_000 + PRICE_MSAT + 7_000_000
        assert_nothing_lost(shop)


def _top_up_before(reader: Reader, invoice_id: str) -> str:
    """Return a top-up whose id comes first, so that the watch settles it first."""
    while (found := Reader(reader.world, reader.wallet_id).top_up()) > invoice_id:
        reader.world.expire(LIFETIME_S + 1)
        record_health(reader.world.deps, reader.world.session, reader.world.rail)
    return found
