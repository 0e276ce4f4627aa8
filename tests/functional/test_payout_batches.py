"""Several payouts in one transaction, and everything that can happen to it afterwards."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bitcache_server.domain.errors import NodeUnreachable, PayoutNotWaiting
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PayoutOrder, PreparedPayout
from bitcache_server.services import payout_batches
from bitcache_server.services.merchant_payouts import request_merchant_payout
from bitcache_server.services.payout_approvals import cancel_payout
from bitcache_server.services.payout_batches import make_batch
from bitcache_server.services.payout_health import check_payouts
from tests.support.books import open_wallet
from tests.support.payouts import (
    assert_payouts_sound,
    batches,
    earn,
    payout_of,
    send,
    set_terms,
    states,
    together,
    withdraw,
)
from tests.support.shops import held, opened_world, transfers
from tests.support.world import World

CONFLICT_DEPTH = 6


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[World]:
    with opened_world(tmp_path, database_url, payout_batch_size=4) as world:
        world.rail.fund(1_000_000_000)
        for number in range(6):
            open_wallet(world.session, f"wa_{number}", balance_msat=900_000_000)
        yield world
        assert_payouts_sound(world)


def _ask(shop: World, count: int, amount_sat: int = 20_000) -> list[str]:
    return [
        withdraw(shop, amount_sat + number, wallet_id=f"wa_{number}", address=f"fake:r{number}")
        for number in range(count)
    ]


def _findings(shop: World) -> list[str]:
    found = [finding.code for finding in check_payouts(shop.deps, shop.session)]
    shop.session.rollback()
    return found


def _health(shop: World) -> str:
    shop.session.rollback()
    parts = {part["name"]: part for part in shop.get("/health").get_json()["parts"]}
    part = parts["payouts"]
    # Readers pay and read all the same.
    assert not part["vital"]
    assert part["ok"] == (part["code"] == "ok")
    return str(part["code"])


def test_many_go_out_in_one_transaction(shop: World) -> None:
    asked = _ask(shop, 3)
    set_terms(shop, "fake:merchant")
    earn(shop, 50_000_500)
    merchants = request_merchant_payout(shop.deps, shop.session, shop.merchant_id).id
    assert send(shop) == 4
    [batch] = batches(shop)
    assert batch.amount_msat == 3 * 20_000_000 + 3_000 + 50_000_000 - 141_000
    assert {payout_of(shop, one).batch_id for one in (*asked, merchants)} == {batch.id}
    shop.rail.confirm()
    send(shop)
    assert states(shop, *asked, merchants) == ["settled"] * 4
    # Four payees paid for four transactions; the network took one.
    assert held(shop, chart.NETWORK_FEES) == 4 * 141_000 - batch.fee_msat
    assert held(shop, chart.clearing("fake")) == batch.amount_msat + batch.fee_msat
    assert shop.rail.held_msat([]) == 1_000_000_000 - batch.amount_msat - batch.fee_msat


def test_they_gather_for_a_while(shop: World) -> None:
    first, second = _ask(shop, 2)
    assert send(shop, at_once=False) == 0
    shop.clock.pass_time(599)
    assert send(shop, at_once=False) == 0
    shop.clock.pass_time(1)
    assert send(shop, at_once=False) == 2
    assert states(shop, first, second) == ["sending"] * 2


def test_many_do_not_wait(shop: World) -> None:
    _ask(shop, 6)
    assert send(shop, at_once=False) == 4
    assert send(shop, at_once=False) == 0
    assert len(batches(shop)) == 1


def test_a_clock_that_was_put_back_holds_nothing_up(shop: World) -> None:
    _ask(shop, 1)
    shop.clock.pass_time(-1_000_000)
    assert send(shop, at_once=False) == 1


def test_the_answer_is_lost_and_nothing_is_paid_twice(shop: World) -> None:
    [asked] = _ask(shop, 1)
    shop.rail.lose_answers()
    assert send(shop) == 1
    assert [batch.state for batch in batches(shop)] == ["signed"]
    more = withdraw(shop, wallet_id="wa_5")
    shop.rail.lose_answers(False)
    assert send(shop) == 1, "the first one is out, so the next one may follow"
    assert states(shop, asked, more) == ["sending", "sending"]
    assert [batch.state for batch in batches(shop)] == ["sent", "sent"]
    shop.rail.confirm()
    send(shop)
    assert states(shop, asked, more) == ["settled", "settled"]
    assert len(transfers(shop, Kind.PAYOUT)) == 2


def test_one_unsent_transaction_at_a_time(shop: World) -> None:
    [asked] = _ask(shop, 1)
    shop.rail.refuse_payouts("mempool full")
    send(shop)
    more = withdraw(shop, wallet_id="wa_5")
    for _ in range(3):
        assert send(shop) == 0
    [batch] = batches(shop)
    assert (batch.state, batch.detail) == ("signed", "the node refuses: mempool full")
    assert states(shop, asked, more) == ["sending", "waiting"]
    with pytest.raises(PayoutNotWaiting), write_transaction(shop.session):
        cancel_payout(shop.deps, shop.session, asked)
    assert _findings(shop) == ["ok"]
    shop.clock.pass_time(3_601)
    assert _findings(shop) == ["payout_stuck"]
    assert _health(shop) == "payout_stuck"
    shop.rail.refuse_payouts("")
    assert send(shop) == 1
    assert [found.state for found in batches(shop)] == ["sent", "sent"]
    assert batches(shop)[0].raw == batch.raw


def test_a_dropped_transaction_is_sent_again(shop: World) -> None:
    [asked] = _ask(shop, 1)
    send(shop)
    [before] = batches(shop)
    shop.rail.lose(before.reference)
    send(shop)
    shop.rail.confirm()
    send(shop)
    [after] = batches(shop)
    assert (after.reference, after.raw, after.state) == (before.reference, before.raw, "settled")
    assert states(shop, asked) == ["settled"]


def test_a_replacement_that_pays_the_same_is_adopted(shop: World) -> None:
    """The operator raised the fee in the node's wallet."""
    [asked] = _ask(shop, 1)
    send(shop)
    [before] = batches(shop)
    txid = shop.rail.bump(before.reference, 7_000)
    send(shop)
    [after] = batches(shop)
    assert (after.reference, after.fee_msat) == (txid, before.fee_msat + 7_000)
    shop.rail.confirm()
    send(shop)
    assert states(shop, asked) == ["settled"]
    assert held(shop, chart.NETWORK_FEES) == -7_000, "the operator bears what was not shown"
    assert shop.rail.held_msat([]) == 1_000_000_000 - held(shop, chart.clearing("fake"))


@pytest.mark.parametrize("sent", [True, False])
def test_coins_that_went_elsewhere_pay_nobody_twice(shop: World, sent: bool) -> None:
    asked = _ask(shop, 2)
    if not sent:
        shop.rail.refuse_payouts()
    send(shop)
    [before] = batches(shop)
    shop.rail.spend_otherwise(before.reference)
    shop.rail.refuse_payouts("")
    for depth in range(CONFLICT_DEPTH):
        send(shop)
        assert states(shop, *asked) == ["sending"] * 2, f"{depth} deep could still come back"
        assert held(shop, chart.payout(asked[0])) == 20_141_000
        shop.rail.confirm()
    assert send(shop) == 2
    failed, again = sorted(batches(shop), key=lambda batch: batch.state)
    assert (failed.id, failed.state, again.state) == (before.id, "failed", "sent")
    assert failed.reference != again.reference
    shop.rail.confirm()
    send(shop)
    assert states(shop, *asked) == ["settled"] * 2
    assert len(transfers(shop, Kind.PAYOUT)) == 2
    assert transfers(shop, Kind.RELEASE) == []


def test_a_failed_one_can_be_taken_back(shop: World) -> None:
    [asked] = _ask(shop, 1)
    send(shop)
    shop.rail.spend_otherwise(batches(shop)[0].reference)
    shop.rail.confirm(CONFLICT_DEPTH)
    shop.rail.fund(-990_000_000)
    assert send(shop) == 0
    assert states(shop, asked) == ["waiting"]
    with write_transaction(shop.session):
        cancel_payout(shop.deps, shop.session, asked)
    assert held(shop, chart.wallet("wa_0")) == 900_000_000


def test_a_reorganisation_before_it_is_deep_enough(tmp_path: Path, database_url: str) -> None:
    with opened_world(tmp_path, database_url, payout_confirmations=3) as shop:
        shop.rail.fund(1_000_000_000)
        open_wallet(shop.session, "wa_0", balance_msat=900_000_000)
        [asked] = _ask(shop, 1)
        send(shop)
        shop.rail.confirm(2)
        send(shop)
        assert states(shop, asked) == ["sending"]
        shop.rail.reorg(2)
        send(shop)
        assert states(shop, asked) == ["sending"]
        shop.rail.confirm(3)
        send(shop)
        assert states(shop, asked) == ["settled"]
        assert_payouts_sound(shop)


def test_too_little_money_lets_the_small_ones_go(shop: World) -> None:
    shop.rail.fund(-900_000_000)
    small = _ask(shop, 2)
    large = withdraw(shop, 500_000, wallet_id="wa_4", address="fake:big")
    assert send(shop) > 0
    while send(shop):
        pass
    assert states(shop, *small, large) == ["sending", "sending", "waiting"]
    assert payout_of(shop, large).reason.startswith("The wallet holds")
    assert _findings(shop) == ["payouts_waiting"]
    assert _health(shop) == "payouts_waiting"
    assert "holds" not in shop.get("/health").text
    shop.rail.fund(900_000_000)
    assert send(shop) == 1
    assert payout_of(shop, large).reason == ""
    assert _findings(shop) == ["ok"]
    assert _health(shop) == "ok"


def test_a_node_that_does_not_answer_is_explained(shop: World) -> None:
    [asked] = _ask(shop, 1)
    shop.rail.break_with(NodeUnreachable("Nothing listens."))
    with pytest.raises(NodeUnreachable):
        send(shop)
    assert payout_of(shop, asked).reason == "Nothing listens."
    shop.rail.break_with(None)
    assert send(shop) == 1


def test_one_that_cannot_be_paid_holds_up_no_other(shop: World) -> None:
    """The server was pointed at another network since it was asked for."""
    wrong, right = _ask(shop, 2)
    with write_transaction(shop.session):
        shop.session.get_one(Payout, wrong).destination = "bc1qelsewhere"
    assert send(shop) == 1
    assert states(shop, wrong, right) == ["waiting", "sending"]
    assert "fake network" in payout_of(shop, wrong).reason


def test_taken_back_while_it_is_signed(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was signed is thrown away: a payout that gave its money back is never sent."""
    first, second = _ask(shop, 2)
    sign = shop.rail.prepare_payout

    def cancelled_meanwhile(orders: Sequence[PayoutOrder]) -> PreparedPayout:
        prepared = sign(orders)
        with write_transaction(shop.session):
            cancel_payout(shop.deps, shop.session, first)
        return prepared

    with monkeypatch.context() as patch:
        patch.setattr(shop.rail, "prepare_payout", cancelled_meanwhile)
        assert send(shop) == 0
    assert batches(shop) == []
    assert send(shop) == 1
    assert states(shop, first, second) == ["cancelled", "sending"]


def test_two_processes_sign_different_payouts(
    shop: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever stores second throws its transaction away: both would spend the same coins."""
    first = withdraw(shop, wallet_id="wa_1")
    sign = shop.rail.prepare_payout

    def overtaken(orders: Sequence[PayoutOrder]) -> PreparedPayout:
        prepared = sign(orders)
        monkeypatch.undo()
        with write_transaction(shop.session):
            shop.session.get_one(Payout, first).state = "approval"
        withdraw(shop, wallet_id="wa_2", key="other")
        assert make_batch(shop.deps, shop.session, shop.rail, at_once=True) == 1
        with write_transaction(shop.session):
            shop.session.get_one(Payout, first).state = "waiting"
        return prepared

    monkeypatch.setattr(shop.rail, "prepare_payout", overtaken)
    with caplog.at_level(logging.INFO, payout_batches.__name__):
        assert make_batch(shop.deps, shop.session, shop.rail, at_once=True) == 0
    assert "another process was faster" in caplog.text
    assert states(shop, first) == ["waiting"]
    assert len(batches(shop)) == 1
    assert send(shop) == 1


def test_many_processes_at_once_pay_once(shop: World) -> None:
    asked = _ask(shop, 4)
    signed = together(shop, 4, lambda _: send(shop))
    assert sum(signed) == 4
    shop.rail.confirm()
    together(shop, 4, lambda _: send(shop))
    assert states(shop, *asked) == ["settled"] * 4
    assert len(transfers(shop, Kind.PAYOUT)) == 4
    assert shop.rail.held_msat([]) == 1_000_000_000 - held(shop, chart.clearing("fake"))
