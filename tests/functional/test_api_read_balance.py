"""GET /v1/balance"""

from pathlib import Path
from typing import Any

from bitcache_server.domain.fees import CommissionRule
from bitcache_server.models.session import write_transaction
from bitcache_server.services.merchant_payouts import set_payout_terms
from bitcache_server.services.merchant_terms import set_commission, set_refund_terms
from tests.support.api import assert_refused, call
from tests.support.purchases import (
    FILE_COMMISSION_MSAT,
    FILE_MSAT,
    buy_from_balance,
    fill_wallet,
)
from tests.support.shops import opened_world
from tests.support.world import World


def test_a_new_merchant_has_the_operators_terms(world: World) -> None:
    answer = call(world, "GET", "/v1/balance", world.secret)
    assert answer.status_code == 200
    assert answer.get_json() == {
        "merchant": world.merchant_id,
        "balance_msat": 0,
        "commission": {"share_ppm": 10_000, "min_msat": 0, "max_msat": None},
        "payouts": {"address": None, "threshold_msat": 0, "every_s": 0},
        "refunds": {"window_s": 0, "per_reader_in_30_days": 0},
    }


def test_the_operators_bounds_come_from_the_settings(tmp_path: Path, database_url: str) -> None:
    settings: dict[str, Any] = {
        "commission_ppm": 0,
        "commission_min_msat": 40,
        "commission_max_msat": 90,
    }
    with opened_world(tmp_path, database_url, **settings) as shop:
        fill_wallet(shop)
        buy_from_balance(shop)
        found = call(shop, "GET", "/v1/balance", shop.secret).get_json()
        assert found["commission"] == {"share_ppm": 0, "min_msat": 40, "max_msat": 90}
        assert found["balance_msat"] == FILE_MSAT - 40


def test_own_terms_and_what_sales_brought(world: World) -> None:
    fill_wallet(world)
    buy_from_balance(world)
    with write_transaction(world.session):
        set_commission(world.session, world.merchant_id, CommissionRule(20_000, 5, 7_000))
        set_refund_terms(world.session, world.merchant_id, 3_600, 4)
    set_payout_terms(
        world.deps,
        world.session,
        world.merchant_id,
        address="fake:ada",
        threshold_sat=9,
        every_s=60,
    )
    answer = call(world, "GET", "/v1/balance", world.secret)
    assert answer.get_json() == {
        "merchant": world.merchant_id,
        "balance_msat": FILE_MSAT - FILE_COMMISSION_MSAT,
        "commission": {"share_ppm": 20_000, "min_msat": 5, "max_msat": 7_000},
        "payouts": {"address": "fake:ada", "threshold_msat": 9_000, "every_s": 60},
        "refunds": {"window_s": 3_600, "per_reader_in_30_days": 4},
    }
    buy_from_balance(world, world.article_id)
    balance_msat = call(world, "GET", "/v1/balance", world.secret).get_json()["balance_msat"]
    assert balance_msat == FILE_MSAT - FILE_COMMISSION_MSAT + 5_000_000 - 7_000


def test_only_the_sites_own_server(world: World) -> None:
    assert_refused(world, call(world, "GET", "/v1/balance"), 401, "missing_secret")
    assert_refused(world, call(world, "GET", "/v1/balance", "x"), 401, "bad_secret")
