"""One GET of a small JSON document from a server that a stranger has named.

The address comes from a merchant, a reader, or a server that they chose: ``netguard`` says
which ones are asked, and how. Redirects are not followed; time and size are bounded.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager

import httpx

from bitcache_server import netguard
from bitcache_server.domain.errors import LnurlForbidden, LnurlRefused, LnurlUnreachable
from bitcache_server.netguard import NotAllowed

MAX_ANSWER_BYTES = 100_000


class NamesBusy(LnurlUnreachable):
    """Other names keep all threads that look names up: nothing is known of this one."""


def _begin(names: netguard.Names, host: str, port: int | None) -> Future[list[str]]:
    try:
        return names.begin(host, port)
    except netguard.NoFreeThread:
        raise NamesBusy("Many names are being looked up at this moment. Try again soon.") from None


#: Those of wallets' relays, which readers choose.
_relay_names = netguard.Names()


class SafeJson:
    """Fetches JSON. ``allow_local`` also allows loopback, there without TLS: tests, regtest.

    ``timeout_s`` bounds each call as a whole, however slowly the bytes drip. ``own_url`` is
    where this server answers: it never calls itself.
    """

    def __init__(self, timeout_s: float, allow_local: bool, own_url: str = "") -> None:
        self._timeout_s = timeout_s
        self._allow_local = allow_local
        self._names = netguard.Names()
        self._own = self._place(httpx.URL(own_url)) if own_url else None

    def scheme_for(self, host: str) -> str:
        """Return ``https``, or ``http`` for a loopback host where those are allowed."""
        return netguard.scheme_for(host, self._allow_local)

    def get(self, url: str) -> dict[str, object]:
        """Return the object that stands at ``url``.

        Raises LnurlForbidden before anything is sent, when the address is not allowed;
        LnurlUnreachable without a usable answer; LnurlRefused for an answer that is no JSON
        object, or that says ``"status": "ERROR"`` (LUD-01).
        """
        checked = self._checked_url(url)
        return asyncio.run(self._get(checked, _begin(self._names, checked.host, checked.port)))

    def require_allowed(self, url: str) -> None:
        """Return when ``url`` could be asked; nothing is sent to it.

        Its name is resolved. Raises LnurlForbidden for an address that is not allowed, and
        LnurlUnreachable for a name that nobody has.
        """
        checked = self._checked_url(url)
        asyncio.run(self._look_up(checked, _begin(self._names, checked.host, checked.port)))

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
        return "localhost" if netguard.is_loopback_name(host) else host, url.port or 443

    def _checked_url(self, text: str) -> httpx.URL:
        try:
            url = netguard.checked_url(text, self._allow_local)
        except NotAllowed as error:
            raise LnurlForbidden(str(error)) from None
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
        return _allowed(url.host, found, self._allow_local)

    async def _read_from(self, url: httpx.URL, addresses: Sequence[str]) -> bytes:
        return await netguard.in_turn(addresses, lambda address: self._read(url, address))

    async def _read(self, url: httpx.URL, address: str) -> bytes:
        """Connect to ``address`` and talk to it as to the host of ``url``."""
        async with netguard.new_client(self._timeout_s) as client:
            headers = {"Accept": "application/json"}
            answer = await netguard.send(client, "GET", url, address, headers)
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
    looking = _begin(_relay_names, host, port)
    try:
        found = looking.result(timeout_s)
    except TimeoutError:
        raise LnurlUnreachable(f"{host} was not found within {timeout_s:g} s.") from None
    except (OSError, UnicodeError):
        raise LnurlUnreachable(f"There is no server with the name {host}.") from None
    _allowed(host, found, allow_local)


def _allowed(host: str, found: Sequence[str], allow_local: bool) -> Sequence[str]:
    try:
        return netguard.check_addresses(host, found, allow_local)
    except NotAllowed as error:
        raise LnurlForbidden(str(error)) from None


def _why_unread(host: str, error: Exception) -> str:
    """Say in plain words why there was no answer; ``error`` is httpx's or the system's."""
    if netguard.is_tls_fault(error):
        return f"{host} has no certificate that can be trusted, or does not speak TLS."
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
