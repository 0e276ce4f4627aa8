"""Books in which everything happened once, and the means to damage them by force."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from bitcache_server.ledger import chart, payout_recipes, recipes, refund_recipes, wallet_recipes
from bitcache_server.ledger.balances import checkpoint
from bitcache_server.ledger.float_recipes import deposit_float, withdraw_float
from bitcache_server.ledger.parts import Part
from bitcache_server.ledger.spend import spend
from bitcache_server.models.ledger import Grant
from bitcache_server.models.payouts import Payout, PayoutBatch, Refund
from bitcache_server.models.sales import Invoice, Payment
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import Gift, GiftDay
from tests.support.books import NOW, open_wallet, order

TRANSFER = (
    "INSERT INTO transfers (owner_id, id, kind, from_account, to_account, amount_msat,"
    " group_id, reverses_id, created_at) VALUES "
)
DAY = NOW // 86_400
GIFT_MSAT = 12_000
PRICE_PARTS = (
    Part(chart.merchant("me_1"), 4_000),
    Part(chart.merchant("me_2"), 851),
    Part(chart.COMMISSION, 49),
)


def full_books(session: Session) -> None:
    """Book each kind of event once: sales of all sorts, gifts, top-ups, payouts, refunds."""
    open_wallet(session, balance_msat=50_000, gift_msat=GIFT_MSAT)
    open_wallet(session, "wa_2", balance_msat=300)
    with write_transaction(session):
        session.add(Gift(wallet_id="wa_1", address_hash="", amount_msat=GIFT_MSAT, created_at=NOW))
        session.add(GiftDay(day=DAY, given_msat=GIFT_MSAT))
    for number in (1, 2, 3):
        # The first two are paid by the gift, the third by the gift and own money.
        spend(session, order(f"key-{number}", item_id=f"it_{number}"))
    spend(session, order("parts", item_id="it_4", parts=PRICE_PARTS))
    _sell_by_invoice(session)
    checkpoint(session, NOW)
    _top_up(session)
    _refund(session)
    _pay_out(session)
    spend(session, order("again", item_id="it_5"))
    with write_transaction(session):
        wallet_recipes.forfeit(session, "wa_2", NOW)
    checkpoint(session, NOW)


def _sell_by_invoice(session: Session) -> None:
    with write_transaction(session):
        group = recipes.receive(session, "in_1", chart.unconfirmed("onchain"), 5_500, NOW)
        recipes.confirm_sight(session, "in_1", group, NOW)
        recipes.sell(session, "in_1", PRICE_PARTS, rounding_msat=100, now=NOW)
        recipes.claim_credit(session, "in_1", "wa_1", 500, NOW)
    with write_transaction(session):
        recipes.unreceive(session, "in_1", group, NOW)


def _top_up(session: Session) -> None:
    with write_transaction(session):
        group = recipes.receive(session, "in_2", chart.clearing("onchain"), 9_000, NOW)
        session.add(
            Payment(
                rail="onchain", reference="aa:0", invoice_id="in_2", target="00",
                amount_msat=9_000, arrived_at=NOW, spendable_at_height=0, sight_ok=True,
                sight_reason="", raw="", removed=False, settled=True, receipt_group=group,
            )
        )  # fmt: skip
        session.add(
            Invoice(
                id="in_2", wallet_id="wa_1", item_id="", site_id="", merchant_id="", direct=False,
                amount_msat=9_000, price_currency="SAT", price_amount=9, challenge="c",
                state="paid", marks="", received_msat=9_000, missing_msat=0, credit_msat=0,
                redeemed_msat=0, claimed_msat=9_000, created_at=NOW, expires_at=NOW + 900,
                changed_at=NOW, version=1,
            )
        )  # fmt: skip
        wallet_recipes.top_up(session, "in_2", "wa_1", NOW)


def _refund(session: Session) -> None:
    with write_transaction(session):
        grant = session.get_one(Grant, ("wa_1", "it_3", 1))
        group = grant.group_id or ""
        back = refund_recipes.give_back(session, "wa_1", group, NOW)
        grant.revoked_at = NOW
        session.add(
            Refund(
                owner_id="wa_1", group_id=group, id="rf_1", item_id="it_3", merchant_id="me_1",
                by="undo", amount_msat=grant.price_msat, refund_group=back, created_at=NOW,
            )
        )  # fmt: skip


def _pay_out(session: Session) -> None:
    """Leave one payout waiting, one settled, one cancelled; and a float that paid the fee."""
    states = {"po_1": "waiting", "po_2": "settled", "po_3": "cancelled"}
    with write_transaction(session):
        deposit_float(session, "onchain", 100_000, NOW)
        withdraw_float(session, "onchain", 20_000, NOW)
        for payout_id, state in states.items():
            held = payout_recipes.Reserve(payout_id, "merchant:me_1", 2_000, 100)
            payout_recipes.reserve(session, held, NOW)
            session.add(
                Payout(
                    id=payout_id, owner_account=held.owner_account, rail="onchain",
                    destination="bc1q", amount_msat=2_000, fee_msat=100, state=state, reason="",
                    idempotency_key=payout_id, created_at=NOW,
                )
            )  # fmt: skip
            if state == "settled":
                _add_batch(session)
                payout_recipes.settle_batch(session, "pb_1", "onchain", [held], 90, NOW)
            elif state == "cancelled":
                payout_recipes.release(session, held, NOW)


def _add_batch(session: Session) -> None:
    session.add(
        PayoutBatch(
            id="pb_1", rail="onchain", reference="bb", raw="", amount_msat=2_000, fee_msat=90,
            state="settled", created_at=NOW, settled_at=NOW,
        )
    )  # fmt: skip


def without_guards(session: Session) -> None:
    """Take away what keeps transfers and checkpoints from being changed."""
    if session.get_bind().dialect.name == "sqlite":
        names = ("transfers_no_update", "transfers_no_delete", "checkpoints_no_update")
        statements = [f"DROP TRIGGER {name}" for name in names]
    else:
        tables = ("transfers", "balance_checkpoints")
        statements = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables]
    with write_transaction(session):
        for statement in statements:
            session.execute(text(statement))
