"""Money on the wallet's pages: receipt codes, withdrawals, export, the end of a wallet."""

import csv
import io
import json
import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from werkzeug.test import TestResponse

from bitcache_server.http.wallet.claim import BAD_CODE
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.catalog import Item
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import RecoveryCode
from bitcache_server.services.allowances import Limits, create_allowance, list_allowances
from bitcache_server.services.unlock_item import UnlockOrder, unlock_item
from bitcache_server.services.wallet_views import withdrawals
from tests.support.readers import Reader, path_of, target_of
from tests.support.shops import PRICE_MSAT, held, transfers
from tests.support.world import ORIGIN, Purchase, World

LIFETIME_S = 900
ADDRESS = "fake:" + "5e" * 20
REVIEW = "/wallet/withdraw/review"


def late(shop: World) -> Purchase:
    purchase = shop.buy()
    shop.expire(LIFETIME_S + 1)
    shop.pay(purchase)
    shop.mine()
    return purchase


def hidden_fields(html: str) -> dict[str, str]:
    """Return what the form of a page would send."""
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', html))


def look_at_fee(reader: Reader, amount: str) -> TestResponse:
    """Send the form of a withdrawal and open the page with its fee."""
    return reader.get(path_of(reader.post(REVIEW, address=ADDRESS, amount=amount)))


def guard(reader: Reader) -> None:
    """Give the wallet a recovery code, and let the last proof grow old."""
    with write_transaction(reader.world.session):
        reader.world.session.add(
            RecoveryCode(
                owner_id=reader.wallet_id, code_hash="0" * 64, created_at=reader.world.clock()
            )
        )
    reader.world.clock.pass_time(301)


def test_a_receipt_code_becomes_balance_on_the_page(shop: World) -> None:
    reader, purchase = Reader(shop), late(shop)
    code = f" {purchase.id}.\r\n{purchase.verifier} "
    assert path_of(reader.post("/wallet/claim", code=code)) == "/wallet?done=claimed"
    assert reader.own_msat == PRICE_MSAT
    page = reader.get("/wallet?done=claimed").text
    assert "The money is in your balance now." in page
    assert "Left over from a payment" in page
    again = reader.post("/wallet/claim", code=code)
    assert again.status_code == 409
    assert "what was left over, 5,000 sats, was moved to a balance before" in again.text


@pytest.mark.parametrize(
    ("code", "status"),
    [("", 422), ("nonsense", 422), ("in_x.short", 422), (f"in_unknown.{'x' * 43}", 403)],
)
def test_a_wrong_receipt_code_is_told_and_kept(shop: World, code: str, status: int) -> None:
    reader = Reader(shop)
    answer = reader.post("/wallet/claim", code=code)
    assert answer.status_code == status
    assert BAD_CODE in answer.text
    assert f'value="{code}"' in answer.text


def test_a_withdrawal_shows_its_fee_first_and_is_asked_for_once(shop: World) -> None:
    reader = Reader(shop)
    reader.fill(50_000)
    review = look_at_fee(reader, "20,000")
    assert review.status_code == 200, review.text
    fields = hidden_fields(review.text)
    fee_msat = int(fields["fee_msat"])
    assert (fields["address"], fields["amount"]) == (ADDRESS, "20000")
    assert fee_msat > 0
    assert reader.own_msat == 50_000_000
    for _ in range(2):
        assert path_of(reader.post("/wallet/withdraw", **fields)) == "/wallet/withdraw?done=asked"
    assert reader.own_msat == 30_000_000 - fee_msat
    assert len(transfers(shop, Kind.RESERVE)) == 1
    listed = reader.get("/wallet/withdraw").text
    assert "Waits for the next transaction" in listed
    assert ADDRESS in listed
    assert ADDRESS not in Reader(shop).get("/wallet/withdraw").text


def test_all_of_the_own_money_goes_and_the_gift_stays(shop: World) -> None:
    reader = Reader(shop)
    reader.give(2_000_000)
    reader.fill(50_000)
    fields = hidden_fields(look_at_fee(reader, "").text)
    reader.post("/wallet/withdraw", **fields)
    assert (reader.own_msat, reader.gift_msat) == (0, 2_000_000)


@pytest.mark.parametrize(
    ("address", "amount", "status", "words"),
    [
        ("nonsense", "20000", 422, "no address"),
        ("", "20000", 422, "no address"),
        (ADDRESS, "20,5", 422, "whole number"),
        (ADDRESS, "9" * 19, 422, "more than there is"),
        (ADDRESS, "2" * 18, 409, "Your own money is 50,000 sats"),
        (ADDRESS, "4999", 422, "The smallest amount is 5,000 sats."),
        (ADDRESS, "50000", 409, "Your own money is 50,000 sats"),
    ],
)
def test_a_withdrawal_that_cannot_be_is_told_with_nothing_lost(
    shop: World, address: str, amount: str, status: int, words: str
) -> None:
    reader = Reader(shop)
    reader.fill(50_000)
    answer = reader.post(REVIEW, address=address, amount=amount)
    assert answer.status_code == status
    assert words in answer.text
    for typed in (address, amount):
        assert f'value="{typed}"' in answer.text
    assert reader.own_msat == 50_000_000


def test_a_fee_that_rose_is_shown_before_anything_leaves(shop: World) -> None:
    reader = Reader(shop)
    reader.fill(50_000)
    fields = hidden_fields(look_at_fee(reader, "9000").text)
    fields["fee_msat"] = "1"
    answer = reader.post("/wallet/withdraw", **fields)
    assert answer.status_code == 409
    assert "Look at the new figures" in answer.text
    assert int(hidden_fields(answer.text)["fee_msat"]) > 1
    assert reader.own_msat == 50_000_000


def test_a_guarded_wallet_asks_who_it_is_and_comes_back(shop: World) -> None:
    reader = Reader(shop)
    reader.fill(50_000)
    review = path_of(reader.post(REVIEW, address=ADDRESS, amount="9000"))
    fields = hidden_fields(reader.get(review).text)
    guard(reader)
    page = reader.get(review).text
    assert "First show that it is you" in page
    confirm = re.search(r'href="(/wallet/confirm[^"]*)"', page)
    assert confirm
    [back] = parse_qs(urlsplit(confirm[1]).query)["next"]
    assert ADDRESS in reader.get(back).text
    assert hidden_fields(page) == {}
    assert path_of(reader.post("/wallet/withdraw", **fields)).startswith("/wallet/confirm?next=")
    form = {"understood": "1", "give_up": "1"}
    assert path_of(reader.post("/wallet/delete", **form)).startswith("/wallet/confirm?next=")
    assert reader.own_msat == 50_000_000


def test_no_other_site_fills_in_the_withdrawal(shop: World) -> None:
    reader, thief = Reader(shop), Reader(shop)
    for one in (reader, thief):
        one.fill(50_000)
    typed = urlencode({"address": ADDRESS, "amount": ""})
    theirs = path_of(thief.post(REVIEW, address=ADDRESS, amount=""))
    assert ADDRESS not in theirs
    mine = path_of(reader.post(REVIEW, address=ADDRESS, amount=""))
    for path in (f"{REVIEW}?{typed}", theirs, f"{REVIEW}?order=x", REVIEW, mine + "x"):
        assert path_of(reader.get(path)) == "/wallet/withdraw?done=over"
    for path in (f"/wallet/withdraw?{typed}", theirs.replace("/review", "")):
        assert ADDRESS not in reader.get(path).text
    assert ADDRESS in reader.get(mine).text
    sent = reader.post(REVIEW, origin="https://evil.example", address=ADDRESS, amount="")
    assert sent.status_code == 403
    shop.clock.pass_time(LIFETIME_S * 2)
    assert path_of(reader.get(mine)) == "/wallet/withdraw?done=over"
    assert "That page is over" in reader.get("/wallet/withdraw?done=over").text


def test_everything_can_be_taken_along(shop: World) -> None:
    reader, other = Reader(shop), Reader(shop)
    other.fill(7_000)
    with write_transaction(shop.session):
        shop.session.get_one(Item, shop.article_id).title = "=HYPERLINK(1)"
    reader.give(1_000_000)
    reader.fill(50_000)
    unlock_item(shop.deps, shop.session, UnlockOrder(reader.wallet_id, shop.article_id, None))
    reader.post(
        "/wallet/withdraw",
        **hidden_fields(look_at_fee(reader, "9000").text),
    )
    answer = reader.get("/wallet/export.json")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    document = json.loads(answer.text)
    assert document["wallet"] == reader.wallet_id
    assert [p["item_id"] for p in document["purchases"]] == [shop.article_id]
    assert len(document["top_ups"]) == len(document["withdrawals"]) == len(document["devices"]) == 1
    assert sum(line["own_msat"] for line in document["activity"]) == document["balance_msat"]
    assert sum(line["gift_msat"] for line in document["activity"]) == document["gift_msat"]
    assert other.wallet_id not in answer.text
    assert reader.cookie.rpartition(".")[2] not in answer.text
    assert "hash" not in answer.text
    rows = list(csv.DictReader(io.StringIO(reader.get("/wallet/activity.csv").text)))
    assert [row["what"] for row in rows] == ["Withdrawal", "Purchase", "Top-up", "Gift"]
    assert rows[1]["title"] == "'=HYPERLINK(1)"
    assert sum(int(row["own_msat"]) for row in rows) == reader.own_msat


def test_a_wallet_with_money_is_not_deleted(shop: World) -> None:
    reader = Reader(shop)
    reader.fill(9_000)
    assert "/wallet/delete" not in reader.get("/wallet/account").text
    answer = reader.post("/wallet/delete", understood="1", give_up="1")
    assert answer.status_code == 409
    assert "Of your own money 9,000 sats is left. Withdraw it first." in answer.text
    assert reader.own_msat == 9_000_000


def test_what_the_fee_makes_too_little_to_withdraw_can_be_given_up(shop: World) -> None:
    reader = Reader(shop)
    reader.fill(5_001)
    answer = reader.post(REVIEW, address=ADDRESS, amount="5000")
    assert (answer.status_code, hidden_fields(answer.text)) == (409, {})
    assert "too little to withdraw" in reader.get("/wallet/account").text
    answer = reader.post("/wallet/delete", understood="1", give_up="1")
    assert path_of(answer) == "/wallet?done=deleted"
    assert held(shop, chart.SUSPENSE) == 5_001_000


def test_deleting_needs_that_it_is_understood(shop: World) -> None:
    reader = Reader(shop)
    reader.fill(1_000)
    for form, status in (({"give_up": "1"}, 422), ({"understood": "1"}, 409)):
        answer = reader.post("/wallet/delete", **form)
        assert answer.status_code == status
        assert 'role="alert"' in answer.text
    assert reader.wallet.closed_at is None


def test_a_deleted_wallet_leaves_nothing_behind_but_its_bookings(shop: World) -> None:
    reader = Reader(shop)
    elsewhere = Reader(shop, reader.wallet_id)
    reader.give(2_000_000)
    reader.fill(3_000)
    limits = Limits(20_000_000, 200_000_000, 0, 90)
    with write_transaction(shop.session):
        create_allowance(shop.deps, shop.session, reader.wallet_id, shop.site_id, ORIGIN, limits)
    answer = reader.post("/wallet/delete", understood="1", give_up="1")
    assert path_of(answer) == "/wallet?done=deleted"
    assert "bitcache_wallet=;" in answer.headers["Set-Cookie"]
    assert (reader.own_msat, reader.gift_msat, reader.wallet.closed_at is None) == (0, 0, False)
    assert held(shop, chart.SUSPENSE) == 3_000_000
    assert held(shop, chart.PROMOTION) == 0
    assert list_allowances(shop.deps, shop.session, reader.wallet_id) == []
    for browser in (reader, elsewhere):
        assert path_of(browser.get("/wallet/purchases")).startswith("/wallet/sign-in")
    assert "The wallet was deleted." in reader.get("/wallet?done=deleted").text


def test_a_wallet_with_money_on_its_way_waits(shop: World) -> None:
    reader, leaving = Reader(shop), Reader(shop)
    shop.rail.pay(target_of(shop, reader.top_up()), 20_000_000)
    shop.watch()
    answer = reader.post("/wallet/delete", understood="1")
    assert answer.status_code == 409
    assert "A top-up is on its way" in answer.text
    shop.mine()
    leaving.fill(50_000)
    fields = hidden_fields(look_at_fee(leaving, "").text)
    leaving.post("/wallet/withdraw", **fields)
    answer = leaving.post("/wallet/delete", understood="1")
    assert (leaving.own_msat, answer.status_code) == (0, 409)
    assert "A withdrawal is on its way" in answer.text
    assert [p.state for p in withdrawals(shop.session, leaving.wallet_id)] == ["waiting"]
    shop.session.rollback()
