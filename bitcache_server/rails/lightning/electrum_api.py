"""Electrum's JSON-RPC: the calls that the backend needs, and its failures in words.

Written after the source of Electrum 4.3.4, which Debian packages; its commands are described
at https://electrum.readthedocs.io/en/latest/protocol.html and by ``electrum help``.
"""

import base64
import itertools
from collections.abc import Mapping
from typing import Any

from bitcache_server.domain.errors import (
    ConfigurationError,
    LightningRejected,
    LightningUnauthorized,
    RailError,
)
from bitcache_server.rails.lightning.backend import BackendSettings
from bitcache_server.rails.lightning.electrum_channels import Channel, channels_of
from bitcache_server.rails.lightning.rest import (
    MissingAnswer,
    Refusal,
    RestClient,
    no_json,
    said,
    well_formed,
)

#: What Electrum says, never translated, unlike most of its messages.
_NO_WALLET = "wallet not loaded"
_NO_LIGHTNING = "Lightning not enabled in this wallet"
_NOT_FOUND = "Request not found"


class ElectrumApi:
    """Calls to one daemon and the wallet that it opens by default."""

    def __init__(self, settings: BackendSettings) -> None:
        if ":" not in settings.secret:
            raise ConfigurationError(
                "lightning_secret must be user:password of Electrum's RPC (electrum getconfig "
                "rpcuser, rpcpassword)."
            )
        token = base64.b64encode(settings.secret.encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}
        self._client = RestClient("electrum", settings, schemes=("http", "https"), judge=_judge)
        self._ids = itertools.count(1)

    def call(self, method: str, *, within_s: float | None = None, **params: Any) -> Any:
        """Return the result of a command; by default within the time of the settings.

        A daemon that was restarted has closed its wallet: it is opened then, which needs
        no password unless the wallet's file is encrypted. Raises RailError; MissingAnswer
        for an invoice or a request that the wallet does not have, Refusal for what Electrum
        says itself.
        """
        answer = self._ask(method, within_s, params)
        if answer.get("error") and _message(answer) == _NO_WALLET and self._open_wallet():
            answer = self._ask(method, within_s, params)
        if answer.get("error"):
            raise _refusal(_message(answer))
        return answer.get("result")

    def channels(self) -> tuple[Channel, ...]:
        """Return the wallet's channels as they are now."""
        answer = self.call("list_channels")
        with well_formed():
            return channels_of(answer)

    def history(self) -> list[Mapping[str, Any]]:
        """Return every settled payment of the wallet, and more; it only grows."""
        answer = self.call("lightning_history")
        if not isinstance(answer, list):
            raise no_json()
        return answer

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def _open_wallet(self) -> bool:
        return self._ask("load_wallet", None, {}).get("result") is True

    def _ask(
        self, method: str, within_s: float | None, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": dict(params)}
        answer = self._client.ask("POST", "/", self._headers, body=body, read_s=within_s)
        if not isinstance(answer, dict):
            raise no_json()
        return answer


def _judge(status: int, body: Any) -> RailError:
    if status in (401, 403):
        return LightningUnauthorized("Electrum refuses the user name or password.")
    return LightningRejected(said(body))


def _message(answer: Mapping[str, Any]) -> str:
    error = answer["error"]
    return str(error.get("message")) if isinstance(error, dict) else str(error)


def _refusal(message: str) -> RailError:
    if message == _NOT_FOUND:
        return MissingAnswer("Electrum has no such invoice.")
    if message == _NO_WALLET:
        return LightningRejected(
            "Electrum has no open wallet, and could not open it by itself. "
            "Open it with: electrum load_wallet --password"
        )
    if message == _NO_LIGHTNING:
        return LightningRejected(
            "Electrum's wallet cannot use Lightning. Make a new standard SegWit wallet."
        )
    return Refusal(said(message))
