"""The tables. Importing this package registers every model with the metadata."""

from bitcache_server.models import (
    catalog,
    l402,
    ledger,
    operations,
    payouts,
    sales,
    solvency,
    wallets,
)

__all__ = ["catalog", "l402", "ledger", "operations", "payouts", "sales", "solvency", "wallets"]
