"""One call, tried again where that is safe, always with the same idempotency key."""

import random
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from bitcache_client.errors import ApiError, Unreachable

#: Answers that pass: too many requests, and a server or a proxy that is away for a moment.
PASSING = frozenset({429, 502, 503, 504})
LONGEST_PAUSE_S = 30.0
_FIRST_PAUSE_S = 0.25


class Calls:
    """Sends calls to one server."""

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        timeout_s: float,
        attempts: int,
        transport: httpx.BaseTransport | None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"Accept": "application/json", "User-Agent": "bitcache-client/1.0"}
        if secret:
            headers["Authorization"] = f"Bearer {secret}"
        self._http = httpx.Client(
            base_url=url.rstrip("/"), headers=headers, timeout=timeout_s, transport=transport
        )
        self._attempts = attempts
        self._pause = pause

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Any:
        """Read; safe to repeat."""
        known = {name: str(value) for name, value in (query or {}).items() if value is not None}
        return self._send("GET", path, None, known, None, repeat=True)

    def once(self, path: str, body: Mapping[str, Any] | None, key: str | None) -> Any:
        """Change something that the server does once for each idempotency key."""
        return self._send("POST", path, body, {}, key or str(uuid.uuid4()), repeat=True)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something that has no idempotency key: sent again only when it was refused."""
        return self._send("POST", path, body, {}, None, repeat=False)

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str],
        key: str | None,
        *,
        repeat: bool,
    ) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        why = ""
        for attempt in range(self._attempts):
            wait_s: float | None = None
            try:
                answer = self._http.request(
                    method, path, json=body, params=dict(query), headers=headers
                )
            except httpx.TransportError as error:
                why = f"No answer: {type(error).__name__}"
                if not repeat:
                    break
            else:
                if answer.status_code not in PASSING:
                    return _content(answer)
                why = str(_problem(answer))
                wait_s = _retry_after_s(answer)
                # A proxy's 502 or 504 may come after the server did it.
                if not repeat and answer.status_code != 429:
                    break
            if attempt + 1 < self._attempts:
                self._pause(_pause_s(attempt) if wait_s is None else wait_s)
        raise Unreachable(why, key)


def _content(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json() if answer.content else None
    raise _problem(answer)


def _problem(answer: httpx.Response) -> ApiError:
    try:
        body = answer.json()
        return ApiError(answer.status_code, str(body["code"]), str(body["detail"]))
    except (ValueError, KeyError, TypeError):
        # A proxy's page, for example.
        return ApiError(answer.status_code, "no_problem_document", answer.reason_phrase)


def _retry_after_s(answer: httpx.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), LONGEST_PAUSE_S) if text.isascii() and text.isdigit() else None


def _pause_s(attempt: int) -> float:
    """Return a pause that doubles, with some chance in it: not all come back at once."""
    longest_s = min(LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**attempt)
    return float(longest_s * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
