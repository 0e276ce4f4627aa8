"""What pages say: amounts with the right word, errors in sentences, and when they look again."""

import re

import pytest
from flask import render_template_string

from tests.functional.test_wallet_pages import text_of
from tests.support.api import call
from tests.support.readers import Reader, path_of
from tests.support.shops import assert_nothing_lost
from tests.support.world import PUBLIC_URL, World

REFRESH = re.compile(r'<meta http-equiv="refresh" content="(\d+)">')


@pytest.mark.parametrize(
    ("msat", "rounded_up", "rounded_down", "exact"),
    [
        (0, "0 sats", "0 sats", "0 sats"),
        (1, "1 sat", "0 sats", "0.001 sats"),
        (1_000, "1 sat", "1 sat", "1 sat"),
        (1_500, "2 sats", "1 sat", "1.5 sats"),
        (2_000, "2 sats", "2 sats", "2 sats"),
        (5_000_000, "5,000 sats", "5,000 sats", "5,000 sats"),
        (2_100_000_000_000_000_001, "2,100,000,000,000,001 sats", "2,100,000,000,000,000 sats",
         "2,100,000,000,000,000.001 sats"),
    ],
)  # fmt: skip
def test_one_sat_is_no_plural(
    sqlite_world: World, msat: int, rounded_up: str, rounded_down: str, exact: str
) -> None:
    template = """{% from "_macros.html" import sats, sats_down %}
    {%- from "_wallet_macros.html" import exact -%}
    {{ sats(msat) }}|{{ sats_down(msat) }}|{{ exact(msat)|striptags }}"""
    with sqlite_world.app.test_request_context():
        shown = render_template_string(template, msat=msat)
    assert [part.strip() for part in shown.split("|")] == [rounded_up, rounded_down, exact]


def test_one_sat_is_in_the_balance_and_two_are(sqlite_world: World) -> None:
    reader = Reader(sqlite_world)
    one, two = reader.top_up(), reader.top_up()
    reader.pay_in(one, 1_000, mine=False)
    assert "1 sat is on its way" in text_of(reader.get(f"/wallet/top-up/{one}").text)
    reader.pay_in(two, 2_000, mine=False)
    assert "2 sats are on their way" in text_of(reader.get("/wallet").text)
    sqlite_world.mine()
    assert "1 sat is in your balance" in text_of(reader.get(f"/wallet/top-up/{one}").text)
    assert "2 sats are in your balance" in text_of(reader.get(f"/wallet/top-up/{two}").text)
    assert_nothing_lost(sqlite_world)


def test_the_news_of_a_top_up_are_what_its_page_shows(sqlite_world: World) -> None:
    world, reader = sqlite_world, Reader(sqlite_world)
    path = f"/wallet/top-up/{reader.top_up()}"

    def shown() -> str:
        [news] = re.findall(r'data-news="([^"]+)"', reader.get(path).text)
        return str(news)

    def status(known: str) -> int:
        world.session.rollback()
        headers = {"If-None-Match": f'"{known}"'}
        return reader.client.get(f"{path}/news", base_url=PUBLIC_URL, headers=headers).status_code

    first = shown()
    assert status(first) == status(first) == 304
    reader.pay_in(path.rpartition("/")[2], 7_000_000, mine=False)
    assert status(first) == 200
    seen = shown()
    assert (seen == first, status(seen)) == (False, 304)
    world.mine()
    assert status(seen) == 200
    counted = shown()
    world.clock.pass_time(901)
    # The code is over before any job has said so.
    assert status(counted) == 200
    assert Reader(world).get(f"{path}/news").status_code == 404
    assert_nothing_lost(world)


def test_a_page_looks_again_often_only_while_its_code_counts(sqlite_world: World) -> None:
    world, reader = sqlite_world, Reader(sqlite_world)
    top_up, bought = f"/wallet/top-up/{reader.top_up()}", world.buy()
    checkout = f"/pay/invoices/{bought.id}"

    def after_s() -> list[list[str]]:
        return [REFRESH.findall(reader.get(path).text) for path in (top_up, checkout)]

    assert after_s() == [["2"], ["2"]]
    # Where scripts run, one of ours asks for news instead.
    assert '<noscript><meta http-equiv="refresh"' in reader.get(top_up).text
    for path in (top_up, checkout):
        assert REFRESH.findall(reader.get(f"{path}?still=1").text) == []
    world.clock.pass_time(901)
    assert after_s() == [["5"], ["5"]]
    world.expire(0)
    assert after_s() == [[], []]


@pytest.mark.parametrize(
    ("method", "path", "status", "title", "way"),
    [
        ("GET", "/pay/it_nope", 404, "This is not for sale here", "/"),
        ("POST", "/pay/it_nope", 404, "This is not for sale here", "/"),
        ("GET", "/pay/it_nope/read", 404, "This is not for sale here", "/"),
        ("GET", "/pay/invoices/in_nope", 404, "This code to pay is not known", "/wallet"),
        ("GET", "/wallet/nowhere", 404, "There is nothing at this address", "/wallet"),
        ("GET", "/pay/it_nope/a/b", 404, "There is nothing at this address", "/wallet"),
        ("GET", "/pay/invoices/in_nope/to-balance", 404, "There is nothing at this address", "/"),
        ("POST", "/pay/{item}/balance", 422, "That did not work", "/pay/{item}"),
        ("POST", "/pay/invoices/{invoice}", 403, "This browser cannot do that",
         "/pay/invoices/{invoice}"),
    ],
)  # fmt: skip
def test_what_went_wrong_is_a_sentence_with_a_way_on(
    sqlite_world: World, method: str, path: str, status: int, title: str, way: str
) -> None:
    names = {"item": sqlite_world.article_id, "invoice": sqlite_world.buy().id}
    reader = Reader(sqlite_world)
    sqlite_world.session.rollback()
    answer = reader.client.open(
        path.format(**names), method=method, base_url=PUBLIC_URL, data={"price_msat": "much"}
    )
    assert answer.status_code == status
    assert f"<h1>{title}</h1>" in answer.text
    assert f'href="{way.format(**names)}"' in answer.text
    [sentence] = re.findall(r"<p>([^<]+)</p>", answer.text)
    assert sentence.endswith(".")
    # The API's code is small print, and an id is none of a reader's words.
    assert len(re.findall(r'<p class="code">Error: [a-z_]+</p>', answer.text)) == 1
    assert "nope" not in answer.text


def test_a_forms_address_leads_to_the_page_with_the_form(sqlite_world: World) -> None:
    for form in ("balance", "restore"):
        answer = call(sqlite_world, "GET", f"/pay/{sqlite_world.article_id}/{form}")
        assert path_of(answer) == f"/pay/{sqlite_world.article_id}"


def test_a_fault_of_ours_says_so_and_can_be_tried_again(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the password is 12345")

    monkeypatch.setattr("bitcache_server.http.pages.get_item", fail)
    path = f"/pay/{sqlite_world.article_id}"
    shown = call(sqlite_world, "GET", path)
    assert shown.status_code == 500
    assert "<h1>Something went wrong here</h1>" in shown.text
    assert 'href="">Try again</a>' in shown.text
    # A link cannot send the form again; the page with the form can.
    sent = call(sqlite_world, "POST", path)
    assert "Try again</a>" not in sent.text
    assert f'href="{path}">Back to the offer</a>' in sent.text
