"""/dashboard/<merchant>/orders: look, make one by hand, cancel, give back, take the document."""

import pytest
from sqlalchemy import func, select

from bitcache_server.models.accounts import AuditEntry
from bitcache_server.models.orders import Order
from bitcache_server.models.session import write_transaction
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import add_merchant
from tests.support.dashboard import Person, sign_in
from tests.support.orders import assert_sold_once, begin, make_order, read_order, sat_order
from tests.support.world import ORIGIN, World


@pytest.fixture
def person(sqlite_world: World) -> Person:
    return sign_in(sqlite_world, Role.EDITOR)


def form(world: World, **changed: str) -> dict[str, object]:
    return {
        "site": world.site_id,
        "currency": "EUR",
        "reference": "H-1",
        "title_0": "Repair <script>alert(1)</script>",
        "quantity_0": "2",
        "price_0": "45.50",
        "tax_0": "19",
        "title_1": "Voucher",
        "quantity_1": "1",
        "price_1": "-1",
        **changed,
    }


def deeds(world: World) -> list[str]:
    world.session.rollback()
    found = list(world.session.scalars(select(AuditEntry.action).order_by(AuditEntry.action)))
    world.session.rollback()
    return found


def test_the_list_and_its_filters(world: World) -> None:
    person = sign_in(world)
    assert "There are no orders yet" in person.get("./orders").text
    first = make_order(world, reference="2026-01", customer_ref="Ms Ω")
    make_order(world, reference="2026-02", currency="JPY", lines=[{"title": "x", "unit_minor": 7}],
               total_minor=7)  # fmt: skip
    shown = person.get("./orders").text
    for words in ("2026-01", "Ms Ω", "12.50 USD", "7 JPY"):
        assert words in shown
    assert "2026-02" not in person.get("./orders?q=2026-01").text
    assert "No order is like that" in person.get("./orders?state=paid").text
    assert "2026-01" in person.get("./orders?state=open&q=2026").text
    assert person.get("./orders?cursor=nonsense").status_code == 422
    assert person.get(f"./orders/{first['id']}").status_code == 200
    assert "2026-01" not in person.get("./orders?q=%25").text


def test_an_order_by_hand(sqlite_world: World, person: Person) -> None:
    assert person.get("./orders/new").status_code == 200
    made = person.post("./orders/new", form(sqlite_world))
    assert made.status_code == 303, made.text
    again = person.post("./orders/new", form(sqlite_world))
    assert again.location == made.location
    page = person.get(made.location)
    assert "The order is made" in page.text
    assert "90.00 EUR" in page.text
    assert "<script>alert" not in page.text
    assert deeds(sqlite_world) == ["order.created", "order.created"]
    order = sqlite_world.session.scalars(select(Order)).one()
    assert (order.total_minor, order.merchant_id) == (9_000, sqlite_world.merchant_id)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"price_0": "4.505"}, "EUR has 2 decimals"),
        ({"price_0": "ten"}, "Give the price as a text"),
        ({"quantity_0": "1.5"}, "A quantity is a whole number"),
        ({"tax_0": "a lot"}, "Give the tax rate in per cent"),
        ({"title_0": "", "price_0": "", "title_1": "", "price_1": ""}, "at least one line"),
        ({"return_url": "https://evil.example/"}, "not an origin of this site"),
        ({"price_1": "-500"}, "An order must cost more than 0"),
        ({"currency": "XXX"}, "not a currency"),
        ({"site": "st_nothing"}, "There is no site"),
    ],
)
def test_what_is_wrong_with_the_form_is_said(
    sqlite_world: World, person: Person, changed: dict[str, str], words: str
) -> None:
    answer = person.post("./orders/new", form(sqlite_world, **changed))
    assert answer.status_code in (404, 422)
    assert words in answer.text
    assert sqlite_world.session.scalar(select(func.count()).select_from(Order)) == 0


def test_an_order_is_cancelled_once(sqlite_world: World, person: Person) -> None:
    order = sat_order(sqlite_world)
    one = f"./orders/{order['id']}"
    assert person.post(f"{one}/cancel", {}).status_code == 303
    assert "Money that still arrives" in person.get(f"{one}?done=cancelled").text
    assert person.post(f"{one}/refund", {}).status_code == 404
    assert read_order(sqlite_world, str(order["id"]))["state"] == "cancelled"
    assert deeds(sqlite_world) == ["order.cancelled"]


def test_a_paid_order_is_given_back_once(world: World) -> None:
    person, order = sign_in(world, Role.EDITOR), sat_order(world)
    one = f"./orders/{order['id']}"
    purchase = begin(world, order)
    world.pay(purchase)
    world.mine()
    page = person.get(one).text
    for words in (purchase.id, "5,000 sats", "Give the money back", "Invoice (PDF)"):
        assert words in page
    assert person.post(f"{one}/cancel", {}).status_code == 409
    assert person.post(f"{one}/refund", {}).status_code == 303
    assert person.post(f"{one}/refund", {}).status_code == 404
    assert "Given back" in person.get(one).text
    assert deeds(world) == ["order.refunded"]
    assert_sold_once(world)


def test_documents_have_numbers_without_a_hole(world: World) -> None:
    person = sign_in(world)
    paid = [sat_order(world) for _ in range(3)]
    open_one = sat_order(world)
    for order in paid:
        world.pay(begin(world, order))
    world.mine()
    refused = person.get(f"./orders/{open_one['id']}/invoice.pdf")
    assert (refused.status_code, refused.mimetype) == (409, "text/html")
    names = []
    for order in [paid[2], paid[0], paid[2], paid[1]]:
        answer = person.get(f"./orders/{order['id']}/invoice.pdf")
        assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
        names.append(answer.headers["Content-Disposition"])
    assert [name.split("-")[-1] for name in names] == ['1.pdf"', '2.pdf"', '1.pdf"', '3.pdf"']


def test_who_may_and_who_may_not(sqlite_world: World) -> None:
    order = sat_order(sqlite_world)
    with write_transaction(sqlite_world.session):
        other_id = add_merchant(sqlite_world.deps, sqlite_world.session, "Bob", None).id
    stranger = sign_in(sqlite_world, merchant_id=other_id)
    accountant = sign_in(sqlite_world, Role.ACCOUNTANT)
    for path in ("./orders", "./orders/new", "./orders/links", f"./orders/{order['id']}"):
        assert accountant.get(path).status_code == 403
    mine = f"/dashboard/{other_id}/orders/{order['id']}"
    for path in (mine, f"{mine}/invoice.pdf"):
        assert stranger.get(path).status_code == 404
    for path in (f"{mine}/cancel", f"{mine}/refund"):
        assert stranger.post(path, {}).status_code == 404
    foreign = stranger.post("./orders/new", form(sqlite_world, return_url=ORIGIN))
    assert (foreign.status_code, "There is no site" in foreign.text) == (404, True)
    assert (
        stranger.post(f"./orders/{order['id']}/cancel", {}, Sec_Fetch_Site="cross-site").status_code
        == 403
    )
    assert read_order(sqlite_world, str(order["id"]))["state"] == "open"
