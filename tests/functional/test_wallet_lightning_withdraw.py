"""The wallet's withdrawal page over Lightning: invoices, addresses, codes to scan, gifts."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from bitcache_server.domain.outcome import Outcome
from bitcache_server.http.wallet.look import utc_words
from bitcache_server.ledger import chart
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import RecoveryCode
from bitcache_server.rails.lightning.decoding import decode
from bitcache_server.rails.lightning.lnurl_client import LnurlClient
from tests.support.books import open_wallet
from tests.support.databases import Databases
from tests.support.lightning_payouts import pay_out
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.lnurl_provider import Provider, lnurl_provider
from tests.support.payouts import assert_payouts_sound
from tests.support.readers import Reader, path_of
from tests.support.shops import held
from tests.support.world import PUBLIC_URL

PATH = "/wallet/withdraw"
REVIEW = f"{PATH}/review"
LINK = f"{PATH}/link"
LINK_REVIEW = f"{LINK}/review"


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    """Pages need no second engine."""
    with databases.fresh("sqlite") as fresh:
        yield fresh


@pytest.fixture
def jane() -> Iterator[Provider]:
    with lnurl_provider() as provider:
        yield provider


@pytest.fixture
def shop(tmp_path: Path, url: str) -> Iterator[LightningWorld]:
    # The addresses of these tests are on loopback.
    client = LnurlClient(10, allow_local=True)
    with opened_lightning_world(tmp_path, url, lnurl=client) as world:
        yield world
        assert_payouts_sound(world)


@pytest.fixture
def reader(shop: LightningWorld) -> Reader:
    open_wallet(shop.session, "wa_9", balance_msat=100_000_000)
    return Reader(shop, "wa_9")


def _fields(html: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', html))


def _guard(reader: Reader) -> None:
    """Give the wallet a recovery code, and let the last proof grow old."""
    with write_transaction(reader.world.session):
        reader.world.session.add(
            RecoveryCode(
                owner_id=reader.wallet_id, code_hash="0" * 64, created_at=reader.world.clock()
            )
        )
    reader.world.clock.pass_time(301)


def _make(reader: Reader, how: str = "scan", amount: str = "20,000") -> str:
    """Make a link through the pages; return the path of its page."""
    review = path_of(reader.post(LINK_REVIEW, how=how, amount=amount))
    return path_of(reader.post(LINK, **_fields(reader.get(review).text)))


def test_an_invoice_with_an_amount_needs_no_other(shop: LightningWorld, reader: Reader) -> None:
    invoice = shop.lightning.foreign_invoice(20_000_500)
    sent = reader.post(REVIEW, address=f"lightning:{invoice.upper()}", amount="")
    page = reader.get(path_of(sent)).text
    assert '<span class="amount">20,000.5</span> sats' in page
    assert "What the route does not take comes back to your balance." in page
    fields = _fields(page)
    assert (fields["address"], fields["amount"], fields["fee_msat"]) == (invoice, "", "200005")
    assert path_of(reader.post(PATH, **fields)) == f"{PATH}?done=asked"
    assert "Waits to be sent" in reader.get(PATH).text
    shop.lightning.plan_payment(Outcome.SETTLED, fee_msat=1_000)
    pay_out(shop)
    listed = reader.get(PATH).text
    assert "Arrived" in listed
    assert f'<code title="{invoice}">{invoice[:16]}…{invoice[-8:]}</code>' in listed
    assert '<span class="amount">199.005</span> sats came back' in listed
    assert "Unused fee reserve of a withdrawal" in reader.get("/wallet").text


@pytest.mark.parametrize(
    ("amount_msat", "amount", "status", "words"),
    [
        (None, "", 422, "This invoice leaves the amount to you. Enter one."),
        (7_000_000, "8000", 422, "The invoice asks for 7,000 sats. Leave the amount empty."),
        (7_000_000, "7000", 303, ""),
        (None, "7000", 303, ""),
    ],
)
def test_who_says_the_amount(
    shop: LightningWorld,
    reader: Reader,
    amount_msat: int | None,
    amount: str,
    status: int,
    words: str,
) -> None:
    invoice = shop.lightning.foreign_invoice(amount_msat)
    answer = reader.post(REVIEW, address=invoice, amount=amount)
    assert (answer.status_code, words in answer.text) == (status, True)
    if status == 303:
        assert '<span class="amount">7,000</span> sats' in reader.get(path_of(answer)).text


def test_a_lightning_address_is_shown_as_it_is(reader: Reader, jane: Provider) -> None:
    assert "Lightning invoice, Lightning address or Bitcoin address" in reader.get(PATH).text
    typed = jane.address.replace("jane", "Jane")
    page = reader.get(path_of(reader.post(REVIEW, address=typed, amount=""))).text
    assert "To this address" in page
    assert f'<code class="token">{jane.address}</code>' in page
    reader.post(PATH, **_fields(page))
    assert f'<code title="{jane.address}">{jane.address}</code>' in reader.get(PATH).text


@pytest.mark.parametrize(("amount_msat", "words"), [(7_000_000, "7,000"), (None, "any amount")])
def test_of_an_invoice_is_shown_what_can_be_compared(
    shop: LightningWorld, reader: Reader, amount_msat: int | None, words: str
) -> None:
    invoice = shop.lightning.foreign_invoice(amount_msat, memo="Coffee & cake")
    amount = "" if amount_msat else "7000"
    page = reader.get(path_of(reader.post(REVIEW, address=invoice, amount=amount))).text
    assert "To this invoice" in page
    assert "letter by letter" not in page
    facts = page.partition("To this invoice")[2]
    payee = decode(invoice, "regtest").payee
    assert f"<code>{payee[:10]}…{payee[-10:]}</code>" in facts
    assert words in facts
    assert "Coffee &amp; cake" in facts
    assert utc_words(shop.clock() + 3_600) in facts


def test_the_page_looks_again_until_a_payment_has_ended(
    shop: LightningWorld, reader: Reader
) -> None:
    looks_again, asks = 'http-equiv="refresh"', 'name="address"'
    before = reader.get(PATH).text
    assert (looks_again in before, asks in before) == (False, True)
    sent = reader.post(REVIEW, address=shop.lightning.foreign_invoice(1_000_000), amount="")
    done = path_of(reader.post(PATH, **_fields(reader.get(path_of(sent)).text)))
    waiting = reader.get(done).text
    # What somebody is typing would be lost.
    assert (looks_again in waiting, asks in waiting) == (True, False)
    assert "The withdrawal is on its way." in waiting
    more = reader.get(f"{PATH}?more=1").text
    assert (looks_again in more, asks in more) == (False, True)
    pay_out(shop)
    after = reader.get(done).text
    assert (looks_again in after, asks in after) == (False, True)
    assert "The withdrawal has arrived." in after
    assert "is on its way" not in after


def test_one_that_hangs_does_not_keep_the_page_busy(shop: LightningWorld, reader: Reader) -> None:
    sent = reader.post(REVIEW, address=shop.lightning.foreign_invoice(1_000_000), amount="")
    reader.post(PATH, **_fields(reader.get(path_of(sent)).text))
    shop.lightning.plan_payment(Outcome.PENDING)
    pay_out(shop)
    assert 'http-equiv="refresh"' in reader.get(PATH).text
    shop.clock.pass_time(600)
    assert 'http-equiv="refresh"' not in reader.get(PATH).text


def test_each_form_keeps_what_was_typed_into_it(shop: LightningWorld, reader: Reader) -> None:
    answer = reader.post(LINK_REVIEW, how="give", amount="100,001")
    assert (answer.status_code, "Your own money is 100,000 sats" in answer.text) == (409, True)
    assert _typed(answer.text) == {"address": "", "amount": "", "link_amount": "100,001"}
    answer = reader.post(REVIEW, address="nonsense", amount="12")
    assert _typed(answer.text) == {"address": "nonsense", "amount": "12", "link_amount": ""}
    review = path_of(reader.post(LINK_REVIEW, how="give", amount="20,000"))
    change = re.search(r'href="(/wallet/withdraw\?order=[^"]+)"', reader.get(review).text)
    assert change
    typed = _typed(reader.get(change[1]).text)
    assert typed == {"address": "", "amount": "", "link_amount": "20000"}


def _typed(html: str) -> dict[str, str]:
    return dict(re.findall(r'<input id="([^"]+)"[^>]* value="([^"]*)"', html))


def test_a_failure_is_told_with_its_reason(shop: LightningWorld, reader: Reader) -> None:
    sent = reader.post(REVIEW, address=shop.lightning.foreign_invoice(1_000_000), amount="")
    reader.post(PATH, **_fields(reader.get(path_of(sent)).text))
    shop.lightning.plan_payment(Outcome.FAILED, detail="There is no route.")
    pay_out(shop)
    page = reader.get(PATH).text
    assert "Failed, the money is back" in page
    assert "The payment failed: There is no route." in page


@pytest.mark.parametrize(
    ("how", "words"),
    [("scan", "not scanned within an hour"), ("give", "nobody does within 30 days")],
)
def test_a_link_shows_its_reserve_first_and_is_made_once(
    shop: LightningWorld, reader: Reader, how: str, words: str
) -> None:
    review = reader.get(path_of(reader.post(LINK_REVIEW, how=how, amount="20,000")))
    assert words in review.text
    fields = _fields(review.text)
    assert (fields["how"], fields["amount"], fields["fee_msat"]) == (how, "20000", "200000")
    assert reader.own_msat == 100_000_000
    assert path_of(reader.post(LINK, **fields)) == path_of(reader.post(LINK, **fields))
    assert reader.own_msat == 79_800_000
    page = reader.get(PATH).text
    assert page.count("Waits behind a link until it is claimed") == 1


def test_the_code_is_a_page_of_its_own(shop: LightningWorld, reader: Reader) -> None:
    path = _make(reader)
    assert f'href="{path}"' in reader.get(PATH).text
    anybody = shop.app.test_client()
    answer = anybody.get(path)
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "sats for you" in answer.text
    [code] = set(re.findall(r"LNURL1[0-9A-Z]+", answer.text))
    assert f'href="lightning:{code}"' in answer.text
    picture = anybody.get(f"{path}/qr.svg")
    assert (picture.status_code, picture.mimetype) == (200, "image/svg+xml")
    assert picture.data.startswith(b"<svg")
    terms = anybody.get(path.replace("/gift/", "/lnurl/w/")).get_json()
    invoice = shop.lightning.foreign_invoice(20_000_000)
    callback = urlsplit(terms["callback"]).path
    claimed = anybody.get(callback, query_string={"k1": terms["k1"], "pr": invoice})
    assert claimed.get_json() == {"status": "OK"}
    assert "are on their way" in anybody.get(path).text
    assert anybody.get(f"{path}/qr.svg").status_code == 409
    pay_out(shop)
    assert "have arrived in the wallet that asked first" in anybody.get(path).text
    assert "Show the code" not in reader.get(PATH).text


def test_a_link_is_taken_back_on_the_page(shop: LightningWorld, reader: Reader) -> None:
    path = _make(reader, "give")
    [cancel] = re.findall(rf'action="({LINK}/po_[^"]+/cancel)"', reader.get(PATH).text)
    assert reader.post(cancel, origin="https://evil.example").status_code == 403
    stranger = Reader(shop)
    assert stranger.post(cancel).status_code == 404
    assert path_of(reader.post(cancel)) == f"{PATH}?done=taken_back"
    assert "its money is back" in reader.get(f"{PATH}?done=taken_back").text
    assert reader.own_msat == 100_000_000
    page = shop.client.get(path)
    assert "Nothing is here any more" in page.text
    assert "The link was taken back." in page.text
    assert "You took" not in page.text
    assert '<a class="button" href="/">' in page.text
    assert "You took the link back." in reader.get(path).text
    answer = reader.post(cancel)
    assert (answer.status_code, "cannot be taken back" in answer.text) == (409, True)


def test_what_cannot_become_a_link_is_told(reader: Reader, jane: Provider) -> None:
    for amount, status in (("100000", 409), ("0", 422), ("x", 422)):
        answer = reader.post(LINK_REVIEW, how="scan", amount=amount)
        assert (answer.status_code, 'role="alert"' in answer.text) == (status, True)
    assert reader.post(LINK_REVIEW, origin="https://evil.example", amount="1").status_code == 403
    for order in ("", "?order=x"):
        assert path_of(reader.get(f"{LINK_REVIEW}{order}")) == f"{PATH}?done=over"
    # The signed text of a withdrawal to an address is none of a link.
    other = path_of(reader.post(REVIEW, address=jane.address, amount="1000"))
    query = urlsplit(other).query
    assert path_of(reader.get(f"{LINK_REVIEW}?{query}")) == f"{PATH}?done=over"
    fields = {"how": "scan", "amount": "20000", "fee_msat": "1", "key": "k"}
    answer = reader.post(LINK, **fields)
    assert (answer.status_code, "Look at the new figures" in answer.text) == (409, True)
    assert reader.own_msat == 100_000_000


def test_a_guarded_wallet_asks_who_it_is_before_a_link(
    shop: LightningWorld, reader: Reader
) -> None:
    review = path_of(reader.post(LINK_REVIEW, how="give", amount="9000"))
    fields = _fields(reader.get(review).text)
    _guard(reader)
    page = reader.get(review).text
    confirm = re.search(r'href="(/wallet/confirm[^"]*)"', page)
    assert confirm
    assert _fields(page) == {}
    [back] = parse_qs(urlsplit(confirm[1]).query)["next"]
    assert "Give it away?" in reader.get(back).text
    assert path_of(reader.post(LINK, **fields)).startswith("/wallet/confirm?next=")
    assert held(shop, chart.wallet("wa_9")) == 100_000_000


def test_the_maker_of_a_gift_gets_the_link_to_send(shop: LightningWorld, reader: Reader) -> None:
    path = _make(reader, "give")
    answer = reader.get(path)
    # With `no-referrer` the form would come from nowhere, and be refused.
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert f'readonly value="{PUBLIC_URL}{path}"' in answer.text
    assert "Whoever opens it first can take it." in answer.text
    assert utc_words(shop.clock() + 30 * 86_400) in answer.text
    assert 'http-equiv="refresh"' not in answer.text, "it would take a selection away"
    assert 'href="/wallet/withdraw"' in answer.text
    for other in (Reader(shop), None):
        taker = other.get(path) if other else shop.client.get(path)
        assert '<span class="amount">20,000</span> sats for you' in taker.text
        assert "Take it back" not in taker.text
        assert "Which wallets" in taker.text
        assert taker.headers["Referrer-Policy"] == "no-referrer"
    [cancel] = re.findall(rf'action="({LINK}/po_[^"]+/cancel)"', answer.text)
    reader.post(cancel)
    assert reader.own_msat == 100_000_000


def test_the_maker_of_a_code_scans_it(reader: Reader) -> None:
    page = reader.get(_make(reader, "scan")).text
    assert "Scan this with your own Lightning wallet." in page
    assert 'href="lightning:LNURL1' in page
    assert "readonly" not in page


def test_one_sat_is_no_sats(reader: Reader) -> None:
    path = _make(reader, "give", "1")
    assert '<span class="amount">1</span> sat for you' in reader.world.client.get(path).text


def test_no_link_is_a_page_that_says_so(shop: LightningWorld) -> None:
    answer = shop.client.get("/gift/nothing")
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "There is no such link" in answer.text
    assert '<a class="button" href="/">' in answer.text
    assert "unknown_link" not in answer.text
    assert "Paid with bitcoin" not in answer.text
    assert shop.client.get("/gift/nothing/qr.svg").status_code == 404
    terms = shop.client.get("/lnurl/w/nothing")
    assert (terms.get_json()["status"], terms.get_json()["code"]) == ("ERROR", "unknown_link")


def test_a_claim_that_failed_can_be_repeated_from_the_page(
    shop: LightningWorld, reader: Reader
) -> None:
    path = _make(reader)
    terms = shop.client.get(path.replace("/gift/", "/lnurl/w/")).get_json()
    shop.client.get(
        urlsplit(terms["callback"]).path,
        query_string={"k1": terms["k1"], "pr": shop.lightning.foreign_invoice(20_000_000)},
    )
    shop.lightning.plan_payment(Outcome.FAILED, detail="There is no route.")
    pay_out(shop)
    # The node's own words are for who made it: whoever has the link may be anybody.
    page = shop.client.get(path).text
    assert "The last try did not work: The payment failed. Scan it again." in page
    assert "no route" not in page
    assert "LNURL1" in page
    assert "The payment failed: There is no route." in reader.get(path).text


def test_without_lightning_the_page_is_as_before(tmp_path: Path, url: str) -> None:
    with opened_lightning_world(tmp_path, url, with_node=False) as shop:
        open_wallet(shop.session, "wa_9", balance_msat=100_000_000)
        page = Reader(shop, "wa_9").get(PATH).text
        assert ">Bitcoin address<" in page
        assert "Scan with your wallet" not in page
