"""POST /v1/unlocks"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from bitcache_server.ledger.journal import reverse
from bitcache_server.models.catalog import Item, SiteOrigin
from bitcache_server.models.ledger import Grant, Wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.services.collect import collect_of_wallet
from bitcache_server.services.items import NewItem, add_item
from bitcache_server.services.merchants import add_merchant, add_site
from bitcache_server.services.site_keys import signer_for
from bitcache_server.services.unlock_item import BALANCE_TOLD_S, UnlockOrder, unlock_item
from bitcache_server.services.unlock_quickly import CACHE_S
from bitcache_server.tokens.allowances import AllowanceClaims, issue_allowance, read_allowance
from bitcache_server.tokens.codec import unverified_claims
from bitcache_server.tokens.receipts import check_receipt
from tests.support.api import assert_refused, call
from tests.support.clicks import PATH, open_clicker
from tests.support.purchases import holder_of, sell_elsewhere
from tests.support.shops import held, sell_at
from tests.support.world import ORIGIN, World

PRICE_MSAT = 5_000_000
"""Of the article."""


def test_one_click_pays_and_opens(shop: World) -> None:
    reader = open_clicker(shop, 20_000_000, gift_msat=1_000_000)
    answer = reader.click(max_amount_msat=PRICE_MSAT)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Origin" in answer.headers["Vary"]
    body = answer.get_json()
    grant, receipt = body.pop("grant"), body.pop("receipt")
    assert body == {
        "item": shop.article_id,
        "expires_at": None,
        "outcome": "booked",
        "charged_msat": PRICE_MSAT,
        "balance_msat": 16_000_000,
        "gift_msat": 0,
        "undo_until": shop.clock() + shop.deps.settings.undo_window_s,
    }
    assert reader.money() == (16_000_000, 0)
    assert shop.get(f"/v1/content/{shop.article_id}", grant).status_code == 200
    assert call(shop, "GET", "/v1/grant", grant).get_json()["holder"] == holder_of(
        shop, reader.wallet_id
    )
    signer = signer_for(shop.deps, shop.session, shop.site_id)
    claims = check_receipt(signer, receipt, site=shop.site_id)
    [row] = reader.grants()
    assert (claims.invoice, claims.amount_msat, claims.item) == (
        row.group_id, PRICE_MSAT, shop.article_id,
    )  # fmt: skip
    assert held(shop, f"merchant:{shop.merchant_id}") + held(shop, "commission") == PRICE_MSAT


def test_a_file_is_bought_and_fetched_alike(shop: World) -> None:
    reader = open_clicker(shop)
    grant = reader.unlock(shop.file_id)["grant"]
    link = shop.post(f"/v1/files/{shop.file_id}/link", {}, grant)
    assert link.status_code == 200, link.text


def test_a_second_click_gets_the_same_and_pays_nothing(shop: World) -> None:
    reader = open_clicker(shop)
    first, second = reader.unlock(), reader.unlock()
    untold = {"charged_msat": 0, "balance_msat": None, "gift_msat": None}
    assert second == {**first, "outcome": "owned", **untold}
    assert len(reader.grants()) == 1
    assert reader.money() == (15_000_000, 0)


def test_the_same_key_gets_the_same_answer(shop: World) -> None:
    reader = open_clicker(shop)
    first, second = reader.unlock(key="click"), reader.unlock(key="click")
    assert second == {**first, "outcome": "replayed"}
    other = reader.click(shop.file_id, key="click")
    assert_refused(shop, other, 409, "idempotency_conflict")
    assert reader.money() == (15_000_000, 0)


def test_the_balance_is_told_for_a_purchase_and_not_for_ever(shop: World) -> None:
    reader = open_clicker(shop)
    first = reader.unlock(key="click")
    shop.clock.pass_time(BALANCE_TOLD_S)
    assert reader.unlock(key="click")["balance_msat"] == first["balance_msat"] == 15_000_000
    shop.clock.pass_time(1)
    again = reader.unlock(key="click")
    assert (again["outcome"], again["charged_msat"]) == ("replayed", PRICE_MSAT)
    assert (again["balance_msat"], again["gift_msat"]) == (None, None)


def test_nothing_that_a_site_sees_names_the_wallet(shop: World) -> None:
    reader = open_clicker(shop)
    article, song = reader.unlock(), reader.unlock(shop.file_id)
    link = shop.post(f"/v1/files/{shop.file_id}/link", {}, song["grant"]).get_json()["url"]
    [download] = [part for part in link.split("/") if part.count(".") == 2 and len(part) > 99]
    order = UnlockOrder(reader.wallet_id, shop.article_id, None)
    collected = collect_of_wallet(shop.deps, shop.session, reader.wallet_id, shop.article_id)
    own = unlock_item(shop.deps, shop.session, order)
    for token in (
        reader.token, download, article["grant"], article["receipt"], song["grant"],
        collected.grant, collected.receipt, own.grant, own.receipt,
    ):  # fmt: skip
        assert reader.wallet_id not in json.dumps(unverified_claims(token))
    names = {unverified_claims(t)["h"] for t in (download, article["grant"], collected.grant)}
    assert names == {holder_of(shop, reader.wallet_id)}


def test_two_sites_cannot_tell_that_they_have_the_same_reader(shop: World) -> None:
    reader = open_clicker(shop)
    secret_key = shop.deps.settings.secret_key.get_secret_value()
    there = AllowanceClaims(reader.wallet_id, "al_2", "st_other", ORIGIN)
    token = issue_allowance(secret_key, there, shop.clock())
    assert read_allowance(secret_key, token) == there
    assert unverified_claims(token)["w"] != unverified_claims(reader.token)["w"]
    grants = [
        unlock_item(shop.deps, shop.session, UnlockOrder(reader.wallet_id, item_id, None)).grant
        for item_id in (shop.article_id, sell_elsewhere(shop, "Bob"))
    ]
    here, elsewhere = (unverified_claims(grant)["h"] for grant in grants)
    assert here != elsewhere


def test_the_undo_window_ends(shop: World) -> None:
    reader = open_clicker(shop)
    until = reader.unlock()["undo_until"]
    shop.clock.pass_time(until - shop.clock() - 1)
    assert reader.unlock()["undo_until"] == until
    shop.clock.pass_time(1)
    assert reader.unlock()["undo_until"] is None


def test_without_a_window_there_is_no_undo(start_world: Callable[..., World]) -> None:
    world = start_world(undo_window_s=0)
    assert open_clicker(world).unlock()["undo_until"] is None


def test_our_own_pages_sell_without_an_allowance(shop: World) -> None:
    reader = open_clicker(shop)
    order = UnlockOrder(reader.wallet_id, shop.article_id, "checkout")
    first = unlock_item(shop.deps, shop.session, order)
    assert (first.outcome, first.charged_msat, first.undo_until) == ("booked", PRICE_MSAT, None)
    assert unlock_item(shop.deps, shop.session, order).outcome == "replayed"
    assert shop.get(f"/v1/content/{shop.article_id}", first.grant).status_code == 200


# Who may ask


@pytest.mark.parametrize(
    "origin",
    [None, "https://evil.example", "http://blog.example", "null", "", ORIGIN + "/", ORIGIN.upper()],
)
def test_a_stolen_token_is_worthless_elsewhere(shop: World, origin: str | None) -> None:
    reader = open_clicker(shop)
    assert_refused(shop, reader.click(origin=origin), 403, "origin_not_allowed")
    assert reader.money() == (20_000_000, 0)
    assert reader.grants() == []


def test_not_even_another_origin_of_the_same_site_may_use_it(shop: World) -> None:
    with write_transaction(shop.session):
        shop.session.add(SiteOrigin(site_id=shop.site_id, origin="https://other.example"))
    reader = open_clicker(shop)
    answer = reader.click(origin="https://other.example")
    assert_refused(shop, answer, 403, "origin_not_allowed")


def test_an_origin_that_the_site_gave_up_sells_nothing(shop: World) -> None:
    reader = open_clicker(shop, origin="https://old.example")
    with write_transaction(shop.session):
        # Another site has it now, so that the address itself is known.
        merchant = add_merchant(shop.deps, shop.session, "Eve", None)
        add_site(shop.deps, shop.session, merchant.id, "Eve's", ["https://old.example"])
    answer = reader.click(origin="https://old.example")
    assert_refused(shop, answer, 403, "origin_not_allowed")
    assert reader.money() == (20_000_000, 0)


@pytest.mark.parametrize("token", ["x", "a.b.c", "é", "Bearer", "A" * 5_000])
def test_a_made_up_token_is_refused(sqlite_world: World, token: str) -> None:
    for path_token in (token, open_clicker(sqlite_world).token[:-2] + "AA"):
        answer = call(
            sqlite_world, "POST", PATH, path_token,
            json={"item": sqlite_world.article_id}, headers={"Origin": ORIGIN},
        )  # fmt: skip
        assert_refused(sqlite_world, answer, 403, "allowance_invalid")


def test_without_a_token_there_is_nothing(sqlite_world: World) -> None:
    answer = sqlite_world.post(PATH, {"item": sqlite_world.article_id})
    assert_refused(sqlite_world, answer, 401, "allowance_missing")
    grant_like = call(
        sqlite_world, "POST", PATH, json={"item": "x"},
        headers={"Origin": ORIGIN, "Authorization": f"Basic {open_clicker(sqlite_world).token}"},
    )  # fmt: skip
    assert_refused(sqlite_world, grant_like, 401, "allowance_missing")


def test_an_allowance_for_one_site_buys_nothing_of_another(shop: World) -> None:
    with write_transaction(shop.session):
        merchant = add_merchant(shop.deps, shop.session, "Eve", None)
        site = add_site(shop.deps, shop.session, merchant.id, "Eve's", [ORIGIN]).site
        new = NewItem(title="T", price=1, currency="SAT", content_html="<p>x</p>")
        item_id = add_item(shop.deps, shop.session, site, new).id
    reader = open_clicker(shop)
    assert_refused(shop, reader.click(item_id), 403, "unknown_allowance")
    assert reader.money() == (20_000_000, 0)


# What is refused


@pytest.mark.parametrize(
    ("limits", "body", "status", "code"),
    [
        ({"per_item_msat": PRICE_MSAT - 1}, {}, 409, "allowance_exceeded"),
        ({"per_day_msat": PRICE_MSAT - 1}, {}, 409, "allowance_exceeded"),
        ({"auto_msat": PRICE_MSAT - 1}, {"auto": True}, 409, "allowance_exceeded"),
        ({"expires_at": 0}, {}, 403, "allowance_expired"),
        ({"revoked_at": 1}, {}, 403, "allowance_revoked"),
        ({}, {"max_amount_msat": PRICE_MSAT - 1}, 409, "price_changed"),
        ({}, {"item": "it_none"}, 404, "unknown_item"),
    ],
)
def test_what_the_reader_did_not_allow(
    shop: World, limits: dict[str, Any], body: dict[str, Any], status: int, code: str
) -> None:
    reader = open_clicker(shop, **limits)
    rest = {name: value for name, value in body.items() if name != "item"}
    assert_refused(shop, reader.click(body.get("item"), **rest), status, code)
    assert reader.money() == (20_000_000, 0)
    assert reader.grants() == []


def test_without_a_click_up_to_the_limit(shop: World) -> None:
    reader = open_clicker(shop, auto_msat=PRICE_MSAT)
    assert reader.unlock(auto=True)["outcome"] == "booked"
    assert_refused(shop, reader.click(shop.file_id, auto=True), 409, "allowance_exceeded")


def test_a_wallet_at_exactly_the_price(shop: World) -> None:
    exact, short = open_clicker(shop, PRICE_MSAT), open_clicker(shop, PRICE_MSAT - 1)
    assert exact.unlock()["balance_msat"] == 0
    problem = assert_refused(shop, short.click(), 409, "insufficient_balance")
    assert "Retry-After" not in problem


def test_a_closed_wallet_pays_nothing(shop: World) -> None:
    reader = open_clicker(shop, 0)
    with write_transaction(shop.session):
        shop.session.get_one(Wallet, reader.wallet_id).closed_at = shop.clock()
    assert_refused(shop, reader.click(), 404, "unknown_wallet")


def test_a_price_without_a_rate(start_world: Callable[..., World]) -> None:
    world = start_world()
    reader = open_clicker(world)
    world.clock.pass_time(world.deps.settings.rate_max_age_s + 1)
    assert_refused(world, reader.click(), 503, "rate_unavailable")
    assert reader.unlock(world.file_id)["outcome"] == "booked"


def test_nobody_pays_for_a_file_that_is_gone(shop: World) -> None:
    reader = open_clicker(shop)
    (shop.deps.settings.files_dir / "song.ogg").unlink()
    assert_refused(shop, reader.click(shop.file_id), 404, "file_missing")
    assert reader.money() == (20_000_000, 0)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"item": 7},
        {"item": "a\x00b"},
        {"item": "it_1", "price": 1},
        {"item": "it_1", "max_amount_msat": -1},
        {"item": "it_1", "max_amount_msat": 2**63},
        {"item": "it_1", "max_amount_msat": "5"},
        {"item": "it_1", "auto": "yes"},
        {"item": "x" * 3_000, "max_amount_msat": -1},
    ],
)
def test_a_body_that_does_not_fit(sqlite_world: World, body: object) -> None:
    token = open_clicker(sqlite_world).token
    assert_refused(sqlite_world, sqlite_world.post(PATH, body, token), 422, "invalid_request")


def test_a_body_that_is_no_json(sqlite_world: World) -> None:
    token = open_clicker(sqlite_world).token
    headers = {"Origin": ORIGIN}
    for data, kind, status, code in (
        (b"{", "application/json", 400, "malformed_json"),
        (b"item=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"", "application/json", 400, "malformed_json"),
    ):
        answer = call(
            sqlite_world, "POST", PATH, token, data=data, content_type=kind, headers=headers
        )
        assert_refused(sqlite_world, answer, status, code)


@pytest.mark.parametrize("key", ["x" * 201, "ä"])
def test_a_key_that_is_none(sqlite_world: World, key: str) -> None:
    reader = open_clicker(sqlite_world)
    assert_refused(sqlite_world, reader.click(key=key), 422, "invalid_request")
    assert reader.grants() == []


def test_a_longer_way_to_say_the_same(shop: World) -> None:
    """What the quick way does not take, the route behind it does."""
    reader = open_clicker(shop)
    text = json.dumps({"item": shop.article_id}) + " " * 3_000
    answer = call(
        shop, "POST", PATH, reader.token,
        data=text, content_type="application/json; charset=utf-8", headers={"Origin": ORIGIN},
    )  # fmt: skip
    assert answer.get_json()["outcome"] == "booked"
    assert reader.unlock()["outcome"] == "owned"


def test_too_many_clicks(start_world: Callable[..., World]) -> None:
    world = start_world(limit_unlocks_per_address="3/minute")
    reader = open_clicker(world, 0)
    # A refused click counts as well, and once.
    for _ in range(3):
        assert_refused(world, reader.click(), 409, "insufficient_balance")
    answer = reader.click()
    assert_refused(world, answer, 429, "rate_limited")
    assert int(answer.headers["Retry-After"]) > 0


# What changes


def test_a_changed_price_is_noticed_soon(shop: World) -> None:
    item_id = sell_at(shop, 100)
    first, second = open_clicker(shop), open_clicker(shop)
    assert first.unlock(item_id)["charged_msat"] == 100_000
    with write_transaction(shop.session):
        shop.session.execute(update(Item).where(Item.id == item_id).values(price_amount=50))
    shop.clock.pass_time(CACHE_S)
    assert second.unlock(item_id)["charged_msat"] == 50_000
    # What was bought keeps its price.
    assert first.unlock(item_id)["charged_msat"] == 0


def test_a_lower_price_is_noticed_by_whom_it_was_shown_to(shop: World) -> None:
    item_id = sell_at(shop, 100)
    first, second = open_clicker(shop), open_clicker(shop)
    assert first.unlock(item_id)["charged_msat"] == 100_000
    with write_transaction(shop.session):
        shop.session.execute(update(Item).where(Item.id == item_id).values(price_amount=50))
    assert_refused(shop, second.click(item_id, max_amount_msat=49_999), 409, "price_changed")
    assert second.unlock(item_id, max_amount_msat=50_000)["charged_msat"] == 50_000


def test_access_that_ends_can_be_bought_again(shop: World) -> None:
    item_id = sell_at(shop, 100)
    with write_transaction(shop.session):
        shop.session.execute(update(Item).where(Item.id == item_id).values(access_hours=2))
    reader = open_clicker(shop)
    first = reader.unlock(item_id, key="first")
    assert first["expires_at"] == shop.clock() + 7_200
    shop.clock.pass_time(7_200)
    assert shop.get(f"/v1/content/{item_id}", first["grant"]).get_json()["code"] == "grant_expired"
    assert_refused(shop, reader.click(item_id, key="first"), 409, "purchase_ended")
    again = reader.unlock(item_id)
    assert (again["outcome"], again["charged_msat"]) == ("booked", 100_000)
    assert shop.get(f"/v1/content/{item_id}", again["grant"]).status_code == 200


def test_what_was_given_back_opens_nothing(shop: World) -> None:
    reader = open_clicker(shop)
    first = reader.unlock(shop.file_id)
    [row] = reader.grants()
    link = shop.post(f"/v1/files/{shop.file_id}/link", {}, first["grant"]).get_json()
    with write_transaction(shop.session):
        assert row.group_id
        reverse(shop.session, row.group_id, owner_id=reader.wallet_id, now=shop.clock())
        revoke = update(Grant).where(Grant.owner_id == reader.wallet_id)
        shop.session.execute(revoke.values(revoked_at=shop.clock()))
    refused = shop.post(f"/v1/files/{shop.file_id}/link", {}, first["grant"])
    assert refused.get_json()["code"] == "grant_revoked"
    path = "/" + link["url"].split("/", 3)[3]
    assert call(shop, "GET", path).status_code == 403
    again = reader.unlock(shop.file_id)
    assert (again["outcome"], again["grant"] != first["grant"]) == ("booked", True)
    assert shop.post(f"/v1/files/{shop.file_id}/link", {}, again["grant"]).status_code == 200
