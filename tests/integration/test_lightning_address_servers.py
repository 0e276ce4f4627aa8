"""A merchant without a node, and their provider: two servers of ours that meet over HTTP alone.

Each runs as an operator runs it, ``bitcache serve`` and ``bitcache jobs``, with a database of
its own. The provider's node is a real wallet, and the reader pays over a real channel.
"""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bitcache_server.rails.lightning.decoding import decode, preimage_fits
from bitcache_server.tokens.verifier import challenge_of
from demo.regtest.lightning import LightningNetwork
from tests.support.databases import Databases
from tests.support.processes import Programs, programs, until
from tests.support.world import ORIGIN

PRICE_SAT = 5_000
COMMISSION_MSAT = 50_000
LOCKED = "<p>Locked.</p>"


@contextmanager
def _running(folder: Path, url: str, **settings: Any) -> Iterator[Programs]:
    """Give a server that answers and whose jobs run."""
    settings |= {"rails": ["lightning"], "node_url": None, "lnurl_timeout_s": 30}
    with programs(folder, url, **settings) as made:
        made.serve()
        made.start("jobs")
        made.wait_until_serving()
        yield made
        for log, text in made.said().items():
            assert "Traceback" not in text, log


@pytest.fixture
def provider(
    lightning_network: LightningNetwork, databases: Databases, tmp_path: Path
) -> Iterator[Programs]:
    """Return the server of ``ada@…``, whose node is the merchant's wallet."""
    daemon = lightning_network.merchant
    with (
        databases.fresh("sqlite") as url,
        _running(
            tmp_path / "provider",
            url,
            lightning_backend="electrum",
            lightning_url=daemon.url,
            lightning_secret=daemon.user_password,
            lightning_timeout_s=30,
        ) as made,
    ):
        made.cli.ask("merchant", "add", "--name", "Ada", "--handle", "ada")
        until(lambda: _is_well(made), "the provider's jobs have asked its node")
        yield made


def _is_well(server: Programs) -> bool:
    parts = server.ask("GET", "/health").json()["parts"]
    return all(part["ok"] for part in parts)


def _sell(shop: Programs, address: str) -> str:
    """Let a merchant of that address sell an article; return it."""
    ask, article = shop.cli.ask, shop.folder / "article.html"
    article.write_text(LOCKED)
    merchant = ask("merchant", "add", "--name", "Ada", "--lightning-address", address)["id"]
    site = ask("site", "add", "--merchant", merchant, "--name", "Blog", "--origin", ORIGIN)["id"]
    price = ("--price", str(PRICE_SAT), "--currency", "SAT")
    what = ("--title", "On engines", "--article", str(article))
    return str(ask("item", "add", "--site", site, *what, *price)["id"])


def _balance_msat(server: Programs) -> int:
    [merchant] = server.cli.ask("merchant", "list")["merchants"]
    return int(merchant["balance_msat"])


def test_an_article_is_sold_through_another_server(
    provider: Programs, lightning_network: LightningNetwork, databases: Databases, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(databases.fresh("sqlite"))
        shop = stack.enter_context(_running(tmp_path / "shop", url))
        article_id = _sell(shop, f"ada@127.0.0.1:{provider.port}")
        until(lambda: _is_well(shop), "the shop's jobs have run")
        verifier = secrets.token_urlsafe(32)
        body = {"item": article_id, "challenge": challenge_of(verifier), "rail": "lightning"}
        made = shop.ask("POST", "/v1/invoices", json=body, headers={"Origin": ORIGIN})
        assert made.status_code == 201, made.text
        invoice = made.json()
        [request] = invoice["requests"]
        asked = decode(request["bolt11"], "regtest")
        assert (asked.amount_msat, asked.payment_hash) == (
            PRICE_SAT * 1000,
            request["payment_hash"],
        )
        path = f"/v1/invoices/{invoice['id']}"
        claim = {"json": {"verifier": verifier}, "headers": {"Origin": ORIGIN}}
        assert shop.ask("POST", f"{path}/claim", **claim).json()["code"] == "invoice_not_paid"

        preimage = lightning_network.reader.pay(request["bolt11"])
        assert preimage_fits(preimage, asked.payment_hash)
        until(lambda: shop.ask("GET", path).json()["state"] == "paid", "the shop hears of it")
        verified = provider.ask("GET", f"/lnurl/verify/{asked.payment_hash}").json()
        assert verified["settled"] is True
        grant = shop.ask("POST", f"{path}/claim", **claim).json()["grant"]
        headers = {"Origin": ORIGIN, "Authorization": f"Bearer {grant}"}
        content = shop.ask("GET", f"/v1/content/{article_id}", headers=headers)
        assert content.json()["html"] == LOCKED

        # Both take their share: the provider at source, the shop as a debt.
        assert _balance_msat(provider) == PRICE_SAT * 1000 - COMMISSION_MSAT
        assert _balance_msat(shop) == -COMMISSION_MSAT
        for server in (shop, provider):
            assert server.cli.ask("ledger", "audit", "--deep")["clean"] is True
