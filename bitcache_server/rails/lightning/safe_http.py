"""One GET of a small JSON document from a server that a stranger has named.

The address comes from a merchant, a reader, or a server that they chose, and so may point
anywhere: at our own database, at a cloud's secrets, at nothing that ever answers. The name
is resolved once, each of its addresses must be public, and the connection goes to the very
address that was checked: a second look at the name could bring another answer. TLS and the
``Host`` header keep the name. Redirects are not followed; time and size are bounded.
"""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx

from bitcache_server.domain.errors import LnurlForbidden, LnurlRefused, LnurlUnreachable

MAX_ANSWER_BYTES = 100_000
MAX_URL_CHARS = 2_000
#: Names that are looked up at once, and how long another one waits for its turn.
MOST_LOOK_UPS = 8
LOOK_UP_WAIT_S = 1.0
#: A name with more addresses than this is not tried to the end.
_MAX_TRIES = 3
#: Global unicast (RFC 4291); all else has a purpose that is not "a server on the net".
_GLOBAL_IPV6 = IPv6Network("2000::/3")
#: 6to4 (RFC 3056) carries an IPv4 address inside, which could be a private one.
_6TO4 = IPv6Network("2002::/16")


class NamesBusy(LnurlUnreachable):
    """Other names keep all threads that look names up: nothing is known of this one."""


class Names:
    """Looks names up in threads of its own, a few at once.

    The system's look-up cannot be ended: whoever waits for it leaves in time, and the thread
    stays with a name server that is silent on purpose, for a minute even. So those who ask
    for different people's sake have a ``Names`` each.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MOST_LOOK_UPS, thread_name_prefix="names")
        self._free = threading.BoundedSemaphore(MOST_LOOK_UPS)

    def begin(self, host: str, port: int | None) -> Future[list[str]]:
        """Return the look-up, under way; raise NamesBusy when no thread becomes free soon."""
        if not self._free.acquire(timeout=LOOK_UP_WAIT_S):
            raise NamesBusy("Many names are being looked up at this moment. Try again soon.")
        looking = self._threads.submit(_lookup, host, port)
        looking.add_done_callback(lambda _: self._free.release())
        return looking


#: Those of wallets' relays, which readers choose.
_relay_names = Names()


class SafeJson:
    """Fetches JSON. ``allow_local`` also allows loopback, there without TLS: tests, regtest.

    ``timeout_s`` bounds each call as a whole, however slowly the bytes drip. ``own_url`` is
    where this server answers: it never calls itself.
    """

    def __init__(self, timeout_s: float, allow_local: bool, own_url: str = "") -> None:
        self._timeout_s = timeout_s
        self._allow_local = allow_local
        self._names = Names()
        self._own = self._place(httpx.URL(own_url)) if own_url else None

    def scheme_for(self, host: str) -> str:
        """Return ``https``, or ``http`` for a loopback host where those are allowed."""
        return "http" if self._allow_local and _is_loopback_name(host) else "https"

    def get(self, url: str) -> dict[str, object]:
        """Return the object that stands at ``url``.

        Raises LnurlForbidden before anything is sent, when the address is not allowed;
        LnurlUnreachable without a usable answer; LnurlRefused for an answer that is no JSON
        object, or that says ``"status": "ERROR"`` (LUD-01).
        """
        checked = self._checked_url(url)
        return asyncio.run(self._get(checked, self._names.begin(checked.host, checked.port)))

    def require_allowed(self, url: str) -> None:
        """Return when ``url`` could be asked; nothing is sent to it.

        Its name is resolved. Raises LnurlForbidden for an address that is not allowed, and
        LnurlUnreachable for a name that nobody has.
        """
        checked = self._checked_url(url)
        asyncio.run(self._look_up(checked, self._names.begin(checked.host, checked.port)))

    def is_own(self, text: str) -> bool:
        """Return whether an address on the web is that of this very server; asks nobody."""
        try:
            return self._own is not None and self._place(httpx.URL(text)) == self._own
        except (httpx.InvalidURL, ValueError):
            return False

    def _place(self, url: httpx.URL) -> tuple[str, int]:
        """Return what two addresses of one server have in common: the host.

        On one's own machine a port is a server of its own. One that is left out is that of
        https, for so Lightning addresses mean it (LUD-16).
        """
        host = url.raw_host.decode("ascii").rstrip(".")
        if not self._allow_local:
            return host, 0
        return "localhost" if _is_loopback_name(host) else host, url.port or 443

    def _checked_url(self, text: str) -> httpx.URL:
        try:
            url = httpx.URL(text) if len(text) <= MAX_URL_CHARS else httpx.URL("")
        except (httpx.InvalidURL, ValueError):
            raise LnurlForbidden("That is no address on the web.") from None
        if not url.host or not 0 < (url.port or 443) < 65_536:
            raise LnurlForbidden("That is no address on the web.")
        if url.userinfo:
            raise LnurlForbidden("An address with a user name or password is not followed.")
        if url.host.endswith(".onion"):
            raise LnurlForbidden("Addresses in the Tor network are not followed.")
        if url.scheme != "https" and url.scheme != self.scheme_for(url.host):
            raise LnurlForbidden("Only https addresses are followed.")
        if self._place(url) == self._own:
            # A call that waits for one of our own threads may wait for ever.
            raise LnurlForbidden(f"{url.host} is this very server, which never calls itself.")
        return url

    async def _look_up(self, url: httpx.URL, looking: Future[list[str]]) -> None:
        async with self._in_time(url):
            await self._resolve(url, looking)

    async def _get(self, url: httpx.URL, looking: Future[list[str]]) -> dict[str, object]:
        try:
            async with self._in_time(url):
                addresses = await self._resolve(url, looking)
                return _object(await self._read_from(url, addresses))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise LnurlUnreachable(_why_unread(url.host, error)) from None

    @asynccontextmanager
    async def _in_time(self, url: httpx.URL) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError:
            raise LnurlUnreachable(
                f"{url.host} gave no answer within {self._timeout_s:g} s."
            ) from None

    async def _resolve(self, url: httpx.URL, looking: Future[list[str]]) -> Sequence[str]:
        """Return the host's addresses; raise LnurlForbidden when one of them is internal."""
        try:
            found = await asyncio.wrap_future(looking)
        except (OSError, UnicodeError):
            raise LnurlUnreachable(f"There is no server with the name {url.host}.") from None
        for address in found:
            if not self._may_connect(address):
                raise LnurlForbidden(f"{url.host} is an internal address.")
        return found[:_MAX_TRIES]

    def _may_connect(self, text: str) -> bool:
        address = ip_address(text)
        if self._allow_local and address.is_loopback:
            return True
        return _is_public(address)

    async def _read_from(self, url: httpx.URL, addresses: Sequence[str]) -> bytes:
        failure: httpx.HTTPError = httpx.ConnectError("no address")
        for address in addresses:
            try:
                return await self._read(url, address)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _read(self, url: httpx.URL, address: str) -> bytes:
        """Connect to ``address`` and talk to it as to the host of ``url``.

        Proxies of the environment are left out: they would resolve the name again.
        """
        client = httpx.AsyncClient(
            verify=_tls(), follow_redirects=False, trust_env=False, timeout=self._timeout_s,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )  # fmt: skip
        request = client.build_request(
            "GET",
            url.copy_with(host=address),
            headers={"Host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        async with client:
            answer = await client.send(request, stream=True)
            try:
                return await _body(answer, url.host)
            finally:
                await answer.aclose()


def check_public_host(host: str, port: int, allow_local: bool, timeout_s: float) -> None:
    """Raise LnurlForbidden when one of a host's addresses is internal.

    For what connects by itself and may resolve the name once more: there only TLS with a
    certificate for that very name keeps it from somewhere else. Raises LnurlUnreachable for
    a name that nobody has, or that is not found within ``timeout_s``.
    """
    looking = _relay_names.begin(host, port)
    try:
        found = looking.result(timeout_s)
    except TimeoutError:
        raise LnurlUnreachable(f"{host} was not found within {timeout_s:g} s.") from None
    except (OSError, UnicodeError):
        raise LnurlUnreachable(f"There is no server with the name {host}.") from None
    for text in found:
        address = ip_address(text)
        if not (_is_public(address) or (allow_local and address.is_loopback)):
            raise LnurlForbidden(f"{host} is an internal address.")


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    # Outside of that block stand the forms that wrap an IPv4 address (mapped, NAT64).
    plain = address.version == 4 or (address in _GLOBAL_IPV6 and address not in _6TO4)
    return plain and address.is_global and not address.is_multicast


def _is_loopback_name(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _lookup(host: str, port: int | None) -> list[str]:
    found = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    # The scope of a link-local address ("%eth0") is no part of it.
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


@cache
def _tls() -> ssl.SSLContext:
    """Read the root certificates once; that takes longer than the call."""
    return httpx.create_ssl_context()


def _why_unread(host: str, error: Exception) -> str:
    """Say in plain words why there was no answer; ``error`` is httpx's or the system's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"{host} has no certificate that can be trusted, or does not speak TLS."
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return f"No server listens at {host}, or it cannot be reached from here."
    if isinstance(error, httpx.TimeoutException):
        return f"{host} gave no answer in time."
    return f"{host} answered with something that is no HTTP, or broke the connection off."


async def _body(answer: httpx.Response, host: str) -> bytes:
    if answer.is_redirect:
        raise LnurlForbidden(f"{host} sends us to another address, which is not followed.")
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        # A few compressed bytes can become gigabytes; nobody asked for them.
        raise LnurlRefused(f"{host} sent a compressed answer.")
    body = b""
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise LnurlRefused(f"{host} sent more than {MAX_ANSWER_BYTES} bytes.")
    if not answer.is_success and not body.lstrip().startswith(b"{"):
        # With a body it may be an error of LUD-01, which says more than the number.
        raise LnurlUnreachable(f"{host} answered with HTTP status {answer.status_code}.")
    return body


def _object(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise LnurlRefused("The answer is not JSON.") from None
    if not isinstance(document, dict):
        raise LnurlRefused("The answer is no JSON object.")
    if str(document.get("status", "")).upper() == "ERROR":
        reason = str(document.get("reason", ""))
        # Somebody else's words: shortened, one line, shown as text only.
        words = "".join(c for c in reason if c.isprintable())[:200]
        raise LnurlRefused(f"It says: {words or 'error'}")
    return document
