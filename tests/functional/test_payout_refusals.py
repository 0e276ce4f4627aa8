"""One payout never holds up another, and one transaction never pays for two batches."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from bitcache_server.domain.errors import (
    AddressInvalid,
    BitcacheError,
    PayoutAddressMissing,
    PayoutLimit,
    PayoutNotWaiting,
    PayoutsUnavailable,
    StorageBusy,
)
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PayoutOrder, PreparedPayout
from bitcache_server.rails.fake_chain import FakeTx
from bitcache_server.rails.fake_payouts import _prepared as as_prepared
from bitcache_server.services import merchant_payouts
from bitcache_server.services.deps import Deps
from bitcache_server.services.merchant_payouts import schedule_payouts, set_payout_terms
from bitcache_server.services.merchants import add_merchant
from bitcache_server.services.payout_approvals import cancel_payout
from bitcache_server.services.payout_batches import make_batch, set_aside
from bitcache_server.services.payout_health import payout_health
from bitcache_server.settings import Settings
from tests.support.books import open_wallet
from tests.support.payouts import (
    assert_payouts_sound,
    batches,
    earn,
    payout_of,
    send,
    set_terms,
    states,
    withdraw,
)
from tests.support.shops import opened_world, transfers
from tests.support.world import World

CONFLICT_DEPTH = 6


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[World]:
    with opened_world(tmp_path, database_url, payout_batch_size=4) as world:
        world.rail.fund(1_000_000_000)
        for number in range(5):
            open_wallet(world.session, f"wa_{number}", balance_msat=900_000_000)
        yield world
        assert_payouts_sound(world)


def _ask(shop: World, *amounts_sat: int) -> list[str]:
    return [
        withdraw(shop, amount_sat, wallet_id=f"wa_{number}", address=f"fake:r{number}")
        for number, amount_sat in enumerate(amounts_sat)
    ]


def _refuse(
    shop: World, monkeypatch: pytest.MonkeyPatch, address: str, error: BitcacheError
) -> None:
    sign = shop.rail.prepare_payout

    def node(orders: Sequence[PayoutOrder]) -> PreparedPayout:
        if any(order.destination == address for order in orders):
            raise error
        return sign(orders)

    monkeypatch.setattr(shop.rail, "prepare_payout", node)


@pytest.mark.parametrize("culprit", [0, 3])
@pytest.mark.parametrize("refusal", [PayoutsUnavailable, PayoutLimit, AddressInvalid])
def test_one_that_the_rail_refuses_lets_all_others_go(
    shop: World,
    monkeypatch: pytest.MonkeyPatch,
    culprit: int,
    refusal: type[BitcacheError],
) -> None:
    asked = _ask(shop, 20_000, 20_001, 20_002, 20_003)
    _refuse(shop, monkeypatch, f"fake:r{culprit}", refusal("It is too small."))
    assert send(shop) > 0
    while send(shop):
        pass
    expected = ["sending"] * 4
    expected[culprit] = "waiting"
    assert states(shop, *asked) == expected
    assert payout_of(shop, asked[culprit]).reason == "It is too small."
    assert payout_health(shop.deps, shop.session).code == "payouts_waiting"
    monkeypatch.undo()
    assert send(shop) == 1


def test_a_batch_full_of_refused_ones_lets_newer_ones_in(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.rail.fund(-900_000_000)
    large = _ask(shop, 400_000, 400_000, 400_000, 400_000)
    assert send(shop) == 0
    shop.clock.pass_time(1)
    small = withdraw(shop, 5_000, wallet_id="wa_4", address="fake:s")
    assert send(shop) == 1
    assert states(shop, small, *large) == ["sending"] + ["waiting"] * 4
    shop.rail.fund(2_000_000_000)
    assert send(shop) == 4


def _refuse_to_send(shop: World, monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    """Let the node refuse one transaction, whatever its reason, until it is undone."""
    send_one = shop.rail._send

    def node(tx: FakeTx) -> str:
        return "bad-txns" if tx.txid == reference else send_one(tx)

    monkeypatch.setattr(shop.rail, "_send", node)


def _refused_and_waiting(shop: World, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str]:
    """Return a payout whose transaction the node refuses, that one, and a payout behind it."""
    shop.rail.refuse_payouts("bad-txns")
    refused = withdraw(shop, wallet_id="wa_1", address="fake:same")
    send(shop)
    [batch] = batches(shop)
    _refuse_to_send(shop, monkeypatch, batch.reference)
    shop.rail.refuse_payouts("")
    waiting = withdraw(shop, wallet_id="wa_2", address="fake:same")
    assert send(shop) == 0
    return refused, batch.reference, waiting


def test_set_aside_lets_others_go_and_gives_nothing_up(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, _, waiting = _refused_and_waiting(shop, monkeypatch)
    with pytest.raises(PayoutNotWaiting):
        set_aside(shop.deps, shop.session, waiting)
    set_aside(shop.deps, shop.session, refused)
    assert send(shop) == 1
    assert states(shop, refused, waiting) == ["sending", "sending"]
    assert sorted(batch.state for batch in batches(shop)) == ["aside", "sent"]
    with pytest.raises(PayoutNotWaiting), write_transaction(shop.session):
        cancel_payout(shop.deps, shop.session, refused)
    with pytest.raises(PayoutNotWaiting, match="is out"):
        set_aside(shop.deps, shop.session, waiting)
    shop.clock.pass_time(3_601)
    assert payout_health(shop.deps, shop.session).code == "payout_stuck"
    assert_payouts_sound(shop)
    # Years later somebody sends what was signed, or the node changes its mind.
    monkeypatch.undo()
    send(shop)
    assert [batch.state for batch in batches(shop)] == ["sent", "sent"]
    shop.rail.confirm()
    send(shop)
    assert states(shop, refused, waiting) == ["settled", "settled"]
    assert len(transfers(shop, Kind.PAYOUT)) == 2


def _spend_again(shop: World, monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    """Let the wallet forget that the coin of a transaction is spent: the next one takes it."""
    sign, coin = shop.rail.prepare_payout, shop.rail._prepared[reference].coin

    def reuse(orders: Sequence[PayoutOrder]) -> PreparedPayout:
        signed = sign(orders)
        tx = replace(shop.rail._prepared[signed.reference], coin=coin)
        shop.rail._prepared[tx.txid] = tx
        return as_prepared(tx, signed.amount_msat)

    monkeypatch.setattr(shop.rail, "prepare_payout", reuse)


@pytest.mark.parametrize("refused_for_good", [True, False])
def test_one_transaction_settles_one_batch(
    shop: World, monkeypatch: pytest.MonkeyPatch, refused_for_good: bool
) -> None:
    """Both pay the same to one payee with the same coin, so each looks like the other."""
    if refused_for_good:
        first, reference, second = _refused_and_waiting(shop, monkeypatch)
        set_aside(shop.deps, shop.session, first)
    else:
        first = withdraw(shop, wallet_id="wa_1", address="fake:same")
        send(shop)
        reference = batches(shop)[0].reference
        shop.rail.lose(reference)
        second = withdraw(shop, wallet_id="wa_2", address="fake:same")
    _spend_again(shop, monkeypatch, reference)
    assert make_batch(shop.deps, shop.session, shop.rail, at_once=True) == 1
    shop.rail.confirm()
    send(shop)
    assert states(shop, first, second) == ["sending", "settled"]
    [conflict] = [batch for batch in batches(shop) if batch.reference == reference]
    assert "pays others" in conflict.detail
    monkeypatch.undo()
    shop.rail.confirm(CONFLICT_DEPTH - 1)
    send(shop)
    shop.rail.confirm()
    send(shop)
    assert states(shop, first, second) == ["settled", "settled"]
    assert len(transfers(shop, Kind.PAYOUT)) == 2
    paid = [o for block in shop.rail._chain for tx in block.txs for o in tx.outputs]
    assert paid == [("fake:same", 20_000_000)] * 2
    assert sorted(batch.state for batch in batches(shop)) == ["failed", "settled", "settled"]


def test_a_transaction_that_is_known_is_not_stored_again(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = withdraw(shop, wallet_id="wa_1", address="fake:same")
    send(shop)
    [batch] = batches(shop)
    again = PreparedPayout(batch.reference, batch.raw, batch.amount_msat, batch.fee_msat)
    second = withdraw(shop, wallet_id="wa_2", address="fake:same")
    monkeypatch.setattr(shop.rail, "prepare_payout", lambda _orders: again)
    assert send(shop) == 0
    assert states(shop, first, second) == ["sending", "waiting"]
    assert batch.reference in payout_of(shop, second).reason
    monkeypatch.undo()
    assert send(shop) == 1


def test_a_payout_is_not_booked_before_it_is_six_blocks_deep(
    tmp_path: Path, database_url: str
) -> None:
    default = Settings.model_fields["payout_confirmations"].default
    with opened_world(tmp_path, database_url, payout_confirmations=default) as shop:
        shop.rail.fund(1_000_000_000)
        open_wallet(shop.session, "wa_1", balance_msat=900_000_000)
        asked = withdraw(shop)
        send(shop)
        for depth in range(1, 7):
            assert states(shop, asked) == ["sending"], depth
            shop.rail.confirm()
            send(shop)
        assert states(shop, asked) == ["settled"]
        assert_payouts_sound(shop)


@pytest.mark.parametrize("error", [StorageBusy, PayoutAddressMissing, PayoutsUnavailable])
def test_no_merchant_ends_the_round_of_the_others(
    shop: World, monkeypatch: pytest.MonkeyPatch, error: type[BitcacheError]
) -> None:
    set_terms(shop, every_s=60)
    earn(shop, 20_000_000)
    with write_transaction(shop.session):
        others = [add_merchant(shop.deps, shop.session, name, None).id for name in "BC"]
    for other in others:
        terms: dict[str, Any] = {"threshold_sat": 0, "every_s": 60}
        set_payout_terms(shop.deps, shop.session, other, address="fake:other", **terms)
        earn(shop, 20_000_000, other)
    ask, unlucky = merchant_payouts.request_merchant_payout, min(shop.merchant_id, *others)

    def request(deps: Deps, session: Session, merchant_id: str) -> Payout:
        if merchant_id == unlucky:
            raise error("Not now.")
        return ask(deps, session, merchant_id)

    monkeypatch.setattr(merchant_payouts, "request_merchant_payout", request)
    assert schedule_payouts(shop.deps, shop.session) == 2
