"""The tables. Importing this package registers every model with the metadata."""

from bitcache_server.models import catalog, ledger, operations, sales

__all__ = ["catalog", "ledger", "operations", "sales"]
