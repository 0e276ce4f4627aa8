"""/operator: health, queues, books, merchants and their terms, for the operator alone."""

import pytest

from bitcache_server.domain.fees import CommissionRule
from bitcache_server.models.catalog import Merchant
from bitcache_server.services.merchants import add_merchant
from bitcache_server.services.once import in_transaction
from bitcache_server.services.sale_parts import commission_rule
from tests.support.dashboard import sign_in
from tests.support.world import World

PATHS = ("/operator", "/operator/merchants", "/operator/books", "/operator/limits")


def rule_of(world: World) -> CommissionRule:
    world.session.rollback()
    return commission_rule(world.deps, world.session.get_one(Merchant, world.merchant_id))


@pytest.mark.parametrize("path", PATHS)
def test_only_the_operators_accounts_learn_that_there_is_such_a_page(
    world: World, path: str
) -> None:
    assert sign_in(world).get(path).status_code == 404
    nobody = world.client.get(path, base_url=world.deps.settings.public_url)
    assert nobody.status_code == 303
    shown = sign_in(world, operator=True).get(path)
    assert shown.status_code == 200
    assert 'aria-current="page"' in shown.text


def test_owners_change_no_terms(world: World) -> None:
    form = {"commission_ppm": "0"}
    path = f"/operator/merchants/{world.merchant_id}/terms"
    assert sign_in(world).post(path, form).status_code == 404
    assert rule_of(world).share_ppm == 10_000


def test_what_waits_is_counted(world: World) -> None:
    world.buy()
    page = sign_in(world, operator=True).get("/operator").text
    assert "Open invoices" in page
    assert "Oldest:" in page


def test_the_books_add_up_to_zero(world: World) -> None:
    purchase = world.buy()
    world.pay(purchase)
    world.mine()
    page = sign_in(world, operator=True).get("/operator/books").text
    assert "must be zero" not in page
    assert f"merchant:{world.merchant_id}" in page


def test_merchants_are_found_by_what_they_are_called(world: World) -> None:
    def add() -> None:
        add_merchant(world.deps, world.session, "100 %_<b>Grace</b>", None)

    in_transaction(world.session, add)
    operator = sign_in(world, operator=True)
    found = operator.get("/operator/merchants?q=%25_%3CB%3Eg").text
    assert "100 %_&lt;b&gt;Grace&lt;/b&gt;" in found
    assert "<b>" not in found
    assert f"/operator/merchants/{world.merchant_id}" not in found
    assert "Nobody was found." in operator.get("/operator/merchants?q=zz_none").text
    assert operator.get("/operator/merchants/me_none").status_code == 404


def test_a_merchant_gets_terms_of_their_own_and_the_usual_ones_again(world: World) -> None:
    operator = sign_in(world, operator=True)
    path = f"/operator/merchants/{world.merchant_id}/terms"
    form = {
        "commission_ppm": "25,000",
        "commission_min_msat": "1000",
        "commission_max_msat": "",
        "refund_days": "14",
        "refunds_per_reader": "3",
    }
    assert operator.post(path, form).status_code == 303
    assert rule_of(world) == CommissionRule(25_000, 1_000, None)
    assert world.session.get_one(Merchant, world.merchant_id).refund_window_s == 14 * 86_400
    assert operator.post(path, {"usual": "on", **form}).status_code == 303
    assert rule_of(world).share_ppm == 10_000
    assert "terms.changed" in operator.get("./audit.csv").text


@pytest.mark.parametrize(
    "wrong",
    [
        {"commission_ppm": "1000001"},
        {"commission_ppm": "one"},
        {"commission_ppm": "5", "commission_min_msat": "10", "commission_max_msat": "9"},
        {"commission_ppm": "5", "refund_days": "9999"},
    ],
)
def test_terms_that_cannot_be_are_refused_and_shown_again(
    world: World, wrong: dict[str, object]
) -> None:
    operator = sign_in(world, operator=True)
    answer = operator.post(f"/operator/merchants/{world.merchant_id}/terms", wrong)
    assert answer.status_code == 422
    assert f'value="{wrong["commission_ppm"]}"' in answer.text
    assert rule_of(world).share_ppm == 10_000


def test_who_has_not_just_shown_who_they_are_changes_nothing(world: World) -> None:
    operator = sign_in(world, operator=True)
    world.clock.pass_time(3_600)
    path = f"/operator/merchants/{world.merchant_id}/terms"
    answer = operator.post(path, {"commission_ppm": "0"})
    assert answer.location.startswith("/account/confirm")
    assert rule_of(world).share_ppm == 10_000
