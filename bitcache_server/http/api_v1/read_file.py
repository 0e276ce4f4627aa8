"""GET /v1/files/{item_id}: the file itself, at an address that never changes."""

from flask import Response

from bitcache_server.domain import errors
from bitcache_server.http.context import deps
from bitcache_server.http.downloads import file_response
from bitcache_server.http.l402 import BILL_ERRORS, serve
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.models.catalog import Item
from bitcache_server.services.deliver import file_of


def read_file(item_id: str) -> Response:
    """Return the file that the grant or the L402 token opens."""
    return serve(item_id, lambda item: file_of(deps(), item), file_answer)


def file_answer(item: Item) -> Response:
    """Return an opened item's file."""
    return file_response(file_of(deps(), item))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/files/{item_id}",
        operation_id="read_file",
        summary="Download a paid file",
        description=(
            "For programs: the credential stands in the Authorization header, ranges and "
            "conditional requests work, and a HEAD costs nothing. Without a credential the "
            "answer is an L402 challenge. A browser follows a link of `create_file_link`."
        ),
        tag="content",
        media_type="application/octet-stream",
        also_status=(206,),
        security="buyer",
        errors=(
            *BILL_ERRORS,
            errors.UnknownItem,
            errors.ItemArchived,
            errors.OriginNotAllowed,
            errors.GrantInvalid,
            errors.GrantExpired,
            errors.GrantRevoked,
            errors.WrongKind,
            errors.ContentElsewhere,
            errors.FileMissing,
            errors.FilePathRefused,
            errors.RangeNotSatisfiable,
        ),
    ),
    read_file,
)
