"""GET /.well-known/bitcache: what a program needs to know of a server, from its address alone."""

from flask import Response
from pydantic import BaseModel

from bitcache_server import __version__
from bitcache_server.domain.money import CURRENCY_EXPONENTS, SAT
from bitcache_server.http.connect import AUTHORIZE, GRANT_TYPE, TOKEN
from bitcache_server.http.context import deps
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.i18n import LANGUAGES
from bitcache_server.services.offers import in_order

PATH = "/.well-known/bitcache"


class ConnectView(BaseModel):
    """How a site is connected, in the words of RFC 8414 (and RFC 9207)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    response_types_supported: list[str]
    grant_types_supported: list[str]
    code_challenge_methods_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    authorization_response_iss_parameter_supported: bool


class DiscoveryView(BaseModel):
    """A server and where its parts are."""

    name: str
    version: str
    """Of the software."""
    api_version: str
    api_url: str
    openapi_url: str
    events_url: str
    """Where server-sent events come from."""
    widget_url: str
    """The script of the widget."""
    dashboard_url: str
    network: str
    """Of bitcoin: ``mainnet``, ``testnet``, ``signet``, ``regtest``."""
    rails: list[str]
    currencies: list[str]
    """What prices can be in: ISO 4217 codes and SAT."""
    languages: list[str]
    connect: ConnectView


def read_discovery() -> Response:
    """Return where everything is."""
    settings = deps().settings
    url = settings.public_url
    view = DiscoveryView(
        name="Bitcache",
        version=__version__,
        api_version="v1",
        api_url=f"{url}/v1",
        openapi_url=f"{url}/openapi.json",
        events_url=settings.events_url,
        widget_url=f"{url}/widget/bitcache.js",
        dashboard_url=f"{url}/dashboard",
        network=settings.network,
        rails=in_order(list(deps().rails)),
        currencies=[*sorted(CURRENCY_EXPONENTS), SAT],
        languages=list(LANGUAGES),
        connect=ConnectView(
            issuer=url,
            authorization_endpoint=url + AUTHORIZE,
            token_endpoint=url + TOKEN,
            response_types_supported=["code"],
            grant_types_supported=[GRANT_TYPE],
            code_challenge_methods_supported=["S256"],
            token_endpoint_auth_methods_supported=["none"],
            authorization_response_iss_parameter_supported=True,
        ),
    )
    return Response(
        view.model_dump_json(),
        headers={"Access-Control-Allow-Origin": "*", "Cache-Control": "max-age=300"},
        content_type="application/json",
    )


ROUTE = Route(
    Endpoint(
        method="GET",
        path=PATH,
        operation_id="read_discovery",
        summary="Read what the server is and where its parts are",
        description=(
            "For plugins, which know the server's address alone. `connect` is how a merchant "
            "lets them have a site's secret: the authorization code grant of OAuth 2 with PKCE."
        ),
        tag="meta",
        response=DiscoveryView,
    ),
    read_discovery,
)
