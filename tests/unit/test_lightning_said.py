"""Words of a node are passed on to the operator, but never a secret that it repeats."""

import base64
import functools
import json

import httpx
import pytest

from bitcache_server.domain.errors import RailError
from bitcache_server.rails.lightning import electrum_api, lnd, phoenixd
from bitcache_server.rails.lightning.backend import BackendSettings

MACAROON, PAYING = "0201036c6e64" + "a1" * 40, "0201036c6e64" + "b2" * 40
NOWHERE = "00" * 32


def _settings(secret: str, payout_secret: str, url: str) -> BackendSettings:
    return BackendSettings(url, secret, payout_secret, "", 5, False)


@pytest.fixture
def repeating(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every node repeat what it was sent, in a refusal; return what was sent."""
    heard: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        names = ("grpc-metadata-macaroon", "authorization")
        sent = next(request.headers[name] for name in names if name in request.headers)
        heard.append(sent)
        decoded = base64.b64decode(sent.partition(" ")[2]).decode() if " " in sent else sent
        words = f"no, not {sent}, which is {decoded}"
        # A refusal with a status, and one in an answer that goes on.
        streamed = "/router/" in request.url.path
        error = {"error": {"message": words, "code": 2}, "message": words}
        status = 200 if streamed or request.url.path == "/" else 400
        return httpx.Response(status, content=json.dumps(error).encode())

    made = functools.partial(httpx.Client, transport=httpx.MockTransport(answer))
    monkeypatch.setattr("bitcache_server.rails.lightning.rest.httpx.Client", made)
    return heard


def test_lnd_repeats_its_macaroons(repeating: list[str]) -> None:
    backend = lnd.LndBackend(_settings(MACAROON, PAYING, "https://node.test"))
    with pytest.raises(RailError) as refused:
        backend.lookup_invoice(NOWHERE)
    said = [refused.value.detail, backend.lookup_payment(NOWHERE).detail]
    assert repeating == [MACAROON, PAYING]
    for words in said:
        assert "no, not (secret), which is (secret)" in words


def test_electrum_repeats_its_password(repeating: list[str]) -> None:
    secret = "bitcache:correct-horse-battery"
    api = electrum_api.ElectrumApi(_settings(secret, "", "http://node.test"))
    with pytest.raises(RailError) as refused:
        api.call("getinfo")
    assert repeating == [f"Basic {base64.b64encode(secret.encode()).decode()}"]
    assert "no, not Basic (secret), which is (secret)" in refused.value.detail


def test_phoenixd_repeats_its_password(repeating: list[str]) -> None:
    backend = phoenixd.PhoenixdBackend(_settings("a-limited-password", "", "http://node.test"))
    with pytest.raises(RailError) as refused:
        backend.lookup_invoice(NOWHERE)
    assert len(repeating) == 1
    assert "no, not Basic (secret), which is :(secret)" in refused.value.detail


def test_short_words_are_left_alone(repeating: list[str]) -> None:
    """A password such as this one is no secret, and would hide what the node says."""
    api = electrum_api.ElectrumApi(_settings("user:not", "", "http://node.test"))
    with pytest.raises(RailError) as refused:
        api.call("getinfo")
    assert "no, not Basic (secret), which is" in refused.value.detail
