"""Money behind a link: scanned by its maker or given away, claimed once, or back in time."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import lnurl
import pytest
from lnurl import LnurlErrorResponse, LnurlSuccessResponse, LnurlWithdrawResponse

from bitcache_server.domain.errors import (
    IdempotencyConflict,
    InsufficientBalance,
    InvalidRequest,
    LinkClaimed,
    PayoutFeeChanged,
    PayoutLimit,
    PayoutNotWaiting,
    PayoutsUnavailable,
    UnknownLink,
    UnknownPayout,
    WalletNotEmpty,
)
from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.ledger.journal import Kind
from bitcache_server.models.payouts import WithdrawLink
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.services.close_wallet import close_wallet
from bitcache_server.services.payout_approvals import (
    add_operator,
    approve_payout,
    cancel_payout,
    reject_payout,
)
from bitcache_server.services.withdraw_claims import claim, claim_terms, look_at_link
from bitcache_server.services.withdraw_links import (
    GIFT_LIFETIME_S,
    SCAN_LIFETIME_S,
    NewLink,
    cancel_link,
    create_gifts,
    create_link,
    expire_links,
    open_links,
    quote_link,
)
from tests.support.books import open_wallet
from tests.support.lightning_payouts import pay_out
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.payouts import assert_payouts_sound, payout_of, states, together
from tests.support.shops import held, transfers
from tests.support.world import PUBLIC_URL

BALANCE_MSAT = 100_000_000
AMOUNT_SAT = 20_000
AMOUNT_MSAT = 20_000_000
RESERVE_MSAT = 200_000


@pytest.fixture
def shop(lightning_world: LightningWorld) -> Iterator[LightningWorld]:
    open_wallet(lightning_world.session, balance_msat=BALANCE_MSAT, gift_msat=50_000_000)
    yield lightning_world
    assert_payouts_sound(lightning_world)


@dataclass
class Phone:
    """A wallet that knows LNURL by the PyPI library ``lnurl``, and has a node of its own."""

    shop: LightningWorld
    seen: list[dict[str, Any]] = field(default_factory=list)

    def scan(self, code: str) -> LnurlWithdrawResponse | LnurlErrorResponse:
        """Follow a code as a camera reads it."""
        found = lnurl.LnurlResponse.from_dict(self._get(str(lnurl.decode(code))))
        assert isinstance(found, LnurlWithdrawResponse | LnurlErrorResponse)
        return found

    def take(
        self, offer: LnurlWithdrawResponse, amount_msat: int | None = None, invoice: str = ""
    ) -> LnurlSuccessResponse | LnurlErrorResponse:
        """Claim with an invoice over the amount that was offered, or another one."""
        amount_msat = amount_msat or int(offer.maxWithdrawable)
        pr = invoice or self.shop.lightning.foreign_invoice(amount_msat)
        query = urlencode({"k1": str(offer.k1), "pr": pr})
        found = lnurl.LnurlResponse.from_dict(self._get(f"{offer.callback}?{query}"))
        assert isinstance(found, LnurlSuccessResponse | LnurlErrorResponse)
        return found

    def _get(self, url: str) -> dict[str, Any]:
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == PUBLIC_URL
        answer = self.shop.client.get(f"{parts.path}?{parts.query}")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Cache-Control"] == "no-store"
        self.seen.append(dict(answer.get_json()))
        return self.seen[-1]


def _code(link: NewLink) -> str:
    return str(lnurl.encode(f"{PUBLIC_URL}/lnurl/w/{link.secret}").bech32)


def _make(
    shop: LightningWorld,
    amount_sat: int = AMOUNT_SAT,
    *,
    lifetime_s: int = GIFT_LIFETIME_S,
    key: str = "key-1",
    fee_msat: int | None = None,
) -> NewLink:
    if fee_msat is None:
        fee_msat = quote_link(shop.deps, shop.session, "wa_1", amount_sat).fee_msat
    made = create_link(
        shop.deps,
        shop.session,
        "wa_1",
        amount_sat=amount_sat,
        fee_msat=fee_msat,
        lifetime_s=lifetime_s,
        idempotency_key=key,
    )
    shop.session.rollback()
    return made


def _own(shop: LightningWorld) -> int:
    return held(shop, chart.wallet("wa_1"))


def _offer(phone: Phone, link: NewLink) -> LnurlWithdrawResponse:
    offer = phone.scan(_code(link))
    assert isinstance(offer, LnurlWithdrawResponse), phone.seen[-1]
    return offer


def _error(shop: LightningWorld, phone: Phone, link: NewLink) -> str:
    shop.session.rollback()
    assert isinstance(phone.scan(_code(link)), LnurlErrorResponse)
    return str(phone.seen[-1]["code"])


def test_from_the_balance_to_a_wallet_that_scans(shop: LightningWorld) -> None:
    phone, link = Phone(shop), _make(shop)
    assert _own(shop) == BALANCE_MSAT - AMOUNT_MSAT - RESERVE_MSAT
    assert held(shop, chart.payout(link.payout_id)) == AMOUNT_MSAT + RESERVE_MSAT
    assert states(shop, link.payout_id) == ["offered"]
    assert pay_out(shop) == 0
    offer = _offer(phone, link)
    assert (offer.minWithdrawable, offer.maxWithdrawable) == (AMOUNT_MSAT, AMOUNT_MSAT)
    assert isinstance(phone.take(offer), LnurlSuccessResponse)
    assert states(shop, link.payout_id) == ["waiting"]
    shop.lightning.plan_payment(Outcome.SETTLED, fee_msat=1_000)
    assert pay_out(shop) == 1
    assert states(shop, link.payout_id) == ["settled"]
    assert _own(shop) == BALANCE_MSAT - AMOUNT_MSAT - 1_000
    assert _error(shop, phone, link) == "link_claimed"


def test_only_the_hash_of_the_secret_is_stored(shop: LightningWorld) -> None:
    link = _make(shop)
    shop.session.rollback()
    row = shop.session.get_one(WithdrawLink, link.payout_id)
    stored = {str(value) for value in vars(row).values()}
    stored |= {str(value) for value in vars(payout_of(shop, link.payout_id)).values()}
    assert not any(link.secret in value for value in stored)
    assert len(link.secret) == 43
    [again] = open_links(shop.deps, shop.session, "wa_1").values()
    assert again == link
    assert open_links(shop.deps, shop.session, "wa_2") == {}
    shop.session.rollback()


def test_who_asks_first_has_it(shop: LightningWorld) -> None:
    link = _make(shop)
    phones = [Phone(shop), Phone(shop)]
    offers = [_offer(phone, link) for phone in phones]
    assert isinstance(phones[0].take(offers[0]), LnurlSuccessResponse)
    assert isinstance(phones[1].take(offers[1]), LnurlErrorResponse)
    assert phones[1].seen[-1]["code"] == "link_claimed"
    pay_out(shop)
    assert states(shop, link.payout_id) == ["settled"]
    assert isinstance(phones[1].take(offers[1]), LnurlErrorResponse)
    assert pay_out(shop) == 0
    assert len(transfers(shop, Kind.PAYOUT)) == 1


def test_many_claims_at_once_are_one(shop: LightningWorld) -> None:
    link = _make(shop)
    terms = claim_terms(shop.deps, shop.session, link.secret)
    invoices = [shop.lightning.foreign_invoice(AMOUNT_MSAT) for _ in range(4)]

    def one(number: int) -> str:
        try:
            claim(shop.deps, shop.session, link.secret, terms.k1, invoices[number])
        except LinkClaimed:
            return "late"
        return "taken"

    assert sorted(together(shop, 4, one)) == ["late", "late", "late", "taken"]
    assert pay_out(shop) == 1
    assert states(shop, link.payout_id) == ["settled"]


def test_the_same_claim_again_is_no_second_one(shop: LightningWorld) -> None:
    """A wallet whose answer was lost asks again."""
    phone, link = Phone(shop), _make(shop)
    offer = _offer(phone, link)
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT)
    for _ in range(2):
        assert isinstance(phone.take(offer, invoice=invoice), LnurlSuccessResponse)
    pay_out(shop)
    assert isinstance(phone.take(offer, invoice=invoice), LnurlSuccessResponse)
    assert pay_out(shop) == 0


@pytest.mark.parametrize("amount_msat", [AMOUNT_MSAT - 1, AMOUNT_MSAT + 1, 1_000])
def test_another_amount_is_refused(shop: LightningWorld, amount_msat: int) -> None:
    phone, link = Phone(shop), _make(shop)
    assert isinstance(phone.take(_offer(phone, link), amount_msat), LnurlErrorResponse)
    assert phone.seen[-1]["reason"] == "The invoice must be over 20,000 sats."
    assert states(shop, link.payout_id) == ["offered"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "Give the k1"),
        ({"k1": "K1"}, "Give the k1"),
        ({"k1": "K1", "pr": "lnbcrt1junk"}, "damaged"),
        ({"k1": "K1", "pr": "jane@shop.example"}, "Send a Lightning invoice"),
        ({"k1": "K1", "pr": "NONE"}, "must be over"),
        ({"k1": "00" * 32, "pr": "OK"}, "scan it again"),
        ({"k1": "ünïcode", "pr": "OK"}, "scan it again"),
    ],
)
def test_what_is_wrong_with_a_claim_is_said(
    shop: LightningWorld, query: dict[str, str], words: str
) -> None:
    link = _make(shop)
    known = {
        "K1": claim_terms(shop.deps, shop.session, link.secret).k1,
        "NONE": shop.lightning.foreign_invoice(None),
        "OK": shop.lightning.foreign_invoice(AMOUNT_MSAT),
    }
    told = urlencode({name: known.get(value, value) for name, value in query.items()})
    answer = shop.client.get(f"/lnurl/w/{link.secret}/callback?{told}")
    document = json.loads(answer.text)
    assert (document["status"], words in document["reason"]) == ("ERROR", True), document
    assert states(shop, link.payout_id) == ["offered"]


def test_after_a_payment_that_failed_it_can_be_claimed_again(shop: LightningWorld) -> None:
    phone, link = Phone(shop), _make(shop)
    first = _offer(phone, link)
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT)
    phone.take(first, invoice=invoice)
    shop.lightning.plan_payment(Outcome.FAILED, detail="No route.")
    pay_out(shop)
    assert states(shop, link.payout_id) == ["offered"]
    assert look_at_link(shop.deps, shop.session, link.secret).words == "The payment failed."
    maker = look_at_link(shop.deps, shop.session, link.secret, "wa_1")
    assert maker.words.endswith("No route.")
    assert isinstance(phone.take(first), LnurlErrorResponse), "its k1 was for the first claim"
    second = _offer(phone, link)
    assert str(second.k1) != str(first.k1)
    # The same invoice again might be paid twice by a node that is slow.
    assert isinstance(phone.take(second, invoice=invoice), LnurlSuccessResponse)
    assert pay_out(shop) == 0
    assert "takes a new one" in payout_of(shop, link.payout_id).reason
    assert isinstance(phone.take(_offer(phone, link)), LnurlSuccessResponse)
    assert pay_out(shop) == 1
    settled = payout_of(shop, link.payout_id)
    assert (settled.state, settled.reason) == ("settled", "")


def test_while_the_payment_hangs_nobody_else_gets_it(shop: LightningWorld) -> None:
    phone, link = Phone(shop), _make(shop, lifetime_s=SCAN_LIFETIME_S)
    offer = _offer(phone, link)
    invoice = shop.lightning.foreign_invoice(AMOUNT_MSAT)
    phone.take(offer, invoice=invoice)
    shop.lightning.plan_payment(Outcome.PENDING)
    pay_out(shop)
    shop.clock.pass_time(SCAN_LIFETIME_S)
    assert expire_links(shop.deps, shop.session) == 0
    assert _error(shop, phone, link) == "link_claimed"
    with pytest.raises(PayoutNotWaiting), write_transaction(shop.session):
        cancel_link(shop.deps, shop.session, "wa_1", link.payout_id)
    shop.lightning.finish(decode(invoice, "regtest").payment_hash, Outcome.FAILED)
    pay_out(shop)
    assert _error(shop, phone, link) == "unknown_link"
    assert expire_links(shop.deps, shop.session) == 1
    assert _own(shop) == BALANCE_MSAT


def test_what_nobody_claims_in_time_comes_back(shop: LightningWorld) -> None:
    phone, link = Phone(shop), _make(shop, lifetime_s=SCAN_LIFETIME_S)
    offer = _offer(phone, link)
    shop.clock.pass_time(SCAN_LIFETIME_S - 1)
    assert expire_links(shop.deps, shop.session) == 0
    shop.clock.pass_time(1)
    assert isinstance(phone.take(offer), LnurlErrorResponse), "also before the job has run"
    assert expire_links(shop.deps, shop.session) == 1
    assert expire_links(shop.deps, shop.session) == 0
    assert (states(shop, link.payout_id), _own(shop)) == (["cancelled"], BALANCE_MSAT)
    assert _error(shop, phone, link) == "unknown_link"
    assert phone.seen[-1]["reason"] == "The link was not used in time."


def test_its_maker_takes_it_back_and_nobody_else(shop: LightningWorld) -> None:
    open_wallet(shop.session, "wa_2", balance_msat=BALANCE_MSAT)
    link = _make(shop)
    with pytest.raises(UnknownPayout), write_transaction(shop.session):
        cancel_link(shop.deps, shop.session, "wa_2", link.payout_id)
    with pytest.raises(WalletNotEmpty), write_transaction(shop.session):
        close_wallet(shop.deps, shop.session, "wa_1", give_up_rest=True)
    with write_transaction(shop.session):
        cancel_link(shop.deps, shop.session, "wa_1", link.payout_id)
    assert _own(shop) == BALANCE_MSAT
    assert _error(shop, Phone(shop), link) == "unknown_link"


def test_the_same_key_is_the_same_link(shop: LightningWorld) -> None:
    link = _make(shop)
    assert _make(shop, fee_msat=RESERVE_MSAT) == link
    assert _own(shop) == BALANCE_MSAT - AMOUNT_MSAT - RESERVE_MSAT
    with pytest.raises(IdempotencyConflict):
        _make(shop, 1_000)
    assert _make(shop, key="key-2").secret != link.secret


def test_what_cannot_be_put_aside_is_refused(shop: LightningWorld) -> None:
    with pytest.raises(InsufficientBalance):
        quote_link(shop.deps, shop.session, "wa_1", 100_000)
    with pytest.raises(PayoutLimit):
        quote_link(shop.deps, shop.session, "wa_1", 0)
    with pytest.raises(PayoutFeeChanged):
        _make(shop, fee_msat=RESERVE_MSAT - 1)
    with pytest.raises(InsufficientBalance):
        _make(shop, 99_500, fee_msat=995_000)
    everything = quote_link(shop.deps, shop.session, "wa_1", None)
    assert (everything.amount_sat, everything.fee_msat) == (99_009, 990_090)
    shop.session.rollback()
    with pytest.raises(UnknownLink):
        look_at_link(shop.deps, shop.session, "no such secret")
    shop.session.rollback()
    assert _own(shop) == BALANCE_MSAT


def test_a_link_counts_for_the_days_limit(tmp_path: Path, database_url: str) -> None:
    with opened_lightning_world(
        tmp_path, database_url, withdrawal_max_sat_per_day=AMOUNT_SAT
    ) as shop:
        open_wallet(shop.session, balance_msat=BALANCE_MSAT)
        _make(shop)
        with pytest.raises(PayoutLimit):
            quote_link(shop.deps, shop.session, "wa_1", 1)
        shop.session.rollback()


def test_a_large_one_is_released_by_two_people(tmp_path: Path, database_url: str) -> None:
    with opened_lightning_world(
        tmp_path, database_url, payout_approval_above_sat=AMOUNT_SAT - 1
    ) as shop:
        open_wallet(shop.session, balance_msat=BALANCE_MSAT)
        phone, link = Phone(shop), _make(shop)
        assert _error(shop, phone, link) == "unknown_link"
        assert "not released" in phone.seen[-1]["reason"]
        for name in ("ada", "bob"):
            with write_transaction(shop.session):
                secret = add_operator(shop.deps, shop.session, name).secret
                approve_payout(shop.deps, shop.session, link.payout_id, name, secret)
        assert states(shop, link.payout_id) == ["offered"]
        phone.take(_offer(phone, link))
        assert pay_out(shop) == 1
        assert_payouts_sound(shop)


@pytest.mark.parametrize("is_rejected", [True, False])
def test_what_operators_said_is_for_the_maker_alone(
    tmp_path: Path, database_url: str, is_rejected: bool
) -> None:
    with opened_lightning_world(
        tmp_path, database_url, payout_approval_above_sat=AMOUNT_SAT - 1
    ) as shop:
        open_wallet(shop.session, balance_msat=BALANCE_MSAT)
        phone, link, why = Phone(shop), _make(shop), "It smells of Mallory."
        with write_transaction(shop.session):
            secret = add_operator(shop.deps, shop.session, "ada").secret
            if is_rejected:
                reject_payout(shop.deps, shop.session, link.payout_id, "ada", secret, why)
            else:
                cancel_payout(shop.deps, shop.session, link.payout_id, why)
        assert _error(shop, phone, link) == "unknown_link"
        assert phone.seen[-1]["reason"] == "The link was taken back."
        page = shop.client.get(f"/gift/{link.secret}").text
        assert "The link was taken back." in page
        picture = shop.client.get(f"/gift/{link.secret}/qr.svg").text
        said = page + picture + json.dumps(phone.seen)
        assert [word for word in ("ada", "Mallory") if word in said] == []
        maker = look_at_link(shop.deps, shop.session, link.secret, "wa_1")
        assert why in maker.words
        assert_payouts_sound(shop)


def test_without_a_node_there_are_no_links(tmp_path: Path, database_url: str) -> None:
    with opened_lightning_world(tmp_path, database_url, with_node=False) as shop:
        open_wallet(shop.session, balance_msat=BALANCE_MSAT)
        with pytest.raises(PayoutsUnavailable):
            quote_link(shop.deps, shop.session, "wa_1", 1_000)


def test_gifts_of_the_operator_are_paid_by_the_promotion_account(shop: LightningWorld) -> None:
    phone = Phone(shop)
    taken, cancelled, forgotten = create_gifts(shop.deps, shop.session, 1_000, 3, 3_600)
    assert held(shop, chart.PROMOTION) == -50_000_000 - 3 * 1_010_000
    assert len({taken.secret, cancelled.secret, forgotten.secret}) == 3
    phone.take(_offer(phone, taken))
    shop.lightning.plan_payment(Outcome.SETTLED, fee_msat=3_000)
    pay_out(shop)
    with write_transaction(shop.session):
        cancel_payout(shop.deps, shop.session, cancelled.payout_id)
    shop.clock.pass_time(3_600)
    assert expire_links(shop.deps, shop.session) == 1
    found = states(shop, taken.payout_id, cancelled.payout_id, forgotten.payout_id)
    assert found == ["settled", "cancelled", "cancelled"]
    assert held(shop, chart.PROMOTION) == -50_000_000 - 1_003_000
    assert held(shop, chart.clearing("lightning")) == 1_003_000


@pytest.mark.parametrize(("count", "lifetime_s"), [(0, 60), (1_001, 60), (1, 0), (1, 10**9)])
def test_gifts_have_bounds(shop: LightningWorld, count: int, lifetime_s: int) -> None:
    with pytest.raises(InvalidRequest):
        create_gifts(shop.deps, shop.session, 1_000, count, lifetime_s)
