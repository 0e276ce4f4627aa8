"""Rates over HTTP: public tickers as data, and any other JSON address.

The answer of a ticker is not trusted: it is small, arrives in time, comes from
the host that was asked, and holds one plain positive number. Numbers go from
JSON to Decimal as text and never pass through a binary float.
"""

import asyncio
import json
import re
import ssl
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from urllib.parse import urlsplit

import httpx

from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.domain.money import exponent_of
from bitcache_server.rates.base import RateSourceError

TIMEOUT_S = 4.0
MAX_ANSWER_BYTES = 64 * 1024
#: A path step that stands for the only entry of an object, whatever its name.
ONLY_ENTRY = "*"

_NUMBER = re.compile(r"[0-9]{1,16}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)


@dataclass(frozen=True)
class Ticker:
    """Where a public ticker answers, and where in its answer the price stands.

    ``{currency}`` and ``{currency_lower}`` are filled in, in both parts.
    """

    base_url: str
    path: str
    json_path: str


#: The last trade's price of bitcoin, as these services publish it without a key.
TICKERS = {
    "coinbase": Ticker("https://api.coinbase.com", "/v2/prices/BTC-{currency}/spot", "data.amount"),
    "kraken": Ticker(
        "https://api.kraken.com", "/0/public/Ticker?pair=XBT{currency}", "result.*.c.0"
    ),
    "bitstamp": Ticker("https://www.bitstamp.net", "/api/v2/ticker/btc{currency_lower}/", "last"),
    "coingecko": Ticker(
        "https://api.coingecko.com",
        "/api/v3/simple/price?ids=bitcoin&vs_currencies={currency_lower}",
        "bitcoin.{currency_lower}",
    ),
}


def ticker_source(
    ticker: str, base_url: str = "", timeout_s: float = TIMEOUT_S
) -> "HttpRateSource":
    """Return a built-in source by name; ``base_url`` sends it to a mirror or a test."""
    try:
        known = TICKERS[ticker]
    except KeyError:
        names = ", ".join(TICKERS)
        raise ConfigurationError(f"{ticker[:32]!r} is not a rate source: {names}.") from None
    url = (base_url or known.base_url).rstrip("/") + known.path
    return HttpRateSource(ticker, url, known.json_path, timeout_s)


@dataclass(frozen=True)
class HttpRateSource:
    """One GET of a JSON document that has the price somewhere in it.

    ``json_path`` is a list of names or positions with dots between, ``*`` for the
    only entry of an object: ``result.*.c.0``. Redirects are not followed.
    ``timeout_s`` is for the whole call, however slowly the bytes drip.
    """

    name: str
    url_template: str
    json_path: str
    timeout_s: float = TIMEOUT_S

    def __post_init__(self) -> None:
        parts = urlsplit(self.url_template)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"The rate source {self.name!r} needs an http(s) address.")
        if not self.json_path:
            raise ConfigurationError(f"The rate source {self.name!r} needs a JSON path.")

    def fetch(self, currency: str) -> Decimal:
        """Return the price of one bitcoin in major units; raise RateSourceError."""
        exponent_of(currency)  # Only known codes become part of a URL.
        body = asyncio.run(self._get(_fill(self.url_template, currency)))
        return _price(_at(_parse(body), _fill(self.json_path, currency)))

    async def _get(self, url: str) -> bytes:
        """Return the body, read within the time and size that are allowed.

        Asynchronous because httpx's own limit starts anew with each byte that
        arrives; only a cancelled task is sure to end.
        """
        client = httpx.AsyncClient(
            verify=_tls(), follow_redirects=False, timeout=self.timeout_s,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )  # fmt: skip
        try:
            async with asyncio.timeout(self.timeout_s), client, client.stream("GET", url) as answer:
                return await _read(answer)
        except TimeoutError:
            raise RateSourceError(f"gave no answer within {self.timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RateSourceError(f"could not be read: {type(error).__name__}") from None


async def _read(answer: httpx.Response) -> bytes:
    if answer.status_code != httpx.codes.OK:
        raise RateSourceError(f"answered with HTTP status {answer.status_code}")
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        # A few compressed bytes can become gigabytes; nobody asked for them.
        raise RateSourceError("sent a compressed answer")
    body = b""
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise RateSourceError(f"sent more than {MAX_ANSWER_BYTES} bytes")
    return body


def _fill(template: str, currency: str) -> str:
    """Fill in by replacing: ``str.format`` would obey other braces, too."""
    filled = template.replace("{currency_lower}", currency.lower())
    return filled.replace("{currency}", currency)


def _parse(body: bytes) -> object:
    try:
        return json.loads(body, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        raise RateSourceError("sent something that is not JSON") from None


def _at(document: object, path: str) -> object:
    """Walk down the path; say where it ended, without repeating what was sent."""
    for step in path.split("."):
        if isinstance(document, dict):
            entries = list(document.values())
            only = entries[0] if step == ONLY_ENTRY and len(entries) == 1 else None
            document = document.get(step, only)
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            document = None
        if document is None:
            raise RateSourceError(f"has nothing at {step!r} of {path}")
    return document


def _price(value: object) -> Decimal:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise RateSourceError("sent a price that is not a plain number")
    return Decimal(value)


@cache
def _tls() -> ssl.SSLContext:
    """Read the root certificates once; that takes longer than the call."""
    return httpx.create_ssl_context()
