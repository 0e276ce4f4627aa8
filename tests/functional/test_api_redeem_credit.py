"""POST /v1/invoices/{invoice_id}/redeem"""

from sqlalchemy import func, select
from werkzeug.test import TestResponse

from bitcache_server.models.ledger import Grant
from tests.support.api import assert_refused, at_once, call
from tests.support.world import LOCKED, Purchase, World


def redeem(world: World, purchase: Purchase, verifier: str | None = None) -> TestResponse:
    body = {"verifier": purchase.verifier if verifier is None else verifier}
    return call(world, "POST", f"/v1/invoices/{purchase.id}/redeem", json=body)


def grants(world: World) -> int:
    world.session.rollback()
    return world.session.scalar(select(func.count()).select_from(Grant)) or 0


def paid_late(world: World, amount_msat: int = 5_000_000) -> Purchase:
    purchase = world.buy()
    world.expire(world.deps.settings.invoice_lifetime_s + 1)
    world.pay(purchase, amount_msat)
    return purchase


def price(world: World, sat: int) -> str:
    """Price an item of its own in sats, or change its price; return its id."""
    body = {"title": "A", "price": sat, "currency": "SAT", "content_html": "x", "external_id": "a"}
    return str(call(world, "POST", "/v1/items", world.secret, json=body).get_json()["id"])


def test_money_that_came_late_buys_the_item(world: World) -> None:
    purchase = paid_late(world)
    view = world.read(purchase)
    assert (view["state"], view["marks"], view["credit_msat"]) == ("expired", ["late"], 5_000_000)
    answer = redeem(world, purchase)
    assert answer.status_code == 200, answer.text
    grant = answer.get_json()["grant"]
    article = call(world, "GET", f"/v1/content/{world.article_id}", grant).get_json()
    assert article["html"] == LOCKED
    assert world.read(purchase)["credit_msat"] == 0
    # From now on a claim finds it, too: on another device, with the receipt code.
    claimed = call(
        world, "POST", f"/v1/invoices/{purchase.id}/claim", json={"verifier": purchase.verifier}
    )
    assert claimed.get_json() == answer.get_json()
    world.assert_books_balance()


def test_it_sells_once(world: World) -> None:
    purchase = paid_late(world, 12_000_000)
    # So much does not count on sight.
    world.mine()
    answers = at_once(5, lambda _: redeem(world, purchase))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len({answer.data for answer in answers}) == 1
    assert redeem(world, purchase).data == answers[0].data
    assert grants(world) == 1
    assert world.read(purchase)["credit_msat"] == 7_000_000
    world.mine(2)
    assert world.read(purchase)["credit_msat"] == 7_000_000
    world.assert_books_balance()


def test_at_the_price_of_today(world: World) -> None:
    item_id = price(world, 5_000)
    cheap, dear = world.buy(item_id), world.buy(item_id)
    world.expire(world.deps.settings.invoice_lifetime_s + 1)
    world.pay(cheap)
    world.pay(dear)
    price(world, 6_000)
    problem = assert_refused(world, redeem(world, dear), 409, "no_credit")
    assert "6000000 msat" in problem["detail"]
    price(world, 2_000)
    assert redeem(world, cheap).status_code == 200
    assert world.read(cheap)["credit_msat"] == 3_000_000
    # What was short is not lost: more money on the same invoice makes it enough.
    price(world, 6_000)
    world.pay(dear, 1_000_000)
    assert redeem(world, dear).status_code == 200
    assert world.read(dear)["credit_msat"] == 0
    world.assert_books_balance()


def test_not_enough(world: World) -> None:
    nothing = world.buy()
    assert_refused(world, redeem(world, nothing), 409, "no_credit")
    short = paid_late(world, 4_999_000)
    assert_refused(world, redeem(world, short), 409, "no_credit")
    assert world.read(short)["credit_msat"] == 4_999_000
    assert grants(world) == 0
    world.assert_books_balance()


def test_a_paid_invoice_gives_its_own_grant_and_keeps_the_surplus(world: World) -> None:
    purchase = world.buy()
    world.pay(purchase, 50_000_000)
    world.mine()
    claimed = world.claim(purchase).get_json()
    assert redeem(world, purchase).get_json() == claimed
    assert world.read(purchase)["credit_msat"] == 45_000_000
    assert grants(world) == 1
    world.assert_books_balance()


def test_without_a_rate_the_credit_waits(sqlite_world: World) -> None:
    purchase = paid_late(sqlite_world)
    sqlite_world.clock.pass_time(sqlite_world.deps.settings.rate_max_age_s + 1)
    assert_refused(sqlite_world, redeem(sqlite_world, purchase), 503, "rate_unavailable")
    assert sqlite_world.read(purchase)["credit_msat"] == 5_000_000


def test_only_who_created_the_invoice(world: World) -> None:
    other, purchase = world.buy(), paid_late(world)
    for verifier in (other.verifier, "", "v" * 43, "☃"):
        assert_refused(world, redeem(world, purchase, verifier), 403, "verifier_mismatch")
    purchase.invoice["id"] = "in_x"
    assert_refused(world, redeem(world, purchase), 404, "unknown_invoice")
