"""The tables. Importing this package registers every model with the metadata."""

from bitcache_server.models import (
    access,
    accounts,
    catalog,
    l402,
    ledger,
    operations,
    orders,
    payouts,
    sales,
    sales_book,
    solvency,
    visits,
    wallets,
    webhooks,
)

__all__ = [
    "access",
    "accounts",
    "catalog",
    "l402",
    "ledger",
    "operations",
    "orders",
    "payouts",
    "sales",
    "sales_book",
    "solvency",
    "visits",
    "wallets",
    "webhooks",
]
