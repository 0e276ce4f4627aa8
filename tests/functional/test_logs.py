"""Logs: lines that programs can read, and no secret in any of them."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitcache_server.logs import BLOT, Blotter, configure_logs, request_id, secrets_of
from tests.support.databases import Databases
from tests.support.processes import programs
from tests.support.world import make_settings

MACAROON = "0201036c6e64" + "ab" * 40
NODE_URL = "http://user:node-password-1@127.0.0.1:8332"


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    before = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = before
    logging.getLogger("bitcache_server.requests").setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key bcsk_abc_DEF-123 came", "abc_DEF-123"),
        ("key bcak_abc_DEF-123 came", "abc_DEF-123"),
        ("bcgk_0123456789", "0123456789"),
        ("bcop_0123456789", "0123456789"),
        ("whsec_AbC+/0123==", "AbC+/0123"),
        (f"macaroon {MACAROON}", "ab" * 10),
        ("to postgresql://me:pass-word@host/x", "pass-word"),
        ("Authorization: Bearer abcdefgh.ijk", "abcdefgh"),
        ("authorization: basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("nostr+walletconnect://ff?relay=r&secret=cafe", "cafe"),
    ],
)
def test_what_looks_like_a_secret_is_blotted_out(text: str, secret: str) -> None:
    blotted = Blotter().blot(text)
    assert secret not in blotted
    assert BLOT in blotted


def test_other_words_stay() -> None:
    text = "job=watch:lightning failed at https://host.example:443/a?b: bearer of news, 0201"
    assert Blotter().blot(text) == text


def test_secrets_of_the_settings_are_known_by_their_value(tmp_path: Path) -> None:
    settings = make_settings(
        tmp_path,
        "postgresql://me:database-password@host/x",
        node_url=NODE_URL,
        lightning_secret="lightning:rpc-password",
        metrics_token="metrics-token",
        smtp_url="smtps://me:p%20w-mail-pass@mail.example",
    )
    blotter = Blotter(secrets_of(settings))
    for secret in (
        "test-" * 8, "database-password", "node-password-1", "rpc-password", "metrics-token",
        "p%20w-mail-pass",
    ):  # fmt: skip
        assert blotter.blot(f"<{secret}>") == f"<{BLOT}>"


def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_json_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = written(monkeypatch)
    configure_logs(make_settings(tmp_path, log_format="json", node_url=NODE_URL))
    token = request_id.set("abc")
    try:
        raise ValueError("node-password-1 in\nan error")
    except ValueError:
        logging.getLogger("bitcache_server.x").exception("it says %s", "node-password-1\nand more")
    request_id.reset(token)
    [line] = stream.getvalue().splitlines()
    record = json.loads(line)
    assert "node-password-1" not in line
    assert record["msg"] == f"it says {BLOT}\nand more"
    assert (record["level"], record["logger"]) == ("error", "bitcache_server.x")
    assert record["request_id"] == "abc"
    assert record["ts"].endswith("Z")
    assert record["exception"].startswith("Traceback")


def test_text_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = written(monkeypatch)
    for _ in range(2):
        configure_logs(make_settings(tmp_path, node_url=NODE_URL))
    logging.getLogger("bitcache_server.x").warning("it says %s", "node-password-1")
    logging.getLogger("bitcache_server.requests").info("request")
    [line] = stream.getvalue().splitlines()
    assert line.endswith(f"WARNING it says {BLOT}")


def test_requests_of_a_server_in_json(databases: Databases, tmp_path: Path) -> None:
    """Each line is an object; none has a path with an id, a query, or the reader's address."""
    with (
        databases.fresh("sqlite") as url,
        programs(tmp_path, url, rails=["fake"], log_format="json") as shop,
    ):
        shop.serve()
        shop.wait_until_serving()
        shop.ask("GET", "/v1/items/it_hidden?token=do-not-write-this")
        said = shop.said()["serve.err"]
    records = [json.loads(line) for line in said.splitlines()]
    [one] = [r for r in records if r.get("route") == "/v1/items/<item_id>"]
    assert (one["method"], one["status"], one["msg"]) == ("GET", 404, "request")
    assert one["duration_ms"] >= 0
    assert one["request_id"]
    assert not {"it_hidden", "do-not-write-this", "127.0.0.1"} & {
        word for word in ("it_hidden", "do-not-write-this", "127.0.0.1") if word in said
    }
