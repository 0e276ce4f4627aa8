"""A database from a backup: what may have been paid since waits for an operator."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bitcache_server.domain.errors import (
    ApprovalRefused,
    InvalidRequest,
    PayoutNotWaiting,
    UnknownLink,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.lnurl_client import LnurlClient, LnurlInvoice
from bitcache_server.services.merchant_payouts import request_merchant_payout, set_payout_terms
from bitcache_server.services.payout_approvals import approve_payout, cancel_payout
from bitcache_server.services.payout_health import check_payouts, payout_health
from bitcache_server.services.payout_resolutions import Ending, resolve_payout
from bitcache_server.services.payout_restores import hold_after_restore, release_payout
from bitcache_server.services.payout_views import operator_payout_view
from bitcache_server.services.payouts import get_payout
from bitcache_server.services.withdraw_claims import claim, claim_terms, look_at_link
from bitcache_server.services.withdraw_links import cancel_link, create_link, expire_links
from tests.support.books import open_wallet
from tests.support.databases import Databases
from tests.support.lightning_payouts import (
    AMOUNT_MSAT,
    BALANCE_MSAT,
    RESERVE_MSAT,
    last_hash,
    own_msat,
    pay_out,
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
    states,
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
    with opened_lightning_world(tmp_path, database_url, lnurl=addresses, **limits) as world:
        addresses.world = world
        world.rail.fund(1_000_000_000)
        open_wallet(world.session, balance_msat=BALANCE_MSAT)
        yield world
        assert_payouts_sound(world)


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


def test_it_can_be_cancelled_too(shop: LightningWorld) -> None:
    payout_id = withdraw_to(shop, ADDRESS, 20_000)
    _restored(shop)
    with write_transaction(shop.session):
        cancel_payout(shop.deps, shop.session, payout_id)
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


def test_a_lost_payment_is_booked_for_one_payout_only(
    shop: LightningWorld, team: Operators
) -> None:
    chain = withdraw_to(shop, "fake:ada", 20_000, key="chain")
    fee_msat = payout_of(shop, chain).fee_msat
    link, _ = _link(shop)
    second = withdraw_to(shop, "fake:bob", 20_000, key="second")
    _restored(shop)
    txid = "cd" * 32
    for ending in (Ending(False, "x"), Ending(True, "It is in block 9.")):
        with pytest.raises(InvalidRequest):
            _settle(team, chain, ending)
    assert batches(shop) == []
    _settle(team, chain, Ending(True, "It is in block 9.", reference=txid, fee_msat=141))
    assert states(shop, chain) == ["settled"]
    assert held(shop, chart.clearing("fake")) == AMOUNT_MSAT + 141
    with pytest.raises(InvalidRequest, match="another payout"):
        _settle(team, second, Ending(True, "It is in block 9.", reference=txid))
    _settle(team, link, Ending(True, "The node shows it.", reference="ef" * 32))
    assert states(shop, chain, second, link) == ["settled", "waiting", "settled"]
    assert own_msat(shop) == BALANCE_MSAT - 3 * AMOUNT_MSAT - 2 * fee_msat
    pay_out(shop)
    assert payout_health(shop.deps, shop.session).code == "payouts_held"
    shop.session.rollback()
