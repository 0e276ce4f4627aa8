"""Version 1 of the API: one endpoint a file, all of them listed here."""

from bitcache_server.http.api_v1 import (
    claim_grant,
    create_file_link,
    create_invoice,
    create_item,
    list_invoices,
    list_items,
    read_content,
    read_grant,
    read_invoice,
    read_item,
    read_qr,
    redeem_credit,
    request_payment,
)

ROUTES = (
    create_item.ROUTE,
    list_items.ROUTE,
    read_item.ROUTE,
    create_invoice.ROUTE,
    list_invoices.ROUTE,
    read_invoice.ROUTE,
    request_payment.ROUTE,
    read_qr.SVG_ROUTE,
    read_qr.PNG_ROUTE,
    claim_grant.ROUTE,
    redeem_credit.ROUTE,
    read_grant.ROUTE,
    read_content.ROUTE,
    create_file_link.ROUTE,
)
