"""Calls to LNbits over HTTP, with clear failures that never carry a key."""

import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from bitcache_server.domain.errors import (
    ConfigurationError,
    LightningCertificate,
    LightningPermission,
    LightningRejected,
    LightningUnauthorized,
    LightningUnreachable,
    RailError,
)

_NOT_LNBITS = "Something answers at lightning_url, but not LNbits."
#: LNbits' status for its own "this did not work" (InvoiceError, PaymentError).
_REFUSED = 520


class PaymentMissing(LightningRejected):
    """LNbits has no payment of that hash."""


class NotLnbits(LightningRejected):
    """Somebody else answered: a proxy, another service."""


class LnbitsApi:
    """One server, for any number of threads. Constructing it connects to nothing."""

    def __init__(self, url: str, certificate: str, timeout_s: float) -> None:
        self._url = _checked_url(url)
        self._tls = _trust(certificate)
        self._timeout_s = timeout_s
        self._client = self._new_client()

    def call(
        self,
        method: str,
        path: str,
        key: str,
        body: Mapping[str, object] | None = None,
        wait_s: float = 0,
    ) -> Any:
        """Call the API and return its JSON; raise the RailError that says what is wrong.

        It waits for ``wait_s`` where that is more than the usual time-out.
        """
        headers = {"X-Api-Key": key}
        timeout_s = max(self._timeout_s, wait_s)
        try:
            answer = self._client.request(
                method, path, json=body, headers=headers, timeout=timeout_s
            )
            found = answer.json() if answer.is_success else None
        except httpx.TimeoutException:
            raise LightningUnreachable("LNbits did not answer in time.") from None
        except httpx.HTTPError as error:
            raise _unreachable(error) from None
        except ValueError:
            raise NotLnbits(_NOT_LNBITS) from None
        if found is None:
            raise _refusal(answer)
        return found

    def close(self) -> None:
        """End the connections."""
        old, self._client = self._client, self._new_client()
        old.close()

    def _new_client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self._url, timeout=self._timeout_s, verify=self._tls, trust_env=False
        )


def _refusal(answer: httpx.Response) -> RailError:
    """Return the error for an answer that is none of the good ones."""
    try:
        detail = str(answer.json()["detail"])[:200]
    except (ValueError, KeyError, TypeError):
        return NotLnbits(_NOT_LNBITS)
    match answer.status_code:
        case 404 if detail == "Payment does not exist.":
            return PaymentMissing(detail)
        case 401 | 404:
            return LightningUnauthorized(f"LNbits does not know the key: {detail}")
        case 403:
            return LightningPermission(f"LNbits does not let the key do this: {detail}")
        case 429:
            return LightningUnreachable("LNbits wants fewer calls; see its rate limit.")
        case code if code < 500 or code == _REFUSED:
            return LightningRejected(detail)
        case _:
            return LightningUnreachable(f"LNbits has a problem: {detail}")


def _unreachable(error: httpx.HTTPError) -> RailError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return LightningCertificate(
                "LNbits shows a certificate that nobody known vouches for, or another one "
                "than lightning_certificate."
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return LightningUnreachable("Nothing listens at LNbits' address.")
    return LightningUnreachable(f"The connection to LNbits failed ({type(error).__name__}).")


def _checked_url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError("lightning_url must be LNbits' address: https://host:port.")
    return text.rstrip("/")


def _trust(certificate: str) -> ssl.SSLContext | bool:
    if not certificate:
        return True
    try:
        return ssl.create_default_context(cadata=certificate)
    except ssl.SSLError:
        raise ConfigurationError("lightning_certificate is no certificate in PEM.") from None
