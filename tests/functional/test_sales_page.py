"""/dashboard/<merchant>/sales and one sale of it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from bitcache_server.extensions import db
from bitcache_server.models.accounts import AuditEntry
from bitcache_server.models.catalog import Item, Merchant
from bitcache_server.models.payouts import Refund
from bitcache_server.models.session import write_transaction
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import add_merchant, add_site, get_site
from bitcache_server.services.rail_health import record_health
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.refund import refund_by_merchant
from tests.support.dashboard import sign_in
from tests.support.purchases import (
    FILE_COMMISSION_MSAT,
    FILE_MSAT,
    WALLET,
    add_author,
    buy_from_balance,
    fill_wallet,
    holder_of,
    pay_out,
    purses,
    sell_shared,
)
from tests.support.sales_book import book, write_book
from tests.support.shops import assert_nothing_lost, sell_at
from tests.support.world import START, World

MARKUP = '<img src=x onerror="alert(1)">'


def buy_file(world: World) -> str:
    """Let a reader buy the file and return the sale's id."""
    fill_wallet(world)
    buy_from_balance(world)
    return book(world)[-1].id


def test_an_accountant_sees_sales_and_sums(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    world.pay(world.buy())
    book(world)
    page = sign_in(world, Role.ACCOUNTANT).get("./sales")
    assert page.status_code == 200
    for words in ("A song", "On engines", "12,000 sats", "0.07 USD", "11,880 sats", "0.12 USD"):
        assert words in page.text, words
    assert_nothing_lost(world)


def test_nothing_was_sold_yet(sqlite_world: World) -> None:
    page = sign_in(sqlite_world).get("./sales")
    assert "Nothing was sold yet." in page.text
    assert "No sale is like that." in sign_in(sqlite_world).get("./sales?q=x").text


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("", {"A song", "On engines", "Together"}),
        ("q=song", {"A song"}),
        ("q=SONG", {"A song"}),
        ("q=%25", set()),
        ("q={invoice}", {"On engines"}),
        ("q={holder}", {"A song", "Together"}),
        ("item={song}", {"A song"}),
        ("site={site}", {"A song", "On engines", "Together"}),
        ("site=st_other", set()),
        ("kind=sent", set()),
        ("kind=sale", {"A song", "On engines", "Together"}),
        ("rail=balance", {"A song", "Together"}),
        ("rail=fake", {"On engines"}),
        ("state=refunded", {"Together"}),
        ("state=paid", {"A song", "On engines"}),
        # It is 8 o'clock on 15 January 2027 in UTC when the world begins.
        ("period=today", {"On engines", "Together"}),
        ("period=yesterday", {"A song"}),
        ("from=2027-01-15&to=2027-01-15", {"A song"}),
        ("from=2027-01-16", {"On engines", "Together"}),
        ("to=2027-01-14", set()),
        ("period=month", {"A song", "On engines", "Together"}),
        ("period=last_month", set()),
    ],
)
def test_filters(sqlite_world: World, query: str, titles: set[str]) -> None:
    world = sqlite_world
    fill_wallet(world)
    buy_from_balance(world)
    world.clock.pass_time(86_400)
    record_health(world.deps, world.session, world.rail)
    refresh_rates(world.deps, world.session)
    purchase = world.buy()
    buy_from_balance(world, sell_shared(world, 10, {}))
    with write_transaction(world.session):
        site = get_site(world.session, world.site_id)
        together = world.session.scalars(select(Item.id).where(Item.title == "Together")).one()
        refund_by_merchant(world.deps, world.session, site, holder_of(world), together)
    world.pay(purchase)
    book(world)
    named = {
        "invoice": purchase.id,
        "holder": holder_of(world),
        "song": world.file_id,
        "site": world.site_id,
    }
    page = sign_in(world).get("./sales?" + query.format(**named))
    assert page.status_code == 200
    shown = {title for title in ("A song", "On engines", "Together") if f">{title}<" in page.text}
    assert shown == titles


@pytest.mark.parametrize(
    "query",
    ["from=2027-02-30", "to=soon", "period=ever", "state=x", "kind=x", "cursor=x",
     "from=2027-02-01&to=2027-01-01", "from=0001-01-01", "from=9999-12-31"],
)  # fmt: skip
def test_what_cannot_be_asked_is_shown_again(sqlite_world: World, query: str) -> None:
    page = sign_in(sqlite_world).get(f"./sales?{query}")
    assert page.status_code == 422
    assert 'role="alert"' in page.text


def test_days_are_those_of_the_merchant(world: World) -> None:
    """23:30 in New York is the next day in UTC."""
    fill_wallet(world)
    with write_transaction(world.session):
        world.session.get_one(Merchant, world.merchant_id).time_zone = "America/New_York"
    world.clock.pass_time(1_800_073_800 - START)
    buy_from_balance(world)
    book(world)
    page = sign_in(world).get("./sales?from=2027-01-15&to=2027-01-15")
    assert "15 Jan 2027, 23:30" in page.text
    assert "A song" not in sign_in(world).get("./sales?from=2027-01-16").text


def test_pages_follow_each_other(sqlite_world: World) -> None:
    world = sqlite_world
    fill_wallet(world, 100_000_000)
    for number in range(60):
        world.clock.pass_time(number % 2)
        buy_from_balance(world, sell_at(world, 1))
    book(world)
    person = sign_in(world)
    first = person.get("./sales").text
    assert first.count('class="when-sold"') == 50
    address = next(part for part in first.split('"') if "cursor=" in part)
    second = person.get(address.replace("&amp;", "&")).text
    assert second.count('class="when-sold"') == 10
    assert "Newest" in second


def test_one_sale_in_full(world: World) -> None:
    purchase = world.buy()
    reference = world.pay(purchase)
    (sale,) = book(world)
    page = sign_in(world, Role.ACCOUNTANT).get(f"./sales/{sale.id}")
    assert page.status_code == 200
    for words in (
        "On engines", purchase.id, reference, "5,000 sats", "50 sats", "4,950 sats", "0.05 USD",
        "1000 USD for one bitcoin", "Open for ever", sale.group_id, "Counts",
    ):  # fmt: skip
        assert words in page.text, words
    # An accountant looks, and changes nothing.
    assert "Give it back" not in page.text
    assert_nothing_lost(world)


def test_markup_stays_text_everywhere(sqlite_world: World) -> None:
    world = sqlite_world
    with write_transaction(world.session):
        world.session.get_one(Item, world.file_id).title = MARKUP
        world.session.get_one(Merchant, world.merchant_id).name = MARKUP
    sale_id = buy_file(world)
    person = sign_in(world)
    for path in ("./sales", f"./sales/{sale_id}", f"./sales/{sale_id}/refund", "./settings"):
        page = person.get(path)
        assert page.status_code == 200
        assert "<img" not in page.text
        assert "&lt;img" in page.text


def test_another_merchants_sale_is_none(world: World) -> None:
    sale_id = buy_file(world)
    with write_transaction(world.session):
        other = add_merchant(world.deps, world.session, "Eve", None).id
    eve = sign_in(world, Role.OWNER, merchant_id=other)
    for path in (f"./sales/{sale_id}", f"./sales/{sale_id}/refund", "./sales/sa_none"):
        assert eve.get(path).status_code == 404
    assert eve.post(f"./sales/{sale_id}/refund", {}).status_code == 404
    assert "A song" not in eve.get("./sales").text
    for name in ("sales.csv", "sales.jsonl", "sales/accounting.csv?month=2027-01"):
        assert sale_id not in eve.get(f"./{name}").text
    # Nor does she see what is not hers by the address of whose it is.
    own = f"/dashboard/{world.merchant_id}/sales"
    assert eve.get(own).status_code == 404
    assert [row.state for row in book(world)] == ["paid"]
    assert_nothing_lost(world)


def test_a_refund_is_asked_for_twice_and_done_once(world: World) -> None:
    sale_id = buy_file(world)
    person = sign_in(world, Role.EDITOR)
    assert "Give it back now" in person.get(f"./sales/{sale_id}/refund").text
    before = purses(world)
    answer = person.post(f"./sales/{sale_id}/refund", {})
    assert (answer.status_code, answer.location) == (
        303, person.path(f"/sales/{sale_id}?done=refunded"),
    )  # fmt: skip
    again = person.post(f"./sales/{sale_id}/refund", {})
    assert again.location == person.path(f"/sales/{sale_id}?done=before")
    assert purses(world)[0] == before[0] + FILE_MSAT
    (sale,) = book(world)
    assert (sale.state, sale.refund_by) == ("refunded", "merchant")
    page = person.get(f"./sales/{sale_id}")
    assert "Given back by you" in page.text
    assert "Ended on" in page.text
    entry = world.session.scalars(select(AuditEntry).where(AuditEntry.subject == sale_id)).one()
    assert (entry.action, entry.account_id) == ("sale.refunded", person.account_id)
    assert_nothing_lost(world)


def test_exactly_the_sale_that_was_chosen_is_given_back(world: World) -> None:
    fill_wallet(world, 50_000_000)
    with write_transaction(world.session):
        world.session.get_one(Item, world.file_id).access_hours = 1
    buy_from_balance(world)
    world.clock.pass_time(4_000)
    buy_from_balance(world)
    early, late = book(world)
    sign_in(world).post(f"./sales/{early.id}/refund", {})
    assert [(row.id, row.state) for row in book(world)] == [
        (early.id, "refunded"), (late.id, "paid"),
    ]  # fmt: skip
    assert_nothing_lost(world)


def test_what_the_merchant_no_longer_has_is_not_given_back(world: World) -> None:
    sale_id = buy_file(world)
    pay_out(world)
    answer = sign_in(world).post(f"./sales/{sale_id}/refund", {})
    assert answer.status_code == 409
    assert "Your balance here is smaller" in answer.text
    assert [row.state for row in book(world)] == ["paid"]
    assert_nothing_lost(world)


def test_roles_and_forms_of_other_sites(world: World) -> None:
    sale_id = buy_file(world)
    accountant = sign_in(world, Role.ACCOUNTANT)
    assert accountant.get(f"./sales/{sale_id}/refund").status_code == 403
    assert accountant.post(f"./sales/{sale_id}/refund", {}).status_code == 403
    assert accountant.get("./settings").status_code == 403
    foreign = {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"}
    owner = sign_in(world)
    for path in (
        f"./sales/{sale_id}/refund",
        "./settings",
        f"./settings/sites/{world.site_id}/tax",
    ):
        assert owner.post(path, {}, **foreign).status_code == 403
    assert [row.state for row in book(world)] == ["paid"]


def test_two_refunds_at_once_give_back_once(world: World) -> None:
    sale_id = buy_file(world)
    people = [sign_in(world, Role.EDITOR) for _ in range(2)]
    before = purses(world)[0]
    world.session.rollback()
    together = threading.Barrier(2)

    def refund(number: int) -> int:
        together.wait(30)
        with world.app.app_context():
            try:
                return people[number].post(f"./sales/{sale_id}/refund", {}).status_code
            finally:
                db.session.remove()

    with ThreadPoolExecutor(2) as threads:
        assert set(threads.map(refund, range(2))) <= {303, 503}
    assert purses(world)[0] == before + FILE_MSAT
    assert len(world.session.scalars(select(Refund)).all()) == 1
    assert [row.state for row in book(world)] == ["refunded"]
    assert_nothing_lost(world)


def test_a_share_shows_nothing_of_the_other_merchant(world: World) -> None:
    bob = add_author(world)
    purchase = world.buy(sell_shared(world, 20_000, {bob: 250_000}))
    reference = world.pay(purchase)
    world.mine()
    (his,) = book(world, bob)
    page = sign_in(world, Role.OWNER, merchant_id=bob).get(f"./sales/{his.id}")
    assert "Share of another" in page.text
    for words in (reference, "Ada's blog", "Give it back", "Commission"):
        assert words not in page.text, words
    answer = sign_in(world, Role.OWNER, merchant_id=bob).post(f"./sales/{his.id}/refund", {})
    assert answer.status_code == 409
    assert_nothing_lost(world)


def test_each_wallet_stays_unnamed(world: World) -> None:
    sale_id = buy_file(world)
    person = sign_in(world)
    for path in ("./sales", f"./sales/{sale_id}", "./sales.csv", "./sales.jsonl"):
        assert WALLET not in person.get(path).text


def test_commission_of_the_figures(sqlite_world: World) -> None:
    buy_file(sqlite_world)
    write_book(sqlite_world)
    assert f"{FILE_COMMISSION_MSAT // 1000} sats" in sign_in(sqlite_world).get("./sales").text


def test_items_of_two_sites_are_told_apart(sqlite_world: World) -> None:
    world = sqlite_world
    with write_transaction(world.session):
        site = add_site(world.deps, world.session, world.merchant_id, "B", ["https://b.example"])
        new = NewItem(title="Elsewhere", price=5, currency="SAT", content_html="<p>b</p>")
        other_id = add_item(world.deps, world.session, site.site, new).id
        site_id = site.site.id
    fill_wallet(world)
    buy_from_balance(world)
    buy_from_balance(world, other_id)
    book(world)
    page = sign_in(world).get(f"./sales?site={site_id}")
    assert ">Elsewhere<" in page.text
    assert ">A song<" not in page.text
