"""A reader's own Lightning wallet fills the balance: limits, faults, and what the page shows.

The wallet is a real service behind a real relay; the money is the scripted node's.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from bitcache_server import netguard
from bitcache_server.domain.errors import ConnectionInvalid, InsufficientBalance, WalletNotEmpty
from bitcache_server.models.sales import Invoice
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import WalletConnection
from bitcache_server.services import fill_wallet
from bitcache_server.services.close_wallet import close_wallet
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.strangers import MOST_WAITING, place_to_wait
from bitcache_server.services.wallet_connections import check_relays, connection_view
from bitcache_server.services.wallet_export import export_wallet
from bitcache_server.services.wallets import open_session
from tests.support.api import call
from tests.support.clicks import Clicker, open_clicker
from tests.support.lightning_world import LightningWorld
from tests.support.nwc_wallet import PayingWallet
from tests.support.shops import assert_nothing_lost
from tests.support.strangers import everybody_waits
from tests.support.world import PUBLIC_URL

PRICE_MSAT = 5_000_000
"""Of the article."""
FILL_SAT, DAY_SAT = 6_000, 12_000
PAGE = "/wallet/connection"


@pytest.fixture
def readers_wallet(lightning_world: LightningWorld) -> Iterator[PayingWallet]:
    with PayingWallet(lightning_world.lightning, 1_000_000_000) as wallet:
        yield wallet


@pytest.fixture
def reader(lightning_world: LightningWorld, readers_wallet: PayingWallet) -> Clicker:
    """Return a reader with an empty balance and a connected wallet."""
    reader = open_clicker(lightning_world, 0)
    answer = connect(reader, readers_wallet.connection())
    assert answer.headers.get("Location") == f"{PAGE}?done=connected", answer.text
    return reader


def browser(reader: Clicker) -> dict[str, str]:
    world = reader.world
    with write_transaction(world.session):
        cookie = open_session(world.deps, world.session, reader.wallet_id, "Test", False)
    return {"Cookie": f"__Host-bitcache_wallet={cookie}", "Origin": PUBLIC_URL}


def connect(
    reader: Clicker, text: str, amount: str = str(FILL_SAT), per_day: str = str(DAY_SAT)
) -> TestResponse:
    form = {"connection": text, "amount": amount, "per_day": per_day}
    return call(reader.world, "POST", PAGE, data=form, headers=browser(reader))


def page_of(reader: Clicker) -> str:
    return call(reader.world, "GET", PAGE, headers=browser(reader)).text


def row_of(reader: Clicker) -> WalletConnection:
    session = reader.world.session
    session.rollback()
    query = select(WalletConnection).where(WalletConnection.wallet_id == reader.wallet_id)
    row = session.scalars(query.execution_options(populate_existing=True)).one()
    session.expunge(row)
    session.rollback()
    return row


def later(reader: Clicker, seconds: int) -> None:
    """Let time pass for a server whose jobs run."""
    world = reader.world
    assert isinstance(world, LightningWorld)
    world.clock.pass_time(seconds)
    world.record_health()
    refresh_rates(world.deps, world.session)


def refused(answer: TestResponse) -> str:
    assert answer.status_code == 409
    body = answer.get_json()
    assert body["code"] == InsufficientBalance.code
    return str(body["detail"])


def test_a_click_fills_the_balance_and_opens(reader: Clicker, readers_wallet: PayingWallet) -> None:
    unlocked = reader.unlock(max_amount_msat=PRICE_MSAT)

    assert unlocked["outcome"] == "booked"
    assert reader.money() == (FILL_SAT * 1_000 - PRICE_MSAT, 0)
    assert len(readers_wallet.paid) == 1
    row = row_of(reader)
    assert (row.invoice_id, row.error, row.spent_msat) == (None, "", FILL_SAT * 1_000)
    assert "never" not in page_of(reader).partition("Last asked")[2][:80]
    assert_nothing_lost(reader.world)


def test_the_node_reports_the_same_payment_and_it_counts_once(
    reader: Clicker, lightning_world: LightningWorld
) -> None:
    reader.unlock()
    lightning_world.settle()
    assert reader.money() == (FILL_SAT * 1_000 - PRICE_MSAT, 0)
    assert_nothing_lost(lightning_world)


def test_a_click_that_the_route_behind_answers_fills_too(reader: Clicker) -> None:
    # No plain JSON: the quick way leaves it to Flask.
    answer = call(
        reader.world,
        "POST",
        "/v1/unlocks",
        reader.token,
        data=f'{{"item": "{reader.world.article_id}"}}',
        headers={
            "Origin": "https://blog.example",
            "Content-Type": "application/json; charset=utf-8",
        },
    )
    assert answer.status_code == 200, answer.text
    assert_nothing_lost(reader.world)


def pay_page(reader: Clicker) -> str:
    """Return what the hosted page of the article says to the reader."""
    later(reader, 0)
    path = f"/pay/{reader.world.article_id}"
    return call(reader.world, "GET", path, headers=browser(reader)).text


def pay_on_page(reader: Clicker, page: str, **changed: str) -> TestResponse:
    """Send the page's form, which must be there."""
    path = f"/pay/{reader.world.article_id}/balance"
    assert f'action="{path}"' in page
    form = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page))
    return call(reader.world, "POST", path, data=form | changed, headers=browser(reader))


def test_the_hosted_page_fills_the_balance_too(
    reader: Clicker, readers_wallet: PayingWallet
) -> None:
    page = pay_page(reader)
    assert "Your connected wallet adds" in page
    answer = pay_on_page(reader, page)
    assert answer.headers.get("Location") == f"/pay/{reader.world.article_id}/read", answer.text
    assert reader.money() == (FILL_SAT * 1_000 - PRICE_MSAT, 0)
    # The same form once more pays nothing, and asks nobody.
    pay_on_page(reader, page)
    assert len(readers_wallet.paid) == 1
    assert reader.money() == (FILL_SAT * 1_000 - PRICE_MSAT, 0)
    assert_nothing_lost(reader.world)


def test_the_hosted_page_offers_nothing_beyond_the_limits(
    lightning_world: LightningWorld, readers_wallet: PayingWallet
) -> None:
    reader = open_clicker(lightning_world, 0)
    connect(reader, readers_wallet.connection(), "4000", "4000")
    page = pay_page(reader)
    assert f'action="/pay/{lightning_world.article_id}/balance"' not in page
    assert "Top up" in page
    connect(reader, readers_wallet.connection())
    page = pay_page(reader)
    with write_transaction(lightning_world.session):
        row = lightning_world.session.get_one(WalletConnection, reader.wallet_id)
        row.day, row.spent_msat = lightning_world.clock() // 86_400, DAY_SAT * 1_000
    answer = pay_on_page(reader, page)
    assert answer.status_code == 409
    assert "as much today as you allowed" in answer.text
    assert f'action="/pay/{lightning_world.article_id}/balance"' not in pay_page(reader)
    assert readers_wallet.paid == []
    assert_nothing_lost(lightning_world)


@pytest.mark.usefixtures("impatient")
def test_the_hosted_page_says_what_became_of_it(
    reader: Clicker, readers_wallet: PayingWallet
) -> None:
    page = pay_page(reader)
    # A price that the reader was not shown is never filled up for.
    assert pay_on_page(reader, page, price_msat="4999999").status_code == 409
    assert readers_wallet.paid == []
    readers_wallet.holds = True
    for _ in range(2):
        answer = pay_on_page(reader, page)
        assert answer.status_code == 409
        assert "has not paid yet" in answer.text
    assert len(readers_wallet.paid) == 1
    assert reader.money() == (0, 0)
    assert_nothing_lost(reader.world)


def test_two_clicks_at_once_fill_once(reader: Clicker, readers_wallet: PayingWallet) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: reader.click(), range(2)))

    assert {answer.status_code for answer in answers} == {200}
    assert len(readers_wallet.paid) == 1
    assert reader.money() == (FILL_SAT * 1_000 - PRICE_MSAT, 0)
    assert_nothing_lost(reader.world)


def test_nobody_clicked_so_nobody_is_asked(reader: Clicker, readers_wallet: PayingWallet) -> None:
    reader.change_allowance(auto_msat=PRICE_MSAT)
    assert reader.click(auto=True).status_code == 409
    assert readers_wallet.paid == []


def test_the_limit_of_a_day_holds_until_the_next(
    reader: Clicker, readers_wallet: PayingWallet
) -> None:
    world = reader.world
    connect(reader, readers_wallet.connection(), per_day=str(FILL_SAT))
    reader.unlock()

    words = refused(reader.click(world.file_id))

    assert "as much today as you allowed" in words
    later(reader, 86_400)
    assert reader.click(world.file_id).status_code == 200
    assert len(readers_wallet.paid) == 2
    assert_nothing_lost(world)


def test_what_is_dearer_than_one_top_up_is_not_tried(
    reader: Clicker, readers_wallet: PayingWallet
) -> None:
    connect(reader, readers_wallet.connection(), amount="1000")
    assert "dearer than the 1,000 sats" in refused(reader.click())
    assert readers_wallet.paid == []


def test_a_wallet_with_too_little_says_so_and_may_be_asked_again(
    reader: Clicker, readers_wallet: PayingWallet
) -> None:
    readers_wallet.balance_msat = 1_000
    for _ in range(4):
        assert "too little in it" in refused(reader.click())
    row = row_of(reader)
    assert (row.invoice_id, row.spent_msat) == (None, 0)
    assert "The wallet says: There is too little in it." in page_of(reader)

    readers_wallet.balance_msat = 1_000_000_000
    reader.unlock()
    assert row_of(reader).error == ""
    assert_nothing_lost(reader.world)


def test_many_slow_wallets_leave_the_server_to_others(
    reader: Clicker, readers_wallet: PayingWallet
) -> None:
    with everybody_waits():
        assert "try again" in refused(reader.click())
    assert readers_wallet.paid == []
    assert reader.click().status_code == 200


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clicks wait shortly; for tests in which the end stays unknown."""
    for name, seconds in (("_ANSWER_S", 1.0), ("_PAY_S", 1.0), ("_WAIT_S", 0.5)):
        monkeypatch.setattr(fill_wallet, name, seconds)


@pytest.mark.usefixtures("impatient")
def test_a_payment_whose_end_is_unknown_is_not_made_again(
    reader: Clicker, readers_wallet: PayingWallet, lightning_world: LightningWorld
) -> None:
    readers_wallet.holds = True
    for _ in range(2):
        assert "has not paid yet" in refused(reader.click())
    assert len(readers_wallet.paid) == 1
    assert "has not ended yet" in page_of(reader)

    # It arrives after all: the next click finds the money.
    lightning_world.lightning.pay(readers_wallet.paid[0])
    lightning_world.settle()
    assert reader.unlock()["outcome"] == "booked"
    assert len(readers_wallet.paid) == 1
    assert "has not ended yet" not in page_of(reader)
    assert_nothing_lost(lightning_world)


@pytest.mark.usefixtures("impatient")
def test_a_balance_is_not_deleted_while_its_wallet_may_still_pay(
    reader: Clicker, readers_wallet: PayingWallet, lightning_world: LightningWorld
) -> None:
    """What arrives in a deleted one would be nobody's."""
    readers_wallet.holds = True
    refused(reader.click())
    world = lightning_world
    with (
        pytest.raises(WalletNotEmpty, match="top-up is on its way"),
        write_transaction(world.session),
    ):
        close_wallet(world.deps, world.session, reader.wallet_id, give_up_rest=False)
    later(reader, world.deps.settings.invoice_lifetime_s + 1)
    with write_transaction(world.session):
        close_wallet(world.deps, world.session, reader.wallet_id, give_up_rest=False)


@pytest.mark.usefixtures("impatient")
def test_an_unknown_end_is_over_when_the_invoice_is(
    reader: Clicker, readers_wallet: PayingWallet, lightning_world: LightningWorld
) -> None:
    readers_wallet.holds = True
    refused(reader.click())
    later(reader, lightning_world.deps.settings.invoice_lifetime_s + 1)
    readers_wallet.holds = False

    reader.unlock()

    assert len(readers_wallet.paid) == 2
    # Both count for the day: nobody knows of the first.
    assert row_of(reader).spent_msat == 2 * FILL_SAT * 1_000
    assert_nothing_lost(lightning_world)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("away", ["silent", "relay"])
def test_a_wallet_that_is_away_costs_nothing_but_a_moment(
    reader: Clicker, readers_wallet: PayingWallet, away: str
) -> None:
    if away == "silent":
        readers_wallet.silent = True
    else:
        readers_wallet.stop_relay()
    assert "has not paid yet" in refused(reader.click())
    assert readers_wallet.paid == []
    assert "does not" in page_of(reader) or "cannot be reached" in page_of(reader)
    assert_nothing_lost(reader.world)


def test_a_lie_of_the_wallet_is_not_believed(
    reader: Clicker, readers_wallet: PayingWallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_wallet, "_ANSWER_S", 1.0)
    monkeypatch.setattr(fill_wallet, "_WAIT_S", 0.5)
    lie = {"preimage": "00" * 32, "fees_paid": 0}
    monkeypatch.setattr(readers_wallet, "_pay_invoice", lambda params: lie)
    refused(reader.click())
    assert reader.money() == (0, 0)
    assert_nothing_lost(reader.world)


@pytest.mark.usefixtures("impatient")
def test_a_kill_between_the_order_and_its_answer_is_an_unknown_end(
    reader: Clicker, readers_wallet: PayingWallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(fill_wallet, "_pay", die)
        with pytest.raises(SystemExit):
            reader.click()
    reader.world.session.rollback()

    assert "has not paid yet" in refused(reader.click())
    assert readers_wallet.paid == []
    assert_nothing_lost(reader.world)


def test_the_connection_is_kept_encrypted_and_never_shown(
    reader: Clicker, readers_wallet: PayingWallet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    text = readers_wallet.connection()
    secret = text.partition("secret=")[2]
    connect(reader, text)
    world = reader.world
    shown = page_of(reader) + str(export_wallet(world.deps, world.session, reader.wallet_id))
    world.session.rollback()
    row = row_of(reader)
    kept = " ".join(str(value) for value in vars(row).values())
    assert "test wallet" in shown
    for place in (shown, kept, caplog.text):
        assert secret not in place
        assert "nostr+walletconnect" not in place.replace("nostr+walletconnect://…", "")
    assert "sealed" not in shown


def test_another_wallets_row_or_another_key_opens_nothing(reader: Clicker) -> None:
    world = reader.world
    with write_transaction(world.session):
        row = world.session.get_one(WalletConnection, reader.wallet_id)
        row.sealed = row.sealed[:-8] + "AAAAAAA="
    assert "Connect your wallet once more" in refused(reader.click())


def test_disconnecting_ends_it_at_once(reader: Clicker, readers_wallet: PayingWallet) -> None:
    answer = call(reader.world, "POST", f"{PAGE}/remove", headers=browser(reader))
    assert answer.headers["Location"] == f"{PAGE}?done=disconnected"
    assert reader.click().status_code == 409
    assert readers_wallet.paid == []


def test_a_deleted_wallet_takes_its_connection_along(reader: Clicker) -> None:
    world = reader.world
    with write_transaction(world.session):
        close_wallet(world.deps, world.session, reader.wallet_id, give_up_rest=False)
    assert connection_view(world.deps, world.session, reader.wallet_id) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text": "hello"}, "begins with nostr+walletconnect"),
        ({"text": ""}, "begins with nostr+walletconnect"),
        ({"text": "nostr+walletconnect://" + "x" * 3_000}, "too long"),
        ({"amount": "1"}, "at a time"),
        ({"amount": "some"}, "whole number"),
        ({"per_day": "5999"}, "must allow one top-up"),
    ],
)
def test_what_cannot_be_connected_is_said(
    lightning_world: LightningWorld,
    readers_wallet: PayingWallet,
    change: dict[str, str],
    words: str,
) -> None:
    reader = open_clicker(lightning_world, 0)
    answer = connect(reader, **{"text": readers_wallet.connection(), **change})
    assert answer.status_code in (400, 422)
    assert words in answer.text
    assert connection_view(lightning_world.deps, lightning_world.session, reader.wallet_id) is None


def test_a_wallet_is_asked_what_it_allows(
    lightning_world: LightningWorld, readers_wallet: PayingWallet
) -> None:
    reader = open_clicker(lightning_world, 0)
    narrow = connect(reader, readers_wallet.connection("get_info", "lookup_invoice"))
    assert "does not let this connection: pay_invoice" in narrow.text
    unknown = connect(reader, readers_wallet.foreign_connection())
    assert "does not know this connection" in unknown.text
    readers_wallet.network = "mainnet"
    assert "on mainnet, this server on regtest" in connect(reader, readers_wallet.connection()).text


def test_a_form_of_another_site_connects_nothing(
    lightning_world: LightningWorld, readers_wallet: PayingWallet
) -> None:
    reader = open_clicker(lightning_world, 0)
    headers = {**browser(reader), "Origin": "https://evil.example"}
    form = {"connection": readers_wallet.connection(), "amount": "6000", "per_day": "6000"}
    assert call(lightning_world, "POST", PAGE, data=form, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("relay", "words"),
    [
        ("ws://relay.example", "begin with wss://"),
        ("wss://127.0.0.1:9", "internal address"),
        ("wss://localhost", "internal address"),
        ("wss://[::1]", "internal address"),
        ("wss://10.0.0.7", "internal address"),
        ("wss://169.254.169.254", "internal address"),
    ],
)
def test_in_production_a_relay_is_public_and_encrypted(
    lightning_world: LightningWorld,
    readers_wallet: PayingWallet,
    monkeypatch: pytest.MonkeyPatch,
    relay: str,
    words: str,
) -> None:
    deps = lightning_world.deps
    monkeypatch.setitem(deps.settings.__dict__, "environment", "production")
    text = readers_wallet.connection().replace(readers_wallet.relay, relay)
    with pytest.raises(ConnectionInvalid, match=words):
        check_relays(deps, text)


def test_a_relay_is_looked_at_again_before_each_use(
    reader: Clicker, readers_wallet: PayingWallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netguard, "_lookup", lambda host, port: ["10.0.0.7"])
    assert "internal address" in refused(reader.click())
    assert readers_wallet.paid == []
    assert row_of(reader).spent_msat == 0
    assert_nothing_lost(reader.world)


def test_without_a_connection_the_answer_is_the_old_one(lightning_world: LightningWorld) -> None:
    reader = open_clicker(lightning_world, 0)
    assert refused(reader.click()) == InsufficientBalance.title
    query = select(Invoice).where(Invoice.wallet_id == reader.wallet_id)
    assert lightning_world.session.scalars(query).all() == []


def test_wallets_that_hang_do_not_take_all_threads(
    reader: Clicker, readers_wallet: PayingWallet
) -> None:
    with ExitStack() as others:
        for _ in range(MOST_WAITING - 1):
            assert others.enter_context(place_to_wait())
        with place_to_wait():
            answer = connect(reader, readers_wallet.connection())
        assert answer.status_code == 422
        assert "Many wallets are being asked" in answer.text
        assert connect(reader, "nothing of the kind").status_code == 422
        # Whoever was refused for another reason gave the place back, and so does who succeeds.
        for _ in range(2):
            assert connect(reader, readers_wallet.connection()).status_code == 303


def test_a_text_with_many_relays(reader: Clicker, readers_wallet: PayingWallet) -> None:
    text = readers_wallet.connection()
    more = [f"&relay=ws%3A%2F%2F127.0.0.{number}%3A1" for number in range(2, 6)]
    check_relays(reader.world.deps, text + "".join(more[:3]))
    with pytest.raises(ConnectionInvalid, match="at most 4 relays"):
        check_relays(reader.world.deps, text + "".join(more))
