"""/dashboard/<merchant>/items/<item> and /items/new: one item."""

import re

import pytest
from sqlalchemy import func, select

from bitcache_server.models.catalog import Item
from bitcache_server.models.session import write_transaction
from bitcache_server.services.members import Role
from bitcache_server.services.visits import write_counts
from tests.functional.test_dashboard_items import entries, price_of
from tests.support.dashboard import Person, sign_in
from tests.support.takings import add_sales, sale
from tests.support.world import ORIGIN, PUBLIC_URL, World


@pytest.fixture
def person(world: World) -> Person:
    return sign_in(world, Role.EDITOR)


def test_an_item_shows_its_tag_and_its_sales(world: World, person: Person) -> None:
    add_sales(
        world,
        sale(world, world.clock(), 4_900_000, 1, price_msat=5_000_000, commission_msat=100_000),
    )
    page = person.get(f"./items/{world.article_id}")
    assert page.status_code == 200
    tag = f"&lt;bitcache-paywall item=&#34;{world.article_id}&#34;&gt;"
    assert tag in page.text
    assert f"{PUBLIC_URL}/widget/bitcache.js" in page.text
    assert "The locked part" in page.text
    assert "5,000 sats" in page.text
    assert "4,900 sats" in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "frame-src 'self'" in policy
    assert "unsafe" not in policy


def test_what_a_merchant_wrote_does_not_run_on_our_page(world: World, person: Person) -> None:
    with write_transaction(world.session):
        item = world.session.get_one(Item, world.article_id)
        item.content_html = '<p onclick="x()">Hi</p><script>x()</script><a href="javascript:x()">'
    page = person.get(f"./items/{world.article_id}").text
    assert "<p>Hi</p>" in page
    assert "x()" not in page


def test_words_price_and_access_are_changed(world: World, person: Person) -> None:
    form: dict[str, object] = {
        "title": "On <i>engines</i>", "teaser": "\nNew", "price": "3", "currency": "SAT",
        "hours": "12", "url": f"{ORIGIN}/engines",
    }  # fmt: skip
    answer = person.post(f"./items/{world.article_id}", form)
    assert answer.location == person.path(f"/items/{world.article_id}?done=changed")
    assert price_of(world, world.article_id) == ("SAT", 3, 12)
    item = world.session.get_one(Item, world.article_id)
    assert (item.title, item.url) == ("On <i>engines</i>", f"{ORIGIN}/engines")
    [(_, detail)] = entries(world, "item.changed")
    assert detail["before"] == {
        "title": "On engines", "teaser": "Engines!", "price": "0.05", "currency": "USD",
        "access_hours": None, "url": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [{"title": " "}, {"title": "x" * 301}, {"url": "https://elsewhere.example/"},
     {"url": "javascript:alert(1)"}, {"teaser": "x" * 2_001}, {"price": "free"}],
)  # fmt: skip
def test_what_is_wrong_is_shown_with_what_was_typed(
    world: World, person: Person, wrong: dict[str, object]
) -> None:
    form: dict[str, object] = {
        "title": "Typed title", "teaser": "Typed teaser", "price": "3", "currency": "SAT",
        "hours": "", "url": "", **wrong,
    }  # fmt: skip
    answer = person.post(f"./items/{world.article_id}", form)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert ("Typed title" in answer.text) is ("title" not in wrong)
    assert price_of(world, world.article_id) == ("USD", 5, None)


def test_an_item_goes_off_sale_and_back(world: World, person: Person) -> None:
    base = f"./items/{world.article_id}"
    for deed, words in (("archive", "Put it back on sale"), ("restore", "Take it off sale")):
        assert person.post(f"{base}/{deed}", {}).status_code == 303
        # Pressed twice it is done once.
        assert person.post(f"{base}/{deed}", {}).status_code == 303
        assert words in person.get(base).text
    assert [len(entries(world, f"item.{word}")) for word in ("archived", "restored")] == [1, 1]


def test_the_preview_is_the_real_widget_that_nobody_counts(world: World, person: Person) -> None:
    answer = person.get(f"./items/{world.article_id}/preview?theme=dark&words=ar")
    assert answer.status_code == 200
    assert "/widget/bitcache.js" in answer.text
    assert 'theme="dark"' in answer.text
    assert 'lang="ar" dir="rtl"' in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    strange = person.get(f"./items/{world.article_id}/preview?theme=%22%3E&words=xx")
    assert strange.status_code == 200
    # Choosing the preview's language does not change that of the dashboard.
    assert "Set-Cookie" not in answer.headers
    assert write_counts(world.deps, world.session) == 0
    style = person.get(f"./items/{world.article_id}/preview.css")
    assert style.mimetype == "text/css"


def new_form(person: Person, **values: object) -> dict[str, object]:
    page = person.get("./items/new")
    assert page.status_code == 200
    code = re.search(r'name="form" value="([^"]+)"', page.text)
    assert code is not None
    return {
        "form": code[1], "site": person.world.site_id, "title": "Fresh", "teaser": "",
        "price": "2", "currency": "SAT", "hours": "", "kind": "article", "content": "<p>x</p>",
        "path": "", "external_id": "", "url": "", **values,
    }  # fmt: skip


def test_an_article_is_put_on_sale_once(world: World, person: Person) -> None:
    form = new_form(person, external_id="post-1", hours="3")
    added = person.post("./items/new", form)
    assert added.status_code == 303
    assert re.search(r"/items/it_[^/?]+\?done=added#tag$", added.location)
    twice = person.post("./items/new", form)
    assert twice.location == person.path("/items")
    items = world.session.scalars(select(Item).where(Item.title == "Fresh")).all()
    assert [(one.price_amount, one.access_hours, one.kind) for one in items] == [(2, 3, "article")]
    [(subject, _)] = entries(world, "item.added")
    assert subject == items[0].id
    taken = person.post("./items/new", new_form(person, external_id="post-1"))
    assert taken.status_code == 422


def test_a_file_of_the_sites_folder_is_put_on_sale(world: World, person: Person) -> None:
    folder = world.deps.settings.files_dir / world.site_id
    folder.mkdir()
    (folder / "book.pdf").write_bytes(b"book")
    added = person.post("./items/new", new_form(person, kind="file", path="book.pdf"))
    assert added.status_code == 303, added.text
    shown = person.get(added.location).text
    assert "book.pdf" in shown
    # Nobody sells what lies outside of the folder of their site.
    for path in ("../song.ogg", "missing.pdf", "/etc/passwd", ""):
        refused = person.post("./items/new", new_form(person, kind="file", path=path))
        assert refused.status_code in (404, 422), path


@pytest.mark.parametrize(
    "wrong", [{"title": ""}, {"content": " "}, {"price": ""}, {"currency": "XXX"}, {"hours": "x"}]
)
def test_a_new_item_that_cannot_be_is_shown_again(
    world: World, person: Person, wrong: dict[str, object]
) -> None:
    answer = person.post("./items/new", new_form(person, **wrong))
    assert answer.status_code == 422
    assert "Fresh" in answer.text or "title" in wrong
    count = select(func.count()).select_from(Item).where(Item.title == "Fresh")
    assert world.session.scalar(count) == 0


def test_no_item_is_put_on_a_site_of_others(world: World, person: Person) -> None:
    other = sign_in(world, Role.OWNER)
    answer = other.post("./items/new", new_form(person, site="st_unknown"))
    assert answer.status_code == 404
