"""``bitcache merchant terms``: commission, payouts and returns of one merchant."""

from typing import Any

import click

from bitcache_server.cli.durations import duration_s, duration_text
from bitcache_server.cli.output import emit, fields, json_option
from bitcache_server.cli.work import Work, work
from bitcache_server.domain.fees import PARTS_PER_MILLION, CommissionRule
from bitcache_server.domain.money import format_sat
from bitcache_server.models.catalog import Merchant
from bitcache_server.models.session import write_transaction
from bitcache_server.services.catalog import get_merchant
from bitcache_server.services.merchant_payouts import set_payout_terms
from bitcache_server.services.merchant_terms import (
    MAX_REFUNDS_PER_READER,
    set_commission,
    set_refund_terms,
)
from bitcache_server.services.sale_parts import commission_rule


@click.command()
@click.argument("merchant_id", metavar="MERCHANT")
@click.option(
    "--commission-ppm",
    type=click.IntRange(0, PARTS_PER_MILLION),
    help="Your share of their sales in parts per million: 10000 is 1 %.",
)
@click.option("--commission-min-msat", type=click.IntRange(0), help="With --commission-ppm.")
@click.option("--commission-max-msat", type=click.IntRange(0), help="With --commission-ppm.")
@click.option("--operator-commission", is_flag=True, help="Your usual commission again.")
@click.option(
    "--refund-window", type=duration_s, metavar="TIME", help="Such as 14d; 0: no returns."
)
@click.option(
    "--refunds-per-reader",
    type=click.IntRange(0, MAX_REFUNDS_PER_READER),
    help="How many purchases one reader may return within 30 days.",
)
@click.option(
    "--payout-address", help='A Bitcoin or Lightning address for payouts; "" takes it away.'
)
@click.option("--payout-every", type=duration_s, metavar="TIME", help="Such as 7d; 0: on demand.")
@click.option("--payout-threshold", type=click.IntRange(0), metavar="SAT")
@json_option
def terms(
    merchant_id: str,
    commission_ppm: int | None,
    commission_min_msat: int | None,
    commission_max_msat: int | None,
    operator_commission: bool,
    refund_window: int | None,
    refunds_per_reader: int | None,
    payout_address: str | None,
    payout_every: int | None,
    payout_threshold: int | None,
) -> None:
    """Show or change commission, payouts and returns.

    \b
    Examples:
      bitcache merchant terms me_…
      bitcache merchant terms me_… --commission-ppm 25000 --commission-max-msat 5000000
      bitcache merchant terms me_… --payout-address bc1q… --payout-every 7d --payout-threshold 50000
      bitcache merchant terms me_… --refund-window 14d --refunds-per-reader 3
    """
    rule = _rule(commission_ppm, commission_min_msat, commission_max_msat, operator_commission)
    with work() as w:
        if not all(value is None for value in (payout_address, payout_every, payout_threshold)):
            set_payout_terms(
                w.deps,
                w.session,
                merchant_id,
                address=payout_address,
                threshold_sat=payout_threshold,
                every_s=payout_every,
            )
        with write_transaction(w.session):
            if rule is not None or operator_commission:
                set_commission(w.session, merchant_id, rule)
            set_refund_terms(w.session, merchant_id, refund_window, refunds_per_reader)
        document = terms_document(w, get_merchant(w.session, merchant_id))
        emit({"id": merchant_id, **document}, fields(terms_fields(document)))


def _rule(
    share_ppm: int | None, min_msat: int | None, max_msat: int | None, operators: bool
) -> CommissionRule | None:
    """Return the merchant's own rule, None for none; it holds as a whole."""
    if share_ppm is None:
        if min_msat is not None or max_msat is not None:
            raise click.UsageError("Give --commission-ppm with its smallest or largest amount.")
        return None
    if operators:
        raise click.UsageError("Give either --commission-ppm or --operator-commission.")
    return CommissionRule(share_ppm, min_msat or 0, max_msat)


def terms_document(w: Work, merchant: Merchant) -> dict[str, Any]:
    """Return what holds for a merchant now, as JSON."""
    rule = commission_rule(w.deps, merchant)
    return {
        "commission": {
            "share_ppm": rule.share_ppm,
            "min_msat": rule.min_msat,
            "max_msat": rule.max_msat,
            "own": merchant.commission_ppm is not None,
        },
        "refund_window_s": merchant.refund_window_s,
        "refunds_per_reader": merchant.refunds_per_reader,
        "payout_address": merchant.payout_address,
        "payout_every_s": merchant.payout_every_s,
        "payout_threshold_msat": merchant.payout_threshold_msat,
    }


def terms_fields(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the same for people."""
    every_s = document["payout_every_s"]
    threshold = format_sat(document["payout_threshold_msat"])
    return [
        ("commission", _commission(document["commission"])),
        ("returns by readers", _returns(document)),
        ("payout address", document["payout_address"] or "none yet"),
        (
            "payouts",
            f"every {duration_text(every_s)} from {threshold}" if every_s else "on demand",
        ),
    ]


def _commission(rule: dict[str, Any]) -> str:
    words = [f"{rule['share_ppm'] / 10_000:g} %"]
    if rule["min_msat"]:
        words.append(f"at least {format_sat(rule['min_msat'])}")
    if rule["max_msat"] is not None:
        words.append(f"at most {format_sat(rule['max_msat'])}")
    return ", ".join(words) + ("" if rule["own"] else " (the usual)")


def _returns(document: dict[str, Any]) -> str:
    window_s, number = document["refund_window_s"], document["refunds_per_reader"]
    if not window_s or not number:
        return "not offered"
    return f"within {duration_text(window_s)}, at most {number} in 30 days"
