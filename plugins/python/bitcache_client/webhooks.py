"""Webhooks as a site's server takes them (https://www.standardwebhooks.com/)."""

from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


class WebhookRefused(Exception):
    """The request is not from Bitcache, was changed, or is too old. Answer 400."""


def read_webhook(secret: str, headers: Mapping[str, str], body: bytes | str) -> dict[str, Any]:
    """Return the event of a request, after its signature and its age were checked.

    ``body`` is the body exactly as it came. An event may come more than once: its
    ``webhook-id`` header is the same then. Raises WebhookRefused.
    """
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        event = Webhook(secret).verify(text, {name.lower(): headers[name] for name in headers})
    except (WebhookVerificationError, ValueError, KeyError) as error:
        raise WebhookRefused(str(error)) from error
    if not isinstance(event, dict):
        raise WebhookRefused("The body is no object.")
    return event
