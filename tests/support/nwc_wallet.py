"""A wallet that speaks Nostr Wallet Connect (NIP-47), behind a relay of its own on loopback.

The money is real in so far as a wallet of LNbits is: invoices come from there, and settle
there. What NIP-47 says stands here, written with nostr-sdk's events and encryption, and so
does the bad luck of the tests.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import bolt11
import nostr_sdk as sdk

from bitcache_server.rails.lightning.invoice_making import scripted_preimage
from bitcache_server.rails.lightning.scripted import ScriptedBackend
from tests.support.lnbits import Lnbits, LnbitsError, LnbitsWallet

T = TypeVar("T")

METHODS = (
    "pay_invoice",
    "make_invoice",
    "lookup_invoice",
    "list_transactions",
    "get_balance",
    "get_info",
)
_INFO, _REQUEST, _RESPONSE = 13194, 23194, 23195
_NOTIFICATION_NIP04, _NOTIFICATION_NIP44 = 23196, 23197
_WATCH_EVERY_S = 0.1
_STATES = {"success": "settled", "pending": "pending", "failed": "failed"}


class Refusal(Exception):
    """An error of NIP-47: a code and some words."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


class NwcService:
    """A wallet service with its relay, on a thread. Start it with ``with`` or ``start``.

    A class under it has the money: one method for each of NIP-47, and ``_find``.
    """

    network: str

    def __init__(self) -> None:
        self._keys = sdk.Keys.generate()
        self._apps: dict[str, frozenset[str]] = {}
        self._port = 0
        self._open: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: list[asyncio.Task[None]] = []
        self._relay: Any = None
        self.asked: list[str] = []
        """The methods that were called, in order."""
        self.silent = False
        """Read everything and answer nothing."""
        self.loses_next: set[str] = set()
        """Do these as asked, and lose the answer, once."""
        self.fails_after: set[str] = set()
        """Do these as asked, and say that they failed."""
        self.lies = False
        """Claim payments with a preimage that does not fit."""
        self.pushes = True
        """Tell of what was received."""
        self.repeats = 1
        """How often each notification is sent."""
        self.nip04 = False
        """Be an old wallet, which knows no NIP-44. To be said before the start."""
        self.refuses: dict[str, Refusal] = {}
        """Answer these methods with an error."""

    def start(self) -> Self:
        """Start the relay and the service; return when requests are heard."""
        self._thread.start()
        self._run(self._begin())
        return self

    def stop(self) -> None:
        """End the service and the relay."""
        if self._thread.is_alive():
            self._run(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def connection(self, *methods: str) -> str:
        """Return a new connection text that may do these (everything without any)."""
        secret = sdk.SecretKey.generate()
        app = sdk.Keys.parse(secret.to_hex()).public_key().to_hex()
        self._apps[app] = frozenset(methods or METHODS)
        return self._text(secret)

    def foreign_connection(self) -> str:
        """Return a connection text whose key the wallet does not know."""
        return self._text(sdk.SecretKey.generate())

    def revoke(self) -> None:
        """Forget all connections, as a reader may do in the wallet."""
        self._apps.clear()

    def stop_relay(self) -> None:
        """Let the relay go away; the service keeps trying to reach it."""
        self._run(self._end_relay())

    def start_relay(self) -> None:
        """Let it come back at its port; return when requests are heard again."""
        self._run(self._begin_relay())
        self._run(self._wait_for_relay())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def relay(self) -> str:
        """Return where the relay listens."""
        return f"ws://127.0.0.1:{self._port}"

    def _text(self, secret: Any) -> str:
        wallet = self._keys.public_key().to_hex()
        return f"nostr+walletconnect://{wallet}?relay={self.relay}&secret={secret.to_hex()}"

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _begin(self) -> None:
        await self._begin_relay()
        self._client = sdk.ClientBuilder().build()
        url = sdk.RelayUrl.parse(self.relay)
        options = sdk.RelayOptions().retry_interval(timedelta(seconds=1))
        await self._client.add_relay(url, opts=options.adjust_retry_interval(False))
        await self._client.connect()
        await self._wait_for_relay()
        encryption = "nip04" if self.nip04 else "nip44_v2 nip04"
        tags = [["encryption", encryption], ["notifications", "payment_received"]]
        content = " ".join((*METHODS, "notifications"))
        await self._send(_INFO, content, [sdk.Tag.parse(tag) for tag in tags])
        stream = self._client.notifications()
        wanted = sdk.Filter().kind(sdk.Kind(_REQUEST)).pubkey(self._keys.public_key())
        await self._client.subscribe(sdk.ReqTarget.auto([wanted.since(sdk.Timestamp.now())]))
        self._tasks = [
            self._loop.create_task(self._serve(stream)),
            self._loop.create_task(self._watch()),
        ]

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.shutdown()
        await self._end_relay()

    async def _begin_relay(self) -> None:
        builder = sdk.LocalRelayBuilder().addr("127.0.0.1")
        self._relay = (builder.port(self._port) if self._port else builder).build()
        await self._relay.run()
        self._port = int(str(await self._relay.url()).rstrip("/").rpartition(":")[2])

    async def _end_relay(self) -> None:
        self._relay.shutdown()
        url = sdk.RelayUrl.parse(self.relay)
        relay = await self._client.relay(url)
        while relay is not None and relay.status() == sdk.RelayStatus.CONNECTED:
            await asyncio.sleep(0.02)

    async def _wait_for_relay(self) -> None:
        url = sdk.RelayUrl.parse(self.relay)
        while (await self._client.relay(url)).status() != sdk.RelayStatus.CONNECTED:
            await asyncio.sleep(0.02)

    async def _serve(self, stream: Any) -> None:
        while (found := await stream.next()) is not None:
            if found.is_new_event():
                self._tasks.append(self._loop.create_task(self._answer(found.event)))

    async def _answer(self, event: Any) -> None:
        app = event.author()
        decrypt, encrypt = self._keys.nip44_decrypt, self._keys.nip44_encrypt
        if not any(tag.to_vec()[:2] == ["encryption", "nip44_v2"] for tag in event.tags()):
            decrypt, encrypt = self._keys.nip04_decrypt, self._keys.nip04_encrypt
        request = json.loads(decrypt(app, event.content()))
        method = str(request["method"])
        self.asked.append(method)
        if self.silent:
            return
        answer: dict[str, Any] = {"result_type": method, "error": None, "result": None}
        try:
            self._check(app.to_hex(), method)
            params = {**(request.get("params") or {}), "app": app.to_hex()}
            answer["result"] = await asyncio.to_thread(getattr(self, f"_{method}"), params)
            if method in self.fails_after:
                raise Refusal("PAYMENT_FAILED", "It took too long.")
        except Refusal as error:
            answer["error"] = {"code": error.code, "message": str(error)}
        if method in self.loses_next:
            self.loses_next.discard(method)
        else:
            tags = [sdk.Tag.public_key(app), sdk.Tag.event(event.id())]
            await self._send(_RESPONSE, encrypt(app, json.dumps(answer)), tags)

    def _check(self, app: str, method: str) -> None:
        if app not in self._apps:
            raise Refusal("UNAUTHORIZED", "This public key has no wallet connected.")
        if method in self.refuses:
            raise self.refuses[method]
        if method not in self._apps[app] and method != "get_info":
            raise Refusal("RESTRICTED", "This connection may not do that.")

    async def _send(self, kind: int, content: str, tags: list[Any]) -> None:
        event = sdk.EventBuilder(sdk.Kind(kind), content).tags(tags).finalize(self._keys)
        # A relay that is away loses it, as in life.
        with contextlib.suppress(sdk.NostrSdkError):
            await self._client.send_event(event)

    async def _watch(self) -> None:
        """Tell of each invoice that was paid."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            for payment_hash in list(self._open):
                found = await asyncio.to_thread(self._find, payment_hash)
                if found is None or found["state"] == "pending":
                    continue
                self._open.discard(payment_hash)
                if found["state"] == "settled" and self.pushes:
                    await self._notify(found)

    async def _notify(self, transaction: dict[str, Any]) -> None:
        told = {"notification_type": "payment_received", "notification": transaction}
        for app_hex in list(self._apps):
            app = sdk.PublicKey.parse(app_hex)
            encrypt = self._keys.nip04_encrypt if self.nip04 else self._keys.nip44_encrypt
            kind = _NOTIFICATION_NIP04 if self.nip04 else _NOTIFICATION_NIP44
            for _ in range(self.repeats):
                await self._send(kind, encrypt(app, json.dumps(told)), [sdk.Tag.public_key(app)])

    def _find(self, payment_hash: str) -> dict[str, Any] | None:
        """Return a transaction in NIP-47's words."""
        raise NotImplementedError

    # The methods of NIP-47, one each. They run on other threads.

    def _get_info(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            "alias": "test wallet",
            "color": "#ffffff",
            "pubkey": self._keys.public_key().to_hex(),
            "network": self.network,
            "block_height": 1,
            "block_hash": "00" * 32,
            "methods": sorted(self._apps[params["app"]]),
            "notifications": ["payment_received"] if self.pushes else [],
        }

    def _lookup_invoice(self, params: dict[str, Any]) -> dict[str, Any]:
        payment_hash = params.get("payment_hash") or bolt11.decode(params["invoice"]).payment_hash
        found = self._find(payment_hash)
        if found is None:
            raise Refusal("NOT_FOUND", "There is no such transaction.")
        return found


class NwcWallet(NwcService):
    """A wallet of LNbits behind NIP-47."""

    network = "mainnet"
    """Of which LNbits' FakeWallet makes its invoices."""

    def __init__(self, lnbits: Lnbits, wallet: LnbitsWallet) -> None:
        super().__init__()
        self._lnbits, self._wallet = lnbits, wallet

    def _get_balance(self, params: dict[str, Any]) -> dict[str, Any]:
        key = {"X-Api-Key": self._wallet.invoice_key}
        return {"balance": self._lnbits.call("GET", "/api/v1/wallet", None, key)["balance"]}

    def _make_invoice(self, params: dict[str, Any]) -> dict[str, Any]:
        made = self._lnbits.invoice(
            self._wallet,
            int(params["amount"]) // 1000,
            memo=params.get("description") or "",
            expiry=params.get("expiry") or 3600,
        )
        self._open.add(made["payment_hash"])
        return _transaction(made)

    def _list_transactions(self, params: dict[str, Any]) -> dict[str, Any]:
        query = "limit=1000&sortby=created_at&direction=desc"
        listed = map(_transaction, self._lnbits.payments(self._wallet, query))
        kept = [
            one
            for one in listed
            if one["created_at"] >= (params.get("from") or 0)
            and one["type"] == (params.get("type") or one["type"])
            and (params.get("unpaid") or one["state"] == "settled")
        ]
        offset = params.get("offset") or 0
        return {"transactions": kept[offset : offset + (params.get("limit") or 50)]}

    def _pay_invoice(self, params: dict[str, Any]) -> dict[str, Any]:
        try:
            paid = self._lnbits.pay(self._wallet, params["invoice"])
        except LnbitsError as error:
            code = "INSUFFICIENT_BALANCE" if "Insufficient" in str(error) else "PAYMENT_FAILED"
            raise Refusal(code, str(error)) from None
        preimage = "00" * 32 if self.lies else paid["preimage"]
        return {"preimage": preimage, "fees_paid": abs(paid["fee"])}

    def _find(self, payment_hash: str) -> dict[str, Any] | None:
        key = {"X-Api-Key": self._wallet.invoice_key}
        try:
            path = f"/api/v1/payments/{payment_hash}"
            found = self._lnbits.call("GET", path, None, key)["details"]
        except LnbitsError:
            return None
        transaction = _transaction(found)
        if self.lies and transaction["type"] == "outgoing":
            transaction["preimage"] = "00" * 32
        return transaction


class PayingWallet(NwcService):
    """A reader's wallet that pays invoices of a scripted node, as far as its money goes."""

    network = "regtest"

    def __init__(self, node: ScriptedBackend, balance_msat: int) -> None:
        super().__init__()
        self.balance_msat = balance_msat
        self.paid: list[str] = []
        """The payment hashes, in order."""
        self.holds = False
        """Take the order and get stuck on the way."""
        self._node = node

    def _get_balance(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"balance": self.balance_msat}

    def _find(self, payment_hash: str) -> dict[str, Any] | None:
        return None

    def _pay_invoice(self, params: dict[str, Any]) -> dict[str, Any]:
        invoice = bolt11.decode(params["invoice"])
        if (invoice.amount_msat or 0) > self.balance_msat:
            raise Refusal("INSUFFICIENT_BALANCE", "There is too little in it.")
        self.balance_msat -= invoice.amount_msat or 0
        self.paid.append(invoice.payment_hash)
        if self.holds:
            raise Refusal("OTHER", "It is on its way.")
        self._node.pay(invoice.payment_hash)
        return {"preimage": scripted_preimage(params["invoice"]), "fees_paid": 0}


def _transaction(payment: dict[str, Any]) -> dict[str, Any]:
    state = _STATES[payment["status"]]
    settled = {"settled_at": _time(payment["updated_at"]), "preimage": payment["preimage"]}
    return {
        "type": "incoming" if payment["amount"] > 0 else "outgoing",
        "state": state,
        "invoice": payment["bolt11"],
        "description": payment["memo"] or "",
        "payment_hash": payment["payment_hash"],
        "amount": abs(payment["amount"]),
        "fees_paid": abs(payment["fee"]),
        "created_at": _time(payment["created_at"]),
        "expires_at": _time(payment["expiry"]),
        **(settled if state == "settled" else {}),
    }


def _time(text: str) -> int:
    when = datetime.fromisoformat(text)
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
