"""GET /v1/site: which site a secret is of, and what its server needs to check grants."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain.errors import ScopeMissing
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import bearer_token, require_site
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.origins import origins_of
from bitcache_server.services.site_keys import secrets_for
from bitcache_server.tokens.secrets import API_KEY_PREFIX


class OwnSiteView(BaseModel):
    """A site as its own server sees it."""

    id: str
    name: str
    merchant_id: str
    origins: list[str]
    """Whose pages may show the wall."""
    grant_keys: list[str]
    """What signs the site's grants, the newest first. Two are valid at once."""


def read_site() -> Response:
    """Return the site whose secret was sent."""
    site = require_site("items:read")
    if (bearer_token() or "").startswith(f"{API_KEY_PREFIX}_"):
        # Who has the keys can write grants: no key of a part of the API opens that.
        raise ScopeMissing("Only the site's own secret may read this.")
    return json_answer(
        OwnSiteView(
            id=site.id,
            name=site.name,
            merchant_id=site.merchant_id,
            origins=sorted(origins_of(session(), site.id)),
            grant_keys=list(secrets_for(deps(), session(), site.id)),
        )
    )


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/site",
        operation_id="read_site",
        summary="Read the site that a secret belongs to",
        description=(
            "With what signs its grants, so that a site's server goes on checking them when the "
            "secret was changed and the old one still works. No API key may read this."
        ),
        tag="merchants",
        response=OwnSiteView,
        security="site",
        errors=(ScopeMissing,),
    ),
    read_site,
)
