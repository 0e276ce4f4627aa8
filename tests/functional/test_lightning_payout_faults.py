"""Nodes that are silent, lie or are replaced, and processes that die: nobody is paid twice."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bitcache_server.domain.errors import (
    LightningUnreachable,
    PayoutNotWaiting,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PayoutLookup, PreparedPayout
from bitcache_server.rails.lightning.backend import PayOrder, Sent
from bitcache_server.rails.lightning.scripted import ScriptedBackend
from bitcache_server.services import payout_singles, withdraw
from bitcache_server.services.payout_approvals import cancel_payout
from bitcache_server.services.payout_singles import CALL_WITHIN_S, SENDING_S
from tests.support.books import open_wallet
from tests.support.databases import Databases
from tests.support.lightning_payouts import (
    AMOUNT_MSAT,
    BALANCE_MSAT,
    RESERVE_MSAT,
    asked,
    last_hash,
    own_msat,
    pay_out,
    payout_shop,
    recorded_payments,
    withdraw_to,
)
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.payouts import (
    assert_payouts_sound,
    batches,
    payout_of,
    states,
    together,
)
from tests.support.shops import held, restarted, transfers

HOUR_S = 3_600


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[LightningWorld]:
    many: dict[str, Any] = {"lightning_open_payouts_per_wallet": 100}
    with payout_shop(tmp_path, database_url, gift_msat=50_000_000, **many) as world:
        yield world


@pytest.mark.parametrize("end", [Outcome.SETTLED, Outcome.FAILED])
@pytest.mark.parametrize("first", [Outcome.PENDING, Outcome.UNKNOWN])
def test_one_that_hangs_stays_reserved_through_restarts_until_the_node_is_sure(
    shop: LightningWorld, first: Outcome, end: Outcome
) -> None:
    payout_id = asked(shop, first)
    pay_out(shop)
    for _ in range(3):
        shop.clock.pass_time(86_400)
        with restarted(shop) as again:
            assert pay_out(replace(shop, app=again.app, deps=again.deps)) == 0
        assert states(shop, payout_id) == ["sending"]
        assert held(shop, chart.payout(payout_id)) == AMOUNT_MSAT + RESERVE_MSAT
    with pytest.raises(PayoutNotWaiting), write_transaction(shop.session):
        cancel_payout(shop.deps, shop.session, payout_id)
    shop.lightning.finish(last_hash(shop), end, fee_msat=50_000)
    pay_out(shop)
    if end is Outcome.SETTLED:
        assert states(shop, payout_id) == ["settled"]
        assert own_msat(shop) == BALANCE_MSAT - AMOUNT_MSAT - 50_000
    else:
        assert states(shop, payout_id) == ["failed"]
        assert own_msat(shop) == BALANCE_MSAT


@pytest.mark.parametrize("lifetime_s", [HOUR_S, 30 * 86_400])
def test_a_node_that_was_replaced_frees_nothing_and_pays_nothing_again(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch, lifetime_s: int
) -> None:
    """The first node has the payment under way; the second never heard of it."""
    shop.lightning.plan_payment(Outcome.PENDING)
    destination = shop.lightning.foreign_invoice(AMOUNT_MSAT, lifetime_s)
    payout_id = withdraw_to(shop, destination)
    with recorded_payments(shop, monkeypatch) as orders:
        pay_out(shop)
        shop.lightning.forget(last_hash(shop))
        for _ in range(3):
            shop.clock.pass_time(86_400)
            pay_out(shop)
        assert len(orders) == 1
    assert states(shop, payout_id) == ["sending"]
    assert "was it replaced" in batches(shop)[0].detail
    assert held(shop, chart.payout(payout_id)) == AMOUNT_MSAT + RESERVE_MSAT
    # The first one is back, and knows.
    shop.lightning.pay(orders[0])
    pay_out(shop)
    assert states(shop, payout_id) == ["settled"]


def _paid_before(shop: LightningWorld) -> str:
    """Have one payment settled, which the node knows; return its hash."""
    asked(shop, Outcome.SETTLED, key="before")
    pay_out(shop)
    shop.clock.pass_time(1)
    return last_hash(shop)


@pytest.mark.parametrize("wait_s", [SENDING_S, HOUR_S + 601])
def test_a_node_that_died_in_the_call_and_was_replaced_frees_nothing(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch, wait_s: int
) -> None:
    """The first node carries it out and is never heard again; the second knows nothing."""
    before = _paid_before(shop)
    balance_msat = own_msat(shop)
    payout_id = withdraw_to(shop, shop.lightning.foreign_invoice(AMOUNT_MSAT))
    with recorded_payments(shop, monkeypatch) as orders:
        with monkeypatch.context() as patch:
            gone = Sent(Outcome.UNKNOWN, 0, "", "Nothing listens.")

            def die(order: PayOrder) -> Sent:
                orders.append(order)
                return gone

            patch.setattr(shop.lightning, "pay", die)
            patch.setattr(shop.lightning, "lookup_payment", lambda _: gone)
            pay_out(shop)
        assert batches(shop)[-1].sent_at is None
        ask = shop.lightning.lookup_payment
        unknown = Sent(Outcome.UNKNOWN, 0, "", "", missing=True)
        with monkeypatch.context() as patch:
            patch.setattr(shop.lightning, "lookup_payment", lambda _: unknown)
            shop.clock.pass_time(wait_s)
            pay_out(shop)
            assert "was it replaced" in batches(shop)[-1].detail
            # What the second one pays later says nothing about the first.
            asked(shop, Outcome.SETTLED, key="later")
            patch.setattr(
                shop.lightning,
                "lookup_payment",
                lambda it: unknown if it in (before, orders[0].payment_hash) else ask(it),
            )
            pay_out(shop)
            shop.clock.pass_time(wait_s)
            pay_out(shop)
        assert states(shop, payout_id) == ["sending"]
        assert len([one for one in orders if one.payment_hash == orders[0].payment_hash]) == 1
        assert own_msat(shop) == balance_msat - 2 * AMOUNT_MSAT - RESERVE_MSAT
        # The first one is back; it was never told after all.
        pay_out(shop)
    assert states(shop, payout_id) == ["failed" if wait_s > HOUR_S else "settled"]


def test_a_witness_of_whom_nobody_can_tell_frees_nothing(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _paid_before(shop)
    payout_id = asked(shop, Outcome.SETTLED)
    _killed(shop, monkeypatch, _die)
    ask, silent = shop.lightning.lookup_payment, Sent(Outcome.UNKNOWN, 0, "", "Nothing listens.")
    shop.clock.pass_time(HOUR_S + 601)
    with monkeypatch.context() as patch:
        patch.setattr(
            shop.lightning, "lookup_payment", lambda it: silent if it == before else ask(it)
        )
        pay_out(shop)
        assert states(shop, payout_id) == ["sending"]
    pay_out(shop)
    assert states(shop, payout_id) == ["failed"]


def test_a_new_node_that_refuses_is_believed(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was replaced while nothing was under way, and this process heard it say no."""
    shop.lightning.forget(_paid_before(shop))
    payout_id = asked(shop, Outcome.SETTLED)
    refusal = Sent(Outcome.FAILED, 0, "", "There is no route.")
    monkeypatch.setattr(shop.lightning, "pay", lambda _: refusal)
    pay_out(shop)
    assert states(shop, payout_id) == ["failed"]


def test_a_process_that_was_paused_before_the_call_makes_it_no_more(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = withdraw_to(shop, shop.lightning.foreign_invoice(AMOUNT_MSAT))
    announce = payout_singles._store

    def others(_: int) -> None:
        for _ in range(2):
            shop.clock.pass_time(SENDING_S + 1)
            pay_out(shop)

    def paused(*args: Any) -> object:
        """Return after others booked the payment as failed."""
        stored = announce(*args)
        monkeypatch.undo()
        shop.lightning.plan_payment(Outcome.FAILED, detail="no route")
        together(shop, 1, others)
        return stored

    monkeypatch.setattr(payout_singles, "_store", paused)
    pay_out(shop)
    assert states(shop, payout_id) == ["failed"]
    assert own_msat(shop) == BALANCE_MSAT
    assert shop.lightning.delivered_msat(last_hash(shop)) == ()


@pytest.mark.parametrize("pause_s", [CALL_WITHIN_S, CALL_WITHIN_S + 1])
def test_what_was_not_sent_in_time_is_announced_anew(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch, pause_s: int
) -> None:
    payout_id = asked(shop, Outcome.SETTLED)
    announce = payout_singles._store

    def paused(*args: Any) -> object:
        stored = announce(*args)
        shop.clock.pass_time(pause_s)
        return stored

    with monkeypatch.context() as patch:
        patch.setattr(payout_singles, "_store", paused)
        pay_out(shop)
    assert states(shop, payout_id) == ["settled" if pause_s == CALL_WITHIN_S else "sending"]
    shop.clock.pass_time(SENDING_S)
    pay_out(shop)
    assert states(shop, payout_id) == ["settled"]


@pytest.mark.parametrize("is_doubtful", [False, True])
def test_a_node_that_refuses_and_writes_nothing_down_frees_the_money_at_once(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch, is_doubtful: bool
) -> None:
    """Else it would be held until the invoice expires, which may be weeks away."""
    destination = shop.lightning.foreign_invoice(AMOUNT_MSAT, 30 * 86_400)
    payout_id = withdraw_to(shop, destination)
    # A wallet that says so of what it does not list may still have it under way.
    refusal = Sent(Outcome.FAILED, 0, "", "There is no route.", missing=is_doubtful)
    monkeypatch.setattr(shop.lightning, "pay", lambda _: refusal)
    pay_out(shop)
    failed = payout_of(shop, payout_id)
    if is_doubtful:
        assert (failed.state, own_msat(shop)) == (
            "sending",
            BALANCE_MSAT - AMOUNT_MSAT - RESERVE_MSAT,
        )
        return
    assert (failed.state, failed.reason) == ("failed", "The payment failed: There is no route.")
    assert own_msat(shop) == BALANCE_MSAT


def test_a_refusal_of_the_second_call_waits_for_the_first(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = asked(shop, Outcome.SETTLED)
    _killed(shop, monkeypatch, _die)
    shop.clock.pass_time(SENDING_S)
    refusal = Sent(Outcome.FAILED, 0, "", "There is no route.")
    with monkeypatch.context() as patch:
        patch.setattr(shop.lightning, "pay", lambda _: refusal)
        pay_out(shop)
        pay_out(shop)
    assert states(shop, payout_id) == ["sending"]
    shop.clock.pass_time(SENDING_S)
    pay_out(shop)
    assert states(shop, payout_id) == ["failed"]
    assert own_msat(shop) == BALANCE_MSAT


def test_a_preimage_that_does_not_fit_proves_nothing(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = asked(shop, Outcome.SETTLED)
    lie = Sent(Outcome.SETTLED, 0, "ab" * 32, "paid, honestly")
    with monkeypatch.context() as patch:
        patch.setattr(shop.lightning, "pay", lambda _: lie)
        patch.setattr(shop.lightning, "lookup_payment", lambda _: lie)
        pay_out(shop)
        shop.clock.pass_time(86_400)
        pay_out(shop)
        assert states(shop, payout_id) == ["sending"]
        assert "does not belong" in batches(shop)[0].detail
        assert held(shop, chart.payout(payout_id)) == AMOUNT_MSAT + RESERVE_MSAT
    # It was not paid at all: the node never heard of it, and its time is over.
    pay_out(shop)
    assert states(shop, payout_id) == ["failed"]
    assert own_msat(shop) == BALANCE_MSAT


def test_a_node_that_is_down_keeps_the_money_where_it_is(shop: LightningWorld) -> None:
    payout_id = asked(shop, Outcome.SETTLED)
    shop.lightning.fail_with(LightningUnreachable("Nothing listens."))
    with pytest.raises(LightningUnreachable):
        pay_out(shop)
    assert payout_of(shop, payout_id).reason == "Nothing listens."
    shop.lightning.fail_with(None)
    assert pay_out(shop) == 1
    assert states(shop, payout_id) == ["settled"]


class Killed(BaseException):
    """The process ends here, as with kill -9."""


def _die(*_: object) -> Outcome:
    raise Killed


def _killed(
    shop: LightningWorld,
    monkeypatch: pytest.MonkeyPatch,
    send: Callable[[PreparedPayout], Outcome],
) -> None:
    """Run the job in a process that dies in the middle of sending."""
    with monkeypatch.context() as patch:
        patch.setattr(shop.lightning_rail, "send_payout", send)
        with pytest.raises(Killed):
            pay_out(shop)


def test_killed_before_it_was_sent(shop: LightningWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    payout_id = asked(shop, Outcome.SETTLED)
    _killed(shop, monkeypatch, _die)
    with recorded_payments(shop, monkeypatch) as orders:
        pay_out(shop)
        assert orders == [], "the call of the dead may still be on its way"
        assert states(shop, payout_id) == ["sending"]
        shop.clock.pass_time(SENDING_S)
        pay_out(shop)
        assert [order.payment_hash for order in orders] == [last_hash(shop)]
    assert states(shop, payout_id) == ["settled"]


def test_killed_before_it_was_sent_and_back_too_late(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = asked(shop, Outcome.SETTLED)
    _killed(shop, monkeypatch, _die)
    shop.clock.pass_time(HOUR_S + 599)
    with recorded_payments(shop, monkeypatch) as orders:
        pay_out(shop)
        assert states(shop, payout_id) == ["sending"], "clocks may differ"
        shop.clock.pass_time(SENDING_S)
        pay_out(shop)
        assert orders == [], "nobody pays an expired invoice"
    assert states(shop, payout_id) == ["failed"]
    assert own_msat(shop) == BALANCE_MSAT


def test_a_wallet_that_does_not_list_what_is_under_way_frees_nothing_early(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever made the invoice may hold the payment back until long after it expired."""
    abilities = replace(shop.lightning.abilities, lists_pending=False)
    monkeypatch.setattr(ScriptedBackend, "abilities", abilities)
    ask = shop.lightning.lookup_payment

    def hidden(payment_hash: str) -> Sent:
        found = ask(payment_hash)
        under_way = found.outcome is Outcome.PENDING
        return Sent(Outcome.UNKNOWN, 0, "", "", missing=True) if under_way else found

    monkeypatch.setattr(shop.lightning, "lookup_payment", hidden)
    held_back, never_ends = (asked(shop, Outcome.UNKNOWN, key=key) for key in ("1", "2"))
    pay_out(shop)
    payment_hash = next(b.reference for b in batches(shop) if b.id == _batch(shop, held_back))
    shop.clock.pass_time(HOUR_S + 14 * 86_400)
    pay_out(shop)
    assert states(shop, held_back, never_ends) == ["sending", "sending"]
    shop.lightning.finish(payment_hash, Outcome.SETTLED)
    shop.clock.pass_time(7 * 86_400)
    pay_out(shop)
    assert states(shop, held_back, never_ends) == ["settled", "failed"]


def _batch(shop: LightningWorld, payout_id: str) -> str | None:
    return payout_of(shop, payout_id).batch_id


def test_killed_after_it_was_sent(shop: LightningWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    payout_id = asked(shop, Outcome.SETTLED)
    send = shop.lightning_rail.send_payout

    def send_and_die(prepared: PreparedPayout) -> Outcome:
        send(prepared)
        raise Killed

    with recorded_payments(shop, monkeypatch) as orders:
        _killed(shop, monkeypatch, send_and_die)
        pay_out(shop)
        assert len(orders) == 1
    assert states(shop, payout_id) == ["settled"]


@pytest.mark.parametrize("moment", ["waiting", "stored", "sent"])
def test_our_side_is_restored_from_a_backup_in_the_middle(
    tmp_path: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The node remembers what we have forgotten: an invoice is paid once."""
    with (
        databases.fresh("sqlite") as url,
        opened_lightning_world(tmp_path, url) as shop,
        recorded_payments(shop, monkeypatch) as orders,
    ):
        open_wallet(shop.session, balance_msat=BALANCE_MSAT)
        payout_id = asked(shop, Outcome.PENDING)
        if moment == "stored":
            _killed(shop, monkeypatch, _die)
        elif moment == "sent":
            pay_out(shop)
        live, backup = Path(url.removeprefix("sqlite:///")), tmp_path / "backup.db"
        _copy(live, backup)
        shop.clock.pass_time(SENDING_S)
        pay_out(shop)
        shop.lightning.finish(last_hash(shop), Outcome.SETTLED, fee_msat=9)
        pay_out(shop)
        assert states(shop, payout_id) == ["settled"]
        shop.session.rollback()
        _copy(backup, live)
        shop.session.expire_all()
        assert states(shop, payout_id) != ["settled"]
        pay_out(shop)
        assert states(shop, payout_id) == ["settled"]
        assert own_msat(shop) == BALANCE_MSAT - AMOUNT_MSAT - 9
        assert len({order.payment_hash for order in orders}) == 1
        assert_payouts_sound(shop)


def _copy(source: Path, target: Path) -> None:
    """Copy a database with all that was committed, into one that may be open."""
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)


def test_an_old_answer_frees_no_money(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process hears that the payment failed, and is slow; another sends it meanwhile."""
    payout_id = asked(shop, Outcome.PENDING)
    _killed(shop, monkeypatch, _die)
    shop.clock.pass_time(SENDING_S)
    ask = shop.lightning_rail.lookup_payout

    def slow(prepared: PreparedPayout) -> PayoutLookup:
        found = ask(prepared)
        monkeypatch.undo()
        pay_out(shop)
        return replace(found, outcome=Outcome.FAILED, missing=False)

    monkeypatch.setattr(shop.lightning_rail, "lookup_payout", slow)
    pay_out(shop)
    assert states(shop, payout_id) == ["sending"]
    shop.lightning.finish(last_hash(shop), Outcome.SETTLED)
    pay_out(shop)
    assert states(shop, payout_id) == ["settled"]


def test_a_failure_waits_for_a_call_that_may_still_get_through(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second sending timed out; the first one is what the node calls failed."""
    payout_id = asked(shop, Outcome.FAILED)
    _killed(shop, monkeypatch, _die)
    shop.clock.pass_time(SENDING_S)
    pay_out(shop)
    assert states(shop, payout_id) == ["sending"]
    shop.clock.pass_time(SENDING_S - 1)
    pay_out(shop)
    assert states(shop, payout_id) == ["sending"]
    shop.clock.pass_time(1)
    pay_out(shop)
    assert states(shop, payout_id) == ["failed"]


def test_many_processes_at_once_pay_once(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_ids = [
        withdraw_to(shop, shop.lightning.foreign_invoice(1_000_000), key=f"key-{number}")
        for number in range(4)
    ]
    with recorded_payments(shop, monkeypatch) as orders:
        sent = together(shop, 4, lambda _: pay_out(shop))
        assert sum(sent) == len({order.payment_hash for order in orders}) == len(orders) == 4
    assert states(shop, *payout_ids) == ["settled"] * 4
    assert len(transfers(shop, Kind.PAYOUT)) == 4


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let withdrawals be asked for at the same moment, so that none sees the other's invoice."""
    monkeypatch.setattr(withdraw, "refuse_used_invoice", lambda *_: None)


@pytest.mark.usefixtures("unseen")
def test_one_invoice_is_paid_once_whoever_asks(shop: LightningWorld) -> None:
    open_wallet(shop.session, "wa_2", balance_msat=BALANCE_MSAT)
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT)
    first = withdraw_to(shop, invoice)
    second = withdraw_to(shop, invoice, wallet_id="wa_2")
    again = withdraw_to(shop, invoice, key="another")
    pay_out(shop)
    assert sorted(states(shop, first, second, again)) == ["failed", "failed", "settled"]
    assert len(transfers(shop, Kind.PAYOUT)) == 1


@pytest.mark.usefixtures("unseen")
def test_an_invoice_that_failed_is_not_tried_again(shop: LightningWorld) -> None:
    """Its node might still be at the first try."""
    shop.lightning.plan_payment(Outcome.FAILED)
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT)
    first = withdraw_to(shop, invoice)
    pay_out(shop)
    second = withdraw_to(shop, invoice, key="another")
    pay_out(shop)
    assert states(shop, first, second) == ["failed", "failed"]
    assert "takes a new one" in payout_of(shop, second).reason
    assert own_msat(shop) == BALANCE_MSAT


def test_taken_back_while_it_is_prepared(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = asked(shop, Outcome.SETTLED)
    funds = shop.lightning.funds

    def cancelled_meanwhile() -> object:
        with write_transaction(shop.session):
            cancel_payout(shop.deps, shop.session, payout_id)
        return funds()

    monkeypatch.setattr(shop.lightning, "funds", cancelled_meanwhile)
    assert pay_out(shop) == 0
    assert states(shop, payout_id) == ["cancelled"]
    assert own_msat(shop) == BALANCE_MSAT
