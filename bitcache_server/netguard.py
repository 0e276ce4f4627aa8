"""How this server talks to addresses that strangers have named.

Such an address may point anywhere: at our own database, at a cloud's secrets, at nothing
that ever answers. So the name is resolved once, each of its addresses must be public, and
the connection goes to the very address that was checked: a second look at the name could
bring another answer. TLS and the ``Host`` header keep the name. Redirects are never followed
by themselves; whoever follows one checks its address anew.
"""

import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TypeVar

import httpx

T = TypeVar("T")

MAX_URL_CHARS = 2_000
#: Names that are looked up at once, and how long another one waits for its turn.
MOST_LOOK_UPS = 8
LOOK_UP_WAIT_S = 1.0
#: A name with more addresses than this is not tried to the end.
MAX_TRIES = 3
#: Global unicast (RFC 4291); all else has a purpose that is not "a server on the net".
_GLOBAL_IPV6 = IPv6Network("2000::/3")
#: 6to4 (RFC 3056) carries an IPv4 address inside, which could be a private one.
_6TO4 = IPv6Network("2002::/16")


class NotAllowed(Exception):
    """The address is none that we talk to; the text says why, for people."""


class NoFreeThread(Exception):
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
        """Return the look-up, under way; raise NoFreeThread when none becomes free soon."""
        if not self._free.acquire(timeout=LOOK_UP_WAIT_S):
            raise NoFreeThread
        looking = self._threads.submit(_lookup, host, port)
        looking.add_done_callback(lambda _: self._free.release())
        return looking


def checked_url(text: str, allow_local: bool) -> httpx.URL:
    """Return an address whose form is allowed; raise NotAllowed. Nobody is asked.

    ``allow_local`` also allows loopback, there without TLS.
    """
    try:
        url = httpx.URL(text) if len(text) <= MAX_URL_CHARS else httpx.URL("")
    except (httpx.InvalidURL, ValueError):
        raise NotAllowed("That is no address on the web.") from None
    if not url.host or not 0 < (url.port or 443) < 65_536:
        raise NotAllowed("That is no address on the web.")
    if url.userinfo:
        raise NotAllowed("An address with a user name or password is not followed.")
    if url.host.endswith(".onion"):
        raise NotAllowed("Addresses in the Tor network are not followed.")
    if url.scheme != "https" and url.scheme != scheme_for(url.host, allow_local):
        raise NotAllowed("Only https addresses are followed.")
    return url


def scheme_for(host: str, allow_local: bool) -> str:
    """Return ``https``, or ``http`` for a loopback host where those are allowed."""
    return "http" if allow_local and is_loopback_name(host) else "https"


def check_addresses(host: str, found: Sequence[str], allow_local: bool) -> Sequence[str]:
    """Return those addresses of a host that are tried; raise NotAllowed for an internal one."""
    for text in found:
        address = ip_address(text)
        if not (_is_public(address) or (allow_local and address.is_loopback)):
            raise NotAllowed(f"{host} is an internal address.")
    return found[:MAX_TRIES]


def new_client(timeout_s: float) -> httpx.AsyncClient:
    """Return a client for one call.

    Proxies of the environment are left out: they would resolve the name again.
    """
    return httpx.AsyncClient(
        verify=_tls(), follow_redirects=False, trust_env=False, timeout=timeout_s,
        # A few compressed bytes can become gigabytes; nobody asks for them.
        headers={"Accept-Encoding": "identity"},
    )  # fmt: skip


async def in_turn(addresses: Sequence[str], call: Callable[[str], Awaitable[T]]) -> T:
    """Return what the call of the first address brings that takes a connection.

    Raises httpx.ConnectError or ConnectTimeout of the last one where none does.
    """
    failure: httpx.TransportError = httpx.ConnectError("no address")
    for address in addresses:
        try:
            return await call(address)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failure = error
    raise failure


async def send(
    client: httpx.AsyncClient,
    method: str,
    url: httpx.URL,
    address: str,
    headers: Mapping[str, str],
    content: bytes | None = None,
) -> httpx.Response:
    """Connect to ``address`` and talk to it as to the host of ``url``.

    The answer's body is unread; the caller closes it. Raises httpx.HTTPError.
    """
    request = client.build_request(
        method,
        url.copy_with(host=address),
        headers={**headers, "Host": url.netloc.decode("ascii")},
        content=content,
        extensions={"sni_hostname": url.raw_host.decode("ascii")},
    )
    return await client.send(request, stream=True)


def is_tls_fault(error: BaseException) -> bool:
    """Say whether a call failed for its certificate, or because nobody spoke TLS."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def is_loopback_name(host: str) -> bool:
    """Say whether a host is this very machine by its name alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def literal_address(host: str) -> str | None:
    """Return the address that a host is spelt as, or None for a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    # Outside of that block stand the forms that wrap an IPv4 address (mapped, NAT64).
    plain = address.version == 4 or (address in _GLOBAL_IPV6 and address not in _6TO4)
    return plain and address.is_global and not address.is_multicast


def _lookup(host: str, port: int | None) -> list[str]:
    found = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    # The scope of a link-local address ("%eth0") is no part of it.
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


@cache
def _tls() -> ssl.SSLContext:
    """Read the root certificates once; that takes longer than the call."""
    return httpx.create_ssl_context()
