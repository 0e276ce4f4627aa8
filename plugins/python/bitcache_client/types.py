"""What the API takes and returns, as its OpenAPI document says (``GET /openapi.json``).

Amounts are whole numbers in the unit of their names; times are seconds since 1970.
"""

from typing import Any, NotRequired, TypedDict


class Balance(TypedDict):
    """How the item can be paid from a Bitcache balance, with one click."""

    connect_url: str
    gift_msat: int
    now: int


class Commission(TypedDict):
    """The operator's part of a sale: a share, rounded down, and its bounds."""

    share_ppm: int
    min_msat: int
    max_msat: int | None


class Connect(TypedDict):
    """How a site is connected, in the words of RFC 8414 (and RFC 9207)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    response_types_supported: list[str]
    grant_types_supported: list[str]
    code_challenge_methods_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    authorization_response_iss_parameter_supported: bool


class CreateInvoice(TypedDict):
    """Which item, and the challenge whose verifier will collect the grant."""

    item: str
    challenge: str
    rail: NotRequired[str | None]


class NewSplit(TypedDict):
    """A co-author's share of what is left of a price after the commission."""

    merchant: str
    share_ppm: int


class CreateItem(TypedDict):
    """An article has ``content_html``, a file ``file_path``, what the site holds ``open_url``."""

    title: str
    price: str | int
    currency: str
    teaser: NotRequired[str]
    external_id: NotRequired[str | None]
    access_hours: NotRequired[int | None]
    content_html: NotRequired[str | None]
    file_path: NotRequired[str | None]
    open_url: NotRequired[str | None]
    url: NotRequired[str | None]
    archived: NotRequired[bool | None]
    splits: NotRequired[list[NewSplit] | None]


class NewOrderLine(TypedDict):
    """One line; the price is what the customer pays, the tax in it."""

    title: str
    quantity: NotRequired[int]
    unit_minor: int
    tax_ppm: NotRequired[int | None]


class CreateOrder(TypedDict):
    """What is ordered. With a reference that was used before, the content must be the same."""

    reference: str
    currency: str
    lines: list[NewOrderLine]
    total_minor: int
    customer_ref: NotRequired[str | None]
    metadata: NotRequired[dict[str, str]]
    return_url: NotRequired[str | None]
    cancel_url: NotRequired[str | None]
    expires_in_s: NotRequired[int | None]


class CreateRefund(TypedDict):
    """Whose purchase of which item is given back."""

    holder: str
    item: str


class CreateWebhookEndpoint(TypedDict):
    """Where events go."""

    url: str
    description: NotRequired[str]
    event_types: list[str]


class DeleteWebhookEndpoint(TypedDict):
    """An empty object."""


class Discovery(TypedDict):
    """A server and where its parts are."""

    name: str
    version: str
    api_version: str
    api_url: str
    openapi_url: str
    events_url: str
    widget_url: str
    dashboard_url: str
    network: str
    rails: list[str]
    currencies: list[str]
    languages: list[str]
    connect: Connect


class Endpoint(TypedDict):
    """A webhook endpoint. Times in Unix seconds."""

    id: str
    url: str
    description: str
    event_types: list[str]
    enabled: bool
    disabled_reason: str
    failing_since: int | None
    old_secret_until: int | None
    created_at: int


class EndpointList(TypedDict):
    """All endpoints, oldest first: there are few."""

    endpoints: list[Endpoint]


class Event(TypedDict):
    """An event as it is, or would be, sent."""

    id: str
    type: str
    api_version: str
    created_at: int
    data: dict[str, Any]


class EventPage(TypedDict):
    """Some events and the cursor of the next ones; null at the end."""

    events: list[Event]
    next_cursor: str | None


class Fiat(TypedDict):
    """An amount in minor units: 5, USD, 2 is five cents."""

    currency: str
    amount_minor: int
    exponent: int


class File(TypedDict):
    """What is known of a file before it is bought."""

    name: str
    size_bytes: int
    content_type: str


class Payment(TypedDict):
    """One payment that was seen."""

    reference: str
    rail: str
    amount_msat: int
    confirmations: int
    confirmations_required: int
    state: str
    note: str


class Rate(TypedDict):
    """The rate behind an amount, and how old it is."""

    price_per_btc: str
    currency: str
    as_of: int
    age_s: int


class Price(TypedDict):
    """A price; ``amount_msat`` is null while fiat has no rate."""

    amount_msat: int | None
    fiat: Fiat | None
    rate: Rate | None


class Request(TypedDict):
    """How an invoice can be paid over one rail."""

    rail: str
    address: str | None
    address_index: int | None
    bolt11: str | None
    payment_hash: str | None
    description: str | None
    amount_msat: int
    amount_sat: int
    uri: str
    qr_uri: str
    qr_svg_url: str
    qr_png_url: str
    confirmations_required: int


class Unified(TypedDict):
    """One code for both rails: a wallet pays over Lightning where it can (BIP 21)."""

    uri: str
    qr_uri: str
    qr_svg_url: str
    qr_png_url: str


class Invoice(TypedDict):
    """An invoice as everyone may see it. The id is public and opens nothing."""

    id: str
    item: str
    state: str
    marks: list[str]
    amount_msat: int
    price: Price
    created_at: int
    expires_at: int
    now: int
    rails: list[str]
    requests: list[Request]
    unified: Unified | None
    payments: list[Payment]
    received_msat: int
    missing_msat: int
    credit_msat: int
    version: int
    events_url: str
    checkout_url: str


class InvoicePage(TypedDict):
    """Some invoices and the cursor of the next ones; null at the end."""

    invoices: list[Invoice]
    next_cursor: str | None


class Policy(TypedDict):
    """How long a purchase opens the item."""

    type: str
    hours: int | None


class Site(TypedDict):
    """Who sells."""

    id: str
    name: str


class Split(TypedDict):
    """A co-author's share."""

    merchant: str
    name: str
    share_ppm: int


class SiteItem(TypedDict):
    """An item with what is its site's business only."""

    id: str
    kind: str
    title: str
    teaser: str
    external_id: str | None
    site: Site
    price: Price
    policy: Policy
    file: File | None
    rails: list[str]
    balance: Balance | None
    archived: bool
    open_url: str | None
    checkout_url: str
    url: str | None
    splits: list[Split]


class ItemPage(TypedDict):
    """Some items and the cursor of the next ones; null at the end."""

    items: list[SiteItem]
    next_cursor: str | None


class Item(TypedDict):
    """What everyone may see of an item. Never its locked part."""

    id: str
    kind: str
    title: str
    teaser: str
    external_id: str | None
    site: Site
    price: Price
    policy: Policy
    file: File | None
    rails: list[str]
    balance: Balance | None
    archived: bool
    open_url: str | None
    checkout_url: str


class OwnSite(TypedDict):
    """A site as its own server sees it, with what signs its grants, the newest key first."""

    id: str
    name: str
    merchant_id: str
    origins: list[str]
    grant_keys: list[str]


class PayoutTerms(TypedDict):
    """Where and when payouts go; ``every_s`` of 0 is on demand only."""

    address: str | None
    threshold_msat: int
    every_s: int


class RefundTerms(TypedDict):
    """What readers may return by themselves; a window of 0 is nothing."""

    window_s: int
    per_reader_in_30_days: int


class MerchantBalance(TypedDict):
    """The balance of the site's merchant, over all of their sites."""

    merchant: str
    balance_msat: int
    commission: Commission
    payouts: PayoutTerms
    refunds: RefundTerms


class NewEndpoint(TypedDict):
    """An endpoint with its secret, which is shown only now."""

    id: str
    url: str
    description: str
    event_types: list[str]
    enabled: bool
    disabled_reason: str
    failing_since: int | None
    old_secret_until: int | None
    created_at: int
    secret: str


class OrderInvoice(TypedDict):
    """An invoice that was made for the order."""

    id: str
    state: str
    marks: list[str]
    amount_msat: int
    received_msat: int
    credit_msat: int
    created_at: int
    expires_at: int


class OrderLine(TypedDict):
    """A line; its price includes its tax."""

    title: str
    quantity: int
    unit_minor: int
    sum_minor: int
    tax_ppm: int | None


class OrderTax(TypedDict):
    """The tax of one rate, within the total; rounded to the nearest minor unit."""

    tax_ppm: int
    gross_minor: int
    tax_minor: int


class OrderInFull(TypedDict):
    """An order with its invoices, oldest first."""

    id: str
    reference: str
    state: str
    site: str
    item: str
    currency: str
    exponent: int
    total_minor: int
    lines: list[OrderLine]
    taxes: list[OrderTax]
    customer_ref: str | None
    metadata: dict[str, str]
    return_url: str | None
    cancel_url: str | None
    payment_link: str | None
    created_at: int
    expires_at: int
    paid_at: int | None
    amount_msat: int | None
    holder: str | None
    closed_at: int | None
    checkout_url: str
    invoices: list[OrderInvoice]


class Order(TypedDict):
    """An order as its site sees it. Amounts in minor units of the currency, or sats."""

    id: str
    reference: str
    state: str
    site: str
    item: str
    currency: str
    exponent: int
    total_minor: int
    lines: list[OrderLine]
    taxes: list[OrderTax]
    customer_ref: str | None
    metadata: dict[str, str]
    return_url: str | None
    cancel_url: str | None
    payment_link: str | None
    created_at: int
    expires_at: int
    paid_at: int | None
    amount_msat: int | None
    holder: str | None
    closed_at: int | None
    checkout_url: str


class OrderPage(TypedDict):
    """Some orders and the cursor of the next ones; null at the end."""

    orders: list[Order]
    next_cursor: str | None


class Payout(TypedDict):
    """A payout as its owner sees it. Amounts in msat, times in Unix seconds."""

    id: str
    state: str
    rail: str
    address: str
    amount_msat: int
    fee_msat: int
    fee_returned_msat: int
    transaction: str | None
    note: str
    created_at: int
    settled_at: int | None


class PayoutPage(TypedDict):
    """Some payouts and the cursor of the next ones; null at the end."""

    payouts: list[Payout]
    next_cursor: str | None


class Refund(TypedDict):
    """A purchase that was given back."""

    id: str
    holder: str
    item: str
    amount_msat: int
    created_at: int


class ReplayEvents(TypedDict):
    """Either ``event``, or ``since`` with or without the others."""

    event: NotRequired[str | None]
    since: NotRequired[int | None]
    until: NotRequired[int | None]
    delivered_too: NotRequired[bool]


class Replayed(TypedDict):
    """How much is on its way again."""

    count: int
    next_since: int | None


class RequestPayout(TypedDict):
    """An empty object: all that can go now is paid, and the site cannot say where."""


class RotateWebhookSecret(TypedDict):
    """An empty object."""


class Sale(TypedDict):
    """A sale, or a co-author's share of one, as its merchant sees it. Times are Unix seconds."""

    id: str
    kind: str
    state: str
    site: str | None
    item: str | None
    title: str
    holder: str
    invoice: str | None
    rail: str
    direct: bool
    amount_msat: int
    commission_msat: int
    shares_msat: int
    net_msat: int
    fiat_currency: str
    fiat_minor: int | None
    rate_price_per_btc: str | None
    rate_as_of: int | None
    tax_name: str
    tax_ppm: int
    created_at: int
    refunded_at: int | None
    refund_msat: int
    refund_by: str | None
    reversed_at: int | None


class SalePage(TypedDict):
    """Some sales and the cursor of the next ones; null at the end."""

    sales: list[Sale]
    next_cursor: str | None


class SendTestEvent(TypedDict):
    """An empty object."""


class Sent(TypedDict):
    """What is on its way."""

    event: str


class StatementLine(TypedDict):
    """One event in the account; positive is more for the merchant."""

    created_at: int
    kind: str
    words: str
    amount_msat: int
    item: str | None
    title: str | None
    holder: str | None
    payout: str | None


class Statement(TypedDict):
    """Some lines and the cursor of the next ones; null at the end."""

    lines: list[StatementLine]
    next_cursor: str | None


class UpdateWebhookEndpoint(TypedDict):
    """What is to be another way; null leaves it."""

    url: NotRequired[str | None]
    description: NotRequired[str | None]
    event_types: NotRequired[list[str] | None]
    enabled: NotRequired[bool | None]
