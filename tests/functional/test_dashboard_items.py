"""/dashboard/<merchant>/items: the list, prices in place, changes of many at once."""

import json
import re

import pytest
from sqlalchemy import select

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.models.accounts import AuditEntry
from bitcache_server.models.catalog import Item
from bitcache_server.models.session import write_transaction
from bitcache_server.services import item_changes
from bitcache_server.services.item_list import PAGE_SIZE
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.members import Role
from bitcache_server.services.merchants import add_merchant, add_site, get_site
from bitcache_server.services.sale_sums import add_to_item_days
from tests.support.dashboard import Person, sign_in
from tests.support.takings import add_sales, sale
from tests.support.world import World

NASTY = "<script>alert(1)</script> & \"quoted\" 'single' \u202eright to left"


@pytest.fixture
def person(world: World) -> Person:
    return sign_in(world, Role.EDITOR)


def price_of(world: World, item_id: str) -> tuple[str, int, int | None]:
    world.session.rollback()
    item = world.session.get_one(Item, item_id)
    found = (item.price_currency, item.price_amount, item.access_hours)
    world.session.rollback()
    return found


def entries(world: World, action: str) -> list[tuple[str, dict[str, object]]]:
    world.session.rollback()
    query = select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.subject)
    rows = world.session.scalars(query).all()
    found = [(row.subject, json.loads(row.detail)) for row in rows]
    world.session.rollback()
    return found


def sell(world: World, title: str, **other: object) -> str:
    values = {"title": title, "price": 10, "currency": "SAT", "content_html": "x", **other}
    with write_transaction(world.session):
        site = get_site(world.session, world.site_id)
        return add_item(world.deps, world.session, site, NewItem(**values)).id  # type: ignore[arg-type]


def see(world: World, item_id: str, seen: int) -> None:
    """Let an item have been seen so often today."""
    sums = {(item_id, world.clock() // SECONDS_PER_DAY): {"seen": seen}}
    with write_transaction(world.session):
        add_to_item_days(world.session, sums)


def stranger_item(world: World) -> str:
    with write_transaction(world.session):
        merchant = add_merchant(world.deps, world.session, "Mallory", None)
        new = add_site(world.deps, world.session, merchant.id, "Other", ["https://other.example"])
        item = NewItem(title="Theirs", price=1, currency="SAT", content_html="x")
        return add_item(world.deps, world.session, new.site, item).id


def titles(page: str) -> list[str]:
    return re.findall(r'<a href="[^"]*/items/it_[^"]*"><bdi>([^<]*)</bdi>', page)


def test_the_list_shows_price_and_figures(world: World, person: Person) -> None:
    now = world.clock()
    add_sales(world, sale(world, now - 10, 4_900_000, 1), sale(world, now - 5, 4_900_000, 2))
    see(world, world.article_id, 8)
    page = person.get("./items")
    assert page.status_code == 200
    assert titles(page.text) == ["A song", "On engines"] or titles(page.text)[::-1] == [
        "A song", "On engines",
    ]  # fmt: skip
    assert "0.05 USD" in page.text
    assert "7,000 sats" in page.text
    assert "25%" in page.text
    assert "9,800 sats" in page.text


def test_search_filter_and_order(world: World, person: Person) -> None:
    sell(world, "Zebras", price=1, external_id="post-77")
    dear = sell(world, "antelopes 100%", price=9_999)
    now = world.clock()
    add_sales(world, sale(world, now, 50_000, 1, item_id=dear, title="antelopes"))
    for item_id in (dear, world.article_id):
        see(world, item_id, 4)
    assert titles(person.get("./items?q=zEBRA").text) == ["Zebras"]
    assert titles(person.get("./items?q=post-7").text) == ["Zebras"]
    # Marks of SQL's LIKE mean themselves.
    assert titles(person.get("./items?q=100%25").text) == ["antelopes 100%"]
    assert titles(person.get("./items?q=_").text) == []
    by_title = ["A song", "antelopes 100%", "On engines", "Zebras"]
    assert titles(person.get("./items?order=title").text) == by_title
    by_price = titles(person.get("./items?order=price").text)
    assert by_price == ["antelopes 100%", "A song", "On engines", "Zebras"]
    for order in ("revenue", "conversion"):
        assert titles(person.get(f"./items?order={order}").text)[0] == "antelopes 100%"
    assert len(titles(person.get(f"./items?site={world.site_id}").text)) == 4
    assert titles(person.get("./items?site=st_unknown").text) == []
    assert person.get("./items?order=strange&days=7x&show=q").status_code == 200


@pytest.mark.parametrize("order", ["newest", "title", "price", "revenue", "conversion"])
def test_pages_follow_each_other_without_gaps(world: World, person: Person, order: str) -> None:
    with write_transaction(world.session):
        site = get_site(world.session, world.site_id)
        for number in range(PAGE_SIZE + 3):
            new = NewItem(
                title=f"N{number % 7}", price=1 + number % 5, currency="SAT", content_html="x"
            )
            add_item(world.deps, world.session, site, new)
    first = person.get(f"./items?order={order}").text
    following = re.search(r'<a href="([^"]*)" rel="next">', first)
    assert following is not None
    second = person.get(following[1].replace("&amp;", "&")).text
    ids = [*re.findall(r'value="(it_[^"]*)"', first), *re.findall(r'value="(it_[^"]*)"', second)]
    assert len(ids) == len(set(ids)) == PAGE_SIZE + 5
    assert 'rel="next"' not in second
    assert person.get("./items?cursor=strange").status_code == 422


def test_a_price_is_changed_in_its_row(world: World, person: Person) -> None:
    form: dict[str, object] = {"price": "0.07", "currency": "EUR", "hours": "24"}
    answer = person.post(f"./items/{world.article_id}/terms?q=eng&order=title", form)
    assert answer.status_code == 303
    assert answer.location == person.path("/items?q=eng&order=title&done=changed")
    assert price_of(world, world.article_id) == ("EUR", 7, 24)
    assert "It is changed." in person.get(answer.location).text
    [(subject, detail)] = entries(world, "item.changed")
    assert subject == world.article_id
    assert detail == {
        "before": {"price": "0.05", "currency": "USD", "access_hours": None},
        "after": {"price": "0.07", "currency": "EUR", "access_hours": 24},
    }
    again = person.post(f"./items/{world.article_id}/terms", form)
    assert again.location == person.path("/items?done=same")
    assert len(entries(world, "item.changed")) == 1


@pytest.mark.parametrize(
    ("price", "currency", "amount"),
    [("150", "JPY", 150), ("1.234", "KWD", 1_234), ("1.2", "KWD", 1_200), ("21", "SAT", 21)],
)
def test_currencies_have_their_own_decimals(
    world: World, person: Person, price: str, currency: str, amount: int
) -> None:
    form: dict[str, object] = {"price": price, "currency": currency, "hours": ""}
    assert person.post(f"./items/{world.article_id}/terms", form).status_code == 303
    assert price_of(world, world.article_id) == (currency, amount, None)
    shown = person.get(f"./items/{world.article_id}").text
    assert f'name="price" value="{ {"KWD": f"{amount / 1000:.3f}"}.get(currency, price) }"' in shown


@pytest.mark.parametrize(
    ("price", "currency", "hours"),
    [
        ("1.5", "JPY", ""), ("1.2345", "KWD", ""), ("0", "SAT", ""), ("-1", "USD", ""),
        ("1e9", "USD", ""), ("", "USD", ""), ("1", "XXX", ""), ("1", "SAT", "0"),
        ("1", "SAT", "1.5"), ("1", "SAT", "9999999"), ("99999999999", "SAT", ""),
    ],
)  # fmt: skip
def test_what_is_no_price_is_shown_again(
    world: World, person: Person, price: str, currency: str, hours: str
) -> None:
    form: dict[str, object] = {"price": price, "currency": currency, "hours": hours}
    answer = person.post(f"./items/{world.article_id}/terms", form)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert f'name="price" value="{price}"' in answer.text
    assert price_of(world, world.article_id) == ("USD", 5, None)


def test_a_decimal_comma_is_read_where_it_is_written(world: World, person: Person) -> None:
    form: dict[str, object] = {"price": "0,09", "currency": "USD", "hours": ""}
    assert person.post(f"./items/{world.article_id}/terms?lang=en", form).status_code == 422
    assert person.post(f"./items/{world.article_id}/terms?lang=de", form).status_code == 303
    assert price_of(world, world.article_id) == ("USD", 9, None)


def seen_of(page: str) -> str:
    found = re.search(r'name="seen" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


def test_many_are_changed_after_a_look(world: World, person: Person) -> None:
    ids = [world.article_id, world.file_id]
    form: dict[str, object] = {"item": ids, "deed": "raise", "percent": "10"}
    asked = person.post("./items/bulk?order=title", form)
    assert asked.status_code == 200
    assert "0.06 USD" in asked.text
    assert "7,700 sats" in asked.text
    assert price_of(world, world.file_id) == ("SAT", 7_000, None)
    done = person.post("./items/bulk?order=title", {**form, "seen": seen_of(asked.text)})
    assert done.location == person.path("/items?order=title&count=2&done=many")
    # Rounded up: 5.5 cents are six.
    assert price_of(world, world.article_id) == ("USD", 6, None)
    assert price_of(world, world.file_id) == ("SAT", 7_700, None)
    assert sorted(subject for subject, _ in entries(world, "item.changed")) == sorted(ids)
    assert "2 items are changed." in person.get(done.location).text


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"deed": "price", "price": "2.50", "currency": "EUR"}, ("EUR", 250, None)),
        ({"deed": "hours", "hours": "48"}, ("SAT", 7_000, 48)),
        ({"deed": "raise", "percent": "-99"}, ("SAT", 70, None)),
    ],
)
def test_each_deed_does_what_it_says(
    world: World, person: Person, form: dict[str, object], expected: tuple[str, int, int | None]
) -> None:
    form = {**form, "item": world.file_id}
    seen = seen_of(person.post("./items/bulk", form).text)
    assert person.post("./items/bulk", {**form, "seen": seen}).status_code == 303
    assert price_of(world, world.file_id) == expected


def test_archiving_many_takes_them_off_the_list(world: World, person: Person) -> None:
    for deed, left in (("archive", []), ("restore", ["A song"])):
        form: dict[str, object] = {"deed": deed, "item": world.file_id}
        seen = seen_of(person.post("./items/bulk", form).text)
        assert person.post("./items/bulk", {**form, "seen": seen}).status_code == 303
        assert titles(person.get("./items?q=song").text) == left
        assert titles(person.get("./items?q=song&show=archived").text) == (
            [] if left else ["A song"]
        )
    assert [len(entries(world, f"item.{word}")) for word in ("archived", "restored")] == [1, 1]


def test_a_yes_is_to_what_was_shown(world: World, person: Person) -> None:
    form: dict[str, object] = {"item": world.file_id, "deed": "raise", "percent": "10"}
    seen = seen_of(person.post("./items/bulk", form).text)
    other: dict[str, object] = {"price": "20", "currency": "SAT", "hours": ""}
    person.post(f"./items/{world.file_id}/terms", other)
    late = person.post("./items/bulk", {**form, "seen": seen})
    assert late.status_code == 409
    assert "in the meantime" in late.text
    assert price_of(world, world.file_id) == ("SAT", 20, None)
    # A second click on the same yes raises nothing twice.
    seen = seen_of(late.text)
    assert person.post("./items/bulk", {**form, "seen": seen}).status_code == 303
    assert person.post("./items/bulk", {**form, "seen": seen}).status_code == 409
    assert price_of(world, world.file_id) == ("SAT", 22, None)


def test_many_changes_are_one(
    world: World, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    form: dict[str, object] = {
        "item": [world.article_id, world.file_id], "deed": "hours", "hours": "5",
    }  # fmt: skip
    seen = seen_of(person.post("./items/bulk", form).text)
    told: list[str] = []

    def break_off(deps: object, session: object, item: Item) -> None:
        told.append(item.id)
        if len(told) == 2:
            raise RuntimeError("in the middle")

    with monkeypatch.context() as patched:
        patched.setattr(item_changes, "tell_of_item", break_off)
        assert person.post("./items/bulk", {**form, "seen": seen}).status_code == 500
    assert len(told) == 2
    assert price_of(world, world.article_id) == ("USD", 5, None)
    assert price_of(world, world.file_id) == ("SAT", 7_000, None)
    assert entries(world, "item.changed") == []


@pytest.mark.parametrize(
    "form",
    [
        {"deed": "raise", "percent": "1"},
        {"item": "ARTICLE"},
        {"item": "ARTICLE", "deed": "strange"},
        {"item": "ARTICLE", "deed": "raise", "percent": "1.234"},
        {"item": "ARTICLE", "deed": "raise", "percent": "NaN"},
        {"item": "ARTICLE", "deed": "raise", "percent": "-100"},
        {"item": "ARTICLE", "deed": "raise", "percent": "1e500"},
        {"item": "ARTICLE", "deed": "price", "price": "x", "currency": "USD"},
        {"item": ["ARTICLE"] * 201, "deed": "archive"},
    ],
)
def test_what_cannot_be_done_to_many_is_said(
    world: World, person: Person, form: dict[str, object]
) -> None:
    text = json.dumps(form).replace("ARTICLE", world.article_id)
    answer = person.post("./items/bulk", json.loads(text))
    assert answer.status_code == 422, answer.text
    assert 'role="alert"' in answer.text
    assert price_of(world, world.article_id) == ("USD", 5, None)


def test_an_item_of_another_merchant_is_not_there(world: World, person: Person) -> None:
    theirs = stranger_item(world)
    terms: dict[str, object] = {"price": "1", "currency": "USD", "hours": ""}
    for item_id in (theirs, "it_unknown"):
        for path in ("", "/preview", "/preview.css"):
            assert person.get(f"./items/{item_id}{path}").status_code == 404
        for path in ("", "/terms", "/archive", "/restore"):
            assert person.post(f"./items/{item_id}{path}", terms).status_code == 404
        bulk: dict[str, object] = {"item": [world.article_id, item_id], "deed": "archive"}
        assert person.post("./items/bulk", bulk).status_code == 404
    assert "Theirs" not in person.get("./items").text
    assert price_of(world, theirs) == ("SAT", 1, None)


def test_an_accountant_may_not_edit(world: World) -> None:
    accountant = sign_in(world, Role.ACCOUNTANT)
    item = f"./items/{world.article_id}"
    for path in ("./items", "./items/new", item, f"{item}/preview"):
        assert accountant.get(path).status_code == 403
    for path in (item, f"{item}/terms", f"{item}/archive", "./items/bulk", "./items/new"):
        assert accountant.post(path, {"price": "1", "currency": "USD"}).status_code == 403
    assert price_of(world, world.article_id) == ("USD", 5, None)


def test_a_form_of_another_site_changes_nothing(world: World, person: Person) -> None:
    terms: dict[str, object] = {"price": "1", "currency": "USD", "hours": ""}
    for path in ("/terms", "", "/archive"):
        answer = person.post(
            f"./items/{world.article_id}{path}", terms, Sec_Fetch_Site="cross-site"
        )
        assert answer.status_code == 403
    assert price_of(world, world.article_id) == ("USD", 5, None)


def test_markup_in_titles_stays_text(world: World, person: Person) -> None:
    item_id = sell(world, NASTY, teaser=NASTY, external_id=NASTY)
    form: dict[str, object] = {"item": item_id, "deed": "archive"}
    pages = [
        person.get("./items"),
        person.get(f"./items/{item_id}"),
        person.post("./items/bulk", form),
    ]
    for page in pages:
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert" in page.text


def test_orders_are_no_items(world: World, person: Person) -> None:
    item_id = sell(world, "An order")
    with write_transaction(world.session):
        world.session.get_one(Item, item_id).kind = "order"
    assert "An order" not in person.get("./items").text
    assert person.get(f"./items/{item_id}").status_code == 404
