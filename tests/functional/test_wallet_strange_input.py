"""Null bytes, endless digits and broken headers at the wallet's pages: never our fault."""

import re

import pytest

from tests.support.wallet_browser import Reader
from tests.support.world import World

NINES = "9" * 30
LONG = "9" * 5_000


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/wallet/connect?item=%00&origin=x", 422),
        ("/wallet/connect?item=a&origin=https://%00", 422),
        ("/wallet/withdraw?order=%00", 422),
        ("/wallet/sign-in?next=%00", 422),
        ("/pay/it_x?a=%00", 422),
        ("/wallet/%00", 404),
        ("/pay/%00", 404),
        (f"/wallet/purchases/x/{NINES}/receipt", 404),
        (f"/wallet/purchases/x/{LONG}/receipt.txt", 404),
        ("/wallet/purchases/x/-1/receipt", 404),
        (f"/wallet/purchases?page={LONG}", 200),
        (f"/wallet/purchases?page={NINES}", 200),
        ("/wallet/top-up/%FF", 404),
        (f"/pay/{LONG}", 404),
    ],
)
def test_addresses_that_make_no_sense(world: World, path: str, status: int) -> None:
    reader = Reader(world)
    reader.open_wallet()
    answer = reader.get(path)
    assert (answer.status_code, answer.mimetype) == (status, "text/html")


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/wallet/devices/sign-out", {"device": "\x00"}, 422),
        ("/wallet/passkeys/remove", {"passkey": "a\x00b"}, 422),
        ("/wallet/sign-in", {"co\x00de": "x"}, 422),
        ("/wallet/top-up", {"amount": "9" * 20, "rail": "x"}, 422),
        ("/wallet/top-up", {"amount": LONG}, 422),
        ("/wallet/withdraw", {"address": "fake:x\x00", "amount": "1", "fee_msat": "1"}, 422),
        ("/wallet/withdraw", {"address": "fake:x", "amount": "9" * 19, "fee_msat": "1"}, 422),
        ("/wallet/withdraw", {"address": "fake:x", "amount": "6000", "fee_msat": NINES}, 422),
        ("/wallet/withdraw/review", {"address": "fake:x", "amount": NINES}, 422),
        ("/pay/{item}/balance", {"key": "\x00", "price_msat": "1"}, 422),
        ("/pay/{item}/balance", {"key": "k" * 5_000, "price_msat": "1"}, 422),
        ("/pay/{item}/balance", {"price_msat": NINES}, 422),
        ("/pay/{item}/restore", {"code": "\x00"}, 422),
    ],
)
def test_forms_that_make_no_sense(
    world: World, path: str, form: dict[str, str], status: int
) -> None:
    reader = Reader(world)
    reader.open_wallet()
    answer = reader.post(path.format(item=world.article_id), **form)
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert reader.is_signed_in()


def test_a_referrer_that_cannot_be_read_leads_home(sqlite_world: World) -> None:
    answer = sqlite_world.client.post(
        "/wallet/passkeys/remove", headers={"Referer": "http://[", "Origin": "https://pay.example"}
    )
    assert re.fullmatch(r"/wallet/sign-in\?next=%2Fwallet", answer.headers["Location"])


def test_an_error_of_the_database_logs_no_values(world: World) -> None:
    assert world.session.get_bind().engine.hide_parameters
    world.session.rollback()
