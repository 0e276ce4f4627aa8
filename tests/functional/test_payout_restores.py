"""A database from a backup: what may have been paid since waits for an operator."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bitcache_server.domain.errors import (
    ApprovalRefused,
    InvalidRequest,
    LightningUnreachable,
    PayoutNotWaiting,
    PayoutUnderWay,
    UnknownLink,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.lnurl_client import LnurlClient, LnurlInvoice
from bitcache_server.services import payout_resolutions, withdraw
from bitcache_server.services.merchant_payouts import (
    request_merchant_payout,
    schedule_payouts,
    set_payout_terms,
)
from bitcache_server.services.payout_approvals import approve_payout, cancel_payout
from bitcache_server.services.payout_health import check_payouts, payout_health
from bitcache_server.services.payout_resolutions import Ending, resolve_payout
from bitcache_server.services.payout_restores import hold_after_restore, release_payout
from bitcache_server.services.payout_views import operator_payout_view
from bitcache_server.services.payouts import get_payout, payouts_of
from bitcache_server.services.withdraw import can_be_taken_back
from bitcache_server.services.withdraw_claims import claim, claim_terms, look_at_link
from bitcache_server.services.withdraw_links import cancel_link, create_link, expire_links
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
from tests.support.operators import Operators
from tests.support.payouts import (
    assert_payouts_sound,
    batches,
    earn,
    payout_of,
    send,
    set_terms,
    states,
    together,
)
from tests.support.shops import held

ADDRESS = "ada@wallet.example"


class Addresses(LnurlClient):
    """Gives a new invoice whenever an address is asked."""

    world: LightningWorld

    def __init__(self) -> None:
        super().__init__(1, allow_local=False)

    def request_invoice(
        self, address: str, amount_msat: int, network: str, comment: str = ""
    ) -> LnurlInvoice:
        """Return an honest invoice; asks nobody."""
        return LnurlInvoice(self.world.lightning.foreign_invoice(amount_msat), "", "")


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[LightningWorld]:
    addresses = Addresses()
    limits: dict[str, Any] = {
        "payout_approval_above_sat": 100_000,
        "lightning_open_payouts_per_wallet": 10,
    }
    with payout_shop(tmp_path, database_url, lnurl=addresses, **limits) as world:
        addresses.world = world
        world.rail.fund(1_000_000_000)
        yield world


@pytest.fixture
def team(shop: LightningWorld) -> Operators:
    return Operators(shop)


def _restored(shop: LightningWorld) -> int:
    held_now = hold_after_restore(shop.deps, shop.session)
    shop.session.rollback()
    return held_now


def _release(team: Operators, payout_id: str, name: str = "ada") -> None:
    secret, shop = team.secret(name), team.shop
    with write_transaction(shop.session):
        release_payout(shop.deps, shop.session, payout_id, name, secret)


def _settle(team: Operators, payout_id: str, ending: Ending) -> None:
    shop = team.shop
    for name in ("ada", "bob"):
        secret = team.secret(name)
        resolve_payout(shop.deps, shop.session, payout_id, name, secret, ending)
        shop.session.rollback()


def _link(shop: LightningWorld, lifetime_s: int = 3_600) -> tuple[str, str]:
    made = create_link(
        shop.deps,
        shop.session,
        "wa_1",
        amount_sat=20_000,
        fee_msat=RESERVE_MSAT,
        lifetime_s=lifetime_s,
        idempotency_key="link",
    )
    return made.payout_id, made.secret


@pytest.mark.parametrize("is_known", [False, True])
def test_an_address_that_was_paid_since_the_backup_is_not_paid_again(
    tmp_path: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    addresses = Addresses()
    with (
        databases.fresh("sqlite") as url,
        opened_lightning_world(tmp_path, url, lnurl=addresses) as shop,
        recorded_payments(shop, monkeypatch) as orders,
    ):
        addresses.world, team = shop, Operators(shop)
        open_wallet(shop.session, balance_msat=BALANCE_MSAT)
        team.secret("ada"), team.secret("bob")
        payout_id = withdraw_to(shop, ADDRESS, 20_000)
        live, backup = Path(url.removeprefix("sqlite:///")), tmp_path / "backup.db"
        _copy(live, backup)
        pay_out(shop)
        payment_hash = last_hash(shop)
        _copy(backup, live)
        shop.session.expire_all()
        assert _restored(shop) == 1
        shop.clock.pass_time(86_400)
        assert pay_out(shop) == 0
        assert len(orders) == 1
        if is_known:
            preimage = shop.lightning.lookup_payment(payment_hash).preimage
            _settle(team, payout_id, Ending(True, preimage=preimage, fee_msat=9))
            assert [batch.reference for batch in batches(shop)] == [payment_hash]
            assert held(shop, chart.clearing("lightning")) == AMOUNT_MSAT + 9
            assert own_msat(shop) == BALANCE_MSAT - AMOUNT_MSAT - 9
        else:
            _release(team, payout_id)
            assert pay_out(shop) == 1
            assert len(orders) == 2, "that is what nobody but an operator may decide"
        assert states(shop, payout_id) == ["settled"]
        assert payout_health(shop.deps, shop.session).code == "ok"
        assert_payouts_sound(shop)


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)


def test_which_are_held(shop: LightningWorld) -> None:
    set_payout_terms(shop.deps, shop.session, shop.merchant_id, address=ADDRESS)
    earn(shop, 10_000_000)
    invoice = withdraw_to(shop, shop.lightning.foreign_invoice(AMOUNT_MSAT), key="invoice")
    address = withdraw_to(shop, ADDRESS, 20_000, key="address")
    chain = withdraw_to(shop, "fake:ada", 20_000, key="chain")
    link, _ = _link(shop)
    merchant = request_merchant_payout(shop.deps, shop.session, shop.merchant_id).id
    shop.session.rollback()
    assert _restored(shop) == 4
    words = operator_payout_view(shop.session, get_payout(shop.session, invoice)).reason
    assert "the node may have paid it" in words
    shop.session.rollback()
    later = withdraw_to(shop, ADDRESS, 10, key="later")
    assert pay_out(shop) == 2
    assert send(shop) == 0
    assert states(shop, invoice, later) == ["settled", "settled"]
    assert states(shop, address, chain, merchant) == ["waiting"] * 3
    assert states(shop, link) == ["offered"]
    found = [finding.code for finding in check_payouts(shop.deps, shop.session)]
    assert found == ["payouts_held"]
    view = operator_payout_view(shop.session, get_payout(shop.session, address))
    assert (view.held_at, view.reason[:28]) == (shop.clock(), "Held after a restored backup")
    shop.session.rollback()
    shop.clock.pass_time(60)
    assert _restored(shop) == 4
    assert payout_of(shop, address).held_at == shop.clock() - 60


def test_only_an_operator_lets_it_go(shop: LightningWorld, team: Operators) -> None:
    payout_id = withdraw_to(shop, ADDRESS, 20_000)
    with pytest.raises(PayoutNotWaiting, match="nobody holds it"):
        _release(team, payout_id)
    _restored(shop)
    for name, secret in (("ada", "wrong"), ("nobody", "")):
        with pytest.raises(ApprovalRefused):
            release_payout(shop.deps, shop.session, payout_id, name, secret)
        shop.session.rollback()
    assert pay_out(shop) == 0
    _release(team, payout_id)
    assert pay_out(shop) == 1
    assert states(shop, payout_id) == ["settled"]


def test_an_operator_can_cancel_it_too(shop: LightningWorld, team: Operators) -> None:
    payout_id = withdraw_to(shop, ADDRESS, 20_000)
    _restored(shop)
    secret = team.secret("ada")
    for name, given in (("", ""), ("ada", "wrong"), ("bob", secret)):
        with pytest.raises(ApprovalRefused), write_transaction(shop.session):
            cancel_payout(shop.deps, shop.session, payout_id, name=name, secret=given)
    assert states(shop, payout_id) == ["waiting"]
    with write_transaction(shop.session):
        cancel_payout(shop.deps, shop.session, payout_id, name="ada", secret=secret)
    assert own_msat(shop) == BALANCE_MSAT
    assert payout_health(shop.deps, shop.session).code == "ok"
    shop.session.rollback()


def test_an_approval_does_not_let_it_go(shop: LightningWorld, team: Operators) -> None:
    payout_id = withdraw_to(shop, ADDRESS, 200_000)
    _restored(shop)
    for name in ("ada", "bob"):
        secret = team.secret(name)
        with write_transaction(shop.session):
            approve_payout(shop.deps, shop.session, payout_id, name, secret)
    assert pay_out(shop) == 0
    assert states(shop, payout_id) == ["waiting"]


@pytest.mark.parametrize("is_released", [False, True])
def test_a_try_that_failed_may_have_been_followed_by_one_that_did_not(
    shop: LightningWorld, team: Operators, is_released: bool
) -> None:
    payout_id = withdraw_to(shop, ADDRESS, 20_000)
    shop.lightning.plan_payment(Outcome.PENDING)
    pay_out(shop)
    _restored(shop)
    if is_released:
        _release(team, payout_id)
    shop.lightning.finish(last_hash(shop), Outcome.FAILED)
    for _ in range(8):
        shop.lightning.plan_payment(Outcome.FAILED)
        pay_out(shop)
        shop.clock.pass_time(7_200)
    assert states(shop, payout_id) == ["failed" if is_released else "waiting"]
    assert len(batches(shop)) == (5 if is_released else 1)
    assert own_msat(shop) == BALANCE_MSAT - (0 if is_released else AMOUNT_MSAT + RESERVE_MSAT)


def test_a_link_is_neither_claimed_nor_taken_back_nor_over(
    shop: LightningWorld, team: Operators
) -> None:
    payout_id, secret = _link(shop)
    k1 = claim_terms(shop.deps, shop.session, secret).k1
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT)
    _restored(shop)
    assert not look_at_link(shop.deps, shop.session, secret).is_open
    with pytest.raises(UnknownLink, match="not released the money yet"):
        claim_terms(shop.deps, shop.session, secret)
    with pytest.raises(UnknownLink, match="not released the money yet"):
        claim(shop.deps, shop.session, secret, k1, invoice)
    with pytest.raises(PayoutNotWaiting), write_transaction(shop.session):
        cancel_link(shop.deps, shop.session, "wa_1", payout_id)
    shop.clock.pass_time(3_600)
    assert expire_links(shop.deps, shop.session) == 0
    shop.clock.pass_time(-3_600)
    _release(team, payout_id)
    claim(shop.deps, shop.session, secret, k1, invoice)
    pay_out(shop)
    assert states(shop, payout_id) == ["settled"]


def test_a_lost_lightning_payment_is_booked_for_one_payout_only(
    shop: LightningWorld, team: Operators
) -> None:
    link, _ = _link(shop)
    address = withdraw_to(shop, ADDRESS, 20_000)
    _restored(shop)
    ending = Ending(True, "The node shows it.", reference="ef" * 32)
    with pytest.raises(InvalidRequest):
        _settle(team, link, Ending(False, "x"))
    _settle(team, link, ending)
    with pytest.raises(InvalidRequest, match="another payout"):
        _settle(team, address, ending)
    assert states(shop, link, address) == ["settled", "waiting"]
    assert held(shop, chart.clearing("lightning")) == AMOUNT_MSAT
    assert own_msat(shop) == BALANCE_MSAT - 2 * AMOUNT_MSAT - RESERVE_MSAT
    pay_out(shop)
    assert payout_health(shop.deps, shop.session).code == "payouts_held"
    shop.session.rollback()


def test_a_lost_transaction_is_booked_for_all_that_it_paid(
    shop: LightningWorld, team: Operators
) -> None:
    first, second, third = (
        withdraw_to(shop, f"fake:{name}", 20_000, key=name) for name in ("ada", "bob", "eve")
    )
    fee_msat = payout_of(shop, first).fee_msat
    _restored(shop)
    paid = Ending(True, "It is in block 9.", reference="cd" * 32, fee_msat=141)
    for ending in (Ending(False, "x"), Ending(True, "It is in block 9.", fee_msat=141)):
        with pytest.raises(InvalidRequest):
            _settle(team, first, ending)
    with pytest.raises(InvalidRequest, match="--fee-msat"):
        _settle(team, first, replace(paid, fee_msat=None))
    assert batches(shop) == []
    _settle(team, first, paid)
    _settle(team, second, paid)
    with pytest.raises(InvalidRequest, match="141 msat"):
        _settle(team, third, replace(paid, fee_msat=0))
    assert states(shop, first, second, third) == ["settled", "settled", "waiting"]
    [batch] = batches(shop)
    assert (batch.reference, batch.amount_msat) == (paid.reference, 2 * AMOUNT_MSAT)
    assert held(shop, chart.clearing("fake")) == 2 * AMOUNT_MSAT + 141
    assert held(shop, chart.NETWORK_FEES) == 2 * fee_msat - 141
    assert own_msat(shop) == BALANCE_MSAT - 3 * (AMOUNT_MSAT + fee_msat)


def test_many_who_tell_of_one_transaction_at_once_book_its_fee_once(
    shop: LightningWorld, team: Operators
) -> None:
    payout_ids = [withdraw_to(shop, f"fake:p{n}", 20_000, key=f"k{n}") for n in range(3)]
    _restored(shop)
    ending = Ending(True, "It is in block 9.", reference="cd" * 32, fee_msat=141)
    team.secret("bob")
    for payout_id in payout_ids:
        _say_paid(team, payout_id, "ada", ending)

    def say(number: int) -> None:
        for _ in payout_ids:
            try:
                return _say_paid(team, payout_ids[number], "bob", ending)
            except PayoutUnderWay:
                continue

    together(shop, 3, say)
    assert states(shop, *payout_ids) == ["settled"] * 3
    [batch] = batches(shop)
    assert batch.amount_msat == 3 * AMOUNT_MSAT
    assert held(shop, chart.clearing("fake")) == 3 * AMOUNT_MSAT + 141


def test_a_transaction_that_the_database_knows_pays_nobody_else(
    shop: LightningWorld, team: Operators
) -> None:
    known = withdraw_to(shop, "fake:ada", 20_000, key="known")
    assert send(shop) == 1
    other = withdraw_to(shop, "fake:bob", 20_000, key="other")
    _restored(shop)
    [batch] = batches(shop)
    ending = Ending(True, "x", reference=batch.reference, fee_msat=batch.fee_msat)
    with pytest.raises(InvalidRequest, match="another payout"):
        _settle(team, other, ending)
    assert states(shop, known, other) == ["sending", "waiting"]


@pytest.mark.parametrize("is_told_before", [False, True])
def test_what_was_taken_back_meanwhile_is_not_booked(
    shop: LightningWorld,
    team: Operators,
    monkeypatch: pytest.MonkeyPatch,
    is_told_before: bool,
) -> None:
    payout_id = withdraw_to(shop, ADDRESS, 20_000)
    _restored(shop)
    ending = Ending(True, "The node shows it.", reference="ab" * 32)
    for name in ("ada", "bob"):
        team.secret(name)
    if is_told_before:
        _say_paid(team, payout_id, "ada", ending)
    check = payout_resolutions._checked

    def slow(*args: Any) -> Ending:
        with write_transaction(shop.session):
            secret = team.secret("ada")
            cancel_payout(shop.deps, shop.session, payout_id, name="ada", secret=secret)
        return check(*args)

    monkeypatch.setattr(payout_resolutions, "_checked", slow)
    with pytest.raises(PayoutUnderWay, match="cancelled"):
        _say_paid(team, payout_id, "bob", ending)
    assert states(shop, payout_id) == ["cancelled"]
    assert (batches(shop), own_msat(shop)) == ([], BALANCE_MSAT)


def _say_paid(team: Operators, payout_id: str, name: str, ending: Ending) -> None:
    shop = team.shop
    try:
        secret = team.secret(name)
        resolve_payout(shop.deps, shop.session, payout_id, name, secret, ending)
    finally:
        shop.session.rollback()


def test_what_was_said_before_the_last_restore_counts_no_more(
    shop: LightningWorld, team: Operators
) -> None:
    payout_id = withdraw_to(shop, ADDRESS, 20_000)
    ending = Ending(True, "The node shows it.", reference="ab" * 32)
    _restored(shop)
    _say_paid(team, payout_id, "ada", ending)
    _release(team, payout_id)
    shop.clock.pass_time(1)
    _restored(shop)
    _say_paid(team, payout_id, "bob", ending)
    assert states(shop, payout_id) == ["waiting"]
    _say_paid(team, payout_id, "ada", ending)
    assert states(shop, payout_id) == ["settled"]


INVOICE_LIFETIME_S = 3_600


@pytest.mark.parametrize("end", [Outcome.SETTLED, Outcome.PENDING, Outcome.FAILED])
@pytest.mark.parametrize("is_announced", [False, True])
def test_an_invoice_that_was_paid_since_the_backup_and_expired_is_not_given_back(
    tmp_path: Path,
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
    is_announced: bool,
    end: Outcome,
) -> None:
    with (
        databases.fresh("sqlite") as url,
        opened_lightning_world(tmp_path, url) as shop,
        recorded_payments(shop, monkeypatch) as orders,
    ):
        open_wallet(shop.session, balance_msat=BALANCE_MSAT)
        payout_id = asked(shop, Outcome.PENDING)
        live, backup = Path(url.removeprefix("sqlite:///")), tmp_path / "backup.db"
        _copy(live, backup)
        pay_out(shop)
        payment_hash = last_hash(shop)
        if end is not Outcome.PENDING:
            shop.lightning.finish(payment_hash, end, fee_msat=9)
            pay_out(shop)
        shop.session.rollback()
        _copy(backup, live)
        shop.session.expire_all()
        if is_announced:
            assert _restored(shop) == 0, "the node tells"
        shop.clock.pass_time(INVOICE_LIFETIME_S)
        pay_out(shop)
        if end is Outcome.PENDING:
            assert states(shop, payout_id) == ["sending"]
            shop.lightning.finish(payment_hash, Outcome.SETTLED, fee_msat=9)
            pay_out(shop)
        assert len(orders) == 1
        back_msat = AMOUNT_MSAT + 9 if end is Outcome.FAILED else 0
        assert own_msat(shop) == BALANCE_MSAT - AMOUNT_MSAT - 9 + back_msat
        assert states(shop, payout_id) == ["failed" if end is Outcome.FAILED else "settled"]
        assert_payouts_sound(shop)


@pytest.mark.parametrize("is_announced", [False, True])
def test_an_expired_invoice_waits_for_a_node_that_is_silent(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch, is_announced: bool
) -> None:
    payout_id = withdraw_to(shop, shop.lightning.foreign_invoice(AMOUNT_MSAT))
    if is_announced:
        _restored(shop)
        assert payout_id not in can_be_taken_back(shop.session, "wa_1"), "only the node knows"
        shop.session.rollback()
    shop.clock.pass_time(INVOICE_LIFETIME_S)
    shop.lightning.fail_with(LightningUnreachable("Nothing listens."))
    pay_out(shop)
    waiting = payout_of(shop, payout_id)
    assert (waiting.state, "Nothing listens." in waiting.reason) == ("waiting", True)
    shop.lightning.fail_with(None)
    pay_out(shop)
    # A call of before the restore may have been on its way.
    assert states(shop, payout_id) == ["waiting" if is_announced else "failed"]
    shop.clock.pass_time(600)
    pay_out(shop)
    assert states(shop, payout_id) == ["failed"]
    assert own_msat(shop) == BALANCE_MSAT


def test_an_expired_invoice_is_not_given_back_on_the_word_of_another_node(
    shop: LightningWorld, team: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    withdraw_to(shop, shop.lightning.foreign_invoice(AMOUNT_MSAT), key="before")
    pay_out(shop)
    payout_id = withdraw_to(shop, shop.lightning.foreign_invoice(AMOUNT_MSAT))
    _restored(shop)
    shop.lightning.forget(last_hash(shop))
    shop.clock.pass_time(INVOICE_LIFETIME_S + 600)
    pay_out(shop)
    waiting = payout_of(shop, payout_id)
    assert (waiting.state, "was it replaced" in waiting.reason) == ("waiting", True)
    _settle(team, payout_id, Ending(True, "The first node paid it.", reference="ab" * 32))
    assert states(shop, payout_id) == ["settled"]


def test_one_invoice_of_two_payouts_is_still_given_up(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were asked for at the same moment."""
    monkeypatch.setattr(withdraw, "refuse_used_invoice", lambda *_: None)
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT)
    first = withdraw_to(shop, invoice)
    pay_out(shop)
    second = withdraw_to(shop, invoice, key="second")
    shop.clock.pass_time(INVOICE_LIFETIME_S)
    pay_out(shop)
    assert states(shop, first, second) == ["settled", "failed"]


def _scheduled(shop: LightningWorld) -> int:
    shop.session.rollback()
    return schedule_payouts(shop.deps, shop.session)


def _newest(shop: LightningWorld) -> str:
    found = payouts_of(shop.session, f"merchant:{shop.merchant_id}", 1)[0].id
    shop.session.rollback()
    return found


def test_a_merchant_who_was_paid_since_the_backup_is_not_paid_again(
    tmp_path: Path, databases: Databases
) -> None:
    with databases.fresh("sqlite") as url, opened_lightning_world(tmp_path, url) as shop:
        team = Operators(shop)
        team.secret("ada"), team.secret("bob")
        shop.rail.fund(1_000_000_000)
        set_terms(shop, "fake:ada", threshold_sat=1_000, every_s=3_600)
        earn(shop, 50_000_000)
        live, backup = Path(url.removeprefix("sqlite:///")), tmp_path / "backup.db"
        shop.session.rollback()
        _copy(live, backup)
        assert (_scheduled(shop), send(shop)) == (1, 1)
        lost = payout_of(shop, _newest(shop))
        [batch] = batches(shop)
        _copy(backup, live)
        shop.session.expire_all()
        assert _restored(shop) == 0
        assert (_scheduled(shop), send(shop)) == (1, 0), "it needs a person"
        again = payout_of(shop, _newest(shop))
        assert (again.state, again.amount_msat) == ("waiting", lost.amount_msat)
        txid = "ab" * 32
        _settle(team, again.id, Ending(True, "x", reference=txid, fee_msat=batch.fee_msat))
        assert states(shop, again.id) == ["settled"]
        assert_payouts_sound(shop)


def test_a_merchants_payouts_are_held_until_one_is_let_go(
    shop: LightningWorld, team: Operators
) -> None:
    set_terms(shop, "fake:ada", threshold_sat=1_000, every_s=3_600)
    earn(shop, 30_000_000)
    _restored(shop)
    assert (_scheduled(shop), send(shop)) == (1, 0)
    first = _newest(shop)
    view = operator_payout_view(shop.session, get_payout(shop.session, first))
    assert (view.held_at, "the merchant may have been paid" in view.reason) == (shop.clock(), True)
    found = [finding.code for finding in check_payouts(shop.deps, shop.session)]
    assert found == ["payouts_held"]
    earn(shop, 30_000_000)
    shop.clock.pass_time(3_600)
    assert _scheduled(shop) == 0, "one after the other"
    secret = team.secret("ada")
    with write_transaction(shop.session):
        cancel_payout(shop.deps, shop.session, first, name="ada", secret=secret)
    # Of the exact amount that was paid, so that it can be said to be settled.
    asked_for = request_merchant_payout(
        shop.deps, shop.session, shop.merchant_id, amount_sat=9_000
    ).id
    shop.session.rollback()
    assert payout_of(shop, asked_for).held_at == shop.clock()
    _settle(team, asked_for, Ending(True, "x", reference="ab" * 32, fee_msat=141))
    shop.clock.pass_time(3_600)
    assert (_scheduled(shop), send(shop)) == (1, 0)
    second = _newest(shop)
    _release(team, second)
    assert send(shop) == 1
    earn(shop, 30_000_000)
    shop.clock.pass_time(3_600)
    assert (_scheduled(shop), send(shop)) == (1, 1), "a person has looked"
    assert states(shop, first, asked_for) == ["cancelled", "settled"]
