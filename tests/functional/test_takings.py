"""Sums of sales by the merchant's own days, on both engines."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.models.catalog import Item, Merchant
from bitcache_server.models.sales_book import RateHistory
from bitcache_server.models.session import write_transaction
from bitcache_server.services.funnels import Funnel, Glance, glance
from bitcache_server.services.sale_sums import add_to_item_days
from bitcache_server.services.takings import Takings, takings
from tests.support.shops import sell_at
from tests.support.takings import add_sales, sale
from tests.support.world import World

BERLIN = ZoneInfo("Europe/Berlin")
KATHMANDU = ZoneInfo("Asia/Kathmandu")


def at(zone: ZoneInfo, *when: int) -> int:
    return int(datetime(*when, tzinfo=zone).timestamp())  # type: ignore[arg-type, misc]


def settle(world: World, zone: ZoneInfo, *now: int, currency: str = "USD") -> None:
    """Say what the time is, and where the merchant lives."""
    world.clock.now = at(zone, *now)
    with write_transaction(world.session):
        merchant = world.session.get_one(Merchant, world.merchant_id)
        merchant.time_zone, merchant.currency = zone.key, currency


def read(world: World) -> Takings:
    world.session.rollback()
    merchant = world.session.get_one(Merchant, world.merchant_id)
    return takings(world.session, merchant, world.clock())


def by_day(found: Takings) -> dict[date, int]:
    return {one.day: one.sum.msat for one in found.days if one.sum.msat}


def test_a_day_begins_at_the_merchants_midnight(world: World) -> None:
    settle(world, KATHMANDU, 2026, 5, 20, 12)
    # Nepal is 5:45 ahead: the days of UTC and its own begin at no common hour.
    add_sales(
        world,
        sale(world, at(KATHMANDU, 2026, 5, 19, 23, 59, 59), 1_000),
        sale(world, at(KATHMANDU, 2026, 5, 20, 0, 0, 0), 20_000),
        sale(world, at(KATHMANDU, 2026, 5, 20, 11, 59, 59), 300_000),
    )
    found = read(world)
    assert by_day(found) == {date(2026, 5, 19): 1_000, date(2026, 5, 20): 320_000}
    assert (found.today.now.msat, found.today.now.sales) == (320_000, 2)


@pytest.mark.parametrize(
    ("day", "hours", "following"),
    [(date(2026, 3, 29), 23, date(2026, 3, 30)), (date(2026, 10, 25), 25, date(2026, 10, 26))],
)
def test_a_day_of_23_or_25_hours_is_one_day(
    world: World, day: date, hours: int, following: date
) -> None:
    settle(world, BERLIN, following.year, following.month, following.day, 12)
    begins = at(BERLIN, day.year, day.month, day.day)
    ends = at(BERLIN, following.year, following.month, following.day)
    assert ends - begins == hours * 3_600
    add_sales(
        world,
        sale(world, begins - 1, 1_000),
        *(sale(world, begins + hour * 3_600, 20_000) for hour in range(hours)),
        sale(world, ends, 300_000),
    )
    sums = by_day(read(world))
    assert sums[day] == hours * 20_000
    assert sums[following] == 300_000
    assert len(sums) == 3


def test_periods_are_compared_up_to_the_same_time(world: World) -> None:
    # A Wednesday.
    settle(world, BERLIN, 2026, 5, 20, 12)
    add_sales(
        world,
        sale(world, at(BERLIN, 2026, 5, 20, 8), 1_000),
        sale(world, at(BERLIN, 2026, 5, 19, 11, 59), 20_000),
        sale(world, at(BERLIN, 2026, 5, 19, 13), 300_000),
        sale(world, at(BERLIN, 2026, 5, 13, 11), 4_000_000),
        sale(world, at(BERLIN, 2026, 5, 15, 11), 50_000_000),
        sale(world, at(BERLIN, 2026, 4, 20, 11), 600_000_000),
        sale(world, at(BERLIN, 2026, 4, 21, 11), 7_000_000_000),
    )
    found = read(world)
    assert (found.today.now.msat, found.today.then.msat) == (1_000, 20_000)
    assert (found.week.now.msat, found.week.then.msat) == (321_000, 4_000_000)
    assert (found.month.now.msat, found.month.then.msat) == (54_321_000, 600_000_000)


def test_a_short_month_before_is_never_counted_into_this_one(world: World) -> None:
    settle(world, BERLIN, 2026, 3, 31, 12)
    add_sales(
        world,
        sale(world, at(BERLIN, 2026, 2, 28, 23), 1_000),
        sale(world, at(BERLIN, 2026, 3, 1, 1), 20_000),
    )
    found = read(world)
    assert (found.month.now.msat, found.month.then.msat) == (20_000, 1_000)


def test_what_is_given_back_counts_on_the_day_of_that(world: World) -> None:
    settle(world, BERLIN, 2026, 5, 20, 12)
    sold, back = at(BERLIN, 2026, 5, 10, 12), at(BERLIN, 2026, 5, 18, 12)
    add_sales(
        world,
        sale(world, sold, 50_000, 1, state="refunded", refunded_at=back),
        sale(world, sold, 7_000, 2, state="reversed", reversed_at=back),
        sale(world, sold, 1_000, 3),
    )
    found = read(world)
    assert by_day(found) == {date(2026, 5, 10): 58_000, date(2026, 5, 18): -57_000}
    assert (found.month.now.msat, found.month.now.sales) == (1_000, 1)
    (best,) = glance(world.session, world.merchant_id, 0).best
    assert (best.item_id, best.sum.paid, best.sum.revenue_msat) == (world.article_id, 1, 1_000)


def test_the_best_come_first_and_of_the_unsold_the_most_seen(world: World) -> None:
    settle(world, BERLIN, 2026, 5, 20, 12)
    now, day = world.clock(), world.clock() // SECONDS_PER_DAY
    names = [sell_at(world, 1) for _ in range(7)]
    add_sales(world, *(sale(world, now, 1_000 + n, n, item_id=one) for n, one in enumerate(names)))
    seen = [sell_at(world, 1) for _ in range(5)]
    with write_transaction(world.session):
        counted = {(one, day): {"seen": 49 + n} for n, one in enumerate(seen)}
        add_to_item_days(world.session, counted)
        world.session.get_one(Item, seen[4]).archived_at = now
    found = glance(world.session, world.merchant_id, now)
    assert [one.item_id for one in found.best] == names[:1:-1]
    assert [one.item_id for one in found.unsold] == [seen[3], seen[2], seen[1]]
    assert found.whole.paid == 7
    assert found.whole.seen == sum(range(49, 54))


def test_worth_is_that_of_the_time_of_the_sale(world: World) -> None:
    settle(world, BERLIN, 2026, 5, 20, 12)
    noon = at(BERLIN, 2026, 5, 20, 10)
    add_sales(
        world,
        # 98 of 100 are the merchant's: so are 98 of 100 cents.
        sale(world, noon, 98_000, 1, price_msat=100_000, commission_msat=2_000, fiat_minor=100),
        sale(world, noon, 98_000, 2, price_msat=100_000, commission_msat=2_000, fiat_minor=300),
    )
    assert read(world).today.now.minor == 392


@pytest.mark.parametrize(("currency", "minor"), [("JPY", 2_000_000), ("KWD", 2_000_000_000)])
def test_sales_in_other_currencies_are_worth_what_their_day_says(
    world: World, currency: str, minor: int
) -> None:
    settle(world, BERLIN, 2026, 5, 20, 12, currency=currency)
    morning, day_before = at(BERLIN, 2026, 5, 20, 10), at(BERLIN, 2026, 5, 19, 10)
    rates = [(day_before, "1"), (morning, "1000000"), (morning + 3_600, "2000000")]
    with write_transaction(world.session):
        for as_of, price in rates:
            world.session.add(
                RateHistory(currency=currency, as_of=as_of, price_per_btc=price, sources="test")
            )
    # A whole bitcoin, sold in dollars.
    add_sales(world, sale(world, morning, 10**11, fiat_currency="USD", fiat_minor=100))
    assert read(world).today.now.minor == minor


def test_nobody_elses_sales_are_counted(world: World) -> None:
    settle(world, BERLIN, 2026, 5, 20, 12)
    theirs = sale(world, world.clock(), 1_000, merchant_id="me_other", item_id="it_other")
    add_sales(world, theirs)
    assert read(world).month.now.sales == 0
    assert glance(world.session, world.merchant_id, 0) == Glance(Funnel(), [], [])
