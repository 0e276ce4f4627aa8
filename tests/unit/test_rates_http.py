import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bitcache_server.domain.errors import ConfigurationError, UnknownCurrency
from bitcache_server.rates.base import RateSourceError
from bitcache_server.rates.http_sources import (
    MAX_ANSWER_BYTES,
    TICKERS,
    HttpRateSource,
    ticker_source,
)

Answer = Callable[[BaseHTTPRequestHandler], None]

# Answers as the services give them, shortened.
REAL_ANSWERS = {
    "coinbase": '{"data":{"amount":"97123.455","base":"BTC","currency":"USD"}}',
    "kraken": '{"error":[],"result":{"XXBTZUSD":{"a":["97123.5","1","1.0"],'
    '"c":["97123.455","0.001"],"p":["1.0","2.0"]}}}',
    "bitstamp": '{"timestamp":"1","open":"1","last":"97123.455","high":"2"}',
    "coingecko": '{"bitcoin":{"usd":97123.455}}',
}
PATHS = {
    "coinbase": "/v2/prices/BTC-USD/spot",
    "kraken": "/0/public/Ticker?pair=XBTUSD",
    "bitstamp": "/api/v2/ticker/btcusd/",
    "coingecko": "/api/v3/simple/price?ids=bitcoin&vs_currencies=usd",
}


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """Serve one answer on loopback; yield the base URL and the list of requested paths."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            try:
                answer(self)
            except OSError:  # The client has gone, as some of these tests want.
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", paths
        finally:
            server.shutdown()
            thread.join()


def saying(body: str | bytes, status: int = 200, **headers: str) -> Answer:
    data = body.encode() if isinstance(body, str) else body

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def dripping(before: bytes) -> Answer:
    """Send something at once and then one byte at a time, so that no read ever times out."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(before)
        for _ in range(100):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)

    return answer


def test_every_ticker_has_a_recorded_answer() -> None:
    assert set(REAL_ANSWERS) == set(PATHS) == set(TICKERS)
    assert all(ticker.base_url.startswith("https://") for ticker in TICKERS.values())


@pytest.mark.parametrize("ticker", sorted(TICKERS))
def test_built_in_tickers(ticker: str) -> None:
    with serving(saying(REAL_ANSWERS[ticker])) as (url, paths):
        source = ticker_source(ticker, base_url=f"{url}/")
        assert source.fetch("USD") == Decimal("97123.455")
    assert source.name == ticker
    assert paths == [PATHS[ticker]]


def test_any_other_address_with_a_json_path() -> None:
    with serving(saying('{"rates":[{"code":"KWD","value":30000.123}]}')) as (url, paths):
        source = HttpRateSource(
            "own", f"{url}/r/{{currency}}?x={{currency_lower}}", "rates.0.value"
        )
        assert source.fetch("KWD") == Decimal("30000.123")
    assert paths == ["/r/KWD?x=kwd"]


def test_numbers_never_pass_through_a_float() -> None:
    with serving(saying('{"p":12345678.123456789012}')) as (url, _):
        assert str(HttpRateSource("x", url, "p").fetch("USD")) == "12345678.123456789012"


@pytest.mark.parametrize("value", ["9.7e4", '"9.7E+4"', "97000", '"97000.00"'])
def test_ways_to_write_a_number(value: str) -> None:
    with serving(saying(f'{{"p":{value}}}')) as (url, _):
        assert HttpRateSource("x", url, "p").fetch("USD") == 97000


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-Infinity", "-1", '"-1"', "true", "null", "[]", "{}", '""', '"abc"',
     '"1,000"', '" 1"', '"1\\n"', '"\\u0661"', '"1e999999999"', "1e999999999", "9" * 60_000,
     '"NaN"', '"0x10"'],
    ids=lambda value: value[:16],
)  # fmt: skip
def test_junk_instead_of_a_price(value: str) -> None:
    with serving(saying(f'{{"p":{value}}}')) as (url, _), pytest.raises(RateSourceError):
        HttpRateSource("x", url, "p").fetch("USD")


@pytest.mark.parametrize(
    "body",
    ["", "no json", '{"p":', "[" * 60_000, b"\xff\xfe\x00", "[]", "5", '{"q":1}',
     '{"p":{"a":1,"b":2}}', '{"p":[]}'],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_junk_instead_of_the_document(body: str | bytes) -> None:
    with serving(saying(body)) as (url, _), pytest.raises(RateSourceError):
        HttpRateSource("x", url, "p.*").fetch("USD")


@pytest.mark.parametrize("status", [204, 400, 404, 429, 500, 503])
def test_other_statuses(status: int) -> None:
    with (
        serving(saying('{"p":1}' if status != 204 else "", status)) as (url, _),
        pytest.raises(RateSourceError, match=str(status)),
    ):
        HttpRateSource("x", url, "p").fetch("USD")


def test_redirects_are_not_followed() -> None:
    with (
        serving(saying('{"p":5}')) as (other, visited),
        serving(saying("", 302, Location=other)) as (url, _),
        pytest.raises(RateSourceError, match="302"),
    ):
        HttpRateSource("x", url, "p").fetch("USD")
    assert visited == []


def test_too_large_an_answer() -> None:
    body = json.dumps({"p": 1, "x": "x" * MAX_ANSWER_BYTES})
    with serving(saying(body)) as (url, _), pytest.raises(RateSourceError, match="more than"):
        HttpRateSource("x", url, "p").fetch("USD")


def test_a_compressed_answer_is_not_inflated() -> None:
    bomb = gzip.compress(b'{"p":1,"x":"' + b"x" * 10_000_000 + b'"}')
    with (
        serving(saying(bomb, Content_Encoding="gzip")) as (url, _),
        pytest.raises(RateSourceError, match="compressed"),
    ):
        HttpRateSource("x", url, "p").fetch("USD")


@pytest.mark.parametrize(
    "before",
    [
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
    ],
)
def test_an_answer_that_drips_ends_in_time(before: bytes) -> None:
    with (
        serving(dripping(before)) as (url, _),
        pytest.raises(RateSourceError, match="no answer within"),
    ):
        HttpRateSource("x", url, "p", timeout_s=0.3).fetch("USD")


def test_nobody_listens() -> None:
    with serving(saying("")) as (url, _):
        pass
    with pytest.raises(RateSourceError, match="ConnectError") as caught:
        HttpRateSource("x", f"{url}/?key=hidden", "p").fetch("USD")
    assert "hidden" not in str(caught.value)


def test_only_known_currencies_reach_a_url() -> None:
    with serving(saying('{"p":1}')) as (url, paths), pytest.raises(UnknownCurrency):
        HttpRateSource("x", f"{url}/{{currency}}", "p").fetch("../admin")
    assert paths == []


@pytest.mark.parametrize("url", ["", "ftp://x/", "file:///etc/passwd", "http://", "x", "//host/"])
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        HttpRateSource("x", url, "p")


def test_configuration_mistakes() -> None:
    with pytest.raises(ConfigurationError, match="coinbase"):
        ticker_source("mtgox")
    with pytest.raises(ConfigurationError, match="JSON path"):
        HttpRateSource("x", "https://example.org/", "")
