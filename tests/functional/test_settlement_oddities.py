"""Rare orders of events: credit that vanishes, blocks that contradict the mempool."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlalchemy import select

from bitcache_server.domain.invoice_state import InvoiceState
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.catalog import Item
from bitcache_server.models.operations import ChainBlock
from bitcache_server.models.sales import Payment
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import (
    BlockConnected,
    BlockRef,
    Cursor,
    Matcher,
    MempoolSeen,
    Observation,
    Step,
)
from bitcache_server.rails.fake import FakeRail
from bitcache_server.services.watch_rail import watch_rail
from tests.support.shops import (
    PRICE_MSAT,
    held,
    live_revision,
    open_content,
    sell_at,
    transfers,
)
from tests.support.world import Purchase, World

LIFETIME_S = 900
DEAR_SAT = 20_000


def _redeem(shop: World, purchase: Purchase) -> str:
    body = {"verifier": purchase.verifier}
    answer = shop.post(f"/v1/invoices/{purchase.id}/redeem", body)
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["grant"])


def test_a_removed_payment_that_is_mined_after_all_counts_again(shop: World) -> None:
    """The chain with the double spend loses, and the first transaction wins after all."""
    purchase = shop.buy()
    reference = shop.pay(purchase)
    shop.rail.double_spend(reference)
    shop.check_unconfirmed()
    assert shop.state(purchase) is InvoiceState.OPEN
    _replay(shop, _next_block(shop, _sighting(shop, reference)))
    assert shop.state(purchase) is InvoiceState.PAID
    assert live_revision(shop, purchase) == 2


def test_redeemed_credit_that_vanishes_is_the_operators_loss(shop: World) -> None:
    purchase = shop.buy()
    shop.expire(LIFETIME_S + 1)
    reference = shop.pay(purchase)
    grant = _redeem(shop, purchase)
    shop.rail.double_spend(reference)
    shop.check_unconfirmed()
    assert held(shop, chart.LOSS) == -PRICE_MSAT
    assert held(shop, chart.invoice(purchase.id)) == 0
    assert held(shop, chart.merchant(shop.merchant_id)) == PRICE_MSAT * 99 // 100
    assert shop.read(purchase)["credit_msat"] == 0
    assert open_content(shop, purchase, grant) == (200, "")
    # Money that comes later makes up for it first.
    shop.pay(purchase, PRICE_MSAT + 1_000)
    assert held(shop, chart.LOSS) == 0
    assert shop.read(purchase)["credit_msat"] == 1_000


def test_money_in_time_after_a_loss_is_not_sold_twice(shop: World) -> None:
    """The books would not have the money for a second sale, and the watch must go on."""
    shop.clock.now = 1_700_000_000
    purchase, other = shop.buy(), shop.buy()
    shop.expire(LIFETIME_S + 1)
    reference = shop.pay(purchase)
    grant = _redeem(shop, purchase)
    shop.rail.double_spend(reference)
    shop.check_unconfirmed()
    shop.rail.pay(shop.target_of(purchase), PRICE_MSAT)
    shop.rail.pay(shop.target_of(other), PRICE_MSAT)
    shop.mine()  # its time is before the expiry
    seen = shop.read(purchase)
    assert (seen["state"], seen["credit_msat"]) == ("paid", 0)
    assert shop.read(other)["state"] == "paid"
    assert open_content(shop, purchase, grant) == (200, "")
    assert held(shop, chart.LOSS) == 0


def test_redeeming_and_then_paying_in_time_keeps_the_rest_as_credit(shop: World) -> None:
    shop.clock.now = 1_700_000_000
    purchase = shop.buy()
    shop.expire(LIFETIME_S + 1)
    shop.pay(purchase)
    _redeem(shop, purchase)
    shop.rail.pay(shop.target_of(purchase), PRICE_MSAT)
    shop.mine()
    seen = shop.read(purchase)
    assert (seen["state"], seen["credit_msat"]) == ("paid", PRICE_MSAT)
    assert len(transfers(shop, Kind.SALE)) == 1


def test_a_payment_first_seen_in_a_block_is_judged_after_a_reorg(shop: World) -> None:
    """In a block it may signal whatever it likes; out of it that matters again."""
    purchase = shop.buy()
    shop.rail.pay(shop.target_of(purchase), PRICE_MSAT, "it may be replaced")
    shop.mine()
    grant = shop.grant(purchase)
    shop.rail.reorg()
    shop.watch()
    assert shop.state(purchase) is InvoiceState.SEEN
    assert open_content(shop, purchase, grant) == (403, "grant_revoked")
    shop.mine()
    assert shop.state(purchase) is InvoiceState.PAID


def test_an_old_look_at_the_mempool_does_not_unconfirm(shop: World) -> None:
    """A slow second process may report from before the block; the block counts."""
    purchase = shop.buy(sell_at(shop, DEAR_SAT))
    reference = shop.pay(purchase)
    stale = _sighting(shop, reference)
    shop.mine()
    _replay(shop, MempoolSeen((stale,)))
    assert shop.state(purchase) is InvoiceState.PAID
    assert shop.read(purchase)["payments"][0]["confirmations"] == 1


class _Replay(FakeRail):
    """Reports what it was told to, as a slow process or another chain would."""

    def __init__(self, steps: Sequence[Step]) -> None:
        super().__init__(allow=True)
        self._steps = steps

    def watch(
        self, cursor: Cursor | None, match: Matcher, with_mempool: bool = True
    ) -> Iterator[Step]:
        """Yield the steps, whatever the cursor is."""
        yield from self._steps


def _replay(shop: World, *steps: Step) -> None:
    watch_rail(shop.deps, shop.session, _Replay(steps))


def _sighting(shop: World, reference: str) -> Observation:
    """Return the payment as the mempool showed it."""
    payment = shop.session.get_one(Payment, ("fake", reference))
    seen = Observation(
        rail="fake",
        reference=reference,
        target=payment.target,
        amount_msat=payment.amount_msat,
        block=None,
        sight_ok=True,
        sight_reason="",
        spendable_at_height=0,
        raw="",
    )
    shop.session.rollback()
    return seen


def _next_block(shop: World, seen: Observation) -> BlockConnected:
    """Return a block on top of what was booked, with the payment in it."""
    query = select(ChainBlock).order_by(ChainBlock.height.desc()).limit(1)
    tip = shop.session.scalars(query).one()
    block = BlockRef(tip.height + 1, "ab" * 32, shop.clock())
    step = BlockConnected(block, tip.hash, (replace(seen, block=block),))
    shop.session.rollback()
    return step


def test_a_grant_that_ran_out_is_bought_again_from_credit(shop: World) -> None:
    item_id = sell_at(shop, 4_000)
    with write_transaction(shop.session):
        shop.session.get_one(Item, item_id).access_hours = 1
    purchase = shop.buy(item_id)
    shop.pay(purchase, 9_000_000)
    assert shop.read(purchase)["credit_msat"] == 5_000_000
    first = _redeem(shop, purchase)
    assert shop.read(purchase)["credit_msat"] == 5_000_000, "what was paid for is not paid again"
    shop.clock.pass_time(3_600)
    assert open_content(shop, purchase, first) == (403, "grant_expired")
    second = _redeem(shop, purchase)
    assert open_content(shop, purchase, second) == (200, "")
    assert shop.read(purchase)["credit_msat"] == 1_000_000
    shop.mine()
    assert shop.read(purchase)["credit_msat"] == 1_000_000
    shop.clock.pass_time(3_600)
    body = {"verifier": purchase.verifier}
    answer = shop.post(f"/v1/invoices/{purchase.id}/redeem", body)
    assert answer.get_json()["code"] == "no_credit"
