"""A withdrawal to nowhere: told before money is put aside, and taken back at once if not."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event

import pytest

from bitcache_server import netguard
from bitcache_server.domain.errors import (
    AddressInvalid,
    InvoiceUsed,
    PayoutNotWaiting,
    UnknownPayout,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.domain.payout_state import RETRY_AFTER_S
from bitcache_server.extensions import db
from bitcache_server.ledger import chart
from bitcache_server.models.payouts import Payout
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.base import Rail
from bitcache_server.rails.fake import FakeRail
from bitcache_server.rails.onchain.addresses import normal_address
from bitcache_server.rails.onchain.networks import NETWORKS
from bitcache_server.services.payout_health import check_payouts, payout_health
from bitcache_server.services.payouts import find_rail
from bitcache_server.services.withdraw import quote_withdrawal, take_back
from bitcache_server.services.withdraw_claims import claim, claim_terms
from bitcache_server.services.withdraw_links import create_link
from tests.support.books import open_wallet
from tests.support.lightning_payouts import address_shop, pay_out, recorded_payments, withdraw_to
from tests.support.lightning_world import LightningWorld, lightning_request, opened_lightning_world
from tests.support.lnurl_provider import Provider, lnurl_provider, saying
from tests.support.payouts import agree, payout_of, states
from tests.support.readers import Reader, path_of
from tests.support.shops import held
from tests.support.strangers import everybody_waits

PATH = "/wallet/withdraw"
REVIEW = f"{PATH}/review"
BALANCE_MSAT = 100_000_000
AMOUNT_SAT = 20_000


@pytest.fixture
def jane() -> Iterator[Provider]:
    with lnurl_provider() as provider:
        yield provider


@pytest.fixture
def timeout_s(request: pytest.FixtureRequest) -> float:
    return float(getattr(request, "param", 10))


@pytest.fixture
def shop(
    tmp_path: Path, database_url: str, jane: Provider, timeout_s: float
) -> Iterator[LightningWorld]:
    with address_shop(tmp_path, database_url, jane, timeout_s, BALANCE_MSAT) as world:
        yield world


@pytest.fixture
def reader(shop: LightningWorld) -> Reader:
    return Reader(shop, "wa_1")


def _own(shop: LightningWorld) -> int:
    return held(shop, chart.wallet("wa_1"))


def _refused(reader: Reader, address: str, amount: str = "20000") -> str:
    answer = reader.post(REVIEW, address=address, amount=amount)
    assert answer.status_code == 422, answer.text
    assert f'value="{address}"' in answer.text
    assert reader.own_msat == BALANCE_MSAT
    return answer.text


def test_a_host_that_nobody_has_is_told_at_once(
    shop: LightningWorld, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(host: str, port: int | None) -> list[str]:
        raise socket.gaierror(f"{host}:{port}")

    monkeypatch.setattr(netguard, "_lookup", unknown)
    page = _refused(reader, "nobody@nonexistent.invalid")
    assert "There is no server with the name nonexistent.invalid." in page
    assert "Is there a typing error in the address?" in page


def test_a_name_that_the_host_does_not_know(reader: Reader, jane: Provider) -> None:
    address = jane.address.replace("jane", "jnae")
    assert f"{address} cannot be paid. It says: Not found." in _refused(reader, address)


@pytest.mark.parametrize("amount", ["49", "101", ""])
def test_an_amount_outside_of_its_limits(reader: Reader, jane: Provider, amount: str) -> None:
    jane.terms |= {"minSendable": 49_001, "maxSendable": 100_999}
    page = _refused(reader, jane.address, amount)
    assert f"{jane.address} takes 50 to 100 sats at a time." in page


@pytest.mark.parametrize("amount", ["50", "100"])
def test_its_limits_themselves_are_taken(reader: Reader, jane: Provider, amount: str) -> None:
    jane.terms |= {"minSendable": 49_001, "maxSendable": 100_999}
    review = reader.get(path_of(reader.post(REVIEW, address=jane.address, amount=amount)))
    assert f'<code class="token">{jane.address}</code>' in review.text
    # One question is enough, and no invoice is asked for before it is paid.
    assert [path for _, path in jane.asked] == ["/.well-known/lnurlp/jane"]


@pytest.mark.parametrize("timeout_s", [0.2], indirect=True)
def test_one_that_does_not_answer_is_waited_for_no_longer_than_others(
    shop: LightningWorld, reader: Reader, jane: Provider
) -> None:
    over = Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        over.wait()

    jane.answers["/.well-known/lnurlp/jane"] = silent
    try:
        assert "gave no answer within 0.2 s" in _refused(reader, jane.address)
    finally:
        over.set()


def test_strangers_who_hang_keep_nobody_from_their_money(reader: Reader, jane: Provider) -> None:
    # Such an address is refused when it is asked.
    jane.terms |= {"minSendable": 49_001, "maxSendable": 100_999}
    with everybody_waits():
        answer = reader.post(REVIEW, address=jane.address, amount="20000")
        assert path_of(answer).startswith(REVIEW)
        assert jane.asked == []
    _refused(reader, jane.address)
    assert len(jane.asked) == 1


def test_nothing_is_asked_inside_a_transaction(
    shop: LightningWorld, reader: Reader, jane: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    ask = shop.lightning_rail.try_destination

    def watched(address: str, amount_msat: int) -> None:
        seen.append(db.session().in_transaction())
        ask(address, amount_msat)

    monkeypatch.setattr(shop.lightning_rail, "try_destination", watched)
    path_of(reader.post(REVIEW, address=jane.address, amount="20000"))
    assert seen == [False]


def test_what_was_never_sent_is_taken_back_at_once(
    shop: LightningWorld, reader: Reader, jane: Provider
) -> None:
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    cancel = f"{PATH}/{payout_id}/cancel"
    assert f'action="{cancel}"' in reader.get(PATH).text
    assert reader.post(cancel, origin="https://evil.example").status_code == 403
    assert Reader(shop).post(cancel).status_code == 404
    assert _own(shop) < BALANCE_MSAT
    assert path_of(reader.post(cancel)) == f"{PATH}?done=back"
    assert _own(shop) == BALANCE_MSAT
    page = reader.get(f"{PATH}?done=back").text
    assert "amount and fee are in your balance again" in page
    assert "Cancelled, the money is back" in page
    assert "at most" not in page, "no fee was taken"
    assert pay_out(shop) == 0
    answer = reader.post(cancel)
    assert (answer.status_code, "cannot be taken back" in answer.text) == (409, True)
    assert _own(shop) == BALANCE_MSAT


def test_between_two_tries_as_well(shop: LightningWorld, reader: Reader, jane: Provider) -> None:
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    shop.lightning.plan_payment(Outcome.FAILED, detail="No route.")
    pay_out(shop)
    page = reader.get(PATH).text
    assert "The payment failed: No route. It is tried again at" in page
    reader.post(f"{PATH}/{payout_id}/cancel")
    shop.clock.pass_time(RETRY_AFTER_S[0])
    assert pay_out(shop) == 0
    assert (states(shop, payout_id), _own(shop)) == (["cancelled"], BALANCE_MSAT)


@pytest.mark.parametrize("outcome", [Outcome.PENDING, Outcome.UNKNOWN])
def test_what_may_be_on_its_way_is_not_taken_back(
    shop: LightningWorld, reader: Reader, jane: Provider, outcome: Outcome
) -> None:
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    shop.lightning.plan_payment(outcome)
    pay_out(shop)
    assert states(shop, payout_id) == ["sending"]
    assert "Take it back" not in reader.get(PATH).text
    answer = reader.post(f"{PATH}/{payout_id}/cancel")
    assert (answer.status_code, "cannot be taken back" in answer.text) == (409, True)
    assert held(shop, chart.payout(payout_id)) > AMOUNT_SAT * 1_000


def test_what_may_have_been_paid_before_a_backup_is_not_taken_back(
    shop: LightningWorld, reader: Reader, jane: Provider
) -> None:
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    with write_transaction(shop.session):
        shop.session.get_one(Payout, payout_id).held_at = shop.clock()
    assert "Take it back" not in reader.get(PATH).text
    assert reader.post(f"{PATH}/{payout_id}/cancel").status_code == 409
    assert _own(shop) < BALANCE_MSAT - AMOUNT_SAT * 1_000


def test_a_link_that_was_claimed_is_not_taken_back_this_way(
    shop: LightningWorld, reader: Reader
) -> None:
    link = create_link(
        shop.deps,
        shop.session,
        "wa_1",
        amount_sat=AMOUNT_SAT,
        fee_msat=200_000,
        lifetime_s=3_600,
        idempotency_key="link",
    )
    cancel = f"{PATH}/{link.payout_id}/cancel"
    assert reader.post(cancel).status_code == 409
    k1 = claim_terms(shop.deps, shop.session, link.secret).k1
    invoice = shop.lightning.foreign_invoice(AMOUNT_SAT * 1_000)
    claim(shop.deps, shop.session, link.secret, k1, invoice)
    assert f'action="{cancel}"' not in reader.get(PATH).text
    assert reader.post(cancel).status_code == 409
    assert pay_out(shop) == 1
    assert states(shop, link.payout_id) == ["settled"]


def test_taken_back_while_an_invoice_is_asked_for_nothing_is_sent(
    shop: LightningWorld, jane: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)

    def meanwhile(handler: BaseHTTPRequestHandler) -> None:
        with shop.app.app_context(), write_transaction(db.session()):
            take_back(shop.deps, db.session(), "wa_1", payout_id)
        del jane.answers["/callback"]
        jane.answer(handler)

    jane.answers["/callback"] = meanwhile
    with recorded_payments(shop, monkeypatch) as orders:
        assert pay_out(shop) == 0
        shop.clock.pass_time(max(RETRY_AFTER_S))
        assert pay_out(shop) == 0
        assert orders == []
    assert (states(shop, payout_id), _own(shop)) == (["cancelled"], BALANCE_MSAT)


def test_nobody_elses_is_taken_back(shop: LightningWorld, jane: Provider) -> None:
    open_wallet(shop.session, "wa_2", balance_msat=BALANCE_MSAT)
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    with pytest.raises(UnknownPayout), write_transaction(shop.session):
        take_back(shop.deps, shop.session, "wa_2", payout_id)
    with pytest.raises(UnknownPayout), write_transaction(shop.session):
        take_back(shop.deps, shop.session, "wa_2", "po_never")
    pay_out(shop)
    with pytest.raises(PayoutNotWaiting), write_transaction(shop.session):
        take_back(shop.deps, shop.session, "wa_1", payout_id)


def test_a_destination_that_fails_is_no_trouble_of_the_operators(
    shop: LightningWorld, reader: Reader, jane: Provider
) -> None:
    payout_id = withdraw_to(shop, jane.address, AMOUNT_SAT)
    jane.answers["/.well-known/lnurlp/jane"] = saying({"status": "ERROR", "reason": "Away"})
    pay_out(shop)
    assert "Away" in payout_of(shop, payout_id).reason
    assert _trouble(shop) == ("ok", ["ok"])
    # Due again, and only the next pass of the job finds out how it is.
    shop.clock.pass_time(RETRY_AFTER_S[0])
    assert _trouble(shop) == ("ok", ["ok"])
    del jane.answers["/.well-known/lnurlp/jane"]
    shop.lightning.set_funds(1_000, None)
    pay_out(shop)
    assert _trouble(shop) == ("payouts_waiting", ["payouts_waiting"])
    page = reader.get(PATH).text
    assert "Waits to be sent" in page
    assert "The Lightning node can send" not in page, "that is for operators"
    shop.lightning.set_funds(BALANCE_MSAT, None)
    assert pay_out(shop) == 1
    assert _trouble(shop) == ("ok", ["ok"])


def _trouble(shop: LightningWorld) -> tuple[str, list[str]]:
    shop.session.rollback()
    code = payout_health(shop.deps, shop.session).code
    found = [finding.code for finding in check_payouts(shop.deps, shop.session)]
    shop.session.rollback()
    return code, found


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (None, "on its way to be paid already"),
        (Outcome.PENDING, "used for a payment before"),
        (Outcome.SETTLED, "used for a payment before"),
        (Outcome.FAILED, "used for a payment before"),
    ],
)
def test_an_invoice_takes_one_payment(
    shop: LightningWorld, reader: Reader, outcome: Outcome | None, words: str
) -> None:
    invoice = shop.lightning.foreign_invoice(1_000_000)
    quote = quote_withdrawal(shop.deps, shop.session, "wa_1", invoice, None)
    withdraw_to(shop, invoice)
    if outcome is not None:
        shop.lightning.plan_payment(outcome)
        pay_out(shop)
    left_msat = _own(shop)
    answer = reader.post(REVIEW, address=invoice.upper(), amount="")
    assert (answer.status_code, words in answer.text) == (422, True)
    # Whoever looked at the fee before is refused when they order.
    with pytest.raises(InvoiceUsed, match=words) as refusal:
        agree(shop, quote.fee_msat, 1_000, address=invoice, key="again")
    assert refusal.value.code == "invoice_used"
    assert _own(shop) == left_msat
    # The same click again is no second one.
    assert agree(shop, quote.fee_msat, 1_000, address=invoice, key="key-1")


def test_an_invoice_of_our_own_that_was_paid(shop: LightningWorld) -> None:
    purchase = shop.buy()
    invoice = str(lightning_request(purchase.invoice)["bolt11"])
    shop.pay_lightning(purchase)
    shop.session.rollback()
    with pytest.raises(InvoiceUsed, match="was paid before"):
        quote_withdrawal(shop.deps, shop.session, "wa_1", invoice, None)


class _Chain(FakeRail):
    """As much of the on-chain rail as reads an address."""

    def check_destination(self, destination: str) -> str:
        return normal_address(destination, NETWORKS["regtest"])


_NOTHING = "That is no Bitcoin address, no Lightning invoice and no Lightning address."
_LNURL = "That is an LNURL code. Enter an invoice, or an address such as name@host."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", _NOTHING),
        ("jane@", _NOTHING),
        ("LNURL1DP68GURN8GHJ7UM9", _LNURL),
        ("lightning:lnurl1dp68gurn8ghj7um9", _LNURL),
        ("lnurlp://wallet.example/pay", _LNURL),
        ("lnbcrt1junk", "The invoice is damaged: a character is missing or changed."),
        ("bitcoin:bcrt1qx", "Enter the address alone, without bitcoin: and what follows ?."),
    ],
)
@pytest.mark.parametrize("order", [("onchain", "lightning"), ("lightning", "onchain")])
def test_what_is_wrong_is_said_for_all_that_the_field_takes(
    shop: LightningWorld, text: str, words: str, order: tuple[str, str]
) -> None:
    rails: dict[str, Rail] = {
        "onchain": _Chain(allow=True),
        "lightning": shop.lightning_rail,
    }
    deps = replace(shop.deps, rails={name: rails[name] for name in order})
    with pytest.raises(AddressInvalid) as refusal:
        find_rail(deps, text)
    assert refusal.value.detail == words


def test_where_lightning_pays_nothing_only_bitcoin_addresses_are_spoken_of(
    tmp_path: Path, database_url: str
) -> None:
    with opened_lightning_world(tmp_path, database_url, with_node=False) as shop:
        rails: dict[str, Rail] = {
            "lightning": shop.lightning_rail,
            "onchain": _Chain(allow=True),
        }
        deps = replace(shop.deps, rails=rails)
        with pytest.raises(AddressInvalid, match=r"^That is no Bitcoin address\.$"):
            find_rail(deps, "nonsense")


def test_a_claim_wants_an_invoice_and_nothing_else(shop: LightningWorld) -> None:
    with pytest.raises(AddressInvalid, match=r"^Send a Lightning invoice\.$"):
        claim(shop.deps, shop.session, "any", "k1", "nonsense")
