"""POST /v1/files/{item_id}/link: a short-lived link that a browser can follow."""

from flask import Response
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import bearer_token
from bitcache_server.http.context import deps, page_origin, session
from bitcache_server.http.downloads import download_url
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.create_invoice import check_origin
from bitcache_server.services.deliver import download_link, open_item


class FileLink(BaseModel):
    """Where the file is, and until when."""

    url: str
    expires_at: int


def create_file_link(item_id: str) -> Response:
    """Return a link to the file that the grant opens."""
    opened = open_item(deps(), session(), item_id, bearer_token())
    check_origin(deps(), session(), opened.item.site_id, page_origin())
    link = download_link(deps(), session(), opened)
    return json_answer(FileLink(url=download_url(item_id, link), expires_at=link.expires_at))


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/files/{item_id}/link",
        operation_id="create_file_link",
        summary="Get a download link",
        description="Short-lived and bound to this file; ranges and resuming work.",
        tag="content",
        response=FileLink,
        security="grant",
        errors=(
            errors.UnknownItem,
            errors.OriginNotAllowed,
            errors.GrantInvalid,
            errors.GrantExpired,
            errors.GrantRevoked,
            errors.WrongKind,
            errors.ContentElsewhere,
            errors.FileMissing,
            errors.FilePathRefused,
        ),
    ),
    create_file_link,
)
