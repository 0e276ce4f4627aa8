"""POST /v1/invoices/{invoice_id}/claim"""

from typing import Any

from werkzeug.test import TestResponse

from bitcache_server.services.site_keys import signer_for
from bitcache_server.tokens.receipts import check_receipt
from tests.support.api import assert_refused, at_once, call
from tests.support.world import World


def claim(world: World, invoice_id: str, verifier: Any) -> TestResponse:
    return call(world, "POST", f"/v1/invoices/{invoice_id}/claim", json={"verifier": verifier})


def test_a_grant_and_a_receipt(world: World) -> None:
    purchase = world.buy()
    world.pay(purchase)
    answer = claim(world, purchase.id, purchase.verifier)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    body = answer.get_json()
    assert (body["item"], body["expires_at"]) == (world.article_id, None)
    assert call(world, "GET", f"/v1/content/{world.article_id}", body["grant"]).status_code == 200
    signer = signer_for(world.deps, world.session, world.site_id)
    receipt = check_receipt(signer, body["receipt"], site=world.site_id)
    assert (receipt.invoice, receipt.item, receipt.amount_msat) == (
        purchase.id, world.article_id, 5_000_000,
    )  # fmt: skip


def test_it_may_be_repeated_for_ever_and_counts_once(world: World) -> None:
    purchase = world.buy()
    world.pay(purchase)
    first = claim(world, purchase.id, purchase.verifier).get_json()
    same = at_once(6, lambda _: claim(world, purchase.id, purchase.verifier).get_json())
    assert same == [first] * 6
    world.expire(10_000_000)
    world.mine(3)
    assert claim(world, purchase.id, purchase.verifier).get_json() == first
    world.assert_books_balance()


def test_only_who_created_the_invoice_can_collect_it(world: World) -> None:
    mine, other = world.buy(), world.buy()
    world.pay(mine)
    world.pay(other)
    for verifier in (
        other.verifier, "v" * 43, mine.verifier[:-1], mine.verifier + "A",
        mine.verifier.swapcase(), "", "x",
        mine.id, world.secret, "é" * 43, mine.verifier + "\n", " " + mine.verifier, "x" * 5_000,
        "%00" * 20,
    ):  # fmt: skip
        assert_refused(world, claim(world, mine.id, verifier), 403, "verifier_mismatch")
    assert_refused(world, claim(world, "in_x", mine.verifier), 404, "unknown_invoice")


def test_before_the_payment(world: World) -> None:
    purchase = world.buy()
    assert_refused(world, claim(world, purchase.id, purchase.verifier), 409, "invoice_not_paid")
    # A stranger is not told whether it is paid.
    assert_refused(world, claim(world, purchase.id, "v" * 43), 403, "verifier_mismatch")
    unsure = world.buy()
    world.pay(unsure, reason="replaceable")
    problem = claim(world, unsure.id, unsure.verifier)
    assert "confirmations" in assert_refused(world, problem, 409, "invoice_not_paid")["detail"]
    world.pay(purchase, 4_999_000)
    assert_refused(world, claim(world, purchase.id, purchase.verifier), 409, "invoice_not_paid")
    world.expire(world.deps.settings.invoice_lifetime_s + 1)
    problem = claim(world, purchase.id, purchase.verifier)
    assert "kept as credit" in assert_refused(world, problem, 409, "invoice_not_paid")["detail"]


def test_what_was_taken_back_cannot_be_claimed(world: World) -> None:
    purchase = world.buy()
    reference = world.pay(purchase)
    grant = claim(world, purchase.id, purchase.verifier).get_json()["grant"]
    world.rail.double_spend(reference)
    world.check_unconfirmed()
    assert_refused(world, claim(world, purchase.id, purchase.verifier), 409, "invoice_not_paid")
    answer = call(world, "GET", f"/v1/content/{world.article_id}", grant)
    assert_refused(world, answer, 403, "grant_revoked")
    world.assert_books_balance()
