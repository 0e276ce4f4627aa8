"""PyPI lnurl as a whole wallet: it takes the money behind our links and signs in with our codes.

It does every step itself, over real HTTP: decode the code, ask, answer the callback.
"""

import asyncio
import json
import secrets
import subprocess
from pathlib import Path

import lnurl
import pytest
from coincurve import PrivateKey
from lnurl.exceptions import LnurlResponseException
from lnurl.helpers import lnurlauth_derive_linking_key
from lnurl.models import LnurlErrorResponse, LnurlSuccessResponse, LnurlWithdrawResponse
from sqlalchemy import select

from bitcache_server.domain.outcome import Outcome
from bitcache_server.ledger import chart
from bitcache_server.models.session import write_transaction
from bitcache_server.models.wallets import LnurlKey
from bitcache_server.services.wallet_keys import (
    LoginPurpose,
    begin_login,
    finish_sign_in,
    login_lnurl,
    login_view,
)
from bitcache_server.services.wallets import WALLETS, create_wallet
from bitcache_server.services.withdraw_links import (
    GIFT_LIFETIME_S,
    create_link,
    quote_link,
)
from tests.functional.test_lnurl_clients import TIMEOUT_S, serving
from tests.support.books import open_wallet
from tests.support.databases import Databases
from tests.support.lightning_payouts import pay_out
from tests.support.lightning_world import LightningWorld
from tests.support.lnbits import FOLDER as LNBITS
from tests.support.payouts import assert_payouts_sound, states
from tests.support.processes import PATIENCE_S
from tests.support.shops import held

BALANCE_MSAT = 100_000_000
AMOUNT_SAT = 20_000
AMOUNT_MSAT = AMOUNT_SAT * 1_000
#: lnurl 0.10 and the httpx that it was made for, as LNbits brings them. With newer ones
#: ``execute_login`` loses the query of the address, and ``k1`` with it.
PYTHON = LNBITS / "bin" / "python"
SIGN = """
import asyncio, json, sys, lnurl
code, seed = sys.argv[1:]

async def sign():
    return await lnurl.execute_login(await lnurl.handle(code), seed, timeout=60)

answer = asyncio.run(sign())
print(json.dumps({"kind": type(answer).__name__, **answer.dict()}))
"""


def _link(world: LightningWorld, port: int) -> tuple[str, str]:
    """Put money behind a link; return its payout and what a wallet scans."""
    session = world.session
    open_wallet(session, "wa_1", BALANCE_MSAT)
    made = create_link(
        world.deps,
        session,
        "wa_1",
        amount_sat=AMOUNT_SAT,
        fee_msat=quote_link(world.deps, session, "wa_1", AMOUNT_SAT).fee_msat,
        lifetime_s=GIFT_LIFETIME_S,
        idempotency_key="key-1",
    )
    session.rollback()
    code = lnurl.encode(f"http://localhost:{port}/lnurl/w/{made.secret}").bech32
    return made.payout_id, str(code)


def _claim(code: str, invoice: str) -> object:
    """Let the library do all of it."""
    return asyncio.run(lnurl.execute(code, invoice, timeout=TIMEOUT_S))


def test_it_withdraws(tmp_path: Path, databases: Databases) -> None:
    with serving(tmp_path, databases) as (world, port):
        payout_id, code = _link(world, port)
        invoice = world.lightning.foreign_invoice(AMOUNT_MSAT)
        assert isinstance(_claim(code, invoice), LnurlSuccessResponse)
        world.session.rollback()
        assert states(world, payout_id) == ["waiting"]
        world.lightning.plan_payment(Outcome.SETTLED, fee_msat=1_000)
        assert pay_out(world) == 1
        assert states(world, payout_id) == ["settled"]
        assert held(world, chart.wallet("wa_1")) == BALANCE_MSAT - AMOUNT_MSAT - 1_000
        # Who comes later is told why there is nothing.
        late = asyncio.run(lnurl.handle(code, timeout=TIMEOUT_S))
        assert isinstance(late, LnurlErrorResponse)
        assert "taken before" in late.reason
        assert_payouts_sound(world)


def test_it_understands_why_it_may_not_withdraw(tmp_path: Path, databases: Databases) -> None:
    with serving(tmp_path, databases) as (world, port):
        payout_id, code = _link(world, port)
        offer = asyncio.run(lnurl.handle(code, timeout=TIMEOUT_S))
        assert isinstance(offer, LnurlWithdrawResponse)
        assert (offer.min_sats, offer.max_sats) == (AMOUNT_SAT, AMOUNT_SAT)

        def claim(invoice: str) -> str:
            claiming = lnurl.execute_withdraw(offer, invoice, timeout=TIMEOUT_S)
            with pytest.raises(LnurlResponseException) as refused:
                asyncio.run(claiming)
            return str(refused.value)

        # Our terms are enough for it to see that this cannot be.
        assert "not in range" in claim(world.lightning.foreign_invoice(AMOUNT_MSAT + 1_000))
        # Without an amount it asks, and hears it from us.
        assert "over 20,000 sats" in claim(world.lightning.foreign_invoice(None))
        assert states(world, payout_id) == ["offered"]
        taken = lnurl.execute_withdraw(
            offer, world.lightning.foreign_invoice(AMOUNT_MSAT), timeout=TIMEOUT_S
        )
        assert isinstance(asyncio.run(taken), LnurlSuccessResponse)
        assert "taken before" in claim(world.lightning.foreign_invoice(AMOUNT_MSAT))
        world.session.rollback()
        assert states(world, payout_id) == ["waiting"]
        assert_payouts_sound(world)


def test_it_signs_in(tmp_path: Path, databases: Databases) -> None:
    seed = secrets.token_hex(32)
    with serving(tmp_path, databases) as (world, _):
        wallets = [_sign_in(world, seed) for _ in range(2)]
        # The same key opens the same wallet; another one opens another.
        assert wallets[0] == wallets[1]
        assert _sign_in(world, secrets.token_hex(32)) != wallets[0]


def _sign_in(world: LightningWorld, seed: str) -> str:
    """Let the library sign; return the wallet that the key opens."""
    deps, session = world.deps, world.session
    with write_transaction(session):
        new = begin_login(deps, session, WALLETS, LoginPurpose.SIGN_IN, None)
    code = login_lnurl(deps.settings, new.k1, LoginPurpose.SIGN_IN)
    assert _execute(code, seed) == {"kind": "LnurlSuccessResponse", "status": "OK"}
    session.rollback()
    key = login_view(deps, session, WALLETS, new.k1, new.browser_secret).key
    assert key == _key_of(seed)
    session.rollback()
    with write_transaction(session):
        finish_sign_in(
            deps,
            session,
            WALLETS,
            new.k1,
            new.browser_secret,
            "A test",
            lambda: create_wallet(deps, session).id,
        )
    # What was signed once opens nothing again.
    again = _execute(code, seed)
    assert (again["kind"], "used" in again["reason"]) == ("LnurlErrorResponse", True)
    wallet_id = session.scalars(select(LnurlKey.owner_id).where(LnurlKey.key == key)).one()
    session.rollback()
    return wallet_id


def _execute(code: str, seed: str) -> dict[str, str]:
    command = [str(PYTHON), "-c", SIGN, code, seed]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _key_of(seed: str) -> str:
    """Return the key that LUD-05 gives this wallet for our host, worked out here."""
    secret, _ = lnurlauth_derive_linking_key(seed, "localhost")
    return PrivateKey(secret).public_key.format().hex()
