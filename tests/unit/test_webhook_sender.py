"""Where webhooks are sent, and where never: after resolution, redirects and rebinding.

127.0.0.2 plays a server on the net here, and 127.0.0.1 our own machine.
"""

import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from bitcache_server import netguard
from bitcache_server.delivery.webhook import ERRORS, Message, Result, WebhookSender
from tests.support.certificates import certificate_for
from tests.support.receivers import Receiver, receiver, saying

PUBLIC, INTERNAL = "127.0.0.2", "127.0.0.1"
SECRET = "whsec_" + "A" * 43 + "="
MESSAGE = Message("ev_1", 1_800_000_000, '{"type":"test"}', [SECRET])


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return the addresses of each name: of several, the next look-up gets the next."""
    known = {"shop.test": [PUBLIC], "inner.test": [INTERNAL]}

    def lookup(host: str, port: int | None) -> list[str]:
        if host not in known:
            return [host] if host[0].isdigit() else _unknown(host)
        answers = known[host]
        return [answers.pop(0) if len(answers) > 1 else answers[0]]

    def is_public(address: IPv4Address | IPv6Address) -> bool:
        return str(address) == PUBLIC

    monkeypatch.setattr(netguard, "_lookup", lookup)
    monkeypatch.setattr(netguard, "_is_public", is_public)
    return known


def _unknown(host: str) -> list[str]:
    raise socket.gaierror(host)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Give a server of a name on the net, with a certificate that is trusted."""
    made = certificate_for(tmp_path, "shop.test")
    trusting = ssl.create_default_context(cafile=str(made.authority))
    monkeypatch.setattr(netguard, "_tls", lambda: trusting)
    with receiver(PUBLIC, made) as server:
        yield server


def send(url: str, timeout_s: float = 10, *, local: bool = False) -> Result:
    result = WebhookSender(timeout_s, allow_local=local).send(url, MESSAGE)
    assert result.error in ("", *ERRORS)
    return result


def test_tls_and_host_keep_the_name(names: dict[str, list[str]], shop: Receiver) -> None:
    result = send(f"https://shop.test:{shop.port}/hook?a=1")
    assert (result.status, result.error, result.answer) == (200, "", "thanks")
    [one] = shop.received
    assert one.path == "/hook?a=1"
    assert one.headers["host"] == f"shop.test:{shop.port}"
    assert one.body == MESSAGE.body
    assert one.headers["webhook-timestamp"] == "1800000000"
    assert one.headers["user-agent"].startswith("Bitcache/")


def test_a_certificate_for_another_name(names: dict[str, list[str]], shop: Receiver) -> None:
    names["other.test"] = [PUBLIC]
    assert send(f"https://other.test:{shop.port}/").error == "tls"
    assert shop.received == []


@pytest.mark.parametrize("host", ["inner.test", INTERNAL, "localhost"])
def test_an_internal_address(names: dict[str, list[str]], host: str) -> None:
    names["localhost"] = [INTERNAL]
    with receiver() as inner:
        assert send(f"https://{host}:{inner.port}/").error == "internal_address"
        assert inner.received == []


def test_a_name_of_which_one_address_is_internal(
    names: dict[str, list[str]], shop: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netguard, "_lookup", lambda host, port: [PUBLIC, "10.0.0.7"])
    assert send(f"https://shop.test:{shop.port}/").error == "internal_address"
    assert shop.received == []


def test_a_name_that_changes_its_address_between_check_and_call(
    names: dict[str, list[str]], shop: Receiver
) -> None:
    """The first look-up counts; the second answer would be our own machine."""
    names["shop.test"] = [PUBLIC, INTERNAL]
    with receiver() as inner:
        url = f"https://shop.test:{shop.port}/"
        assert send(url).error == ""
        assert names["shop.test"] == [INTERNAL]
        assert send(url).error == "internal_address"
        assert (len(shop.received), inner.received) == (1, [])


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("host", ["inner.test", INTERNAL])
def test_a_redirect_inside(
    names: dict[str, list[str]], shop: Receiver, host: str, status: int
) -> None:
    with receiver() as inner:
        shop.answer = saying(status, Location=f"https://{host}:{inner.port}/admin")
        assert send(f"https://shop.test:{shop.port}/").error == "internal_address"
        shop.answer = saying(status, Location=f"http://shop.test:{shop.port}/")
        assert send(f"https://shop.test:{shop.port}/").error == "internal_address"
        assert inner.received == []


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_of_the_same_call_is_followed(
    names: dict[str, list[str]], shop: Receiver, status: int
) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        moved = handler.path != "/c"
        following = chr(ord(handler.path[1]) + 1)
        saying(status if moved else 200, Location=f"/{following}" if moved else "")(handler)

    shop.answer = answer
    assert send(f"https://shop.test:{shop.port}/a").status == 200
    assert [one.path for one in shop.received] == ["/a", "/b", "/c"]
    assert {(one.body, one.headers["webhook-signature"]) for one in shop.received} == {
        (MESSAGE.body, shop.received[0].headers["webhook-signature"])
    }


def test_a_redirect_without_end(names: dict[str, list[str]], shop: Receiver) -> None:
    shop.answer = saying(307, Location="/again")
    result = send(f"https://shop.test:{shop.port}/")
    assert (result.status, result.error) == (307, "redirect")
    assert len(shop.received) == 4


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307])
def test_another_redirect_is_a_failure(
    names: dict[str, list[str]], shop: Receiver, status: int
) -> None:
    location = {} if status == 307 else {"Location": "/elsewhere"}
    shop.answer = saying(status, b"", **location)
    result = send(f"https://shop.test:{shop.port}/")
    assert (result.status, result.error) == (status, "redirect")
    assert len(shop.received) == 1


@pytest.mark.parametrize("status", [204, 400, 404, 500])
def test_only_2xx_is_taken(names: dict[str, list[str]], shop: Receiver, status: int) -> None:
    shop.answer = saying(status, b"")
    result = send(f"https://shop.test:{shop.port}/")
    assert (result.status, result.error) == (status, "" if status == 204 else "status")


def test_who_is_not_there(names: dict[str, list[str]], shop: Receiver) -> None:
    assert send("https://nobody.test/").error == "no_name"
    # Nothing ever listens on port 1.
    assert send("https://shop.test:1/").error == "unreachable"
    with socket.create_server((PUBLIC, 0)) as silent:
        assert send(f"https://shop.test:{silent.getsockname()[1]}/", 0.2).error == "timeout"


def test_something_else_than_http() -> None:
    with socket.create_server((INTERNAL, 0)) as odd:
        thread = threading.Thread(target=_speak_oddly, args=(odd,))
        thread.start()
        port = odd.getsockname()[1]
        assert send(f"http://127.0.0.1:{port}/", local=True).error == "bad_answer"
        thread.join()


def _speak_oddly(odd: socket.socket) -> None:
    made, _ = odd.accept()
    with made:
        made.recv(65_536)
        made.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")


def test_an_answer_that_drips_counts_by_its_status() -> None:
    go_on = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"wait")
        assert go_on.wait(60)

    with receiver() as server:
        server.answer = drip
        result = send(server.url, 0.5, local=True)
        go_on.set()
        assert (result.status, result.error, result.answer) == (200, "", "wait")


def test_names_that_hang_keep_the_names_of_the_doubtful_only(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def lookup(host: str, port: int | None) -> list[str]:
        assert not host.endswith(".slow.test") or go_on.wait(60)
        return [INTERNAL]

    monkeypatch.setattr(netguard, "_lookup", lookup)
    monkeypatch.setattr(netguard, "LOOK_UP_WAIT_S", 0.0)
    sender = WebhookSender(0.05, allow_local=True)
    try:
        for number in range(netguard.MOST_LOOK_UPS):
            hung = sender.send(f"https://n{number}.slow.test/", MESSAGE, doubtful=True)
            assert hung.error == "timeout"
        monkeypatch.setattr(sender, "_timeout_s", 30)
        with receiver() as server:
            assert sender.send(server.url, MESSAGE, doubtful=True).error == "names_busy"
            assert sender.send(server.url, MESSAGE).error == ""
    finally:
        go_on.set()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7), ("Fri, 15 Jan 2027 08:00:30 GMT", 30), ("Thu, 14 Jan 2027 08:00:00 GMT", 0),
        ("soon", None), ("-1", None), ("9" * 30, None),
    ],
)  # fmt: skip
def test_retry_after(text: str, seconds: int | None) -> None:
    with receiver() as server:
        server.answer = saying(503, Retry_After=text)
        assert send(server.url, local=True).retry_after_s == seconds
