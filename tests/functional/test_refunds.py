"""A purchase is given back: undone, returned by the reader, or by the merchant."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bitcache_server.domain.errors import (
    AlreadyRefunded,
    BitcacheError,
    InvoiceNotPaid,
    MerchantBalanceTooLow,
    PurchaseEnded,
    RefundNotOffered,
    UnknownPurchase,
)
from bitcache_server.ledger import chart
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.ledger import Grant, Wallet
from bitcache_server.models.payouts import Refund
from bitcache_server.models.session import write_transaction
from bitcache_server.services import refund
from bitcache_server.services.catalog import change_price
from bitcache_server.services.collect import claim_grant, redeem_credit
from bitcache_server.services.merchant_terms import set_refund_terms
from bitcache_server.services.merchants import add_site, get_site
from tests.support.purchases import (
    ALLOWANCE,
    FILE_COMMISSION_MSAT,
    FILE_MSAT,
    WALLET,
    add_author,
    allow,
    buy_from_balance,
    earned,
    fill_wallet,
    holder_of,
    pay_out,
    purses,
    revisions_alive,
    sell_elsewhere,
    sell_shared,
    spent_today,
)
from tests.support.shops import PRICE_MSAT, assert_nothing_lost, held, opened_world, sell_at
from tests.support.world import ORIGIN, Purchase, World

DAY_S = 86_400


@pytest.fixture(autouse=True)
def _books(world: World) -> Iterator[None]:
    """Leave the books in order, whatever a test did."""
    yield
    assert_nothing_lost(world)


def in_transaction(world: World, work: Callable[[], Refund]) -> int:
    """Run a refund and return what came back."""
    with write_transaction(world.session):
        return work().amount_msat


def undo(world: World, item_id: str = "") -> int:
    item_id = item_id or world.file_id
    return in_transaction(
        world, lambda: refund.undo_purchase(world.deps, world.session, WALLET, item_id)
    )


def give_back(world: World, item_id: str = "", wallet_id: str = WALLET) -> int:
    item_id = item_id or world.file_id
    return in_transaction(
        world, lambda: refund.refund_by_reader(world.deps, world.session, wallet_id, item_id)
    )


def merchant_refunds(world: World, holder: str = "", item_id: str = "") -> int:
    item_id, holder = item_id or world.file_id, holder or holder_of(world)

    def work() -> Refund:
        site = get_site(world.session, world.site_id)
        return refund.refund_by_merchant(world.deps, world.session, site, holder, item_id)

    return in_transaction(world, work)


def offer_returns(world: World, window_s: int = 14 * DAY_S, per_reader: int = 2) -> None:
    with write_transaction(world.session):
        set_refund_terms(world.session, world.merchant_id, window_s, per_reader)


def refuse(
    error: type[BitcacheError], work: Callable[[], object], words: str | None = None
) -> None:
    with pytest.raises(error, match=words):
        work()


def refundable_until(world: World) -> int | None:
    world.session.rollback()
    grant = world.session.scalars(select(Grant).order_by(Grant.revision.desc())).first()
    assert grant is not None
    return refund.can_refund_until(world.deps, world.session, grant)


def test_an_undo_gives_everything_back_to_where_it_came_from(world: World) -> None:
    fill_wallet(world, 6_000_000, gift_msat=3_000_000)
    allow(world)
    buy_from_balance(world, allowance_id=ALLOWANCE, origin=ORIGIN)
    assert (purses(world), spent_today(world)) == ((2_000_000, 0), FILE_MSAT)
    assert undo(world) == FILE_MSAT
    # The part that was a gift is a gift again: it can never be withdrawn.
    # Nor can what the site may take today be taken twice.
    assert (purses(world), spent_today(world)) == ((6_000_000, 3_000_000), FILE_MSAT)
    assert (earned(world), held(world, chart.COMMISSION)) == ((0,), 0)
    assert revisions_alive(world, world.file_id) == []


def test_an_undo_twice_is_one(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    undo(world)
    refuse(AlreadyRefunded, lambda: undo(world))
    refuse(AlreadyRefunded, lambda: merchant_refunds(world))
    assert purses(world) == (20_000_000, 0)


def test_whoever_undid_can_buy_again_but_not_undo_again(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world, idempotency_key="click-1")
    undo(world)
    # The answer to the old click is not a new purchase.
    refuse(PurchaseEnded, lambda: buy_from_balance(world, idempotency_key="click-1"))
    assert buy_from_balance(world, idempotency_key="click-2").outcome == "booked"
    assert revisions_alive(world, world.file_id) == [2]
    refuse(RefundNotOffered, lambda: undo(world), "before")
    assert purses(world) == (20_000_000 - FILE_MSAT, 0)


@pytest.mark.parametrize(("jump_s", "undone"), [(60, True), (61, False), (-60, True)])
def test_the_window_of_an_undo(world: World, jump_s: int, undone: bool) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    world.clock.pass_time(jump_s)
    if undone:
        undo(world)
    else:
        refuse(RefundNotOffered, lambda: undo(world), "over")


def test_a_clock_that_jumps_back_opens_no_window_for_long(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    world.clock.pass_time(-7_200)
    refuse(RefundNotOffered, lambda: undo(world), "over")
    world.clock.pass_time(7_200 + 30)
    undo(world)


def buy_and_undo(world: World, *item_ids: str) -> None:
    for item_id in item_ids:
        buy_from_balance(world, item_id)
        undo(world, item_id)


def keep_some(world: World, count: int, first_sat: int = 500) -> None:
    """Buy what is not given back, so that the 30 days allow more undos."""
    for number in range(count):
        buy_from_balance(world, sell_at(world, first_sat + number))


def test_a_wallet_undoes_so_many_purchases_a_day(world: World) -> None:
    fill_wallet(world)
    items = [sell_at(world, 100 + number) for number in range(3)]
    elsewhere = [sell_elsewhere(world, name) for name in ("Bob", "Eve", "Dan")]
    buy_and_undo(world, items[0], elsewhere[0], elsewhere[1], items[1], elsewhere[2])
    keep_some(world, 5)
    buy_from_balance(world, items[2])
    refuse(RefundNotOffered, lambda: undo(world, items[2]), "one day")
    # A clock that was set back does not begin the day anew.
    world.clock.pass_time(-10 * DAY_S)
    other = sell_at(world, 90)
    buy_from_balance(world, other)
    refuse(RefundNotOffered, lambda: undo(world, other), "one day")
    world.clock.pass_time(12 * DAY_S)
    buy_and_undo(world, sell_at(world, 80))


def test_no_merchant_uses_up_what_a_reader_may_undo_elsewhere(world: World) -> None:
    fill_wallet(world)
    keep_some(world, 5)
    buy_and_undo(world, *(sell_at(world, 100 + number) for number in range(3)))
    fourth = sell_at(world, 90)
    buy_from_balance(world, fourth)
    refuse(RefundNotOffered, lambda: undo(world, fourth), "one day")
    buy_and_undo(world, sell_elsewhere(world, "Bob"), sell_elsewhere(world, "Eve"))


def test_nobody_reads_for_nothing_by_undoing(world: World) -> None:
    fill_wallet(world)
    # What is kept elsewhere, and what was kept long ago, pays no author here.
    buy_from_balance(world, sell_elsewhere(world, "Bob"))
    keep_some(world, 3)
    world.clock.pass_time(30 * DAY_S)
    items = [sell_at(world, 100 + number) for number in range(6)]
    buy_and_undo(world, *items[:2])
    world.clock.pass_time(DAY_S)
    buy_from_balance(world, items[2])
    refuse(RefundNotOffered, lambda: undo(world, items[2]), "30 days")
    # It is kept now. One that is kept allows one more.
    buy_and_undo(world, items[3])
    buy_from_balance(world, items[4])
    refuse(RefundNotOffered, lambda: undo(world, items[4]), "30 days")
    # What is given back later is kept no longer.
    merchant_refunds(world, item_id=items[4])
    buy_from_balance(world, items[5])
    refuse(RefundNotOffered, lambda: undo(world, items[5]), "30 days")


def test_an_undo_needs_nothing_of_a_merchant_who_owes_a_commission(
    tmp_path: Path, database_url: str
) -> None:
    with opened_world(tmp_path, database_url, direct=True) as world:
        paid = world.buy()
        world.pay(paid)
        owed = (-PRICE_MSAT // 100,)
        assert earned(world) == owed
        fill_wallet(world)
        buy_from_balance(world)
        assert undo(world) == FILE_MSAT
        assert earned(world) == owed
        assert_nothing_lost(world)


def test_a_purchase_is_given_back_to_its_buyer_only(world: World) -> None:
    fill_wallet(world)
    fill_wallet(world, wallet_id="wa_other")
    buy_from_balance(world)
    offer_returns(world)
    refuse(UnknownPurchase, lambda: give_back(world, wallet_id="wa_other"))
    refuse(UnknownPurchase, lambda: merchant_refunds(world, holder_of(world, "wa_other")))
    elsewhere = holder_of(world, merchant_id="me_other")
    for nobody in (WALLET, elsewhere, "in_nobody", "ho_AAAA", world.merchant_id):
        with pytest.raises(UnknownPurchase):
            merchant_refunds(world, nobody)
    refuse(UnknownPurchase, lambda: undo(world, world.article_id))
    assert revisions_alive(world, world.file_id) == [1]


def test_a_merchant_who_offers_no_returns(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    assert refundable_until(world) is None
    refuse(RefundNotOffered, lambda: give_back(world), "over")
    offer_returns(world, per_reader=0)
    assert refundable_until(world) is None
    refuse(RefundNotOffered, lambda: give_back(world), "30 days")


def test_a_reader_returns_within_the_window(world: World) -> None:
    fill_wallet(world, gift_msat=1_000)
    offer_returns(world)
    buy_from_balance(world)
    until = world.clock() + 14 * DAY_S
    assert refundable_until(world) == until
    world.clock.pass_time(14 * DAY_S)
    assert give_back(world) == FILE_MSAT
    assert refundable_until(world) is None
    assert purses(world) == (20_000_000, 1_000)
    buy_from_balance(world)
    world.clock.pass_time(14 * DAY_S + 1)
    assert refundable_until(world) is None
    refuse(RefundNotOffered, lambda: give_back(world), "over")


def test_a_reader_returns_so_many_purchases_in_thirty_days(world: World) -> None:
    fill_wallet(world)
    offer_returns(world, window_s=60 * DAY_S, per_reader=2)
    items = [sell_at(world, 100 + number) for number in range(4)]
    for item_id in items:
        buy_from_balance(world, item_id)
    give_back(world, items[0])
    give_back(world, items[1])
    refuse(RefundNotOffered, lambda: give_back(world, items[2]), "30 days")
    # Neither what the merchant gives back nor another reader counts.
    merchant_refunds(world, item_id=items[3])
    fill_wallet(world, wallet_id="wa_other")
    buy_from_balance(world, items[3], wallet_id="wa_other")
    give_back(world, items[3], wallet_id="wa_other")
    world.clock.pass_time(30 * DAY_S)
    give_back(world, items[2])


def test_the_merchant_gives_back_at_any_time_and_once(world: World) -> None:
    fill_wallet(world, 6_000_000, gift_msat=3_000_000)
    buy_from_balance(world)
    world.clock.pass_time(1_000 * DAY_S)
    assert merchant_refunds(world) == FILE_MSAT
    assert purses(world) == (6_000_000, 3_000_000)
    refuse(AlreadyRefunded, lambda: merchant_refunds(world))
    [row] = world.session.scalars(select(Refund))
    assert (row.by, row.merchant_id, row.item_id) == (
        "merchant",
        world.merchant_id,
        world.file_id,
    )


def test_a_merchant_who_has_paid_out_cannot_give_back(world: World) -> None:
    fill_wallet(world)
    allow(world)
    buy_from_balance(world, allowance_id=ALLOWANCE, origin=ORIGIN)
    offer_returns(world)
    pay_out(world)
    refuse(MerchantBalanceTooLow, lambda: merchant_refunds(world), "this takes 6,930 sats")
    # A reader is not told what the merchant has.
    refuse(MerchantBalanceTooLow, lambda: give_back(world), r"^[^0-9]+$")
    # Nothing at all has changed.
    assert revisions_alive(world, world.file_id) == [1]
    assert (purses(world), spent_today(world)) == ((20_000_000 - FILE_MSAT, 0), FILE_MSAT)
    buy_from_balance(world, world.article_id)
    refuse(MerchantBalanceTooLow, lambda: merchant_refunds(world))
    assert merchant_refunds(world, item_id=world.article_id) == PRICE_MSAT


def test_every_co_author_returns_their_part(world: World) -> None:
    bob, eve = add_author(world), add_author(world, "Eve")
    item_id = sell_shared(world, 3, {bob: 333_333, eve: 250_000})
    fill_wallet(world)
    buy_from_balance(world, item_id)
    # 3,000 msat less 30: a third and a quarter of 2,970, rounded down.
    assert earned(world, world.merchant_id, bob, eve) == (2_970 - 989 - 742, 989, 742)
    merchant_refunds(world, item_id=item_id)
    assert earned(world, world.merchant_id, bob, eve) == (0, 0, 0)
    assert (held(world, chart.COMMISSION), purses(world)) == (0, (20_000_000, 0))


def test_a_co_author_who_has_paid_out_keeps_the_purchase_as_it_is(world: World) -> None:
    bob = add_author(world)
    item_id = sell_shared(world, 20_000, {bob: 500_000})
    fill_wallet(world)
    buy_from_balance(world, item_id)
    pay_out(world, bob)
    # Nor is a merchant told what a co-author has.
    refuse(MerchantBalanceTooLow, lambda: merchant_refunds(world, item_id=item_id), r"^[^0-9]+$")
    assert revisions_alive(world, item_id) == [1]


def test_a_purchase_that_was_all_commission(world: World) -> None:
    with write_transaction(world.session):
        world.session.get_one(Merchant, world.merchant_id).commission_ppm = 1_000_000
    fill_wallet(world)
    buy_from_balance(world)
    assert (earned(world), held(world, chart.COMMISSION)) == ((0,), FILE_MSAT)
    merchant_refunds(world)
    assert (purses(world), held(world, chart.COMMISSION)) == ((20_000_000, 0), 0)


def test_nothing_goes_into_a_deleted_wallet(world: World) -> None:
    fill_wallet(world, FILE_MSAT)
    buy_from_balance(world)
    with write_transaction(world.session):
        world.session.get_one(Wallet, WALLET).closed_at = world.clock()
    refuse(RefundNotOffered, lambda: merchant_refunds(world), "deleted")


def paid_invoice(world: World, amount_msat: int | None = None) -> Purchase:
    purchase = world.buy(world.file_id)
    world.pay(purchase, amount_msat)
    world.mine(6)
    return purchase


def test_a_refunded_invoice_holds_its_money_as_credit(world: World) -> None:
    purchase = paid_invoice(world)
    assert earned(world) == (FILE_MSAT - FILE_COMMISSION_MSAT,)
    assert merchant_refunds(world, purchase.id) == FILE_MSAT
    assert (earned(world), held(world, chart.COMMISSION)) == ((0,), 0)
    stored = world.stored(purchase)
    assert (stored.credit_msat, stored.refunded_at) == (FILE_MSAT, world.clock())
    refuse(AlreadyRefunded, lambda: merchant_refunds(world, purchase.id))
    world.session.rollback()
    with pytest.raises(InvoiceNotPaid):
        claim_grant(world.deps, world.session, purchase.id, purchase.verifier)
    # Nothing that is seen of the payment later sells it once more.
    world.mine(3)
    world.check_unconfirmed()
    assert world.stored(purchase).sale_group is None
    assert held(world, chart.invoice(purchase.id)) == FILE_MSAT


def test_the_credit_of_a_refund_buys_again_and_can_be_refunded_again(world: World) -> None:
    purchase = paid_invoice(world, FILE_MSAT + 5_000)
    merchant_refunds(world, purchase.id)
    for _ in range(2):
        with write_transaction(world.session):
            redeem_credit(world.deps, world.session, purchase.id, purchase.verifier)
        assert world.stored(purchase).credit_msat == 5_000
        assert_nothing_lost(world)
        assert merchant_refunds(world, purchase.id) == FILE_MSAT
        assert world.stored(purchase).credit_msat == FILE_MSAT + 5_000
        assert_nothing_lost(world)
    assert earned(world) == (0,)


def test_a_late_payment_that_bought_is_given_back(world: World) -> None:
    purchase = world.buy(world.file_id)
    world.expire(1_000)
    world.pay(purchase)
    world.mine(6)
    with write_transaction(world.session):
        redeem_credit(world.deps, world.session, purchase.id, purchase.verifier)
    assert merchant_refunds(world, purchase.id) == FILE_MSAT
    stored = world.stored(purchase)
    assert (stored.credit_msat, stored.redeemed_msat) == (FILE_MSAT, 0)


def test_a_price_that_rose_since_is_given_back_as_it_was(world: World) -> None:
    purchase = paid_invoice(world)
    with write_transaction(world.session):
        change_price(world.session, world.file_id, "9000", "SAT")
    assert merchant_refunds(world, purchase.id) == FILE_MSAT


def test_a_payment_that_vanishes_after_a_refund_is_nobodys_loss(world: World) -> None:
    purchase = world.buy(world.file_id)
    reference = world.pay(purchase)
    merchant_refunds(world, purchase.id)
    world.rail.double_spend(reference)
    world.check_unconfirmed()
    assert held(world, chart.LOSS) == 0
    assert held(world, chart.invoice(purchase.id)) == 0
    assert world.stored(purchase).credit_msat == 0


def test_a_payment_that_vanished_leaves_nothing_to_give_back(world: World) -> None:
    purchase = world.buy(world.file_id)
    reference = world.pay(purchase)
    world.rail.double_spend(reference)
    world.check_unconfirmed()
    refuse(UnknownPurchase, lambda: merchant_refunds(world, purchase.id), "vanished")


def test_money_in_the_merchants_own_wallet_is_theirs_to_send(world: World) -> None:
    with write_transaction(world.session):
        world.session.get_one(Merchant, world.merchant_id).descriptor = "merchants own"
    purchase = paid_invoice(world)
    refuse(RefundNotOffered, lambda: merchant_refunds(world, purchase.id), "your own wallet")
    assert world.stored(purchase).refunded_at is None


def test_a_purchase_of_another_site_is_not_theirs(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    with write_transaction(world.session):
        other = add_site(
            world.deps, world.session, world.merchant_id, "Other", ["https://other.example"]
        )
        site_id = other.site.id

    def work() -> Refund:
        site = get_site(world.session, site_id)
        holder = holder_of(world)
        return refund.refund_by_merchant(world.deps, world.session, site, holder, world.file_id)

    refuse(UnknownPurchase, lambda: in_transaction(world, work), "does not sell")
