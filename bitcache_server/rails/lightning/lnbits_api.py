"""LNbits' REST API: its keys, and its failures in words."""

from collections.abc import Mapping
from typing import Any

from bitcache_server.domain.errors import (
    LightningPermission,
    LightningUnauthorized,
    LightningUnreachable,
    RailError,
)
from bitcache_server.rails.lightning.backend import BackendSettings
from bitcache_server.rails.lightning.rest import MissingAnswer, Refusal, RestClient, no_json, said

#: LNbits' status for its own "this did not work" (InvoiceError, PaymentError).
_REFUSED = 520


class LnbitsApi:
    """One server, for any number of threads. Constructing it connects to nothing."""

    def __init__(self, settings: BackendSettings) -> None:
        self._rest = RestClient("lnbits", settings, schemes=("http", "https"), judge=judge)

    def call(
        self,
        method: str,
        path: str,
        key: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, object] | None = None,
        wait_s: float | None = None,
    ) -> Any:
        """Call the API and return its JSON; raise the RailError that says what is wrong."""
        query = None if params is None else {name: str(one) for name, one in params.items()}
        return self._rest.ask(
            method, f"/api/v1/{path}", {"X-Api-Key": key}, read_s=wait_s, params=query, body=body
        )

    def close(self) -> None:
        """End the connections."""
        self._rest.close()


def judge(status: int, body: Any) -> RailError:
    """Return the error for what LNbits answers; without its ``detail`` somebody else did."""
    detail = body.get("detail") if isinstance(body, dict) else None
    if not isinstance(detail, str):
        return no_json()
    match status:
        case 404 if detail == "Payment does not exist.":
            return MissingAnswer(detail)
        case 401 | 404:
            return LightningUnauthorized(f"LNbits does not know the key: {detail:.200}")
        case 403:
            return LightningPermission(f"LNbits does not let the key do this: {detail:.200}")
        case 429:
            return LightningUnreachable("LNbits wants fewer calls; see its rate limit.")
        case code if code < 500 or code == _REFUSED:
            return Refusal(said(detail))
        case _:
            return LightningUnreachable(f"LNbits has a problem: {detail:.200}")
