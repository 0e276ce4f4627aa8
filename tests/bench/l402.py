"""L402 tokens checked a second: through HTTP with the article behind them, and alone."""

import hashlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bitcache_server.tokens.codec import unverified_claims
from bitcache_server.tokens.l402 import L402Claims, check_l402, issue_l402
from tests.bench.server import requests_per_second, served
from tests.bench.stock import SECRET_KEY, Stock, stocked
from tests.bench.table import Row, in_turns

CHECKS = 2_000


def measure(seconds: float) -> Sequence[Row]:
    """Return the rows of L402."""
    with TemporaryDirectory() as folder, stocked(f"sqlite:///{Path(folder, 'bench.db')}") as stock:
        token, preimage = _bought(stock)
        article = f"/v1/content/{stock.article_id}"
        l402 = f'wrk.headers["Authorization"] = "L402 {token}:{preimage}"'
        grant = f'wrk.headers["Authorization"] = "Bearer {stock.grant}"'
        with (
            served("tests.bench.empty:create_app", {}) as empty,
            served("bitcache_server.app:create_app", stock.environment) as ours,
        ):
            nothing, grants, tokens = in_turns(
                lambda: requests_per_second(empty, seconds),
                lambda: requests_per_second(f"{ours}{article}", seconds, grant),
                lambda: requests_per_second(f"{ours}{article}", seconds, l402),
            )
        alone = _checks_per_second(stock)
    what = "articles opened by L402 a second, through HTTP"
    return [
        Row(what, f"{tokens:,.0f}", f"empty Flask route: {nothing:,.0f}", tokens / nothing, ""),
        Row(what, f"{tokens:,.0f}", f"the same by a grant: {grants:,.0f}", tokens / grants, ""),
        Row(
            "new L402 tokens checked a second, in one thread",
            f"{alone:,.0f}",
            f"empty Flask route: {nothing:,.0f}",
            alone / nothing,
            "",
        ),
    ]


def _bought(stock: Stock) -> tuple[str, str]:
    """Return a token for the stock's article, and its preimage."""
    preimage = secrets.token_bytes(32)
    claims = L402Claims(
        payment_hash=hashlib.sha256(preimage).hexdigest(),
        invoice=str(unverified_claims(stock.grant)["h"]),
        item=stock.article_id,
        amount_msat=5_000_000,
        expires_at=int(time.time()) + 86_400,
        max_uses=None,
    )
    return issue_l402(SECRET_KEY, stock.environment["BITCACHE_PUBLIC_URL"], claims), preimage.hex()


def _checks_per_second(stock: Stock) -> float:
    """Return how many tokens that were never seen before are checked a second."""
    bought, now = [_bought(stock) for _ in range(CHECKS)], int(time.time())
    began = time.perf_counter()
    for token, preimage in bought:
        check_l402(SECRET_KEY, token, preimage, item=stock.article_id, now=now)
    return CHECKS / (time.perf_counter() - began)
