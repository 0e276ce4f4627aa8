"""A client of the Bitcache API for servers: price, sell, refund, be told."""

from bitcache_client.client import Client
from bitcache_client.errors import ApiError, Unreachable
from bitcache_client.webhooks import WebhookRefused, read_webhook

__all__ = ["ApiError", "Client", "Unreachable", "WebhookRefused", "read_webhook"]
