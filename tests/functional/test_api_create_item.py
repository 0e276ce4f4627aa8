"""POST /v1/items"""

import html
import math
import os
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from bitcache_server.domain.money import MAX_FIAT_MAJOR
from tests.support.api import assert_refused, at_once, call
from tests.support.purchases import add_author
from tests.support.shops import opened_world
from tests.support.world import ORIGIN, World

NAMES = (
    "Ünïcödé ☃ 日本語 العربية", "👩‍👩‍👧 🏳️‍🌈", "e\u0301 is not \u00e9", "\u202eright to left\u202c",
    '"quotes" \'and\' `more`', "<script>alert(1)</script>", "</title><b>",
    "{{ 7*7 }} ${x} %s %(a)s",
    "a\u2028b\u2029c", "zero\u200bwidth", "'; DROP TABLE items; --", "\\ backslash \\u0041",
    "\U0010ffff",
)  # fmt: skip


def body_of(**changes: Any) -> dict[str, Any]:
    article = {"title": "A", "price": "0.05", "currency": "USD", "content_html": "<p>x</p>"}
    return {name: value for name, value in {**article, **changes}.items() if value is not ...}


def create(world: World, key: str | None = None, **changes: Any) -> TestResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    return call(world, "POST", "/v1/items", world.secret, json=body_of(**changes), headers=headers)


def test_an_article(world: World) -> None:
    answer = create(world, teaser="Look!", external_id="post-7", access_hours=24)
    assert answer.status_code == 201
    item = answer.get_json()
    assert item["price"] == {
        "amount_msat": 5_000_000,
        "fiat": {"currency": "USD", "amount_minor": 5, "exponent": 2},
        "rate": {"price_per_btc": "1000", "currency": "USD", "as_of": world.clock(), "age_s": 0},
    }
    assert item["policy"] == {"type": "hours", "hours": 24}
    expected = {
        "kind": "article", "title": "A", "teaser": "Look!", "external_id": "post-7", "file": None,
        "site": {"id": world.site_id, "name": "Ada's blog"}, "rails": ["fake"],
        "checkout_url": f"https://pay.example/pay/{item['id']}",
    }  # fmt: skip
    assert {name: item[name] for name in expected} == expected
    # The site alone sees these two.
    assert (item.pop("url"), item.pop("splits")) == (None, [])
    assert call(world, "GET", f"/v1/items/{item['id']}").get_json() == item
    assert "<p>x</p>" not in answer.text


def test_names_come_back_as_they_were_given(world: World) -> None:
    for name in NAMES:
        answer = create(world, title=name, teaser=name * 3, external_id=name)
        assert answer.status_code == 201, name
        item = call(world, "GET", f"/v1/items/{answer.get_json()['id']}").get_json()
        assert (item["title"], item["teaser"], item["external_id"]) == (name, name * 3, name)
    teaser = "  lines\n\tand\r\nspaces  "
    assert create(world, teaser=teaser).get_json()["teaser"] == teaser


def test_hosted_pages_escape_names(sqlite_world: World) -> None:
    for name in NAMES:
        item = create(sqlite_world, title=name, teaser=name).get_json()
        page = call(sqlite_world, "GET", f"/pay/{item['id']}")
        assert page.status_code == 200
        assert html.escape(name, quote=False) in page.text.replace("&#34;", '"').replace(
            "&#39;", "'"
        )
        assert "<script" not in page.text


def test_texts_that_cannot_be_kept(sqlite_world: World) -> None:
    wrong: list[dict[str, Any]] = [
        {name: text}
        for name in ("title", "teaser", "external_id", "content_html")
        for text in ("null\x00byte", "\x00")
    ]
    wrong += [
        {"title": text} for text in ("", "  ", "\u3000", "two\nlines", "\x7f", "\x1b[2J", "a" * 301)
    ]
    wrong += [{"external_id": text} for text in ("", " ", "a\tb", "a" * 201)]
    wrong += [{"content_html": text} for text in ("", " \n", "a" * 500_001)]
    wrong += [{"teaser": "a" * 2_001}]
    wrong += [{"access_hours": hours} for hours in (0, -1, 876_601, 10**30, 1.5, "24", True)]
    wrong += [{"content_html": ...}, {"file_path": "song.ogg"}]
    for changes in wrong:
        answer = create(sqlite_world, **changes)
        assert_refused(sqlite_world, answer, 422, "invalid_request")
    most = create(sqlite_world, title="é" * 300, external_id="x" * 200, content_html="x" * 500_000,
                  teaser="☃" * 2_000, access_hours=876_600)  # fmt: skip
    assert most.status_code == 201


def test_prices(world: World) -> None:
    good: list[tuple[Any, str, int | None]] = [
        ("0.05", "USD", 5_000_000), ("0.01", "USD", 1_000_000), (1, "USD", 100_000_000),
        ("1", "SAT", 1_000), (7_000, "SAT", 7_000_000), (1_000_000_000, "SAT", 10**12),
        ("0.001", "BHD", None), ("5", "JPY", None), ("10000", "USD", 10**12),
    ]  # fmt: skip
    for price, currency, amount_msat in good:
        answer = create(world, price=price, currency=currency)
        assert answer.status_code == 201, (price, currency)
        assert answer.get_json()["price"]["amount_msat"] == amount_msat
    wrong = [
        "-1", "0", "0.00", "-0.05", "NaN", "nan", "Infinity", "-inf", "1e3", "1E-2", "0x10",
        "1_000", "1,5",
        "1.000,00", " 1", "1 ", "+1", ".5", "5.", "", "0.001", "1/2", "٣", "1²", "½", "00.05",
        "9" * 400,
        str(MAX_FIAT_MAJOR * 10), "10000.01", 0, -1, 10**15, 10**100, "$1", "1 USD", "1\n", "true",
    ]  # fmt: skip
    for price in wrong:
        assert_refused(world, create(world, price=price), 422, "invalid_price")
    for price, currency in (("0.5", "SAT"), ("1.5", "JPY"), ("1.0005", "BHD"), (10**9 + 1, "SAT")):
        answer = create(world, price=price, currency=currency)
        assert_refused(world, answer, 422, "invalid_price")


def test_prices_that_json_turns_into_something_else(sqlite_world: World) -> None:
    odd: tuple[Any, ...] = (0.05, 1.0, True, False, None, [], {}, math.nan, math.inf, -math.inf)
    for price in odd:
        assert_refused(sqlite_world, create(sqlite_world, price=price), 422, "invalid_request")
    for text in ("1e2", "1E5", "1.0", "-0.0", "1e999"):
        data = f'{{"title":"A","price":{text},"currency":"USD","content_html":"x"}}'
        answer = call(sqlite_world, "POST", "/v1/items", sqlite_world.secret, data=data,
                      content_type="application/json")  # fmt: skip
        assert_refused(sqlite_world, answer, 422, "invalid_request")


def test_currencies(sqlite_world: World) -> None:
    for currency in ("XXX", "usd", "BTC", "sat", "", "US", "USDD", " USD", "$", "☃", "USD;"):
        answer = create(sqlite_world, currency=currency)
        assert_refused(sqlite_world, answer, 422, "unknown_currency")
    item = create(sqlite_world, currency="CHF").get_json()
    # No source names a rate for it, so nobody can pay yet, and nothing breaks.
    assert (item["price"]["amount_msat"], item["price"]["rate"], item["rails"]) == (None, None, [])


def test_files(sqlite_world: World) -> None:
    world = sqlite_world
    files = world.deps.settings.files_dir / world.site_id
    (files / "folder").mkdir(parents=True)
    (files / "folder" / "größe ☃.pdf").write_bytes(b"%PDF-")
    (files / ".hidden").write_bytes(b"x")
    (files.parent / "outside.txt").write_text("secret")
    (files / "song.ogg").write_bytes(b"OggS")
    (files / "way-out").symlink_to(files.parent)
    os.mkfifo(files / "pipe")
    item = create(world, content_html=..., file_path="folder/größe ☃.pdf").get_json()
    assert (item["kind"], item["policy"]) == ("file", {"type": "forever", "hours": None})
    assert item["file"] == {
        "name": "größe ☃.pdf",
        "size_bytes": 5,
        "content_type": "application/pdf",
    }
    refused = (
        "../outside.txt", "folder/../../outside.txt", "/etc/passwd", "way-out/outside.txt",
        ".hidden", ".", "..",
        "", "folder//x", "folder/", "folder", "pipe", "folder\\x", "a" * 2_000, "song.ogg\n",
        "~/x", "./song.ogg",
    )  # fmt: skip
    for path in refused:
        answer = create(world, content_html=..., file_path=path)
        missing = path == "~/x"
        code = "file_missing" if missing else "file_path_refused"
        assert_refused(world, answer, 404 if missing else 422, code)
    answer = create(world, content_html=..., file_path="song.ogg\x00.txt")
    assert_refused(world, answer, 422, "invalid_request")
    answer = create(world, content_html=..., file_path="nothing.txt")
    assert_refused(world, answer, 404, "file_missing")


def test_what_lies_beside_the_sites_own_folder_cannot_be_sold(sqlite_world: World) -> None:
    world = sqlite_world
    files = world.deps.settings.files_dir
    for folder in (world.site_id, "st_other"):
        (files / folder).mkdir()
    (files / "st_other" / "theirs.pdf").write_bytes(b"%PDF-")
    # The operator's own file, and what another site sells: as if it were not there.
    for path in ("song.ogg", "st_other/theirs.pdf", "st_other/nothing.pdf", "nothing.pdf"):
        answer = create(world, content_html=..., file_path=path)
        assert_refused(world, answer, 404, "file_missing")
    (files / world.site_id / "link.pdf").symlink_to("../st_other/theirs.pdf")
    (files / world.site_id / "nowhere.pdf").symlink_to("../st_other/nothing.pdf")
    up = (f"../{name}" for name in ("st_other/theirs.pdf", "st_other/nothing.pdf", "song.ogg"))
    for path in ("link.pdf", "nowhere.pdf", *up):
        answer = create(world, content_html=..., file_path=path)
        assert_refused(world, answer, 422, "file_path_refused")


def test_the_same_external_id_changes_the_item(world: World) -> None:
    own = world.deps.settings.files_dir / world.site_id
    own.mkdir()
    (own / "song.ogg").write_bytes(b"OggS")
    first = create(world, external_id="post-7").get_json()
    second = create(world, external_id=" post-7 ", title="B", price=9, currency="SAT").get_json()
    assert (second["id"], second["title"], second["external_id"]) == (first["id"], "B", "post-7")
    assert call(world, "GET", f"/v1/items/{first['id']}").get_json()["title"] == "B"
    third = create(world, external_id="post-7", content_html=..., file_path="song.ogg").get_json()
    assert (third["id"], third["kind"]) == (first["id"], "file")
    assert create(world, external_id="Post-7").get_json()["id"] != first["id"]


def test_the_same_external_id_at_the_same_time(world: World) -> None:
    answers = at_once(6, lambda n: create(world, external_id="post-7", title=f"Title {n}"))
    assert [answer.status_code for answer in answers] == [201] * 6
    assert len({answer.get_json()["id"] for answer in answers}) == 1


def test_the_secret(sqlite_world: World) -> None:
    world = sqlite_world

    def ask(headers: dict[str, str]) -> TestResponse:
        return call(world, "POST", "/v1/items", json=body_of(), headers=headers)

    for value in (None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", world.secret, "bearer\t"):
        answer = ask({} if value is None else {"Authorization": value})
        assert_refused(world, answer, 401, "missing_secret")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    _, site, secret = world.secret.split("_", 2)[0], world.site_id[3:], world.secret
    for value in (
        "x", secret[:-1], secret + "x", secret.swapcase(), f"bcsk_{site}_{'A' * 43}", "bcsk__",
        "x" * 50_000,
        f"bcsk_{'A' * 22}_{secret[-43:]}", secret.replace("_", "-"), "☃".encode().decode("latin-1"),
        world.site_id, f"{secret} {secret}",
    ):  # fmt: skip
        assert_refused(world, ask({"Authorization": f"Bearer {value}"}), 401, "bad_secret")
    assert ask({"Authorization": f"bEARER  {secret} "}).status_code == 201
    # A page of the site could not know it: reading the item does not show it.
    assert call(world, "GET", "/v1/items", headers={"Origin": ORIGIN}).status_code == 401


def test_the_same_key_makes_one_item(world: World) -> None:
    first = create(world, key="k 1")
    again = create(world, key="k 1")
    assert (first.status_code, again.status_code, again.data) == (201, 201, first.data)
    assert_refused(world, create(world, key="k 1", title="B"), 409, "idempotency_conflict")
    assert create(world, key="k 2").get_json()["id"] != first.get_json()["id"]
    answers = at_once(5, lambda _: create(world, key="at once").get_json()["id"])
    assert len(set(answers)) == 1


def test_a_refused_call_leaves_its_key_free(world: World) -> None:
    assert create(world, key="k", price="0").status_code == 422
    assert create(world, key="k").status_code == 201


def test_keys_that_are_none(sqlite_world: World) -> None:
    for key in ("", "a" * 201, "caf\xe9", "a\tb"):
        assert_refused(sqlite_world, create(sqlite_world, key=key), 422, "invalid_request")
    assert create(sqlite_world, key="~" * 200).status_code == 201


def test_the_page_that_sells_it(world: World) -> None:
    url = f"{ORIGIN}/posts/1?lang=de#buy"
    assert create(world, url=url, external_id="post-1").get_json()["url"] == url
    listed = call(world, "GET", "/v1/items", world.secret).get_json()["items"]
    assert [item["url"] for item in listed if item["external_id"] == "post-1"] == [url]
    assert create(world, external_id="post-1").get_json()["url"] is None


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/", "http://blog.example/", "https://blog.example:8443/", "/posts/1",
        "https://blog.example@evil.example/", "https://ada:key@blog.example/", "", "blog.example",
        "https://blog.example.evil.example/", "javascript:alert(1)//https://blog.example",
        "https://blog.example/" + "x" * 2_000, "https://[::1", "https://blog.example/\nx",
    ],
)  # fmt: skip
def test_a_page_must_be_the_sites_own(sqlite_world: World, url: str) -> None:
    assert_refused(sqlite_world, create(sqlite_world, url=url), 422, "invalid_request")


def test_co_authors(world: World) -> None:
    bob, eve = add_author(world, "Bob"), add_author(world, "Eve")
    shares = [{"merchant": bob, "share_ppm": 300_000}, {"merchant": eve, "share_ppm": 700_000}]
    item = create(world, splits=shares, external_id="p").get_json()
    named = [{**shares[0], "name": "Bob"}, {**shares[1], "name": "Eve"}]
    assert sorted(item["splits"], key=lambda split: split["name"]) == named
    # They are nobody else's business.
    assert "splits" not in call(world, "GET", f"/v1/items/{item['id']}").get_json()
    # A change that says nothing of them leaves them; an empty list takes them away.
    assert create(world, title="B", external_id="p").get_json()["splits"] == item["splits"]
    listed = call(world, "GET", "/v1/items", world.secret).get_json()["items"]
    assert [i["splits"] for i in listed if i["id"] == item["id"]] == [item["splits"]]
    assert create(world, external_id="p", splits=[]).get_json()["splits"] == []


def test_shares_that_cannot_be(world: World) -> None:
    bob = add_author(world)

    def share(merchant_id: str = bob, share_ppm: int = 600_000) -> dict[str, Any]:
        return {"merchant": merchant_id, "share_ppm": share_ppm}

    eve = add_author(world, "Eve")
    wrong = [[share("me_none")], [share(world.merchant_id)], [share(), share(eve)],
             [share(share_ppm=1), share(share_ppm=1)]]  # fmt: skip
    for splits in wrong:
        assert_refused(world, create(world, splits=splits), 422, "split_invalid")
    for splits in ([share(share_ppm=0)], [share(share_ppm=1_000_001)], [{"merchant": bob}]):
        assert_refused(world, create(world, splits=splits), 422, "invalid_request")
    assert len(call(world, "GET", "/v1/items", world.secret).get_json()["items"]) == 2


def test_money_that_never_comes_here_is_not_shared(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, direct=True) as shop:
        shares = [{"merchant": add_author(shop), "share_ppm": 1}]
        assert_refused(shop, create(shop, splits=shares), 422, "split_invalid")
        assert create(shop, splits=[]).status_code == 201
