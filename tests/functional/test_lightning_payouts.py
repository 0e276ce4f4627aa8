"""Money leaves over Lightning: to an invoice, to a Lightning address; fees and limits."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bitcache_server.domain.errors import (
    AddressInvalid,
    BitcacheError,
    InvalidRequest,
    MerchantBalanceTooLow,
    PayoutLimit,
    PayoutNotWaiting,
    WalletNotEmpty,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.session import write_transaction
from bitcache_server.services.close_wallet import can_be_given_up, close_wallet
from bitcache_server.services.merchant_payouts import (
    request_merchant_payout,
    schedule_payouts,
    set_payout_terms,
)
from bitcache_server.services.payout_approvals import add_operator, approve_payout
from bitcache_server.services.payout_batches import set_aside
from bitcache_server.services.payout_views import operator_payout_view, payout_view
from bitcache_server.services.payouts import get_payout, reserved_msat
from bitcache_server.services.statement import statement
from bitcache_server.services.wallet_activity import activity
from bitcache_server.services.wallet_export import export_wallet
from bitcache_server.services.withdraw import quote_withdrawal
from tests.support.books import open_wallet
from tests.support.lightning_payouts import (
    AMOUNT_MSAT,
    BALANCE_MSAT,
    RESERVE_MSAT,
    asked,
    last_hash,
    own_msat,
    pay_out,
    payout_shop,
    withdraw_to,
)
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.payouts import (
    assert_payouts_sound,
    batches,
    earn,
    payout_of,
    states,
)
from tests.support.shops import held, transfers

HOUR_S = 3_600


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[LightningWorld]:
    many: dict[str, Any] = {"lightning_open_payouts_per_wallet": 100}
    with payout_shop(tmp_path, database_url, gift_msat=50_000_000, **many) as world:
        yield world


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
    assert own_msat(shop) == BALANCE_MSAT - AMOUNT_MSAT - 1_234
    assert held(shop, chart.clearing("lightning")) == AMOUNT_MSAT + 1_234
    assert held(shop, chart.NETWORK_FEES) == 0
    assert transfers(shop, Kind.FEE_RETURN) == [
        (chart.payout(payout_id), chart.wallet("wa_1"), RESERVE_MSAT - 1_234)
    ]
    assert reserved_msat(shop.session, chart.wallet("wa_1")) == 0
    assert pay_out(shop) == 0
    assert [batch.fee_msat for batch in batches(shop)] == [1_234]


def test_what_came_back_is_shown_wherever_the_payout_is(shop: LightningWorld) -> None:
    payout_id = asked(shop, Outcome.SETTLED)
    pay_out(shop)
    view = payout_view(shop.session, get_payout(shop.session, payout_id))
    assert (view.fee_msat, view.fee_returned_msat) == (RESERVE_MSAT, RESERVE_MSAT)
    assert view.transaction == last_hash(shop)
    [line] = [line for line in activity(shop.session, "wa_1") if line.kind == Kind.FEE_RETURN]
    assert (line.own_msat, line.words) == (RESERVE_MSAT, "Unused fee reserve of a withdrawal")
    [row] = export_wallet(shop.deps, shop.session, "wa_1")["withdrawals"]
    assert row["fee_returned_msat"] == RESERVE_MSAT


def test_an_invoice_without_an_amount_asks_for_one(shop: LightningWorld) -> None:
    invoice = shop.lightning.foreign_invoice(None)
    with pytest.raises(InvalidRequest, match="leaves the amount to you"):
        _quote(shop, invoice)
    payout_id = withdraw_to(shop, invoice, 7_000)
    pay_out(shop)
    assert states(shop, payout_id) == ["settled"]
    assert own_msat(shop) == BALANCE_MSAT - 7_000_000


def test_an_amount_that_differs_from_the_invoices_is_refused(shop: LightningWorld) -> None:
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT + 500)
    with pytest.raises(InvalidRequest, match=r"asks for 20,000\.5 sats"):
        _quote(shop, invoice, 20_001)
    assert _quote(shop, invoice) == _quote(shop, invoice, 20_000) == 20_000_500 + 200_005


@pytest.mark.parametrize("balance_msat", [6_000, 500_700, 505_999, 123_456_789, 900_000_000])
def test_all_of_it_is_as_much_as_there_can_be(shop: LightningWorld, balance_msat: int) -> None:
    """The reserve depends on the amount, and both together must fit."""
    open_wallet(shop.session, "wa_2", balance_msat=balance_msat)
    quote = quote_withdrawal(shop.deps, shop.session, "wa_2", "ada@wallet.example", None)
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
    with pytest.raises(PayoutLimit, match="smallest amount is 5,000 sats"):
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
        ("lnurl1dp68gurn8ghj7um9", "That is an LNURL code"),
        ("ada@", "no address of the fake network"),
        ("x" * 2_001, "too long"),
    ],
)
def test_what_cannot_be_paid_is_refused_before_anything_is_booked(
    shop: LightningWorld, text: str, words: str
) -> None:
    with pytest.raises(AddressInvalid, match=words):
        _quote(shop, text, 1_000)
    assert own_msat(shop) == BALANCE_MSAT


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
    payout_ids = [
        withdraw_to(shop, shop.lightning.foreign_invoice(1_000_000 + n), key=f"key-{n}")
        for n in range(5)
    ]
    assert pay_out(shop) == 5
    assert sorted(states(shop, *payout_ids)) == [
        "failed",
        "sending",
        "sending",
        "settled",
        "settled",
    ]
    for batch in batches(shop):
        if batch.state == "sent":
            shop.lightning.finish(batch.reference, Outcome.SETTLED)
    pay_out(shop)
    assert sorted(states(shop, *payout_ids)) == ["failed"] + ["settled"] * 4


@pytest.mark.parametrize("detail", ["There is no route.", "No route within the fee limit."])
def test_a_failure_gives_the_money_back_with_its_reason(shop: LightningWorld, detail: str) -> None:
    payout_id = asked(shop, Outcome.FAILED, detail)
    pay_out(shop)
    failed = payout_of(shop, payout_id)
    assert (failed.state, failed.reason) == ("failed", f"The payment failed: {detail}")
    assert own_msat(shop) == BALANCE_MSAT
    view = operator_payout_view(shop.session, get_payout(shop.session, payout_id))
    assert view.note == view.reason == failed.reason
    assert pay_out(shop) == 0


def test_a_fee_above_the_reserve_is_the_operators(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A node that takes no limit says only afterwards what it took."""
    payout_id = asked(shop, Outcome.SETTLED)
    ask = shop.lightning.lookup_payment
    monkeypatch.setattr(
        shop.lightning, "lookup_payment", lambda h: replace(ask(h), fee_msat=RESERVE_MSAT + 7_000)
    )
    pay_out(shop)
    assert states(shop, payout_id) == ["settled"]
    assert own_msat(shop) == BALANCE_MSAT - AMOUNT_MSAT - RESERVE_MSAT
    assert held(shop, chart.NETWORK_FEES) == -7_000
    assert "7000 msat above the reserve" in batches(shop)[0].detail
    assert "cost 7000 msat more" in caplog.text


def test_too_little_money_at_the_node_waits(shop: LightningWorld) -> None:
    shop.lightning.set_funds(AMOUNT_MSAT + RESERVE_MSAT - 1, None)
    payout_id = asked(shop, Outcome.SETTLED)
    assert pay_out(shop) == 0
    assert payout_of(shop, payout_id).reason.startswith("The Lightning node can send 20,199.999")
    shop.lightning.set_funds(AMOUNT_MSAT + RESERVE_MSAT, None)
    assert pay_out(shop) == 1


def test_an_invoice_that_expires_while_it_waits_gives_the_money_back(
    shop: LightningWorld,
) -> None:
    shop.lightning.set_funds(0, None)
    payout_id = asked(shop, Outcome.SETTLED)
    pay_out(shop)
    shop.clock.pass_time(HOUR_S)
    pay_out(shop)
    assert states(shop, payout_id) == ["failed"]
    assert "has expired" in payout_of(shop, payout_id).reason
    assert own_msat(shop) == BALANCE_MSAT


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
    payout_id = asked(shop, Outcome.PENDING)
    pay_out(shop)
    with pytest.raises(PayoutNotWaiting):
        set_aside(shop.deps, shop.session, payout_id)
    shop.lightning.finish(last_hash(shop), Outcome.SETTLED)
    with pytest.raises(PayoutNotWaiting):
        set_aside(shop.deps, shop.session, payout_id)
    assert states(shop, payout_id) == ["settled"], "it payout_ids the node first"


def test_a_wallet_closes_when_nothing_is_on_its_way(shop: LightningWorld) -> None:
    payout_id = asked(shop, Outcome.PENDING)
    pay_out(shop)
    with pytest.raises(WalletNotEmpty, match="on its way"), write_transaction(shop.session):
        close_wallet(shop.deps, shop.session, "wa_1", give_up_rest=True)
    shop.lightning.finish(last_hash(shop), Outcome.SETTLED)
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
        shop.deps, shop.session, shop.merchant_id, address="lightning:Ada@Wallet.Example"
    )
    assert merchant.payout_address == "ada@wallet.example"


def test_without_a_node_that_pays_nothing_leaves(tmp_path: Path, database_url: str) -> None:
    with opened_lightning_world(tmp_path, database_url, with_node=False) as shop:
        open_wallet(shop.session, balance_msat=BALANCE_MSAT)
        for text in (shop.lightning.foreign_invoice(AMOUNT_MSAT), "ada@wallet.example"):
            with pytest.raises(BitcacheError, match="does not pay over Lightning"):
                _quote(shop, text, 20_000)
        assert pay_out(shop) == 0
        assert can_be_given_up(shop.deps, shop.session, 5_000_000)
        shop.session.rollback()


def test_the_merchants_statement_shows_what_came_back(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_payout_terms(
        shop.deps, shop.session, shop.merchant_id, address="ada@wallet.example", every_s=HOUR_S
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
