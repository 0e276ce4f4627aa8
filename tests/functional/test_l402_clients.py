"""L402 as clients of others speak it: PyPI ``l402-requests`` and npm ``@getalby/lightning-tools``.

The node is a scripted one here; tests/integration/test_l402_network.py has a real wallet.
"""

import contextvars
import json
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from l402_requests import L402Client
from l402_requests.exceptions import L402Error
from l402_requests.wallets import WalletBase
from sqlalchemy import func, select
from werkzeug.serving import make_server
from werkzeug.wsgi import ClosingIterator

from bitcache_server.models.sales import Invoice, Payment, RequestRow
from tests.functional.test_http_downloads import SONG
from tests.shape.tree import ROOT
from tests.support.lightning_world import LightningWorld
from tests.support.shops import assert_nothing_lost
from tests.support.world import LOCKED, PUBLIC_URL, World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CLIENTS = ROOT / "tests" / "clients"
TIMEOUT_S = 240


class ScriptedWallet(WalletBase):  # type: ignore[misc]  # it publishes no types
    """A reader's wallet, paying through the scripted node."""

    def __init__(self, world: LightningWorld) -> None:
        self.world = world
        self.paid: list[str] = []

    async def pay_invoice(self, bolt11: str) -> str:
        self.paid.append(bolt11)
        return self.world.lightning.pay(bolt11).preimage


def app_of(world: World) -> Any:
    """Return the app as a server runs it: each request in a context of its own."""

    def alone(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def answer() -> list[bytes]:
            response = ClosingIterator(world.app(environ, start_response))
            try:
                return list(response)
            finally:
                response.close()

        return contextvars.Context().run(answer)

    return alone


def l402_client(world: World, wallet: WalletBase) -> L402Client:
    transport = httpx.WSGITransport(app=app_of(world))
    return L402Client(wallet=wallet, budget=None, transport=transport)


def sold(world: World) -> tuple[int, int]:
    """Return how many invoices and payments there are."""
    world.session.rollback()
    counts = [world.session.scalar(select(func.count()).select_from(m)) for m in (Invoice, Payment)]
    world.session.rollback()
    return counts[0] or 0, counts[1] or 0


def test_l402_requests_pays_and_gets_the_file(lightning_world: LightningWorld) -> None:
    world = lightning_world
    world.session.rollback()
    wallet = ScriptedWallet(world)
    client = l402_client(world, wallet)
    address = f"{PUBLIC_URL}/v1/files/{world.file_id}"
    for _ in range(3):
        answer = client.get(address)
        assert (answer.status_code, answer.content == SONG) == (200, True)
    part = client.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, SONG[10:20])
    assert client.head(address).status_code == 200
    world.settle()
    assert len(wallet.paid) == 1
    assert sold(world) == (1, 1)
    assert_nothing_lost(world)


def test_l402_requests_after_an_answer_that_was_lost(lightning_world: LightningWorld) -> None:
    """The wallet paid, the client never heard: the next try is shown the same invoice."""
    world = lightning_world
    world.session.rollback()

    class LosingWallet(ScriptedWallet):
        payment_hash = ""

        async def pay_invoice(self, bolt11: str) -> str:
            if bolt11 in self.paid:
                # As nodes do with an invoice that they have paid.
                return world.lightning.lookup_invoice(self.payment_hash).preimage
            self.payment_hash = world.session.scalars(select(RequestRow.target)).one()
            world.session.rollback()
            await super().pay_invoice(bolt11)
            raise TimeoutError("The wallet does not answer.")

    wallet = LosingWallet(world)
    client = l402_client(world, wallet)
    address = f"{PUBLIC_URL}/v1/content/{world.article_id}"
    with pytest.raises(L402Error, match="does not answer"):
        client.get(address)
    world.settle()
    answer = client.get(address)
    assert (answer.status_code, answer.json()["html"]) == (200, LOCKED)
    assert len(set(wallet.paid)) == 1
    assert sold(world) == (1, 1)
    assert_nothing_lost(world)


@contextmanager
def served(world: LightningWorld) -> Iterator[str]:
    """Serve the world and a wallet at ``/purse``; give the address."""
    inner = app_of(world)

    def outer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/purse":
            return list(inner(environ, start_response))
        bolt11 = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [world.lightning.pay(bolt11).preimage.encode()]

    server = make_server("127.0.0.1", 0, outer, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run_node(script: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        ["node", str(script), *arguments],
        cwd=CLIENTS, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def test_fetch402_pays_and_gets_the_article(lightning_world: LightningWorld) -> None:
    world = lightning_world
    world.session.rollback()
    with served(world) as server:
        address = f"{server}/v1/content/{world.article_id}"
        told = run_node(CLIENTS / "fetch402.mjs", address, f"{server}/purse", "3")
    assert [answer["status"] for answer in told["answers"]] == [200] * 3
    assert {json.loads(answer["body"])["html"] for answer in told["answers"]} == {LOCKED}
    world.settle()
    assert len(told["paid"]) == 1
    assert sold(world) == (1, 1)
    assert_nothing_lost(world)
