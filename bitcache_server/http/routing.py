"""A route is an endpoint's description and the function that answers it."""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask import Flask
from flask.typing import ResponseReturnValue

from bitcache_server.domain import errors
from bitcache_server.http.limits import READS, check_limit
from bitcache_server.http.openapi import Endpoint

Handler = Callable[..., ResponseReturnValue]

#: What a call with a JSON body may get before anything else looks at it.
BODY_ERRORS: tuple[type[errors.BitcacheError], ...] = (
    errors.InvalidRequest,
    errors.MalformedJson,
    errors.PayloadTooLarge,
    errors.UnsupportedMediaType,
)

#: What asking a Lightning node, or a merchant's Lightning address, may end with.
NODE_ERRORS: tuple[type[errors.BitcacheError], ...] = (
    errors.NoInboundRoom,
    errors.LightningUnreachable,
    errors.LightningUnauthorized,
    errors.LightningPermission,
    errors.LightningCertificate,
    errors.LightningWrongNetwork,
    errors.LightningRejected,
    errors.LightningAddressInvalid,
    errors.LnurlUnreachable,
    errors.LnurlRefused,
    errors.LnurlForbidden,
)


@dataclass(frozen=True)
class Route:
    """One endpoint of the API."""

    endpoint: Endpoint
    handler: Handler
    limit: str = READS
    """Which rate limit counts each call, also one that is refused; a handler may count more."""


def add_routes(app: Flask, routes: Sequence[Route]) -> None:
    """Add the routes to an app."""
    for route in routes:
        app.add_url_rule(
            re.sub(r"{(\w+)}", r"<\1>", route.endpoint.path),
            endpoint=route.endpoint.operation_id,
            view_func=_limited(route),
            methods=[route.endpoint.method],
        )


def _limited(route: Route) -> Handler:
    @functools.wraps(route.handler)
    def counted(**arguments: str) -> ResponseReturnValue:
        check_limit(route.limit)
        return route.handler(**arguments)

    return counted
