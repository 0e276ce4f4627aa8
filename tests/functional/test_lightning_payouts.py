"""Money leaves over Lightning: to an invoice, to a Lightning address, and what can go wrong."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bitcache_server.domain.errors import (
    AddressInvalid,
    BitcacheError,
    InvalidRequest,
    LightningUnreachable,
    MerchantBalanceTooLow,
    PayoutLimit,
    PayoutNotWaiting,
    WalletNotEmpty,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import PayoutLookup, PreparedPayout
from bitcache_server.rails.lightning.backend import Sent
from bitcache_server.rails.lightning.scripted import ScriptedBackend
from bitcache_server.services.close_wallet import can_be_given_up, close_wallet
from bitcache_server.services.merchant_payouts import (
    request_merchant_payout,
    schedule_payouts,
    set_payout_terms,
)
from bitcache_server.services.payout_approvals import add_operator, approve_payout, cancel_payout
from bitcache_server.services.payout_batches import set_aside
from bitcache_server.services.payout_singles import SENDING_S
from bitcache_server.services.payout_views import operator_payout_view, payout_view
from bitcache_server.services.payouts import get_payout, reserved_msat
from bitcache_server.services.statement import statement
from bitcache_server.services.wallet_activity import activity
from bitcache_server.services.wallet_export import export_wallet
from bitcache_server.services.withdraw import quote_withdrawal
from tests.support.books import open_wallet
from tests.support.databases import Databases
from tests.support.lightning_payouts import pay_out, recorded_payments, withdraw_to
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.payouts import (
    assert_payouts_sound,
    batches,
    earn,
    payout_of,
    states,
    together,
)
from tests.support.shops import held, restarted, transfers

BALANCE_MSAT = 2_000_000_700
AMOUNT_MSAT = 20_000_000
RESERVE_MSAT = 200_000
HOUR_S = 3_600


@pytest.fixture
def shop(lightning_world: LightningWorld) -> Iterator[LightningWorld]:
    open_wallet(lightning_world.session, balance_msat=BALANCE_MSAT, gift_msat=50_000_000)
    yield lightning_world
    assert_payouts_sound(lightning_world)


def _own(shop: LightningWorld) -> int:
    return held(shop, chart.wallet("wa_1"))


def _asked(shop: LightningWorld, outcome: Outcome, detail: str = "", key: str = "key-1") -> str:
    """Ask for a withdrawal to an invoice, and say what becomes of its payment."""
    shop.lightning.plan_payment(outcome, detail=detail)
    return withdraw_to(shop, shop.lightning.foreign_invoice(AMOUNT_MSAT), key=key)


def _hash(shop: LightningWorld) -> str:
    return batches(shop)[-1].reference


def _quote(shop: LightningWorld, destination: str, amount_sat: int | None = None) -> int:
    try:
        quote = quote_withdrawal(shop.deps, shop.session, "wa_1", destination, amount_sat)
        return quote.total_msat
    finally:
        shop.session.rollback()


def test_to_an_invoice_and_what_the_route_left_comes_back(shop: LightningWorld) -> None:
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT)
    quote = quote_withdrawal(shop.deps, shop.session, "wa_1", f"LIGHTNING:{invoice.upper()}", None)
    assert (quote.address, quote.amount_msat, quote.fee_msat) == (
        invoice,
        AMOUNT_MSAT,
        RESERVE_MSAT,
    )
    assert (quote.is_fixed, quote.fee_may_return) == (True, True)
    payout_id = withdraw_to(shop, invoice)
    assert held(shop, chart.payout(payout_id)) == AMOUNT_MSAT + RESERVE_MSAT
    shop.lightning.plan_payment(Outcome.SETTLED, fee_msat=1_234)
    assert pay_out(shop) == 1
    paid = payout_of(shop, payout_id)
    assert (paid.state, paid.fee_returned_msat) == ("settled", RESERVE_MSAT - 1_234)
    assert _own(shop) == BALANCE_MSAT - AMOUNT_MSAT - 1_234
    assert held(shop, chart.clearing("lightning")) == AMOUNT_MSAT + 1_234
    assert held(shop, chart.NETWORK_FEES) == 0
    assert transfers(shop, Kind.FEE_RETURN) == [
        (chart.payout(payout_id), chart.wallet("wa_1"), RESERVE_MSAT - 1_234)
    ]
    assert reserved_msat(shop.session, chart.wallet("wa_1")) == 0
    assert pay_out(shop) == 0
    assert [batch.fee_msat for batch in batches(shop)] == [1_234]


def test_what_came_back_is_shown_wherever_the_payout_is(shop: LightningWorld) -> None:
    payout_id = _asked(shop, Outcome.SETTLED)
    pay_out(shop)
    view = payout_view(shop.session, get_payout(shop.session, payout_id))
    assert (view.fee_msat, view.fee_returned_msat) == (RESERVE_MSAT, RESERVE_MSAT)
    assert view.transaction == _hash(shop)
    [line] = [line for line in activity(shop.session, "wa_1") if line.kind == Kind.FEE_RETURN]
    assert (line.own_msat, line.words) == (RESERVE_MSAT, "Unused network fee of a withdrawal")
    [row] = export_wallet(shop.deps, shop.session, "wa_1")["withdrawals"]
    assert row["fee_returned_msat"] == RESERVE_MSAT


def test_an_invoice_without_an_amount_asks_for_one(shop: LightningWorld) -> None:
    invoice = shop.lightning.foreign_invoice(None)
    with pytest.raises(InvalidRequest, match="leaves the amount to you"):
        _quote(shop, invoice)
    payout_id = withdraw_to(shop, invoice, 7_000)
    pay_out(shop)
    assert states(shop, payout_id) == ["settled"]
    assert _own(shop) == BALANCE_MSAT - 7_000_000


def test_an_amount_that_differs_from_the_invoices_is_refused(shop: LightningWorld) -> None:
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT + 500)
    with pytest.raises(InvalidRequest, match=r"asks for 20000\.5 sat"):
        _quote(shop, invoice, 20_001)
    assert _quote(shop, invoice) == _quote(shop, invoice, 20_000) == 20_000_500 + 200_005


@pytest.mark.parametrize("balance_msat", [6_000, 500_700, 505_999, 123_456_789, 900_000_000])
def test_all_of_it_is_as_much_as_there_can_be(shop: LightningWorld, balance_msat: int) -> None:
    """The reserve depends on the amount, and both together must fit."""
    open_wallet(shop.session, "wa_2", balance_msat=balance_msat)
    quote = quote_withdrawal(shop.deps, shop.session, "wa_2", "ada@pay.example", None)
    shop.session.rollback()
    reserve_msat = max(5_000, -(-quote.amount_msat // 100))
    assert quote.fee_msat == reserve_msat
    assert quote.total_msat <= balance_msat
    more_msat = quote.amount_msat + 1_000
    assert more_msat + max(5_000, -(-more_msat // 100)) > balance_msat


def test_a_sat_can_be_withdrawn_and_never_less(shop: LightningWorld) -> None:
    assert _quote(shop, shop.lightning.foreign_invoice(1_000)) == 6_000
    with pytest.raises(PayoutLimit, match="smallest amount is 1 sat"):
        _quote(shop, shop.lightning.foreign_invoice(999))
    with pytest.raises(PayoutLimit, match="smallest amount is 5000 sat"):
        _quote(shop, "fake:ada", 4_999)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lnbcrt200u1pjunk", "damaged"),
        ("lightning:lnbcrt1" + "q" * 300, "damaged"),
        (
            "lnbc20m1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqq"
            "qsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqhp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqs9q"
            "rsgq7ea976txfraylvgzuxs8kgcw23ezlrszfnh8r6qtfpr6cxga50aj6txm9rxrydzd06dfeawfk6swupvz4erwnyu"
            "tnjq7x39ymw6j38gp7ynn44",
            "invoice of mainnet",
        ),
        ("lnurl1dp68gurn8ghj7um9", "no address of the fake network"),
        ("ada@", "no address of the fake network"),
        ("x" * 2_001, "too long"),
    ],
)
def test_what_cannot_be_paid_is_refused_before_anything_is_booked(
    shop: LightningWorld, text: str, words: str
) -> None:
    with pytest.raises(AddressInvalid, match=words):
        _quote(shop, text, 1_000)
    assert _own(shop) == BALANCE_MSAT


def test_an_expired_invoice_is_refused(shop: LightningWorld) -> None:
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT, expires_in_s=60)
    shop.clock.pass_time(31)
    with pytest.raises(AddressInvalid, match="has expired, or is about to"):
        _quote(shop, invoice)


def test_several_go_out_in_one_run_each_by_itself(shop: LightningWorld) -> None:
    shop.lightning.plan_payment(Outcome.SETTLED, fee_msat=100)
    shop.lightning.plan_payment(Outcome.PENDING)
    shop.lightning.plan_payment(Outcome.UNKNOWN)
    shop.lightning.plan_payment(Outcome.FAILED, detail="No route.")
    asked = [
        withdraw_to(shop, shop.lightning.foreign_invoice(1_000_000 + n), key=f"key-{n}")
        for n in range(5)
    ]
    assert pay_out(shop) == 5
    assert sorted(states(shop, *asked)) == ["failed", "sending", "sending", "settled", "settled"]
    for batch in batches(shop):
        if batch.state == "sent":
            shop.lightning.finish(batch.reference, Outcome.SETTLED)
    pay_out(shop)
    assert sorted(states(shop, *asked)) == ["failed"] + ["settled"] * 4


@pytest.mark.parametrize("end", [Outcome.SETTLED, Outcome.FAILED])
@pytest.mark.parametrize("first", [Outcome.PENDING, Outcome.UNKNOWN])
def test_one_that_hangs_stays_reserved_through_restarts_until_the_node_is_sure(
    shop: LightningWorld, first: Outcome, end: Outcome
) -> None:
    payout_id = _asked(shop, first)
    pay_out(shop)
    for _ in range(3):
        shop.clock.pass_time(86_400)
        with restarted(shop) as again:
            assert pay_out(replace(shop, app=again.app, deps=again.deps)) == 0
        assert states(shop, payout_id) == ["sending"]
        assert held(shop, chart.payout(payout_id)) == AMOUNT_MSAT + RESERVE_MSAT
    with pytest.raises(PayoutNotWaiting), write_transaction(shop.session):
        cancel_payout(shop.deps, shop.session, payout_id)
    shop.lightning.finish(_hash(shop), end, fee_msat=50_000)
    pay_out(shop)
    if end is Outcome.SETTLED:
        assert states(shop, payout_id) == ["settled"]
        assert _own(shop) == BALANCE_MSAT - AMOUNT_MSAT - 50_000
    else:
        assert states(shop, payout_id) == ["failed"]
        assert _own(shop) == BALANCE_MSAT


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
        shop.lightning.forget(_hash(shop))
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


@pytest.mark.parametrize("detail", ["There is no route.", "No route within the fee limit."])
def test_a_failure_gives_the_money_back_with_its_reason(shop: LightningWorld, detail: str) -> None:
    payout_id = _asked(shop, Outcome.FAILED, detail)
    pay_out(shop)
    failed = payout_of(shop, payout_id)
    assert (failed.state, failed.reason) == ("failed", f"The payment failed: {detail}")
    assert _own(shop) == BALANCE_MSAT
    view = operator_payout_view(shop.session, get_payout(shop.session, payout_id))
    assert view.note == view.reason == failed.reason
    assert pay_out(shop) == 0


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
        assert (failed.state, _own(shop)) == ("sending", BALANCE_MSAT - AMOUNT_MSAT - RESERVE_MSAT)
        return
    assert (failed.state, failed.reason) == ("failed", "The payment failed: There is no route.")
    assert _own(shop) == BALANCE_MSAT


def test_a_refusal_of_the_second_call_waits_for_the_first(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = _asked(shop, Outcome.SETTLED)
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
    assert _own(shop) == BALANCE_MSAT


def test_a_fee_above_the_reserve_is_the_operators(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A node that takes no limit says only afterwards what it took."""
    payout_id = _asked(shop, Outcome.SETTLED)
    ask = shop.lightning.lookup_payment
    monkeypatch.setattr(
        shop.lightning, "lookup_payment", lambda h: replace(ask(h), fee_msat=RESERVE_MSAT + 7_000)
    )
    pay_out(shop)
    assert states(shop, payout_id) == ["settled"]
    assert _own(shop) == BALANCE_MSAT - AMOUNT_MSAT - RESERVE_MSAT
    assert held(shop, chart.NETWORK_FEES) == -7_000
    assert "7000 msat above the reserve" in batches(shop)[0].detail
    assert "cost 7000 msat more" in caplog.text


def test_a_preimage_that_does_not_fit_proves_nothing(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = _asked(shop, Outcome.SETTLED)
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
    assert _own(shop) == BALANCE_MSAT


def test_a_node_that_is_down_keeps_the_money_where_it_is(shop: LightningWorld) -> None:
    payout_id = _asked(shop, Outcome.SETTLED)
    shop.lightning.fail_with(LightningUnreachable("Nothing listens."))
    with pytest.raises(LightningUnreachable):
        pay_out(shop)
    assert payout_of(shop, payout_id).reason == "Nothing listens."
    shop.lightning.fail_with(None)
    assert pay_out(shop) == 1
    assert states(shop, payout_id) == ["settled"]


def test_too_little_money_at_the_node_waits(shop: LightningWorld) -> None:
    shop.lightning.set_funds(AMOUNT_MSAT + RESERVE_MSAT - 1, None)
    payout_id = _asked(shop, Outcome.SETTLED)
    assert pay_out(shop) == 0
    assert payout_of(shop, payout_id).reason.startswith("The Lightning node can send 20199.999")
    shop.lightning.set_funds(AMOUNT_MSAT + RESERVE_MSAT, None)
    assert pay_out(shop) == 1


def test_an_invoice_that_expires_while_it_waits_gives_the_money_back(
    shop: LightningWorld,
) -> None:
    shop.lightning.set_funds(0, None)
    payout_id = _asked(shop, Outcome.SETTLED)
    pay_out(shop)
    shop.clock.pass_time(HOUR_S)
    pay_out(shop)
    assert states(shop, payout_id) == ["failed"]
    assert "has expired" in payout_of(shop, payout_id).reason
    assert _own(shop) == BALANCE_MSAT


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
    payout_id = _asked(shop, Outcome.SETTLED)
    _killed(shop, monkeypatch, _die)
    with recorded_payments(shop, monkeypatch) as orders:
        pay_out(shop)
        assert orders == [], "the call of the dead may still be on its way"
        assert states(shop, payout_id) == ["sending"]
        shop.clock.pass_time(SENDING_S)
        pay_out(shop)
        assert [order.payment_hash for order in orders] == [_hash(shop)]
    assert states(shop, payout_id) == ["settled"]


def test_killed_before_it_was_sent_and_back_too_late(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = _asked(shop, Outcome.SETTLED)
    _killed(shop, monkeypatch, _die)
    shop.clock.pass_time(HOUR_S + 599)
    with recorded_payments(shop, monkeypatch) as orders:
        pay_out(shop)
        assert states(shop, payout_id) == ["sending"], "clocks may differ"
        shop.clock.pass_time(SENDING_S)
        pay_out(shop)
        assert orders == [], "nobody pays an expired invoice"
    assert states(shop, payout_id) == ["failed"]
    assert _own(shop) == BALANCE_MSAT


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
    held_back, never_ends = (_asked(shop, Outcome.UNKNOWN, key=key) for key in ("1", "2"))
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
    payout_id = _asked(shop, Outcome.SETTLED)
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
        payout_id = _asked(shop, Outcome.PENDING)
        if moment == "stored":
            _killed(shop, monkeypatch, _die)
        elif moment == "sent":
            pay_out(shop)
        live, backup = Path(url.removeprefix("sqlite:///")), tmp_path / "backup.db"
        _copy(live, backup)
        shop.clock.pass_time(SENDING_S)
        pay_out(shop)
        shop.lightning.finish(_hash(shop), Outcome.SETTLED, fee_msat=9)
        pay_out(shop)
        assert states(shop, payout_id) == ["settled"]
        shop.session.rollback()
        _copy(backup, live)
        shop.session.expire_all()
        assert states(shop, payout_id) != ["settled"]
        pay_out(shop)
        assert states(shop, payout_id) == ["settled"]
        assert _own(shop) == BALANCE_MSAT - AMOUNT_MSAT - 9
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
    payout_id = _asked(shop, Outcome.PENDING)
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
    shop.lightning.finish(_hash(shop), Outcome.SETTLED)
    pay_out(shop)
    assert states(shop, payout_id) == ["settled"]


def test_a_failure_waits_for_a_call_that_may_still_get_through(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second sending timed out; the first one is what the node calls failed."""
    payout_id = _asked(shop, Outcome.FAILED)
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
    asked = [
        withdraw_to(shop, shop.lightning.foreign_invoice(1_000_000), key=f"key-{number}")
        for number in range(4)
    ]
    with recorded_payments(shop, monkeypatch) as orders:
        sent = together(shop, 4, lambda _: pay_out(shop))
        assert sum(sent) == len({order.payment_hash for order in orders}) == len(orders) == 4
    assert states(shop, *asked) == ["settled"] * 4
    assert len(transfers(shop, Kind.PAYOUT)) == 4


def test_one_invoice_is_paid_once_whoever_asks(shop: LightningWorld) -> None:
    open_wallet(shop.session, "wa_2", balance_msat=BALANCE_MSAT)
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT)
    first = withdraw_to(shop, invoice)
    second = withdraw_to(shop, invoice, wallet_id="wa_2")
    again = withdraw_to(shop, invoice, key="another")
    pay_out(shop)
    assert sorted(states(shop, first, second, again)) == ["failed", "failed", "settled"]
    assert len(transfers(shop, Kind.PAYOUT)) == 1


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
    assert _own(shop) == BALANCE_MSAT


def test_taken_back_while_it_is_prepared(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = _asked(shop, Outcome.SETTLED)
    funds = shop.lightning.funds

    def cancelled_meanwhile() -> object:
        with write_transaction(shop.session):
            cancel_payout(shop.deps, shop.session, payout_id)
        return funds()

    monkeypatch.setattr(shop.lightning, "funds", cancelled_meanwhile)
    assert pay_out(shop) == 0
    assert states(shop, payout_id) == ["cancelled"]
    assert _own(shop) == BALANCE_MSAT


def test_a_large_one_waits_for_two_people(tmp_path: Path, database_url: str) -> None:
    with opened_lightning_world(tmp_path, database_url, payout_approval_above_sat=1_000) as shop:
        open_wallet(shop.session, balance_msat=BALANCE_MSAT)
        payout_id = withdraw_to(shop, shop.lightning.foreign_invoice(AMOUNT_MSAT))
        assert states(shop, payout_id) == ["approval"]
        assert pay_out(shop) == 0
        for name in ("ada", "bob"):
            with write_transaction(shop.session):
                secret = add_operator(shop.deps, shop.session, name).secret
                approve_payout(shop.deps, shop.session, payout_id, name, secret)
        assert pay_out(shop) == 1
        assert states(shop, payout_id) == ["settled"]
        assert_payouts_sound(shop)


def test_setting_aside_changes_nothing_for_others_never_wait(shop: LightningWorld) -> None:
    payout_id = _asked(shop, Outcome.PENDING)
    pay_out(shop)
    with pytest.raises(PayoutNotWaiting):
        set_aside(shop.deps, shop.session, payout_id)
    shop.lightning.finish(_hash(shop), Outcome.SETTLED)
    with pytest.raises(PayoutNotWaiting):
        set_aside(shop.deps, shop.session, payout_id)
    assert states(shop, payout_id) == ["settled"], "it asked the node first"


def test_a_wallet_closes_when_nothing_is_on_its_way(shop: LightningWorld) -> None:
    payout_id = _asked(shop, Outcome.PENDING)
    pay_out(shop)
    with pytest.raises(WalletNotEmpty, match="on its way"), write_transaction(shop.session):
        close_wallet(shop.deps, shop.session, "wa_1", give_up_rest=True)
    shop.lightning.finish(_hash(shop), Outcome.SETTLED)
    pay_out(shop)
    assert states(shop, payout_id) == ["settled"]
    # With Lightning there is nearly nothing too small to be withdrawn: a sat and its reserve.
    assert not can_be_given_up(shop.deps, shop.session, 6_000)
    assert can_be_given_up(shop.deps, shop.session, 5_999)
    shop.session.rollback()


def test_a_merchant_is_paid_at_a_lightning_address_only(shop: LightningWorld) -> None:
    with pytest.raises(AddressInvalid, match="paid once only"):
        set_payout_terms(
            shop.deps,
            shop.session,
            shop.merchant_id,
            address=shop.lightning.foreign_invoice(AMOUNT_MSAT),
        )
    merchant = set_payout_terms(
        shop.deps, shop.session, shop.merchant_id, address="lightning:Ada@Pay.Example"
    )
    assert merchant.payout_address == "ada@pay.example"


def test_without_a_node_that_pays_nothing_leaves(tmp_path: Path, database_url: str) -> None:
    with opened_lightning_world(tmp_path, database_url, with_node=False) as shop:
        open_wallet(shop.session, balance_msat=BALANCE_MSAT)
        for text in (shop.lightning.foreign_invoice(AMOUNT_MSAT), "ada@pay.example"):
            with pytest.raises(BitcacheError, match="does not pay over Lightning"):
                _quote(shop, text, 20_000)
        assert pay_out(shop) == 0
        assert can_be_given_up(shop.deps, shop.session, 5_000_000)
        shop.session.rollback()


def test_the_merchants_statement_shows_what_came_back(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_payout_terms(
        shop.deps, shop.session, shop.merchant_id, address="ada@pay.example", every_s=HOUR_S
    )
    earn(shop, 10_100_700)
    invoice = shop.lightning.foreign_invoice(10_000_000)
    monkeypatch.setattr(
        shop.lightning_rail._payouts.lnurl,
        "request_invoice",
        lambda *_: type("Made", (), {"bolt11": invoice}),
    )
    assert schedule_payouts(shop.deps, shop.session) == 1
    shop.lightning.plan_payment(Outcome.SETTLED, fee_msat=40_000)
    pay_out(shop)
    page = statement(shop.deps, shop.session, shop.merchant_id, None, 10)
    assert [(line.kind, line.amount_msat) for line in page.lines if line.payout_id] == [
        ("fee_returned", 60_000),
        ("payout", -10_100_000),
    ]
    shop.session.rollback()
    set_payout_terms(shop.deps, shop.session, shop.merchant_id, address="fake:ada")
    with pytest.raises(MerchantBalanceTooLow, match="too little is left"):
        request_merchant_payout(shop.deps, shop.session, shop.merchant_id)
