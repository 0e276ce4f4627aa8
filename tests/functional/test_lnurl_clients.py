"""Independent clients: PyPI lnurl, npm lnurl-pay and npm @getalby/lightning-tools."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lnurl
import pytest
from lnurl.helpers import lnurlauth_signature
from lnurl.models import (
    LnurlAuthResponse,
    LnurlErrorResponse,
    LnurlPayActionResponse,
    LnurlPayResponse,
    LnurlPayVerifyResponse,
    LnurlResponseModel,
    LnurlSuccessResponse,
)
from sqlalchemy import select

from bitcache_server.models.sales import Invoice
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import LnurlKey
from bitcache_server.rails.lightning.decoding import decode, preimage_fits
from bitcache_server.services.handles import set_handle
from bitcache_server.services.wallet_keys import LoginPurpose, begin_login, login_lnurl, login_view
from bitcache_server.services.wallets import WALLETS
from tests.support.certificates import Certificate, certificate_for
from tests.support.clients import client
from tests.support.databases import Databases
from tests.support.lightning_world import LightningWorld, opened_lightning_world
from tests.support.loopback import loopback
from tests.support.shops import assert_nothing_lost

HOST = "pay.example"
ADDRESS = f"ada@{HOST}"
#: Its own five seconds are little for a busy machine.
TIMEOUT_S = 60


@contextmanager
def serving(
    folder: Path, databases: Databases, certificate: Certificate | None = None
) -> Iterator[tuple[LightningWorld, int]]:
    """Give a server whose merchant is ``ada``; with a certificate it is https://pay.example."""
    with loopback(certificate) as port, databases.fresh("sqlite") as url:
        home = f"https://{HOST}" if certificate else f"http://localhost:{port.port}"
        with opened_lightning_world(folder, url, public_url=home) as world:
            with write_transaction(world.session):
                set_handle(world.session, world.merchant_id, "ada")
            port.serve(world.app)
            yield world, port.port
            assert_nothing_lost(world)


def paid(world: LightningWorld, bolt11: str) -> str:
    """Pay an invoice; return its payment hash."""
    payment_hash = decode(bolt11, "regtest").payment_hash
    world.lightning.pay(payment_hash)
    world.settle()
    return payment_hash


def comments(world: LightningWorld) -> list[tuple[str | None, str]]:
    world.session.rollback()
    return [(one.comment, one.state) for one in world.session.scalars(select(Invoice))]


def test_pypi_lnurl_pays(tmp_path: Path, databases: Databases) -> None:
    with serving(tmp_path, databases) as (world, port):
        code = lnurl.encode(f"http://localhost:{port}/.well-known/lnurlp/ada").bech32
        terms = asyncio.run(lnurl.handle(code, timeout=TIMEOUT_S))
        assert isinstance(terms, LnurlPayResponse)
        assert terms.metadata.text == "Payment to Ada"
        assert (terms.min_sats, terms.max_sats, terms.commentAllowed) == (1, 1_000_000, 500)
        paying = lnurl.execute_pay_request(terms, 21_000, comment="Well done", timeout=TIMEOUT_S)
        made = asyncio.run(paying)
        assert isinstance(made, LnurlPayActionResponse)
        assert made.successAction is not None
        assert made.verify is not None
        assert verified(made.verify).settled is False
        payment_hash = paid(world, str(made.pr))
        after = verified(made.verify)
        assert after.settled is True
        assert preimage_fits(after.preimage or "", payment_hash)
        assert comments(world) == [("Well done", "paid")]


def test_pypi_lnurl_reads_our_refusals(tmp_path: Path, databases: Databases) -> None:
    with serving(tmp_path, databases) as (_, port):
        for query in ("", "?amount=1", "?amount=21000&comment=" + "x" * 600):
            url = f"http://localhost:{port}/lnurl/pay/ada/callback{query}"
            answer = asyncio.run(lnurl.get(url, timeout=TIMEOUT_S))
            assert isinstance(answer, LnurlErrorResponse)
            assert answer.error_msg


def sign(login: LnurlAuthResponse) -> LnurlResponseModel:
    """Sign as a new wallet and send it.

    With the library's parts: its ``execute_login`` (2.0.2) loses the query of the address,
    and ``k1`` with it.
    """
    key, signature = lnurlauth_signature(login.k1, secrets.token_bytes(32))
    url = f"{login.callback}&sig={signature}&key={key}"
    return asyncio.run(lnurl.get(url, timeout=TIMEOUT_S))


def verified(url: object) -> LnurlPayVerifyResponse:
    asking = lnurl.get(str(url), response_class=LnurlPayVerifyResponse, timeout=TIMEOUT_S)
    answer = asyncio.run(asking)
    assert isinstance(answer, LnurlPayVerifyResponse)
    return answer


def test_pypi_lnurl_signs_in(tmp_path: Path, databases: Databases) -> None:
    with serving(tmp_path, databases) as (world, _):
        deps, session = world.deps, world.session
        with write_transaction(session):
            new = begin_login(deps, session, WALLETS, LoginPurpose.SIGN_IN, None)
        code = login_lnurl(deps.settings, new.k1, LoginPurpose.SIGN_IN)
        login = asyncio.run(lnurl.handle(code, timeout=TIMEOUT_S))
        assert isinstance(login, LnurlAuthResponse)
        assert login.k1 == new.k1
        answer = sign(login)
        assert isinstance(answer, LnurlSuccessResponse)
        session.rollback()
        view = login_view(deps, session, WALLETS, new.k1, new.browser_secret)
        assert view.key is not None
        assert not view.is_known
        again = sign(login)
        assert isinstance(again, LnurlErrorResponse)
        assert "used" in again.error_msg
        assert session.scalars(select(LnurlKey)).all() == []


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return certificate_for(tmp_path, HOST)


def test_npm_lnurl_pay(tmp_path: Path, databases: Databases, certificate: Certificate) -> None:
    with serving(tmp_path, databases, certificate) as (world, port):
        words = ("lnurl_pay.mjs", ADDRESS, "21", "Well done")
        with client(*words, host=HOST, port=port, certificate=certificate) as wallet:
            made = wallet.read()
        paid(world, made.pop("invoice"))
        assert made == {
            "description": "Payment to Ada",
            "identifier": ADDRESS,
            "validAmount": True,
            "validHash": True,
            "message": "Thank you for paying Ada.",
        }
        assert comments(world) == [("Well done", "paid")]


def test_npm_lightning_tools(
    tmp_path: Path, databases: Databases, certificate: Certificate
) -> None:
    with serving(tmp_path, databases, certificate) as (world, port):
        words = ("lightning_tools.mjs", ADDRESS, "42", "Ünïcode ⚡")
        with client(*words, host=HOST, port=port, certificate=certificate) as wallet:
            made = wallet.read()
            assert (made["sats"], made["paid"]) == (42, False)
            assert made["message"] == "Thank you for paying Ada."
            assert paid(world, made["invoice"]) == made["hash"]
            wallet.go_on()
            after: dict[str, Any] = wallet.read()
        assert after["paid"] is True
        assert after["valid"] is True
        assert preimage_fits(after["preimage"], made["hash"])
        assert comments(world) == [("Ünïcode ⚡", "paid")]


def test_the_clients_are_the_versions_that_we_name() -> None:
    folder = Path(__file__).parents[1] / "clients"
    wanted = json.loads((folder / "package.json").read_text("utf-8"))["dependencies"]
    locked = json.loads((folder / "package-lock.json").read_text("utf-8"))["packages"]
    for name, version in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == version
        assert locked[f"node_modules/{name}"]["integrity"].startswith("sha512-")
