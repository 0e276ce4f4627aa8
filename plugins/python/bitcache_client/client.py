"""Every call that a site's server makes. Names and shapes are those of the OpenAPI document."""

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import quote

import httpx

from bitcache_client import types
from bitcache_client.calls import Calls


class Client:
    """A Bitcache server, with the secret of a site or an API key.

    Calls that change something take ``key``, an idempotency key: the same key is the same
    call, however often it is sent. Without one a new key is made for each call and kept
    through its retries. Raises ApiError and Unreachable.
    """

    def __init__(
        self,
        url: str,
        secret: str = "",
        *,
        timeout_s: float = 10.0,
        attempts: int = 4,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        more: dict[str, Any] = {} if pause is None else {"pause": pause}
        self._calls = Calls(
            url, secret, timeout_s=timeout_s, attempts=attempts, transport=transport, **more
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._calls.close()

    # What is sold.

    def create_item(self, item: types.CreateItem, *, key: str | None = None) -> types.SiteItem:
        """Add an item, or change the one with the same ``external_id``."""
        return cast(types.SiteItem, self._calls.once("/v1/items", item, key))

    def read_item(self, item_id: str) -> types.Item:
        """Return an item as readers see it."""
        return cast(types.Item, self._calls.get(f"/v1/items/{_part(item_id)}"))

    def list_items(self) -> Iterator[types.SiteItem]:
        """Return the site's items, newest first."""
        return self._all("/v1/items", "items")

    # Orders.

    def create_order(self, order: types.CreateOrder, *, key: str | None = None) -> types.Order:
        """Ask a customer for money; send them to the order's ``url``."""
        return cast(types.Order, self._calls.once("/v1/orders", order, key))

    def read_order(self, order_id: str) -> types.OrderInFull:
        """Return an order with its invoices."""
        return cast(types.OrderInFull, self._calls.get(f"/v1/orders/{_part(order_id)}"))

    def list_orders(self, *, state: str | None = None) -> Iterator[types.Order]:
        """Return the site's orders, newest first."""
        return self._all("/v1/orders", "orders", state=state)

    def cancel_order(self, order_id: str, *, key: str | None = None) -> types.Order:
        """Take an order back that nobody has paid."""
        path = f"/v1/orders/{_part(order_id)}/cancel"
        return cast(types.Order, self._calls.once(path, None, key))

    # Invoices, sales, refunds.

    def create_invoice(
        self, invoice: types.CreateInvoice, *, key: str | None = None
    ) -> types.Invoice:
        """Ask for the price of an item; only the verifier of the challenge collects it."""
        return cast(types.Invoice, self._calls.once("/v1/invoices", invoice, key))

    def read_invoice(self, invoice_id: str) -> types.Invoice:
        """Return an invoice as it is now."""
        return cast(types.Invoice, self._calls.get(f"/v1/invoices/{_part(invoice_id)}"))

    def list_invoices(self) -> Iterator[types.Invoice]:
        """Return the site's invoices, newest first."""
        return self._all("/v1/invoices", "invoices")

    def list_sales(
        self,
        *,
        since: int | None = None,
        until: int | None = None,
        item: str | None = None,
        rail: str | None = None,
        state: str | None = None,
        buyer: str | None = None,
    ) -> Iterator[types.Sale]:
        """Return the site's sales, newest first."""
        return self._all(
            "/v1/sales",
            "sales",
            since=since,
            until=until,
            item=item,
            rail=rail,
            state=state,
            buyer=buyer,
        )

    def create_refund(self, refund: types.CreateRefund, *, key: str | None = None) -> types.Refund:
        """Give a purchase back."""
        return cast(types.Refund, self._calls.once("/v1/refunds", refund, key))

    # Money.

    def read_balance(self) -> types.MerchantBalance:
        """Return what the operator owes the merchant, and on what terms."""
        return cast(types.MerchantBalance, self._calls.get("/v1/balance"))

    def read_statement(self) -> Iterator[types.StatementLine]:
        """Return what happened in the merchant's account, newest first."""
        return self._all("/v1/statement", "lines")

    def request_payout(
        self, payout: types.RequestPayout | None = None, *, key: str | None = None
    ) -> types.Payout:
        """Ask for a payout to the stored destination; without an amount, of all that can go."""
        return cast(
            types.Payout, self._calls.once("/v1/payouts", {} if payout is None else payout, key)
        )

    def list_payouts(self) -> Iterator[types.Payout]:
        """Return the merchant's payouts, newest first."""
        return self._all("/v1/payouts", "payouts")

    # Webhooks.

    def create_webhook_endpoint(self, endpoint: types.CreateWebhookEndpoint) -> types.NewEndpoint:
        """Have events sent to an address. The secret is in this answer alone."""
        return cast(types.NewEndpoint, self._calls.post("/v1/webhook-endpoints", endpoint))

    def list_webhook_endpoints(self) -> list[types.Endpoint]:
        """Return all endpoints, oldest first."""
        found = cast(types.EndpointList, self._calls.get("/v1/webhook-endpoints"))
        return found["endpoints"]

    def update_webhook_endpoint(
        self, endpoint_id: str, change: types.UpdateWebhookEndpoint
    ) -> types.Endpoint:
        """Change an endpoint."""
        return cast(types.Endpoint, self._calls.post(_endpoint(endpoint_id), change))

    def delete_webhook_endpoint(self, endpoint_id: str) -> None:
        """Send nothing there any more."""
        self._calls.post(_endpoint(endpoint_id, "/delete"), {})

    def rotate_webhook_secret(
        self, endpoint_id: str, change: types.RotateWebhookSecret | None = None
    ) -> types.NewEndpoint:
        """Give an endpoint a new secret; the old one signs as well for a while."""
        path = _endpoint(endpoint_id, "/rotate")
        return cast(types.NewEndpoint, self._calls.post(path, {} if change is None else change))

    def send_test_event(self, endpoint_id: str) -> types.Sent:
        """Send an event of the type ``test``."""
        return cast(types.Sent, self._calls.post(_endpoint(endpoint_id, "/test"), {}))

    def replay_events(self, endpoint_id: str, which: types.ReplayEvents) -> types.Replayed:
        """Send one event or a range once more."""
        return cast(types.Replayed, self._calls.post(_endpoint(endpoint_id, "/replay"), which))

    def list_events(self, *, type: str | None = None) -> Iterator[types.Event]:
        """Return what happened, newest first."""
        return self._all("/v1/events", "events", type=type)

    # The server.

    def read_site(self) -> types.OwnSite:
        """Return the site whose secret this is, and what signs its grants."""
        return cast(types.OwnSite, self._calls.get("/v1/site"))

    def read_discovery(self) -> types.Discovery:
        """Return what the server offers, and where."""
        return cast(types.Discovery, self._calls.get("/.well-known/bitcache"))

    def _all(self, path: str, name: str, **query: object) -> Iterator[Any]:
        """Return every row, read page by page."""
        cursor: object = None
        while True:
            page = self._calls.get(path, {**query, "cursor": cursor})
            yield from page[name]
            cursor = page["next_cursor"]
            if cursor is None:
                return


def _part(text: str) -> str:
    return quote(text, safe="")


def _endpoint(endpoint_id: str, below: str = "") -> str:
    return f"/v1/webhook-endpoints/{_part(endpoint_id)}{below}"
