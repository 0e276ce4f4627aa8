"""An item that is not sold any more: no new invoice anywhere; what was bought stays readable."""

from pathlib import Path

import pytest

from bitcache_server.services.item_changes import set_archived
from bitcache_server.services.members import Member, Role
from bitcache_server.services.once import in_transaction
from bitcache_server.services.unlock_quickly import CACHE_S
from bitcache_server.tokens.verifier import challenge_of
from tests.support.api import assert_refused
from tests.support.clicks import open_clicker
from tests.support.databases import Databases
from tests.support.lightning_world import opened_lightning_world
from tests.support.shops import assert_nothing_lost
from tests.support.world import LOCKED, PUBLIC_URL, World


def archive(world: World, item_id: str = "", *, archived: bool = True) -> None:
    member = Member("ac_1", world.merchant_id, Role.EDITOR)
    wanted = item_id or world.article_id
    in_transaction(
        world.session,
        lambda: set_archived(world.deps, world.session, member, wanted, archived=archived),
    )


def test_new_invoices_are_refused_and_open_ones_can_be_paid(world: World) -> None:
    bought, waiting = world.buy(), world.buy()
    world.pay(bought)
    world.mine(6)
    grant = world.grant(bought)
    archive(world)
    order = {"item": world.article_id, "challenge": challenge_of("v" * 43)}
    for rail in ({}, {"rail": "fake"}):
        assert_refused(world, world.post("/v1/invoices", order | rail), 410, "item_archived")
    # Whoever was shown where to pay is not sent away.
    world.pay(waiting)
    world.mine(6)
    for token in (grant, world.grant(waiting)):
        content = world.get(f"/v1/content/{world.article_id}", token)
        assert (content.status_code, LOCKED in content.text) == (200, True)
    assert_nothing_lost(world)
    archive(world, archived=False)
    assert world.post("/v1/invoices", order).status_code == 201


def test_the_wall_and_the_checkout_page_say_so(world: World) -> None:
    archive(world)
    shown = world.get(f"/v1/items/{world.article_id}").get_json()
    assert (shown["archived"], shown["rails"], shown["balance"]) == (True, [], None)
    page = world.client.get(f"/pay/{world.article_id}").text
    assert "not sold any more" in page
    assert "Pay with bitcoin" not in page
    bought = world.client.post(
        f"/pay/{world.article_id}", base_url=PUBLIC_URL, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert bought.status_code == 410
    archive(world, archived=False)
    assert world.get(f"/v1/items/{world.article_id}").get_json()["archived"] is False


def test_one_click_opens_it_for_who_has_it_and_for_nobody_else(world: World) -> None:
    owner, stranger = open_clicker(world), open_clicker(world)
    owner.unlock(key="once")
    archive(world)
    # An offer is kept for a moment, as with prices.
    world.clock.pass_time(CACHE_S)
    assert owner.unlock()["outcome"] == "owned"
    assert owner.unlock(key="once")["outcome"] == "replayed"
    assert_refused(world, stranger.click(), 410, "item_archived")
    assert_refused(
        world, stranger.click(max_amount_msat=5_000_000, key="other"), 410, "item_archived"
    )
    assert stranger.money() == (20_000_000, 0)
    assert_nothing_lost(world)
    archive(world, archived=False)
    assert stranger.unlock(max_amount_msat=5_000_000)["outcome"] == "booked"
    assert_nothing_lost(world)


def test_a_click_without_enough_is_counted_as_started(world: World) -> None:
    reader = open_clicker(world, 1_000)
    assert_refused(world, reader.click(), 409, "insufficient_balance")
    # A page that tries by itself is no reader who clicks.
    reader.change_allowance(auto_msat=10_000_000)
    assert_refused(world, reader.click(auto=True), 409, "insufficient_balance")
    [counted] = world.deps.visit_counts.take().values()
    assert (counted.seen, counted.started) == (0, 1)


@pytest.fixture
def machine_shop(databases: Databases, tmp_path: Path):  # type: ignore[no-untyped-def]
    with databases.fresh("sqlite") as url, opened_lightning_world(tmp_path, url) as world:
        yield world


def test_no_machine_is_billed_for_it(machine_shop: World) -> None:
    path = f"/v1/content/{machine_shop.article_id}"
    assert machine_shop.client.get(path).status_code == 402
    archive(machine_shop, machine_shop.file_id)
    path = f"/v1/files/{machine_shop.file_id}"
    for answer in (machine_shop.client.get(path), machine_shop.client.head(path)):
        assert answer.status_code == 410
        assert "WWW-Authenticate" not in answer.headers
