"""One webhook on its way: signed, sent to a checked address, and what came back.

By the Standard Webhooks specification
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
The receiver is a stranger's server: ``netguard`` says which ones are talked to, time and size
are bounded, and nothing that it does raises an error here.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from standardwebhooks.webhooks import Webhook

from bitcache_server import __version__, netguard

#: What is read of an answer, and what is kept of it.
MAX_ANSWER_BYTES = 65_536
MAX_KEPT_BYTES = 2_048
MAX_REDIRECTS = 3
#: These alone say that the same call is wanted at another place (RFC 9110 section 15.4).
_SAME_CALL = (307, 308)


@dataclass(frozen=True)
class Message:
    """What is sent. ``timestamp`` is when it is sent, in seconds; each secret signs it."""

    id: str
    timestamp: int
    body: str
    secrets: Sequence[str]


@dataclass(frozen=True)
class Result:
    """What became of it. ``error`` is empty when the receiver took it, else one of ERRORS."""

    status: int | None
    error: str
    answer: str
    duration_ms: int
    retry_after_s: int | None = None
    """How long the receiver asks to be left alone."""


#: What each code means is said to people by the dashboard.
ERRORS = (
    "bad_answer",
    "internal_address",
    "names_busy",
    "no_name",
    "redirect",
    "secret_unreadable",
    "status",
    "timeout",
    "tls",
    "unreachable",
)


class _Failed(Exception):
    def __init__(self, error: str, status: int | None = None) -> None:
        super().__init__(error)
        self.error, self.status = error, status


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes
    location: str
    retry_after: str


#: The sender's own time limit is so much shorter than what a call may take.
_SOONER_S = 0.05


class WebhookSender:
    """Sends. ``timeout_s`` bounds each call as a whole, with its redirects.

    ``allow_local`` also allows loopback, there without TLS: tests and the demo.
    """

    def __init__(self, timeout_s: float, allow_local: bool) -> None:
        self._timeout_s = timeout_s
        self._allow_local = allow_local
        #: Those whose names have not hung so far do not wait for the others' names.
        self._names = {False: netguard.Names(), True: netguard.Names()}

    def send(self, url: str, message: Message, *, doubtful: bool = False) -> Result:
        """Send and return what came of it. ``doubtful`` receivers have failed or were slow."""
        began = time.monotonic()
        try:
            answer = asyncio.run(self._follow(url, message, doubtful))
        except _Failed as failed:
            return Result(failed.status, failed.error, "", _ms_since(began))
        error = "" if 200 <= answer.status < 300 else "status"
        if 300 <= answer.status < 400:
            error = "redirect"
        wait_s = _seconds(answer.retry_after, message.timestamp)
        return Result(answer.status, error, _words(answer.body), _ms_since(began), wait_s)

    async def _follow(self, text: str, message: Message, doubtful: bool) -> _Answer:
        ends_at = asyncio.get_running_loop().time() + self._timeout_s
        for _ in range(1 + MAX_REDIRECTS):
            answer = await self._call(text, message, doubtful, ends_at)
            if answer.status not in _SAME_CALL or not answer.location:
                return answer
            text = _joined(text, answer.location)
        raise _Failed("redirect", answer.status)

    async def _call(self, text: str, message: Message, doubtful: bool, ends_at: float) -> _Answer:
        try:
            url = netguard.checked_url(text, self._allow_local)
            looking = self._names[doubtful].begin(url.host, url.port)
            left_s = ends_at - asyncio.get_running_loop().time()
            # The client's own limit comes first: a handshake that is cancelled from outside
            # leaves its connection open until the memory is tidied up.
            async with netguard.new_client(max(left_s - _SOONER_S, left_s / 2)) as client:
                async with asyncio.timeout_at(ends_at):
                    answer = await self._post(client, url, looking, message)
                try:
                    return await _read(answer, ends_at)
                finally:
                    await answer.aclose()
        except netguard.NotAllowed:
            raise _Failed("internal_address") from None
        except netguard.NoFreeThread:
            raise _Failed("names_busy") from None
        except (TimeoutError, httpx.TimeoutException):
            raise _Failed("timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise _Failed(_why(error)) from None

    async def _post(
        self,
        client: httpx.AsyncClient,
        url: httpx.URL,
        looking: Future[list[str]],
        message: Message,
    ) -> httpx.Response:
        try:
            found = await asyncio.wrap_future(looking)
        except (OSError, UnicodeError):
            raise _Failed("no_name") from None
        addresses = netguard.check_addresses(url.host, found, self._allow_local)
        headers, content = _headers(message), message.body.encode()
        return await netguard.in_turn(
            addresses,
            lambda address: netguard.send(client, "POST", url, address, headers, content),
        )


def _headers(message: Message) -> dict[str, str]:
    at = datetime.fromtimestamp(message.timestamp, UTC)
    signed = [Webhook(secret).sign(message.id, at, message.body) for secret in message.secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": f"Bitcache/{__version__}",
        "webhook-id": message.id,
        "webhook-timestamp": str(message.timestamp),
        "webhook-signature": " ".join(signed),
    }


async def _read(answer: httpx.Response, ends_at: float) -> _Answer:
    """Return the answer with the beginning of its body, however long or slow the rest is.

    Its status came in time and counts; the words are for people only.
    """
    body = b""
    try:
        async with asyncio.timeout_at(ends_at):
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) >= MAX_ANSWER_BYTES:
                    break
    except (TimeoutError, httpx.HTTPError):
        pass
    location = answer.headers.get("Location", "")
    return _Answer(answer.status_code, body, location, answer.headers.get("Retry-After", ""))


def _joined(text: str, location: str) -> str:
    try:
        return str(httpx.URL(text).join(location))
    except (httpx.InvalidURL, ValueError):
        raise _Failed("redirect") from None


def _why(error: Exception) -> str:
    if netguard.is_tls_fault(error):
        return "tls"
    return "unreachable" if isinstance(error, httpx.ConnectError) else "bad_answer"


def _words(body: bytes) -> str:
    """Return the beginning of a body as text that both databases can keep."""
    return body[:MAX_KEPT_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")


def _seconds(retry_after: str, now: int) -> int | None:
    """Return the seconds of a Retry-After header (RFC 9110 section 10.2.3), or None."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    try:
        return max(0, int(parsedate_to_datetime(text).timestamp()) - now)
    except (ValueError, OverflowError):
        return None


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1_000)
