"""Return addresses: only the site's own origins, whatever tricks an address plays."""

from urllib.parse import urlsplit

import pytest

from bitcache_server.domain.errors import ReturnUrlRefused
from bitcache_server.services.return_urls import MAX_URL_CHARS, split_address


@pytest.mark.parametrize(
    ("url", "origin", "rest"),
    [
        ("https://shop.example/done?order=1#top", "https://shop.example", "/done?order=1#top"),
        ("https://shop.example", "https://shop.example", "/"),
        ("https://shop.example?order=1", "https://shop.example", "/?order=1"),
        ("HTTPS://Shop.Example:443/Done", "https://shop.example", "/Done"),
        ("http://localhost:8000/a", "http://localhost:8000", "/a"),
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443", "/"),
        ("https://shop.example/?to=https://evil.example", "https://shop.example", None),
        ("https://shop.example//evil.example", "https://shop.example", "//evil.example"),
        ("https://shop.example/me@home", "https://shop.example", "/me@home"),
    ],
)
def test_plain_addresses_are_read(url: str, origin: str, rest: str | None) -> None:
    found = split_address(url)
    assert found[0] == origin
    if rest is not None:
        assert found[1] == rest
    assert urlsplit("".join(found)).netloc == origin.partition("://")[2]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/done",
        "//evil.example/done",
        "\\\\evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "https:\\\\evil.example",
        "https://shop.example\\@evil.example",
        "https://shop.example\\.evil.example/",
        "https://shop.example@evil.example/",
        "https://shop.example:443@evil.example/",
        "https://user:password@shop.example/",
        "https://@shop.example/",
        " https://shop.example/",
        "https://shop.example/ x",
        "https://shop.example/\n",
        "https://shop.example/\r\nSet-Cookie: a=b",
        "https://shop.example/\tx",
        "ht\ntps://shop.example/",
        "https://shop.example/\x00",
        "https://shop.example/\x7f",
        "https://shop.example\u3002evil.example/",
        "https://shop.example\uff0fevil.example/",
        "https://sh\u00f6p.example/",
        "https://*.example/",
        "https://shop.example:99999/",
        "https://shop.example:x/",
        "https://[shop.example/",
        "https://[::1",
        "javascript:alert(1)",
        "javascript://shop.example/%0aalert(1)",
        "data:text/html,x",
        "ftp://shop.example/",
        "https://",
        "https://?x",
        "https://#x",
        "https://:443/",
        'https://shop.example/"><script>',
        "https://shop.example/" + "a" * MAX_URL_CHARS,
    ],
)
def test_tricks_are_refused(url: str) -> None:
    with pytest.raises(ReturnUrlRefused):
        split_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example.evil.example/",
        "https://shop.example./",
        "https://shop.example:8443/",
        "https://shop.example%2eevil.example/",
        "https://shop.example%40evil.example/",
        "https://evil.example/https://shop.example/",
        "https://evil.example#https://shop.example/",
        "https://evil.example?https://shop.example/",
        "http://shop.example/",
    ],
)
def test_lookalikes_have_another_origin(url: str) -> None:
    try:
        origin, _ = split_address(url)
    except ReturnUrlRefused:
        return
    assert origin != "https://shop.example"
