"""Money sent to a merchant's Lightning address, as wallets ask for it (LUD-06, 09, 12, 16, 21)."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select

from bitcache_server.domain.errors import (
    HandleTaken,
    InvalidRequest,
    LightningUnreachable,
    UnknownMerchant,
)
from bitcache_server.ledger import chart
from bitcache_server.ledger.balances import balance
from bitcache_server.models.sales import Invoice, RequestRow
from bitcache_server.models.session import write_transaction
from bitcache_server.rails.lightning.decoding import decode, preimage_fits
from bitcache_server.services.handles import RESERVED, address_of, set_handle
from bitcache_server.services.lnurl_pay import MAX_COMMENT_CHARS
from bitcache_server.services.merchants import add_merchant
from bitcache_server.services.settle_invoice import settle_invoice
from bitcache_server.services.statement import statement
from bitcache_server.services.views import invoice_view
from tests.support.databases import Databases
from tests.support.lightning_world import LightningWorld, lightning_request, opened_lightning_world
from tests.support.shops import assert_nothing_lost
from tests.support.world import PUBLIC_URL

TERMS = "/.well-known/lnurlp/ada"
CALLBACK = "/lnurl/pay/ada/callback"


@pytest.fixture
def either_shop(lightning_world: LightningWorld) -> Iterator[LightningWorld]:
    """Return a world whose merchant has an address, once on each engine; it must end in order."""
    name_merchant(lightning_world, "ada")
    yield lightning_world
    assert_nothing_lost(lightning_world)


@pytest.fixture
def shop(databases: Databases, tmp_path: Path) -> Iterator[LightningWorld]:
    """Return one for what is the same on both."""
    with databases.fresh("sqlite") as url, opened_lightning_world(tmp_path, url) as made:
        name_merchant(made, "ada")
        yield made
        assert_nothing_lost(made)


def name_merchant(world: LightningWorld, name: str) -> None:
    with write_transaction(world.session):
        set_handle(world.session, world.merchant_id, name)


def ask(world: LightningWorld, path: str, **query: Any) -> dict[str, Any]:
    """Call as a wallet does: from anywhere, without cookies."""
    answer = world.app.test_client(use_cookies=False).get(path, query_string=query)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.mimetype == "application/json"
    return dict(answer.get_json())


def refused(world: LightningWorld, path: str, code: str, **query: Any) -> str:
    """Call and be refused in the way of LUD-01; return the reason."""
    answer = ask(world, path, **query)
    assert set(answer) == {"status", "reason", "code"}
    assert (answer["status"], answer["code"]) == ("ERROR", code)
    return str(answer["reason"])


def invoices(world: LightningWorld) -> int:
    world.session.rollback()
    return world.session.scalar(select(func.count()).select_from(Invoice)) or 0


def owed_msat(world: LightningWorld) -> int:
    world.session.rollback()
    return balance(world.session, chart.merchant(world.merchant_id))


def test_terms(shop: LightningWorld) -> None:
    terms = ask(shop, TERMS)
    metadata = json.loads(terms.pop("metadata"))
    assert metadata == [["text/plain", "Payment to Ada"], ["text/identifier", "ada@pay.example"]]
    assert terms == {
        "tag": "payRequest",
        "callback": f"{PUBLIC_URL}{CALLBACK}",
        "minSendable": 1_000,
        "maxSendable": 1_000_000_000,
        "commentAllowed": MAX_COMMENT_CHARS,
    }


def test_an_invoice_commits_to_what_was_shown(shop: LightningWorld) -> None:
    metadata = ask(shop, TERMS)["metadata"]
    answer = ask(shop, CALLBACK, amount=21_000)
    invoice = decode(answer["pr"], "regtest")
    assert invoice.amount_msat == 21_000
    assert invoice.description_hash == hashlib.sha256(metadata.encode()).hexdigest()
    assert answer == {
        "pr": invoice.bolt11,
        "routes": [],
        "successAction": {"tag": "message", "message": "Thank you for paying Ada."},
        "disposable": False,
        "verify": f"{PUBLIC_URL}/lnurl/verify/{invoice.payment_hash}",
    }


def test_it_is_paid_and_booked(either_shop: LightningWorld) -> None:
    answer = ask(either_shop, CALLBACK, amount=100_000, comment="For the ünïcode ⚡")
    verify = urlsplit(answer["verify"]).path
    open_one = {"status": "OK", "settled": False, "preimage": None, "pr": answer["pr"]}
    assert ask(either_shop, verify) == open_one
    payment_hash = decode(answer["pr"], "regtest").payment_hash
    either_shop.lightning.pay(payment_hash)
    either_shop.settle()
    paid = ask(either_shop, verify)
    preimage = paid.pop("preimage")
    assert preimage_fits(preimage, payment_hash)
    assert paid == {"status": "OK", "settled": True, "pr": answer["pr"]}
    # One per cent is the operator's.
    assert owed_msat(either_shop) == 99_000
    stored = either_shop.session.scalars(select(Invoice)).one()
    assert (stored.comment, stored.state) == ("For the ünïcode ⚡", "paid")
    assert (stored.item_id, stored.wallet_id) == ("", None)
    either_shop.session.rollback()
    [line] = statement(
        either_shop.deps, either_shop.session, either_shop.merchant_id, None, 10
    ).lines
    assert (line.words, line.title) == ("Sent to your Lightning address", "For the ünïcode ⚡")
    assert (line.kind, line.item_id, line.amount_msat) == ("sale", None, 99_000)
    view = invoice_view(
        either_shop.deps, either_shop.session, either_shop.session.get_one(Invoice, line.holder)
    )
    assert (view.item, view.state, view.received_msat) == ("", "paid", 100_000)
    # What the payer wrote is the merchant's; the public calls know no such invoice.
    assert either_shop.get(f"/v1/invoices/{line.holder}").get_json()["code"] == "unknown_invoice"
    assert either_shop.get(f"/pay/invoices/{line.holder}").status_code == 404


def test_a_payment_hash_in_capitals_is_the_same(shop: LightningWorld) -> None:
    verify = urlsplit(ask(shop, CALLBACK, amount=1_000)["verify"]).path
    head, _, payment_hash = verify.rpartition("/")
    assert ask(shop, f"{head}/{payment_hash.upper()}")["settled"] is False


@pytest.mark.parametrize("payment_hash", ["00" * 32, "x", "%00", "ada"])
def test_a_payment_hash_that_there_is_not(shop: LightningWorld, payment_hash: str) -> None:
    answer = shop.app.test_client().get(f"/lnurl/verify/{payment_hash}")
    assert answer.status_code == 404
    assert answer.get_json()["status"] == "ERROR"


def test_goods_tell_that_they_were_paid_and_keep_the_proof(either_shop: LightningWorld) -> None:
    """The preimage of a purchase is its buyer's: whoever only saw the invoice gets none."""
    purchase = either_shop.buy()
    payment_hash = str(lightning_request(purchase.invoice)["payment_hash"])
    assert ask(either_shop, f"/lnurl/verify/{payment_hash}")["settled"] is False
    either_shop.pay_lightning(purchase)
    answer = ask(either_shop, f"/lnurl/verify/{payment_hash}")
    assert (answer["settled"], answer["preimage"]) == (True, None)


@pytest.mark.parametrize(
    "amount",
    ["", "0", "999", "1001", "21500", "1000000001000", "-1000", "1e6", "1_000", "+1000",
     "\u0662\u0661", "NaN", " 1000", "9" * 400, "1000.0"],
)  # fmt: skip
def test_an_amount_that_it_does_not_take_makes_nothing(shop: LightningWorld, amount: str) -> None:
    assert refused(shop, CALLBACK, "invalid_request", amount=amount)
    assert invoices(shop) == 0


def test_no_amount_makes_nothing(shop: LightningWorld) -> None:
    assert "amount" in refused(shop, CALLBACK, "invalid_request")
    assert invoices(shop) == 0


def test_comments(shop: LightningWorld) -> None:
    long = "x" * (MAX_COMMENT_CHARS + 1)
    assert refused(shop, CALLBACK, "invalid_request", amount=1_000, comment=long)
    assert invoices(shop) == 0
    assert ask(shop, CALLBACK, amount=1_000, comment=long[1:])["pr"]
    assert ask(shop, CALLBACK, amount=1_000, comment="")["pr"]
    stored = set(shop.session.scalars(select(Invoice.comment)))
    assert stored == {long[1:], None}


def test_inbound_room_bounds_what_it_takes(either_shop: LightningWorld) -> None:
    either_shop.lightning.set_funds(0, 50_999)
    either_shop.record_health()
    assert ask(either_shop, TERMS)["maxSendable"] == 50_000
    assert "50 sats" in refused(either_shop, CALLBACK, "invalid_request", amount=51_000)
    assert ask(either_shop, CALLBACK, amount=50_000)["pr"]
    either_shop.lightning.set_funds(0, 999)
    either_shop.record_health()
    for path in (TERMS, CALLBACK):
        assert refused(either_shop, path, "no_inbound_room", amount=1_000)
    assert invoices(either_shop) == 1


def test_a_node_that_is_down(shop: LightningWorld) -> None:
    shop.lightning.fail_with(LightningUnreachable("connection refused by 10.9.8.7"))
    answer = shop.app.test_client().get(CALLBACK, query_string={"amount": 1_000})
    assert answer.status_code == 503
    assert answer.get_json()["code"] == "lightning_unreachable"
    shop.lightning.fail_with(None)
    assert ask(shop, CALLBACK, amount=1_000)["pr"]


def test_a_node_that_commits_to_no_hash_shows_a_memo(shop: LightningWorld) -> None:
    shop.lightning.description_hash = False
    invoice = decode(ask(shop, CALLBACK, amount=1_000)["pr"], "regtest")
    assert invoice.description_hash is None
    assert invoice.memo == "Payment to Ada · pay.example"


def test_nobody_has_the_name(shop: LightningWorld) -> None:
    for path in ("/.well-known/lnurlp/bob", "/lnurl/pay/bob/callback?amount=1000"):
        answer = shop.app.test_client().get(path)
        assert answer.status_code == 404
        assert answer.get_json()["code"] == "unknown_merchant"
    assert ask(shop, "/.well-known/lnurlp/ADA")["tag"] == "payRequest"


def test_too_many_invoices(tmp_path: Path, databases: Databases) -> None:
    with (
        databases.fresh("sqlite") as url,
        opened_lightning_world(tmp_path, url, limit_invoices_per_address="2/hour") as world,
    ):
        name_merchant(world, "ada")
        client = world.app.test_client()
        for amount in ("", "bad", "0"):
            assert client.get(CALLBACK, query_string={"amount": amount}).status_code == 200
        answers = [client.get(CALLBACK, query_string={"amount": 1_000}) for _ in range(3)]
        # A bad amount that is a number counts, too: it asks the database.
        assert [answer.status_code for answer in answers] == [200, 429, 429]
        assert int(answers[-1].headers["Retry-After"]) > 0
        assert answers[-1].get_json()["code"] == "rate_limited"


def test_too_many_invoices_for_one_merchant(tmp_path: Path, databases: Databases) -> None:
    """However many addresses ask, the rest of the node's table is for others."""
    with (
        databases.fresh("sqlite") as url,
        opened_lightning_world(tmp_path, url, limit_invoices_per_site="2/hour") as world,
    ):
        name_merchant(world, "ada")
        client = world.app.test_client()
        answers = [
            client.get(
                path,
                query_string={"amount": 1_000},
                environ_base={"REMOTE_ADDR": f"198.51.100.{number}"},
            )
            for number, path in enumerate((CALLBACK, CALLBACK.replace("ada", "ADA"), CALLBACK))
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 429]


def test_an_address_goes_with_its_name(shop: LightningWorld) -> None:
    with write_transaction(shop.session):
        merchant = set_handle(shop.session, shop.merchant_id, "lovelace")
        assert address_of(shop.deps.settings, merchant) == "lovelace@pay.example"
    assert shop.app.test_client().get(TERMS).status_code == 404
    assert ask(shop, "/.well-known/lnurlp/lovelace")["tag"] == "payRequest"
    with write_transaction(shop.session):
        set_handle(shop.session, shop.merchant_id, None)
    assert shop.app.test_client().get("/.well-known/lnurlp/lovelace").status_code == 404


def test_names_are_given_once(either_shop: LightningWorld) -> None:
    with write_transaction(either_shop.session):
        other = add_merchant(either_shop.deps, either_shop.session, "Another Ada", None).id
    with (
        pytest.raises(HandleTaken, match="another merchant"),
        write_transaction(either_shop.session),
    ):
        set_handle(either_shop.session, other, " ADA ")
    # Whoever has the name may get it again, and nothing broke on the way.
    name_merchant(either_shop, "ada")
    with write_transaction(either_shop.session):
        set_handle(either_shop.session, other, "ada2")
    with pytest.raises(UnknownMerchant), write_transaction(either_shop.session):
        set_handle(either_shop.session, "me_unknown", "ada3")


@pytest.mark.parametrize(
    "name",
    ["", "a b", "ä", "ada@pay.example", ".ada", "ada.", "-ada", "ada/x", "ada%2f", "a" * 65,
     "ada\n", "a+b", "../x", "\u0663"],
)  # fmt: skip
def test_names_that_cannot_be(shop: LightningWorld, name: str) -> None:
    if name == "ada\n":
        name_merchant(shop, name)  # Spaces around it are no part of a name.
        return
    with pytest.raises(InvalidRequest), write_transaction(shop.session):
        set_handle(shop.session, shop.merchant_id, name)


@pytest.mark.parametrize("name", ["a", "7", "a.b_c-d", "0" * 64, "jane.doe"])
def test_names_that_can_be(shop: LightningWorld, name: str) -> None:
    name_merchant(shop, name)
    assert ask(shop, f"/.well-known/lnurlp/{name}")["tag"] == "payRequest"
    assert ask(shop, f"/lnurl/pay/{name}/callback", amount=1_000)["pr"]


def test_nobody_passes_for_the_operator(shop: LightningWorld) -> None:
    for name in sorted(RESERVED):
        with pytest.raises(HandleTaken, match="operator"), write_transaction(shop.session):
            set_handle(shop.session, shop.merchant_id, name)


def test_a_merchant_who_is_paid_directly_needs_none(shop: LightningWorld) -> None:
    with write_transaction(shop.session):
        direct = add_merchant(shop.deps, shop.session, "Direct", None)
        direct.descriptor = "their own"
        direct_id = direct.id
    with pytest.raises(InvalidRequest, match="directly"), write_transaction(shop.session):
        set_handle(shop.session, direct_id, "direct")


def test_an_expired_invoice_that_is_paid(either_shop: LightningWorld) -> None:
    """Nothing was held for it, so it is the merchant's all the same."""
    answer = ask(either_shop, CALLBACK, amount=100_000)
    payment_hash = decode(answer["pr"], "regtest").payment_hash
    either_shop.expire(either_shop.deps.settings.invoice_lifetime_s + 1)
    either_shop.lightning.pay(payment_hash)
    either_shop.settle()
    assert ask(either_shop, f"/lnurl/verify/{payment_hash}")["settled"] is True
    assert owed_msat(either_shop) == 99_000
    either_shop.expire(10)
    assert either_shop.session.scalars(select(Invoice)).one().state == "paid"


def sent(shop: LightningWorld, asked_msat: int, paid_msat: int, late: bool) -> Invoice:
    """Send another amount than was asked for, as nodes allow it (BOLT 4); return the invoice."""
    payment_hash = decode(ask(shop, CALLBACK, amount=asked_msat)["pr"], "regtest").payment_hash
    if late:
        shop.expire(shop.deps.settings.invoice_lifetime_s + 1)
    shop.lightning.pay(payment_hash, paid_msat)
    shop.settle()
    shop.expire(shop.deps.settings.invoice_lifetime_s + 1)
    query = select(Invoice).order_by(Invoice.created_at.desc(), Invoice.id).limit(1)
    return shop.session.scalars(query.execution_options(populate_existing=True)).one()


@pytest.mark.parametrize("late", [False, True])
def test_what_is_sent_on_top_is_the_merchants(either_shop: LightningWorld, late: bool) -> None:
    """Nobody keeps a verifier, so that as credit it would be nobody's."""
    stored = sent(either_shop, 100_000, 150_000, late)
    assert (stored.state, stored.credit_msat, stored.received_msat) == ("paid", 0, 150_000)
    assert owed_msat(either_shop) == 148_500
    # Whatever is reported again changes nothing.
    [target] = either_shop.session.scalars(select(RequestRow.target))
    either_shop.lightning.repeat(target)
    either_shop.settle()
    with write_transaction(either_shop.session):
        settle_invoice(either_shop.deps, either_shop.session, stored.id)
    assert owed_msat(either_shop) == 148_500
    lines = statement(
        either_shop.deps, either_shop.session, either_shop.merchant_id, None, 10
    ).lines
    assert sum(line.amount_msat for line in lines) == 148_500
    assert {line.words for line in lines} == {"Sent to your Lightning address"}


def test_what_is_too_little_is_the_merchants_too(either_shop: LightningWorld) -> None:
    stored = sent(either_shop, 100_000, 40_000, late=False)
    assert (stored.state, stored.credit_msat) == ("expired", 0)
    assert owed_msat(either_shop) == 39_600


@pytest.mark.parametrize(
    ("bounds", "owed"),
    [
        ({"commission_min_msat": 10_000}, 140_000),
        ({"commission_max_msat": 1_200}, 148_800),
        ({"commission_min_msat": 120_000}, 30_000),
    ],
)
def test_the_commission_is_that_of_one_sale(
    databases: Databases, tmp_path: Path, bounds: dict[str, Any], owed: int
) -> None:
    with (
        databases.fresh("sqlite") as url,
        opened_lightning_world(tmp_path, url, **bounds) as shop,
    ):
        name_merchant(shop, "ada")
        sent(shop, 100_000, 150_000, late=False)
        assert owed_msat(shop) == owed
        assert_nothing_lost(shop)
