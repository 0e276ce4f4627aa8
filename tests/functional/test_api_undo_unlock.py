"""POST /v1/unlocks/undo"""

from collections.abc import Iterator

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from bitcache_server.ledger import chart
from bitcache_server.models.catalog import SiteOrigin
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import Allowance
from bitcache_server.services.merchants import add_site
from tests.support.api import assert_refused, call
from tests.support.purchases import (
    ALLOWANCE,
    FILE_COMMISSION_MSAT,
    FILE_MSAT,
    WALLET,
    allow,
    buy_from_balance,
    fill_wallet,
    pay_out,
    purses,
    revisions_alive,
    spent_today,
)
from tests.support.shops import assert_nothing_lost, held
from tests.support.world import ORIGIN, World

PATH = "/v1/unlocks/undo"


@pytest.fixture
def token(world: World) -> Iterator[str]:
    """Return an allowance by which the file has just been bought, half of it with a gift."""
    fill_wallet(world, 10_000_000, gift_msat=3_500_000)
    token = allow(world)
    buy_from_balance(world, allowance_id=ALLOWANCE, origin=ORIGIN)
    yield token
    assert_nothing_lost(world)


def undo(
    world: World, token: str | None, item_id: str = "", origin: str | None = ORIGIN
) -> TestResponse:
    headers = {} if origin is None else {"Origin": origin}
    body = {"item": item_id or world.file_id}
    return call(world, "POST", PATH, token, json=body, headers=headers)


def move_site(world: World, origin: str) -> None:
    """Let the world's site live at another origin."""
    with write_transaction(world.session):
        row = world.session.scalars(select(SiteOrigin).filter_by(site_id=world.site_id)).one()
        world.session.delete(row)
        world.session.flush()
        world.session.add(SiteOrigin(site_id=world.site_id, origin=origin))


def test_the_price_comes_back(world: World, token: str) -> None:
    answer = undo(world, token)
    assert answer.status_code == 200
    assert answer.get_json() == {
        "item": world.file_id,
        "refunded_msat": FILE_MSAT,
        "balance_msat": 10_000_000,
        "gift_msat": 3_500_000,
    }
    assert (revisions_alive(world, world.file_id), spent_today(world)) == ([], FILE_MSAT)


def test_a_second_click_undoes_nothing_more(world: World, token: str) -> None:
    assert undo(world, token).status_code == 200
    assert_refused(world, undo(world, token), 409, "already_refunded")
    assert purses(world) == (10_000_000, 3_500_000)


def test_after_the_window(world: World, token: str) -> None:
    world.clock.pass_time(61)
    assert_refused(world, undo(world, token), 409, "refund_not_offered")


def test_what_was_not_bought(world: World, token: str) -> None:
    assert_refused(world, undo(world, token, world.article_id), 404, "unknown_purchase")
    assert_refused(world, undo(world, token, "it_none"), 404, "unknown_item")


@pytest.mark.parametrize("origin", [None, "https://pay.example", "https://evil.example"])
def test_pages_of_other_origins(world: World, token: str, origin: str | None) -> None:
    answer = undo(world, token, origin=origin)
    assert (answer.status_code, answer.get_json()["code"]) == (403, "origin_not_allowed")
    assert revisions_alive(world, world.file_id) == [1]


def test_an_origin_that_the_site_gave_up(world: World, token: str) -> None:
    move_site(world, "https://new.example")
    # Another site has it now, so that the address itself is known.
    with write_transaction(world.session):
        add_site(world.deps, world.session, world.merchant_id, "Eve's", [ORIGIN])
    assert_refused(world, undo(world, token), 403, "origin_not_allowed")
    assert revisions_alive(world, world.file_id) == [1]


def test_without_an_allowance(world: World, token: str) -> None:
    assert_refused(world, undo(world, None), 401, "allowance_missing")
    assert_refused(world, undo(world, token[:-2] + "xx"), 403, "allowance_invalid")
    assert_refused(world, undo(world, world.secret), 403, "allowance_invalid")


@pytest.mark.parametrize(
    ("column", "code"),
    [("revoked_at", "allowance_revoked"), ("expires_at", "allowance_expired")],
)
def test_an_allowance_that_is_over(world: World, token: str, column: str, code: str) -> None:
    with write_transaction(world.session):
        setattr(world.session.get_one(Allowance, (WALLET, ALLOWANCE)), column, world.clock())
    assert_refused(world, undo(world, token), 403, code)
    assert revisions_alive(world, world.file_id) == [1]


def test_a_made_up_allowance_of_a_real_wallet(world: World, token: str) -> None:
    with write_transaction(world.session):
        world.session.delete(world.session.get_one(Allowance, (WALLET, ALLOWANCE)))
    assert_refused(world, undo(world, token), 403, "unknown_allowance")


def test_what_was_promised_holds_even_when_the_money_is_on_its_way_out(
    world: World, token: str
) -> None:
    # It takes a process whose clock is ahead: payouts leave out what can be undone.
    pay_out(world)
    assert undo(world, token).status_code == 200
    assert held(world, chart.merchant(world.merchant_id)) == -(FILE_MSAT - FILE_COMMISSION_MSAT)
