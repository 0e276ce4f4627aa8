"""Nostr Wallet Connect (NIP-47) through nostr-sdk, for code that is not asynchronous.

https://github.com/nostr-protocol/nips/blob/master/47.md. The library lives on an event loop
in a thread of its own, which begins with the first call. A connection text is a secret: no
error, log line or ``repr`` carries one.
"""

import asyncio
import importlib
import json
import re
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import Any, TypeVar

from bitcache_server.domain.errors import (
    ConfigurationError,
    ConnectionInvalid,
    LightningPermission,
    LightningRejected,
    LightningUnauthorized,
    LightningUnreachable,
    RailError,
)
from bitcache_server.rails.lightning.nwc_text import what_is_wrong

T = TypeVar("T")

#: The longest that a payment may be waited for; the library wants one bound for all calls.
_LONGEST_S = 120
_RETRY_S = 1
#: Kinds of a wallet's notifications, with NIP-04 and with NIP-44.
_NOTIFICATIONS = (23196, 23197)
#: How the library writes a wallet's own error: ``some words [InsufficientBalance]``.
_OWN_ERROR = re.compile(r"(?P<words>.*?) ?\[(?P<code>[A-Za-z]+)\]", re.DOTALL)


class WalletRefused(LightningRejected):
    """The wallet answered with an error of its own; ``code`` is NIP-47's, in one word."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(f"The wallet says: {_one_line(words)} ({code})")
        self.wallet_code = code


@dataclass(frozen=True)
class WalletInfo:
    """What a wallet says of itself."""

    alias: str
    network: str
    """``mainnet``, ``testnet``, ``signet``, ``regtest``, or empty."""
    methods: frozenset[str]
    """What this connection may do, in NIP-47's words: ``pay_invoice`` …"""


def load_sdk() -> ModuleType:
    """Return the library, which is an extra; raise ConfigurationError without it."""
    try:
        return importlib.import_module("nostr_sdk")
    except ImportError:
        raise ConfigurationError(
            "Nostr Wallet Connect needs one more package: pip install bitcache[nwc]"
        ) from None


def parse_connection(text: str) -> Any:
    """Return the library's form of ``nostr+walletconnect://…``; raise ConnectionInvalid.

    The library takes any 32 bytes for a public key; here it must be one.
    """
    sdk = load_sdk()
    try:
        uri = sdk.NostrWalletConnectUri.parse(text.strip())
    except sdk.NostrSdkError:
        uri = None
    if uri is None or not uri.relays():
        raise ConnectionInvalid(what_is_wrong(text.strip()))
    try:
        # It only looks at the key when it has to work out what both sides share.
        sdk.Keys.parse(uri.secret().to_hex()).nip44_encrypt(uri.public_key(), "key?")
    except sdk.NostrSdkError:
        raise ConnectionInvalid(
            "The public key in the wallet connection is no valid key. Copy the whole text again."
        ) from None
    return uri


def relays_of(text: str) -> list[str]:
    """Return the relays that a connection text names, ``wss://host…``."""
    return [str(relay) for relay in parse_connection(text).relays()]


class NwcClient:
    """One connection to one wallet, for any number of threads. Constructing connects nothing.

    Each call raises WalletRefused for an error of the wallet's own, LightningUnauthorized
    and LightningPermission for two of them, LightningUnreachable without an answer.
    """

    def __init__(self, connection: str, timeout_s: float) -> None:
        self._sdk = load_sdk()
        self._uri = parse_connection(connection)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._running: _Running | None = None

    def info(self) -> WalletInfo:
        """Ask what the wallet is and what it lets us do."""
        found = self._call(lambda nwc: nwc.get_info())
        return WalletInfo(
            alias=(found.alias or "")[:64],
            network=(found.network or "").lower(),
            methods=frozenset(_method_name(method) for method in found.methods),
        )

    def balance_msat(self) -> int:
        """Ask how much the wallet lets us move."""
        return int(self._call(lambda nwc: nwc.get_balance()).balance)

    def make_invoice(self, amount_msat: int, memo: str, expires_in_s: int) -> Any:
        """Let the wallet make an invoice; return the library's MakeInvoiceResponse."""
        order = self._sdk.MakeInvoiceRequest(
            amount=amount_msat, description=memo, description_hash=None, expiry=expires_in_s
        )
        return self._call(lambda nwc: nwc.make_invoice(order))

    def lookup(self, payment_hash: str) -> Any | None:
        """Return the library's LookupInvoiceResponse; None when the wallet has none."""
        order = self._sdk.LookupInvoiceRequest(payment_hash=payment_hash, invoice=None)
        try:
            return self._call(lambda nwc: nwc.lookup_invoice(order))
        except WalletRefused as error:
            if error.wallet_code == "NotFound":
                return None
            raise

    def received(self, since: int, offset: int, limit: int) -> list[Any]:
        """Return paid invoices that were made since then, the newest first."""
        order = self._sdk.ListTransactionsRequest(
            _from=self._sdk.Timestamp.from_secs(since), until=None, limit=limit, offset=offset,
            unpaid=False, transaction_type=self._sdk.TransactionType.INCOMING,
        )  # fmt: skip
        return list(self._call(lambda nwc: nwc.list_transactions(order)))

    def pay(self, bolt11: str, amount_msat: int | None, wait_s: float) -> Any:
        """Pay; return the library's PayInvoiceResponse. The amount is for one without."""
        order = self._sdk.PayInvoiceRequest(id=None, invoice=bolt11, amount=amount_msat)
        return self._call(lambda nwc: nwc.pay_invoice(order), wait_s)

    def listen(self, heard: Callable[[dict[str, Any]], None]) -> bool:
        """Call back for each notification from now on; return whether the wallet sends any.

        Once is enough for a connection. The callback runs on the library's thread and must
        be quick.
        """
        running = self._start()
        if running.notifies is None:
            work = self._subscribe(running, heard)
            running.notifies = self._wait(running, work, self._timeout_s)
        return running.notifies

    def close(self) -> None:
        """End the connection and its thread; a later call opens another."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.stop()

    def _call(self, call: Callable[[Any], Awaitable[T]], wait_s: float | None = None) -> T:
        running = self._start()
        return self._wait(running, _awaited(call, running.nwc), wait_s or self._timeout_s)

    def _wait(self, running: "_Running", work: Coroutine[Any, Any, T], wait_s: float) -> T:
        try:
            return running.run(asyncio.wait_for(work, min(wait_s, _LONGEST_S)))
        except TimeoutError:
            raise self._no_answer(running) from None
        except self._sdk.NostrSdkError as error:
            raise self._failure(running, str(error.args[0] if error.args else "")) from None

    def _failure(self, running: "_Running", text: str) -> RailError:
        own = _OWN_ERROR.fullmatch(text.strip().strip("'\""))
        if own is None:
            if "not received" in text or "not connected" in text:
                return self._no_answer(running)
            return LightningUnreachable("The wallet's answer is not as NIP-47 wants it.")
        if own["code"] == "Unauthorized":
            return LightningUnauthorized("The wallet does not know this connection (any more).")
        if own["code"] in ("Restricted", "NotImplemented"):
            return LightningPermission(
                f"The wallet does not let this connection do it: {_one_line(own['words'])}"
            )
        return WalletRefused(own["code"], own["words"])

    def _no_answer(self, running: "_Running") -> LightningUnreachable:
        if not running.run(_any_relay(self._sdk, running.nwc)):
            return LightningUnreachable("The wallet's Nostr relay cannot be reached.")
        return LightningUnreachable("The relay answers, but the wallet behind it does not.")

    def _start(self) -> "_Running":
        with self._lock:
            if self._running is None:
                self._running = _Running(lambda: _connect(self._sdk, self._uri))
            return self._running

    async def _subscribe(
        self, running: "_Running", heard: Callable[[dict[str, Any]], None]
    ) -> bool:
        sdk, wallet = self._sdk, self._uri.public_key()
        keys = sdk.Keys.parse(self._uri.secret().to_hex())
        # The library knows the relay after its first call.
        info = await running.nwc.get_info()
        if "payment_received" not in info.notifications:
            return False
        client = running.nwc.client()
        stream = client.notifications()
        mine = (
            sdk.Filter()
            .kinds([sdk.Kind(kind) for kind in _NOTIFICATIONS])
            .author(wallet)
            .pubkey(keys.public_key())
            .since(sdk.Timestamp.from_secs(int(time.time())))
        )
        await client.subscribe(sdk.ReqTarget.auto([mine]))
        running.keep(_listen(stream, keys, wallet, heard, sdk))
        return True


class _Running:
    """An event loop in a thread, with the library's client on it."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self.notifies: bool | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        # A process that ends does not wait for a wallet.
        self._thread = threading.Thread(target=self._loop.run_forever, name="nwc", daemon=True)
        self._thread.start()
        self.nwc = self.run(_made(connect))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns, run on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the coroutine beside the others until the end."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """End the connection, the loop and the thread."""
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.nwc.client().shutdown()


def _connect(sdk: ModuleType, uri: Any) -> Any:
    options = sdk.RelayOptions().retry_interval(timedelta(seconds=_RETRY_S))
    options = options.adjust_retry_interval(False)
    builder = sdk.NostrWalletConnectBuilder(uri).relay(options)
    return builder.timeout(timedelta(seconds=_LONGEST_S)).build()


async def _made(make: Callable[[], T]) -> T:
    return make()


async def _awaited(call: Callable[[Any], Awaitable[T]], nwc: Any) -> T:
    return await call(nwc)


async def _any_relay(sdk: ModuleType, nwc: Any) -> bool:
    relays = (await nwc.client().relays()).values()
    return any(relay.status() == sdk.RelayStatus.CONNECTED for relay in relays)


async def _listen(
    stream: Any, keys: Any, wallet: Any, heard: Callable[[dict[str, Any]], None], sdk: ModuleType
) -> None:
    while (found := await stream.next()) is not None:
        if not found.is_new_event() or found.event.kind().as_u16() not in _NOTIFICATIONS:
            continue
        if found.event.author().to_hex() != wallet.to_hex():
            continue
        decrypt = keys.nip04_decrypt if found.event.kind().as_u16() == 23196 else keys.nip44_decrypt
        try:
            told = json.loads(decrypt(wallet, found.event.content()))
        except (sdk.NostrSdkError, ValueError):
            continue
        if isinstance(told, dict):
            heard(told)


def _one_line(words: str) -> str:
    """Return a stranger's words as they may be shown: short, and without control characters."""
    return "".join(char for char in words if char.isprintable())[:200]


def _method_name(method: Any) -> str:
    return type(method).__name__.rpartition(".")[2].lower()
