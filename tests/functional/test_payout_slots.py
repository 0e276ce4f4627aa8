"""How many Lightning payouts may be open: payees can hold each of them back for days."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bitcache_server.domain.errors import TooManyPayouts
from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.services.merchant_payouts import request_merchant_payout, set_payout_terms
from bitcache_server.services.payout_health import payout_health
from bitcache_server.services.payout_slots import SMALL_BELOW_MSAT, readers_share, small_share
from bitcache_server.services.withdraw import quote_withdrawal, request_withdrawal
from bitcache_server.services.withdraw_claims import claim, claim_terms
from bitcache_server.services.withdraw_links import (
    NewLink,
    create_gifts,
    create_link,
    quote_link,
)
from tests.support.books import open_wallet
from tests.support.lightning_payouts import pay_out, withdraw_to
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.payouts import (
    assert_payouts_sound,
    batches,
    earn,
    payout_of,
    states,
    together,
)
from tests.support.shops import held

BALANCE_MSAT = 100_000_000
AMOUNT_MSAT = 1_000_000
RESERVE_MSAT = 10_000
MOST = 4


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[LightningWorld]:
    with opened_lightning_world(tmp_path, database_url, lightning_open_payouts=MOST) as world:
        for number in range(1, 4):
            open_wallet(world.session, f"wa_{number}", balance_msat=BALANCE_MSAT)
        yield world
        assert_payouts_sound(world)


def _ask(
    shop: LightningWorld, key: str, wallet_id: str = "wa_1", amount_msat: int = AMOUNT_MSAT
) -> str:
    try:
        invoice = shop.lightning.foreign_invoice(amount_msat)
        return withdraw_to(shop, invoice, wallet_id=wallet_id, key=key)
    finally:
        shop.session.rollback()


def _hold_back(
    shop: LightningWorld, key: str, wallet_id: str = "wa_1", amount_msat: int = AMOUNT_MSAT
) -> str:
    """Withdraw to somebody who lets the payment hang."""
    payout_id = _ask(shop, key, wallet_id, amount_msat)
    shop.lightning.plan_payment(Outcome.PENDING)
    pay_out(shop)
    return payout_id


def _link(shop: LightningWorld, key: str, wallet_id: str = "wa_1") -> NewLink:
    return create_link(
        shop.deps,
        shop.session,
        wallet_id,
        amount_sat=1_000,
        fee_msat=RESERVE_MSAT,
        lifetime_s=3_600,
        idempotency_key=key,
    )


def _claim(shop: LightningWorld, link: NewLink) -> None:
    try:
        k1 = claim_terms(shop.deps, shop.session, link.secret).k1
        invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT)
        claim(shop.deps, shop.session, link.secret, k1, invoice)
    finally:
        shop.session.rollback()


def _release_one(shop: LightningWorld) -> None:
    sent = next(batch for batch in batches(shop) if batch.state == "sent")
    shop.lightning.finish(sent.reference, Outcome.SETTLED)
    pay_out(shop)


def test_a_fourth_is_refused_before_anything_is_booked_until_one_has_ended(
    shop: LightningWorld,
) -> None:
    _hold_back(shop, "1")
    _hold_back(shop, "2")
    _ask(shop, "3")
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT)
    before_msat = held(shop, chart.wallet("wa_1"))
    with pytest.raises(TooManyPayouts, match="3 payouts of this balance are still on their way"):
        quote_withdrawal(shop.deps, shop.session, "wa_1", invoice, None)
    shop.session.rollback()
    with pytest.raises(TooManyPayouts):
        request_withdrawal(
            shop.deps,
            shop.session,
            "wa_1",
            address=invoice,
            amount_sat=None,
            fee_msat=RESERVE_MSAT,
            idempotency_key="4",
        )
    with pytest.raises(TooManyPayouts):
        quote_link(shop.deps, shop.session, "wa_1", 1_000)
    shop.session.rollback()
    with pytest.raises(TooManyPayouts):
        _link(shop, "link")
    shop.session.rollback()
    assert held(shop, chart.wallet("wa_1")) == before_msat
    quote_withdrawal(shop.deps, shop.session, "wa_1", "fake:ada", 20_000)
    shop.session.rollback()
    pay_out(shop)
    assert states(shop, _ask(shop, "4")) == ["waiting"]


def test_asking_again_for_the_same_is_answered(shop: LightningWorld) -> None:
    first = shop.lightning.foreign_invoice(AMOUNT_MSAT)
    payout_id = withdraw_to(shop, first, key="1")
    _ask(shop, "2")
    _ask(shop, "3")
    again = request_withdrawal(
        shop.deps,
        shop.session,
        "wa_1",
        address=first,
        amount_sat=None,
        fee_msat=RESERVE_MSAT,
        idempotency_key="1",
    )
    assert again.id == payout_id
    shop.session.rollback()


def test_many_at_once_get_as_many_as_one_after_the_other(shop: LightningWorld) -> None:
    def ask(number: int) -> bool:
        try:
            _ask(shop, str(number))
        except TooManyPayouts:
            return False
        return True

    assert sum(together(shop, 6, ask)) == 3
    assert held(shop, chart.wallet("wa_1")) == BALANCE_MSAT - 3 * (AMOUNT_MSAT + RESERVE_MSAT)


def test_links_bind_nothing_until_they_are_claimed(shop: LightningWorld) -> None:
    links = [_link(shop, f"link-{number}") for number in range(5)]
    for link in links[:3]:
        _claim(shop, link)
    shop.lightning.plan_payment(Outcome.PENDING)
    shop.lightning.plan_payment(Outcome.PENDING)
    shop.lightning.plan_payment(Outcome.PENDING)
    pay_out(shop)
    with pytest.raises(TooManyPayouts):
        _claim(shop, links[3])
    assert states(shop, *[link.payout_id for link in links]) == ["sending"] * 3 + ["offered"] * 2
    _release_one(shop)
    _claim(shop, links[3])
    pay_out(shop)
    assert states(shop, links[3].payout_id) == ["settled"]


def test_readers_leave_room_for_merchants_and_what_finds_none_waits(
    shop: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert readers_share(MOST) == 3
    for number in range(3):
        _hold_back(shop, str(number), f"wa_{number + 1}")
    with pytest.raises(TooManyPayouts, match="just now"):
        _ask(shop, "late", "wa_2")
    [gift] = create_gifts(shop.deps, shop.session, 1_000, 1, 3_600)
    _claim(shop, gift)
    set_payout_terms(shop.deps, shop.session, shop.merchant_id, address="ada@wallet.example")
    monkeypatch.setattr(
        shop.lightning_rail._payouts.lnurl,
        "request_invoice",
        lambda _, amount_msat, *__: type(
            "Made", (), {"bolt11": shop.lightning.foreign_invoice(amount_msat)}
        ),
    )
    earn(shop, 10_000_000)
    merchants = [
        request_merchant_payout(shop.deps, shop.session, shop.merchant_id, amount_sat=1_000).id
        for _ in range(2)
    ]
    shop.session.rollback()
    shop.lightning.plan_payment(Outcome.PENDING)
    assert pay_out(shop) == 1
    assert sorted(states(shop, *merchants)) == ["sending", "waiting"]
    assert states(shop, gift.payout_id) == ["waiting"]
    assert "3 payments to readers" in payout_of(shop, gift.payout_id).reason
    assert payout_health(shop.deps, shop.session).code == "payouts_waiting"
    shop.session.rollback()
    for _ in range(4):
        _release_one(shop)
    pay_out(shop)
    assert states(shop, *merchants, gift.payout_id) == ["settled"] * 3


def test_small_ones_that_are_held_back_do_not_stop_larger_ones(shop: LightningWorld) -> None:
    small_msat = SMALL_BELOW_MSAT - 1_000
    assert small_share(MOST) == 2
    held_back = [_hold_back(shop, str(n), f"wa_{n}", small_msat) for n in (1, 2)]
    with pytest.raises(TooManyPayouts, match="just now"):
        _ask(shop, "small", "wa_3", small_msat)
    large = _ask(shop, "large", "wa_3", SMALL_BELOW_MSAT)
    pay_out(shop)
    assert states(shop, *held_back, large) == ["sending", "sending", "settled"]
    _release_one(shop)
    assert states(shop, _ask(shop, "small", "wa_3", small_msat)) == ["waiting"]


def test_small_ones_that_larger_ones_leave_no_room_for(shop: LightningWorld) -> None:
    for number in (1, 2):
        _hold_back(shop, str(number), f"wa_{number}")
    small = _ask(shop, "small", "wa_3", 1_000)
    pay_out(shop)
    assert states(shop, small) == ["settled"], "large ones take none of their places"
