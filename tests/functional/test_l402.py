"""L402: a machine is billed, pays, and reads; never twice, and crawlers cost the node nothing."""

import base64
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymacaroons2.serializers.binary_serializer import BinarySerializer
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from bitcache_server.domain.errors import LightningUnreachable
from bitcache_server.extensions import db
from bitcache_server.models.catalog import Item, Merchant
from bitcache_server.models.l402 import L402Bill
from bitcache_server.models.ledger import Grant
from bitcache_server.models.sales import Invoice
from bitcache_server.models.session import write_transaction
from bitcache_server.services import l402
from bitcache_server.services.l402 import FORGET_AFTER_S, RETRY_S, forget_l402_bills
from bitcache_server.services.refresh_rates import refresh_rates
from bitcache_server.services.watch_stream import watch_stream
from tests.functional.test_http_downloads import SIZE, SONG, add_file
from tests.support.api import PROBLEM, assert_refused, at_once, call, documented_codes
from tests.support.databases import Databases
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.readers import Reader, path_of
from tests.support.shops import assert_nothing_lost, held, sell_at
from tests.support.world import LOCKED, ORIGIN, PUBLIC_URL

CHALLENGE = re.compile(
    r'(?:L402 version="0", token|L402 macaroon|LSAT macaroon)="([A-Za-z0-9+/]+=*)", '
    r'invoice="(lnbcrt[a-z0-9]+)"'
)
START_WORLD = Callable[..., LightningWorld]


@pytest.fixture
def start_shop(databases: Databases, tmp_path: Path) -> Iterator[START_WORLD]:
    """Return what starts a server on SQLite with the given settings."""
    with ExitStack() as stack:
        url = stack.enter_context(databases.fresh("sqlite"))
        yield lambda **settings: stack.enter_context(
            opened_lightning_world(tmp_path, url, **settings)
        )


@dataclass(frozen=True)
class Bill:
    """A 402, as a client reads it."""

    token: str
    bolt11: str
    body: dict[str, Any]

    def paid(self, world: LightningWorld, scheme: str = "L402") -> str:
        """Pay at the node, without our server hearing of it; return the credential."""
        return f"{scheme} {self.token}:{world.lightning.pay(self.bolt11).preimage}"


def ask(
    world: LightningWorld,
    path: str,
    credential: str | None = None,
    *,
    method: str = "GET",
    address: str = "192.0.2.1",
    **headers: str,
) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if credential is not None:
        named["Authorization"] = credential
    environ = {"REMOTE_ADDR": address}
    return call(world, method, path, headers=named, environ_overrides=environ)


def bill_of(world: LightningWorld, answer: TestResponse, operation: str = "read_content") -> Bill:
    """Check a challenge and return it."""
    assert (answer.status_code, answer.mimetype) == (402, PROBLEM), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "payment_required" in documented_codes(operation, 402)
    challenges = answer.headers.getlist("WWW-Authenticate")
    found = [CHALLENGE.fullmatch(challenge) for challenge in challenges]
    assert len(found) == 3
    assert {match.groups() for match in found if match} == {match.groups() for match in found}  # type: ignore[union-attr]  # none is missing
    token, bolt11 = found[0].groups()  # type: ignore[union-attr]  # as above
    body = dict(answer.get_json())
    assert (body["code"], body["status"], body["bolt11"]) == ("payment_required", 402, bolt11)
    assert body["price"]["amount_msat"] > 0
    assert body["checkout_url"].startswith(f"{PUBLIC_URL}/pay/it_")
    assert body["expires_at"] >= world.clock()
    return Bill(token, bolt11, body)


def content(world: LightningWorld, item_id: str | None = None) -> str:
    return f"/v1/content/{item_id or world.article_id}"


def file_path(world: LightningWorld) -> str:
    return f"/v1/files/{world.file_id}"


def billed(world: LightningWorld, path: str, **options: str) -> Bill:
    return bill_of(world, ask(world, path, **options))


def invoices(world: LightningWorld) -> int:
    world.session.rollback()
    found = world.session.scalar(select(func.count()).select_from(Invoice)) or 0
    world.session.rollback()
    return found


def only_invoice(world: LightningWorld) -> Invoice:
    world.session.rollback()
    found = world.session.scalars(select(Invoice)).one()
    world.session.expunge(found)
    world.session.rollback()
    return found


def weaker(credential: str, *caveats: str) -> str:
    """Do what a holder does who passes the token on with less in it."""
    scheme, token, preimage = re.split("[ :]", credential)
    macaroon = BinarySerializer().deserialize_raw(base64.b64decode(token))
    for caveat in caveats:
        macaroon.add_first_party_caveat(caveat)
    raw = BinarySerializer().serialize_raw(macaroon)
    return f"{scheme} {base64.b64encode(raw).decode()}:{preimage}"


def later(world: LightningWorld, seconds: int) -> None:
    """Let time pass, and the jobs ask the node how it is."""
    world.clock.pass_time(seconds)
    world.session.rollback()
    world.record_health()


def test_an_article_is_billed_paid_for_and_read(lightning_world: LightningWorld) -> None:
    world = lightning_world
    bill = billed(world, content(world))
    assert bill.body["price"]["fiat"] == {"currency": "USD", "amount_minor": 5, "exponent": 2}
    credential = bill.paid(world)
    # Nobody has told us yet; the preimage has.
    assert only_invoice(world).state == "open"
    answer = ask(world, content(world), credential)
    assert (answer.status_code, answer.get_json()["html"]) == (200, LOCKED)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "WWW-Authenticate" not in answer.headers
    world.settle()
    assert only_invoice(world).state == "paid"
    assert held(world, "clearing:lightning") == -5_000_000
    assert ask(world, content(world), credential).status_code == 200
    assert_nothing_lost(world)
    assert invoices(world) == 1


def test_a_file_is_billed_paid_for_and_fetched(lightning_world: LightningWorld) -> None:
    world = lightning_world
    bill = bill_of(world, ask(world, file_path(world)), "read_file")
    credential = bill.paid(world)
    answer = ask(world, file_path(world), credential)
    assert (answer.status_code, answer.data) == (200, SONG)
    assert answer.headers["Content-Disposition"] == "attachment; filename=song.ogg"
    world.settle()
    assert_nothing_lost(world)


def test_both_spellings_of_the_credential(start_shop: START_WORLD) -> None:
    world = start_shop()
    bill = billed(world, content(world))
    token, preimage = bill.paid(world).removeprefix("L402 ").split(":")
    for credential in (
        f"L402 {token}:{preimage}",
        f"LSAT {token}:{preimage}",
        f"l402 {token}:{preimage.upper()}",
        f"lsat  {token}:{preimage}",
        # What the reference client sends as two header lines.
        f"LSAT {token}:{preimage},L402 {token}:{preimage}",
        f"L402 {token.translate(str.maketrans('+/', '-_')).rstrip('=')}:{preimage}",
        f'L402 token="{token}", preimage="{preimage}"',
        f'LSAT macaroon="{token}", preimage="{preimage}"',
        f"L402 macaroon={token} preimage={preimage}",
    ):
        assert ask(world, content(world), credential).status_code == 200, credential


def test_who_is_billed_and_who_is_told_to_bring_a_grant(start_shop: START_WORLD) -> None:
    """A page of a site and a browser pay elsewhere; an invoice for each would be wasted."""
    world = start_shop()
    for headers in (
        {"Origin": ORIGIN},
        {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"},
        {"Origin": ORIGIN, "Accept": "*/*"},
    ):
        for path in (content(world), file_path(world)):
            assert_refused(world, ask(world, path, **headers), 401, "grant_missing")
    broken = ask(world, content(world), "Bearer of nothing")
    assert_refused(world, broken, 403, "grant_invalid")
    assert invoices(world) == 0
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        billed(world, content(world), **headers)


def test_asking_again_brings_the_same_bill(lightning_world: LightningWorld) -> None:
    """However often a crawler comes, or a client that lost the answer."""
    world = lightning_world
    first = billed(world, content(world))
    assert {billed(world, content(world)).bolt11 for _ in range(5)} == {first.bolt11}
    assert billed(world, content(world)).token == first.token
    again = billed(world, content(world), address="2001:db8::1")
    assert again.bolt11 != first.bolt11
    assert billed(world, content(world), address="2001:db8::ffff").bolt11 == again.bolt11
    assert billed(world, file_path(world)).bolt11 != first.bolt11
    assert invoices(world) == 3


def test_callers_at_the_same_moment_get_one_bill(lightning_world: LightningWorld) -> None:
    world = lightning_world
    answers = at_once(4, lambda _: ask(world, content(world)))
    assert len({bill_of(world, answer).bolt11 for answer in answers}) == 1
    assert invoices(world) == 1


def test_the_bill_ends_with_its_invoice_and_with_its_price(start_shop: START_WORLD) -> None:
    world = start_shop()
    first = billed(world, content(world))
    later(world, world.deps.settings.invoice_lifetime_s)
    assert billed(world, content(world)).bolt11 == first.bolt11
    later(world, 1)
    second = billed(world, content(world))
    assert second.bolt11 != first.bolt11
    with write_transaction(world.session):
        world.session.get_one(Item, world.article_id).price_amount = 7
    third = billed(world, content(world))
    assert (third.bolt11 != second.bolt11, third.body["price"]["amount_msat"]) == (True, 7_000_000)
    # What was asked before stays good at its price.
    assert ask(world, content(world), second.paid(world)).status_code == 200


def test_a_retry_after_the_payment_is_never_a_second_bill(lightning_world: LightningWorld) -> None:
    """The payment arrived, but its preimage did not, or not yet: the wallet knows it was paid."""
    world = lightning_world
    bill = billed(world, content(world))
    credential = bill.paid(world)
    world.settle()
    assert billed(world, content(world)).bolt11 == bill.bolt11
    later(world, RETRY_S - 1)
    assert billed(world, content(world)).bolt11 == bill.bolt11
    # Later somebody else behind the same address must be able to pay for themselves.
    later(world, 1)
    assert billed(world, content(world)).bolt11 != bill.bolt11
    assert ask(world, content(world), credential).status_code == 200


def test_what_may_have_been_paid_is_never_answered_with_a_bill(start_shop: START_WORLD) -> None:
    """Also where a wallet lies about the preimage."""
    world = start_shop()
    bill = billed(world, content(world))
    credential = bill.paid(world)
    wrong = f"L402 {bill.token}:{os.urandom(32).hex()}"
    for bad in (
        wrong,
        f"L402 {bill.token}:ab",
        f"L402 {bill.token}:",
        weaker(credential, "ip=192.0.2.1"),
        weaker(credential, "bitcache_max_uses=0"),
    ):
        answer = ask(world, content(world), bad)
        assert_refused(world, answer, 403, "l402_invalid")
        assert "WWW-Authenticate" not in answer.headers
    assert invoices(world) == 1


def test_what_opens_nothing_is_billed(start_shop: START_WORLD) -> None:
    world = start_shop()
    other_id = sell_at(world, 1_000)
    bill, other = billed(world, content(world)), billed(world, content(world, other_id))
    credential, cheap = bill.paid(world), other.paid(world)
    world.settle()
    later(world, RETRY_S)
    [_, token, preimage] = re.split("[ :]", credential)
    forged = token[:-8] + ("A" if token[-8] != "A" else "B") + token[-7:]
    for bad in (
        cheap,
        f"L402 {forged}:{preimage}",
        "L402 nonsense",
        "LSAT",
        "L402 a:b:c",
        "L402 :",
    ):
        answer = ask(world, content(world), bad)
        if bad == "LSAT":
            # A scheme without anything is none.
            assert answer.status_code == 402
        assert bill_of(world, answer).bolt11 not in (bill.bolt11, other.bolt11), bad
    assert ask(world, content(world, other_id), credential).status_code == 402
    assert ask(world, content(world), credential).status_code == 200
    assert_nothing_lost(world)


def test_the_token_ends_when_the_access_does(start_shop: START_WORLD) -> None:
    world = start_shop(l402_lifetime_s=7_200)
    with write_transaction(world.session):
        world.session.get_one(Item, world.file_id).access_hours = 1
    lifetime_s = world.deps.settings.invoice_lifetime_s
    for path, lasts_s in ((content(world), 7_200), (file_path(world), 3_600)):
        began = world.clock()
        credential = billed(world, path).paid(world)
        world.settle()
        later(world, lifetime_s + lasts_s - 1)
        assert ask(world, path, credential).status_code == 200
        later(world, 1)
        over = ask(world, path, credential)
        assert over.status_code == 402
        assert over.get_json()["detail"] == "The time that was paid for is over."
        assert world.clock() == began + lifetime_s + lasts_s


def test_a_purchase_that_was_given_back_opens_nothing(lightning_world: LightningWorld) -> None:
    world = lightning_world
    bill = billed(world, content(world))
    credential = bill.paid(world)
    world.settle()
    sold = only_invoice(world)
    with write_transaction(world.session):
        # Earlier sales that the merchant can pay from.
        world.session.get_one(Merchant, world.merchant_id).refund_window_s = 86_400
    refund = {"item": world.article_id, "holder": sold.id}
    answer = call(world, "POST", "/v1/refunds", world.secret, json=refund)
    assert answer.status_code == 201, answer.text
    later(world, RETRY_S)
    refused = ask(world, content(world), credential)
    assert bill_of(world, refused).bolt11 != bill.bolt11
    assert refused.get_json()["detail"] == "The purchase was given back."
    assert_nothing_lost(world)


def test_a_payment_that_came_too_late_still_buys(lightning_world: LightningWorld) -> None:
    """It is credit by the books, and nobody but the token's holder could ever redeem it."""
    world = lightning_world
    bill = billed(world, content(world))
    world.expire(world.deps.settings.invoice_lifetime_s + 1)
    credential = bill.paid(world)
    world.settle()
    assert only_invoice(world).credit_msat == 5_000_000
    assert ask(world, content(world), credential).status_code == 200
    sold = only_invoice(world)
    assert (sold.credit_msat, sold.redeemed_msat) == (0, 5_000_000)
    assert ask(world, content(world), credential).status_code == 200
    world.session.rollback()
    assert world.session.scalar(select(func.count()).select_from(Grant)) == 1
    assert_nothing_lost(world)


def test_a_payment_that_is_booked_between_two_looks_opens(
    lightning_world: LightningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients come back as soon as they have the preimage, in the moment when it is booked."""
    world = lightning_world
    bill = billed(world, content(world))
    credential = bill.paid(world)
    look = l402._is_unsold_credit
    booked: list[int] = []

    def book() -> None:
        with world.app.app_context():
            booked.append(watch_stream(world.deps, db.session(), world.lightning_rail, 0))

    def after_booking(*arguments: Any) -> bool:
        if not booked:
            thread = threading.Thread(target=book)
            thread.start()
            thread.join()
        return look(*arguments)

    monkeypatch.setattr(l402, "_is_unsold_credit", after_booking)
    assert ask(world, content(world), credential).status_code == 200
    assert booked == [1]
    assert_nothing_lost(world)


def redeem(world: LightningWorld, credential: str, reader: Reader | None = None) -> str:
    """Enter a credential where receipt codes go; return where it leads, or what it says."""
    answer = (reader or Reader(world)).post("/wallet/claim", code=credential)
    return path_of(answer) if answer.status_code == 303 else answer.text


DONE = "/wallet?done=claimed"


def test_what_was_paid_on_top_is_the_credentials(lightning_world: LightningWorld) -> None:
    world, reader = lightning_world, Reader(lightning_world)
    bill = billed(world, content(world))
    paid = world.lightning.pay(bill.bolt11, 7_000_000)
    credential = f"L402 {bill.token}:{paid.preimage}"
    world.settle()
    assert ask(world, content(world), credential).status_code == 200
    assert redeem(world, credential, reader) == DONE
    assert reader.own_msat == 2_000_000
    # It bought the article all the same, and there is no more to take.
    assert ask(world, content(world), credential).status_code == 200
    assert "was moved to a balance before" in redeem(world, credential, Reader(world))
    assert_nothing_lost(world)


@pytest.mark.parametrize("paid_msat", [5_000_000, 6_500_000, 4_000_000])
def test_late_money_buys_or_becomes_a_balance_and_never_both(
    lightning_world: LightningWorld, paid_msat: int
) -> None:
    world, reader = lightning_world, Reader(lightning_world)
    bill = billed(world, content(world))
    world.expire(world.deps.settings.invoice_lifetime_s + 1)
    paid = world.lightning.pay(bill.bolt11, paid_msat)
    credential = f"{bill.token}:{paid.preimage}"
    world.settle()
    world.record_health()
    assert redeem(world, f" {credential[:70]}\r\n{credential[70:]} ", reader) == DONE
    assert reader.own_msat == paid_msat
    answer = ask(world, content(world), f"L402 {credential}")
    assert bill_of(world, answer).bolt11 != bill.bolt11
    assert "moved to a balance" in answer.get_json()["detail"]
    assert_nothing_lost(world)


def test_the_time_of_the_token_is_not_that_of_its_money(lightning_world: LightningWorld) -> None:
    """Who paid when all was over has bought nothing, and lost nothing."""
    world, reader = lightning_world, Reader(lightning_world)
    bill = billed(world, content(world))
    world.expire(world.deps.settings.l402_lifetime_s + 90_000)
    credential = bill.paid(world)
    world.settle()
    later(world, 1)
    refresh_rates(world.deps, world.session)
    bill_of(world, ask(world, content(world), credential))
    assert redeem(world, credential, reader) == DONE
    assert reader.own_msat == 5_000_000
    assert_nothing_lost(world)


def test_what_was_given_back_becomes_a_balance(lightning_world: LightningWorld) -> None:
    world, reader = lightning_world, Reader(lightning_world)
    credential = billed(world, content(world)).paid(world)
    world.settle()
    with write_transaction(world.session):
        world.session.get_one(Merchant, world.merchant_id).refund_window_s = 86_400
    refund = {"item": world.article_id, "holder": only_invoice(world).id}
    assert call(world, "POST", "/v1/refunds", world.secret, json=refund).status_code == 201
    assert redeem(world, credential, reader) == DONE
    assert reader.own_msat == 5_000_000
    assert_nothing_lost(world)


def test_who_takes_the_money_at_once_gets_it_once(lightning_world: LightningWorld) -> None:
    """The token sells the article and the page moves the money: one of them has it."""
    world, reader = lightning_world, Reader(lightning_world)
    bill = billed(world, content(world))
    world.expire(world.deps.settings.invoice_lifetime_s + 1)
    credential, paid_id = bill.paid(world), only_invoice(world).id
    world.settle()
    world.record_health()

    def use(number: int) -> int:
        if number % 2:
            return ask(world, content(world), credential).status_code
        cookie = {"Cookie": f"__Host-bitcache_wallet={reader.cookie}", "Origin": PUBLIC_URL}
        form = {"code": credential}
        return call(world, "POST", "/wallet/claim", data=form, headers=cookie).status_code

    used = at_once(4, use)
    # Who comes too late to read is shown another bill.
    world.session.rollback()
    redeemed_msat = world.session.get_one(Invoice, paid_id, populate_existing=True).redeemed_msat
    assert (reader.own_msat, redeemed_msat) in ((5_000_000, 0), (0, 5_000_000))
    assert (200 in used) is not (303 in used)
    assert_nothing_lost(world)


def test_a_token_that_was_passed_on_moves_no_money(lightning_world: LightningWorld) -> None:
    world, reader = lightning_world, Reader(lightning_world)
    bill = billed(world, content(world))
    paid = world.lightning.pay(bill.bolt11, 7_000_000)
    credential = f"L402 {bill.token}:{paid.preimage}"
    world.settle()
    for caveat in ("bitcache_max_uses=1", f"bitcache_valid_until={world.clock() + 60}"):
        assert "added to this token" in redeem(world, weaker(credential, caveat), reader)
    for wrong in (
        f"{bill.token}:{'00' * 32}",
        f"{bill.token[:-6]}AAAA==:{paid.preimage}",
        f"{'A' * 600}:{paid.preimage}",
    ):
        assert redeem(world, wrong, reader).count('role="alert"') == 1
    assert reader.own_msat == 0
    assert only_invoice(world).credit_msat == 2_000_000
    assert redeem(world, credential, reader) == DONE
    assert_nothing_lost(world)


def test_uses_that_were_sold_are_no_weaker_token(start_shop: START_WORLD) -> None:
    world = start_shop(l402_max_uses=3)
    reader = Reader(world)
    bill = billed(world, content(world))
    paid = world.lightning.pay(bill.bolt11, 7_000_000)
    world.settle()
    assert redeem(world, f"{bill.token}:{paid.preimage}", reader) == DONE
    assert reader.own_msat == 2_000_000
    assert_nothing_lost(world)


def test_uses_are_counted_where_the_token_says_so(lightning_world: LightningWorld) -> None:
    world = lightning_world
    hour = world.deps.settings.download_link_lifetime_s
    credential = weaker(billed(world, content(world)).paid(world), "bitcache_max_uses=2")
    for _ in range(2):
        # A client that lost the answer may ask again: that is the same use.
        assert [ask(world, content(world), credential).status_code for _ in range(3)] == [200] * 3
        later(world, hour)
    spent = ask(world, content(world), credential)
    assert spent.status_code == 402
    assert "2 times" in spent.get_json()["detail"]
    assert LOCKED not in spent.text


def test_ranges_and_conditions_of_one_download_are_one_use(start_shop: START_WORLD) -> None:
    world = start_shop(l402_max_uses=1)
    path = file_path(world)
    credential = bill_of(world, ask(world, path), "read_file").paid(world)
    head = ask(world, path, credential, method="HEAD")
    assert (head.status_code, head.content_length) == (200, SIZE)
    etag = head.headers["ETag"]
    odd = ask(world, path, credential, Range=f"bytes={SIZE}-")
    assert_refused(world, odd, 416, "range_not_satisfiable")
    # Nothing was delivered so far.
    later(world, 10 * world.deps.settings.download_link_lifetime_s)
    parts = [
        ask(world, path, credential, Range=f"bytes={start}-{start + 24_999}")
        for start in range(0, SIZE, 25_000)
    ]
    assert {part.status_code for part in parts} == {206}
    assert b"".join(part.data for part in parts) == SONG
    rest = ask(world, path, credential, Range="bytes=5-", If_Range=etag)
    assert (rest.status_code, rest.data) == (206, SONG[5:])
    later(world, world.deps.settings.download_link_lifetime_s)
    # What the client has already costs no use; what it has not does.
    assert ask(world, path, credential, If_None_Match=etag).status_code == 304
    for headers in ({}, {"Range": "bytes=1-"}):
        assert ask(world, path, credential, **headers).status_code == 402


def test_the_last_use_is_one_persons(lightning_world: LightningWorld) -> None:
    world = lightning_world
    credential = weaker(billed(world, content(world)).paid(world), "bitcache_max_uses=1")
    answers = at_once(4, lambda _: ask(world, content(world), credential).status_code)
    # All four lie within one use.
    assert answers == [200] * 4
    later(world, world.deps.settings.download_link_lifetime_s)
    answers = at_once(4, lambda _: ask(world, content(world), credential).status_code)
    assert answers == [402] * 4


def test_a_head_makes_no_bill(start_shop: START_WORLD) -> None:
    world = start_shop()
    for path in (content(world), file_path(world)):
        answer = ask(world, path, method="HEAD")
        assert (answer.status_code, answer.data) == (402, b"")
        assert "WWW-Authenticate" not in answer.headers
    assert invoices(world) == 0
    bill = billed(world, content(world))
    # One that is there costs nothing to show.
    shown = ask(world, content(world), method="HEAD").headers.getlist("WWW-Authenticate")
    assert f'token="{bill.token}"' in shown[0]
    credential = bill.paid(world)
    assert ask(world, content(world), credential, method="HEAD").status_code == 200
    assert invoices(world) == 1


def test_new_bills_are_limited_by_address_and_old_ones_are_not(start_shop: START_WORLD) -> None:
    world = start_shop(limit_invoices_per_address="2/hour")
    items = [sell_at(world, 1_000 + n) for n in range(3)]
    for item_id in items[:2]:
        billed(world, content(world, item_id))
    answer = ask(world, content(world, items[2]))
    assert_refused(world, answer, 429, "rate_limited")
    assert "WWW-Authenticate" not in answer.headers
    for item_id in items[:2]:
        billed(world, content(world, item_id))
    credential = billed(world, content(world, items[0])).paid(world)
    assert ask(world, content(world, items[0]), credential).status_code == 200
    billed(world, content(world, items[2]), address="192.0.2.9")
    assert invoices(world) == 3


def test_without_the_node_nobody_is_billed(lightning_world: LightningWorld) -> None:
    world = lightning_world
    credential = billed(world, file_path(world)).paid(world)
    world.lightning.fail_with(LightningUnreachable("The node does not answer."))
    for _ in range(3):
        answer = ask(world, content(world))
        assert_refused(world, answer, 503, "lightning_unreachable")
        assert "WWW-Authenticate" not in answer.headers
    # What is paid opens without any node, and one invoice waits for it to come back.
    assert ask(world, file_path(world), credential).status_code == 200
    assert invoices(world) == 2
    world.lightning.fail_with(None)
    assert ask(world, content(world), billed(world, content(world)).paid(world)).status_code == 200
    assert invoices(world) == 2
    world.settle()
    assert_nothing_lost(world)


def test_no_inbound_room_is_said_before_anybody_pays(start_shop: START_WORLD) -> None:
    world = start_shop()
    world.lightning.set_funds(0, 1_000)
    world.record_health()
    assert_refused(world, ask(world, content(world)), 503, "no_inbound_room")
    assert invoices(world) == 0


def test_a_node_that_was_away_for_long_is_not_asked(start_shop: START_WORLD) -> None:
    world = start_shop()
    world.clock.pass_time(world.deps.settings.rail_stale_after_s + 1)
    assert_refused(world, ask(world, content(world)), 503, "rail_unavailable")


def test_nobody_pays_for_what_cannot_be_delivered(start_shop: START_WORLD) -> None:
    world = start_shop()
    for wrong, status, code in (
        (f"/v1/files/{world.article_id}", 409, "wrong_kind"),
        (f"/v1/content/{world.file_id}", 409, "wrong_kind"),
        ("/v1/content/it_unknown", 404, "unknown_item"),
        ("/v1/files/it_unknown", 404, "unknown_item"),
    ):
        assert_refused(world, ask(world, wrong), status, code)
    (world.deps.settings.files_dir / "song.ogg").unlink()
    assert_refused(world, ask(world, file_path(world)), 404, "file_missing")
    assert invoices(world) == 0


def test_a_merchant_whom_nobody_can_pay_over_lightning(start_shop: START_WORLD) -> None:
    world = start_shop(direct=True)
    assert_refused(world, ask(world, content(world)), 401, "grant_missing")
    answer = ask(world, content(world), "L402 nonsense:00")
    assert_refused(world, answer, 403, "l402_invalid")


def test_the_page_of_an_item_answers_machines_too(lightning_world: LightningWorld) -> None:
    world = lightning_world
    for item_id, expected in ((world.article_id, LOCKED.encode()), (world.file_id, SONG)):
        page = f"/pay/{item_id}"
        for accept in ({}, {"Accept": "*/*"}, {"Accept": "text/html"}, {"Accept": "text/*"}):
            person = ask(world, page, **accept)
            assert (person.status_code, person.mimetype) == (200, "text/html")
            assert "WWW-Authenticate" not in person.headers
        answer = ask(world, page, Accept="application/json")
        bill = bill_of(world, answer)
        assert ask(world, page, method="HEAD", Accept="application/json").status_code == 402
        read = ask(world, page, bill.paid(world), Accept="*/*")
        assert read.status_code == 200
        assert read.data == expected or read.get_json()["html"].encode() == expected
    unknown = ask(world, "/pay/it_unknown", Accept="application/json")
    assert (unknown.status_code, unknown.mimetype) == (404, PROBLEM)


def test_redirects_carry_no_challenge(start_shop: START_WORLD) -> None:
    """Neither does what a redirect leads to ask a client to pay that sent no request for it."""
    world = start_shop()
    for path in (f"{content(world)}/", f"{file_path(world)}/", f"/pay/{world.article_id}/"):
        answer = ask(world, path)
        assert answer.status_code == 404
        assert "WWW-Authenticate" not in answer.headers
    form = call(world, "POST", f"/pay/{world.article_id}", headers={"Origin": PUBLIC_URL})
    assert form.status_code == 303
    assert "WWW-Authenticate" not in form.headers
    credential = billed(world, file_path(world)).paid(world)
    # The file comes from its own address: a client that follows would drop the credential.
    assert ask(world, file_path(world), credential).status_code == 200


def test_who_was_shown_what_is_forgotten(lightning_world: LightningWorld) -> None:
    world = lightning_world
    bill = billed(world, content(world))
    later(world, FORGET_AFTER_S)
    world.session.rollback()
    assert forget_l402_bills(world.deps, world.session) == 0
    later(world, 1)
    assert forget_l402_bills(world.deps, world.session) == 1
    world.session.rollback()
    assert world.session.scalars(select(L402Bill)).all() == []
    world.session.rollback()
    assert ask(world, content(world), bill.paid(world)).status_code == 200


def test_what_is_stored_does_not_tell_who_asked(start_shop: START_WORLD) -> None:
    world = start_shop()
    billed(world, content(world))
    [row] = world.session.scalars(select(L402Bill)).all()
    assert re.fullmatch("[0-9a-f]{64}", row.caller)
    world.session.rollback()


def test_many_files_each_with_a_token_of_its_own(start_shop: START_WORLD) -> None:
    world = start_shop()
    ids = [add_file(world, f"{n}.txt", f"text {n}".encode()) for n in range(3)]
    paid = {item: billed(world, f"/v1/files/{item}").paid(world) for item in ids}
    for n, item in enumerate(ids):
        for other in ids:
            answer = ask(world, f"/v1/files/{other}", paid[item])
            assert answer.status_code == (200 if other == item else 402)
            assert (answer.data == f"text {n}".encode()) == (other == item)
