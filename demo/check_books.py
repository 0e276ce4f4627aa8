"""The merchant and the operator: the sale, the commission, the payout, the proof."""

import time

from demo.checking import CheckFailed, Steps
from demo.regtest.node import RegtestNode
from demo.shop import Shop

SALES = 5
PRICE_MSAT = 5_000_000
#: One per cent, as the settings have it by default.
COMMISSION_MSAT = 50_000
SETTLE_TIMEOUT_S = 180


def check_books(shop: Shop, node: RegtestNode, rails: set[str], steps: Steps) -> None:
    """Read the statement, pay the merchant, and prove every balance."""
    _expect_sales(shop)
    steps.done(f"the merchant's statement lists {SALES} sales, less the commission")
    address, amount_sat = _pay_out(shop, node)
    steps.done(f"the payout of {amount_sat:,} sat confirms on the chain")
    _expect_coin(node, address, amount_sat)
    _expect_proof(shop, rails)
    steps.done("every balance, rebuilt from the first transfer, agrees to the millisatoshi")


def _expect_sales(shop: Shop) -> None:
    lines = shop.run("merchant", "statement", shop.merchant_id)["lines"]
    sold = [line["amount_msat"] for line in lines]
    if sold != [PRICE_MSAT - COMMISSION_MSAT] * SALES:
        raise CheckFailed(f"the statement says {sold}")
    balances = shop.run("ledger", "balances")["balances"]
    earned = {line["account"]: line["balance_msat"] for line in balances}["commission"]
    if earned != SALES * COMMISSION_MSAT:
        raise CheckFailed(f"the commission is {earned} msat")


def _pay_out(shop: Shop, node: RegtestNode) -> tuple[str, int]:
    asked = shop.run("payout", "request", shop.merchant_id)
    shop.run("payout", "run-now")
    node.mine(1)
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while (shown := shop.run("payout", "show", asked["id"]))["state"] != "settled":
        if time.monotonic() > deadline:
            raise CheckFailed(f"the payout is {shown['state']}: {shown['reason']}")
        time.sleep(0.5)
    return shown["address"], shown["amount_msat"] // 1_000


def _expect_coin(node: RegtestNode, address: str, amount_sat: int) -> None:
    outputs = [
        output
        for height in range(node.rpc.getblockcount(), 0, -1)
        for tx in node.rpc.getblock(node.rpc.getblockhash(height), 2)["tx"]
        for output in tx["vout"]
        if address
        in (output["scriptPubKey"].get("address"), *output["scriptPubKey"].get("addresses", []))
    ]
    if [round(output["value"] * 100_000_000) for output in outputs] != [amount_sat]:
        raise CheckFailed(f"the chain has {outputs} for the merchant's address")


def _expect_proof(shop: Shop, rails: set[str]) -> None:
    """Fail unless the ledger is whole and each rail holds what the books say."""
    if not shop.run("ledger", "audit", "--deep")["clean"]:
        raise CheckFailed("the audit is not clean")
    compared = shop.run("ledger", "reconcile")["rails"]
    if {rail["rail"] for rail in compared} != rails:
        raise CheckFailed(f"compared were {compared} instead of {sorted(rails)}")
    for rail in compared:
        if rail["code"] != "ok":
            raise CheckFailed(f"{rail['rail']} and the books differ: {rail['detail']}")
