"""/dashboard and /dashboard/<merchant>: the first page that a merchant sees."""

import pytest

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.http.checkout_words import minor_words
from bitcache_server.http.dashboard.chart import draw
from bitcache_server.http.money import change, exact_sats, percent, sats
from bitcache_server.ledger import chart
from bitcache_server.models.access import SiteContact, SiteSecret
from bitcache_server.models.catalog import Item
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import write_transaction
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import add_merchant
from bitcache_server.services.sale_sums import add_to_item_days
from tests.support.dashboard import sign_in
from tests.support.takings import add_sales, sale
from tests.support.world import World


def test_an_account_with_one_merchant_is_led_to_it(world: World) -> None:
    person = sign_in(world, Role.ACCOUNTANT)
    answer = person.get("/dashboard")
    assert (answer.status_code, answer.location) == (303, person.path())
    page = person.get(".")
    assert page.status_code == 200
    assert "Ada" in page.text


def test_who_is_not_signed_in_is_led_to_the_sign_in_page(world: World) -> None:
    answer = world.client.get(f"/dashboard/{world.merchant_id}")
    assert answer.status_code == 303
    assert answer.location.startswith("/account/sign-in?next=%2Fdashboard%2F")


def begun(world: World) -> None:
    """Let a page of the site have asked for an item."""
    with write_transaction(world.session):
        contact = world.session.get(SiteContact, world.site_id)
        if contact is None:
            contact = SiteContact(site_id=world.site_id)
            world.session.add(contact)
        contact.widget_at = world.clock()


def test_a_new_merchant_sees_the_steps_and_not_zeros(world: World) -> None:
    with write_transaction(world.session):
        merchant_id = add_merchant(world.deps, world.session, "Grace", None).id
    page = sign_in(world, merchant_id=merchant_id).get(".").text
    assert "Add a site" in page
    assert "0 sats" not in page
    assert f"/dashboard/{merchant_id}/sites" in page
    # The shop of these tests has site and items; what is left is the tag.
    assert sign_in(world).get(".").text.count(">Done<") == 2
    begun(world)
    assert "The last 30 days" in sign_in(world).get(".").text


def test_home_shows_what_was_taken_in(world: World) -> None:
    begun(world)
    now = world.clock()
    sold = [sale(world, now - 60, 98_765_432, 1, fiat_minor=9_900), sale(world, now, 999, 2)]
    add_sales(world, *sold)
    page = sign_in(world, Role.ACCOUNTANT).get(".").text
    # The numbers are rounded for people, and exact in the title.
    assert 'title="98,766.431 sats">98,766 sats' in page
    assert "97.06 USD" in page
    assert "2 sales" in page
    assert 'role="img" aria-label="' in page
    assert page.count("<rect ") == 1
    assert "On engines" in page
    # An accountant is not led to pages that they may not see.
    assert "/items/" not in page


def test_the_funnel_has_rates(world: World) -> None:
    begun(world)
    day = world.clock() // SECONDS_PER_DAY
    with write_transaction(world.session):
        sums = {(world.article_id, day): {"seen": 200, "started": 20}}
        add_to_item_days(world.session, sums)
    bought = [sale(world, world.clock(), 1_000, n, invoice_id=f"in_{n}") for n in range(5)]
    add_sales(world, *bought)
    page = sign_in(world).get(".").text
    assert "10% of those who saw it" in page
    assert "25% of those who started" in page


def test_what_needs_attention_leads_to_where_it_is_mended(world: World) -> None:
    now, day = world.clock(), world.clock() // SECONDS_PER_DAY
    with write_transaction(world.session):
        item = world.session.get_one(Item, world.article_id)
        item.title = "<b>Unsold</b>"
        sums = {(world.article_id, day): {"seen": 99}, (world.file_id, day): {"seen": 49}}
        add_to_item_days(world.session, sums)
        world.session.add(
            Payout(
                id="po_1", owner_account=chart.merchant(world.merchant_id), rail="fake",
                destination="x", amount_msat=1_000, fee_msat=0, state="failed",
                idempotency_key="k", created_at=now,
            )
        )  # fmt: skip
        world.session.add(
            SiteSecret(site_id=world.site_id, secret_hash="h" * 64, valid_until=now + 3_600)
        )
    person = sign_in(world)
    page = person.get(".").text
    assert "<bdi>&lt;b&gt;Unsold&lt;/b&gt;</bdi> was seen 99 times" in page
    for path in (f"/items/{world.article_id}", "/payouts", f"/sites/{world.site_id}"):
        assert f'href="{person.path(path)}"' in page
    assert "A payout failed" in page
    assert "stops working" in page
    assert "Nothing has been heard of the site" in page
    assert world.file_id not in page
    accountant = sign_in(world, Role.ACCOUNTANT).get(".").text
    assert "A payout failed" in accountant
    assert "Unsold" not in accountant
    assert "stops working" not in accountant


def test_a_rail_that_is_ill_is_named(world: World) -> None:
    person = sign_in(world)
    assert "Payments over" not in person.get(".").text
    world.clock.pass_time(world.deps.settings.rail_stale_after_s + 1)
    assert "Payments over <bdi>fake</bdi> are not offered" in person.get(".").text


def test_a_chart_goes_below_zero_and_has_room_for_all(world: World) -> None:
    chart_ = draw([0, 3_000, -1_500_000, 7_654_321], ["a", "b", "c", "d"])
    assert (chart_.top_msat, chart_.bottom_msat) == (10_000_000, -2_000_000)
    assert [bar.height for bar in chart_.bars] == [0, 1, 12, 63]
    for bar in chart_.bars:
        assert bar.y >= 0
        assert bar.y + bar.height <= chart_.height
    assert draw([0], ["none"]).top_msat == 1_000


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "1,234 sats|1.235 KWD|1,235 JPY"),
        ("de", "1.234 Sats|1,235 KWD|1.235 JPY"),
        ("fr", "1 234 sats|1,235 KWD|1 235 JPY"),
    ],
)
def test_amounts_are_written_as_the_language_does(
    world: World, language: str, expected: str
) -> None:
    with world.app.test_request_context(f"/?lang={language}"):
        shown = (sats(1_234_567), minor_words(1_235, "KWD"), minor_words(1_235, "JPY"))
        plain = [text.replace("\N{NO-BREAK SPACE}", " ").replace("\u202f", " ") for text in shown]
    assert "|".join(plain) == expected


def test_nothing_is_rounded_in_exact_amounts(world: World) -> None:
    with world.app.test_request_context("/?lang=en"):
        amounts = [0, 1, 999, 1_000, 1_001, -1, -1_500, -2_999]
        assert [exact_sats(one) for one in amounts] == [
            "0 sats", "0.001 sats", "0.999 sats", "1 sat", "1.001 sats", "-0.001 sats",
            "-1.5 sats", "-2.999 sats",
        ]  # fmt: skip
        assert [sats(one) for one in amounts] == [
            "0 sats", "0.001 sats", "0.999 sats", "1 sat", "1 sat", "-0.001 sats",
            "-1 sats", "-2 sats",
        ]  # fmt: skip
        assert percent(1, 3) == "33.3%"
        assert change(150, 100) == "+50%"
        assert change(50, 100) == "-50%"
