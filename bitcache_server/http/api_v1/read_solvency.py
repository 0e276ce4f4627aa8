"""GET /v1/solvency: what is owed to all readers, for everybody to compare with their own part."""

from flask import Response

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.context import session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.solvency import SolvencyView, newest_report, report_view


def read_solvency() -> Response:
    """Return the last published proof of solvency."""
    return json_answer(report_view(newest_report(session())))


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/solvency",
        operation_id="read_solvency",
        summary="Read the last proof of solvency",
        description="The root of a Merkle sum tree over all balances, their total, what is owed "
        "besides and what is held. A reader finds their own leaf on the wallet's page.",
        tag="meta",
        response=SolvencyView,
        errors=(errors.NotFound,),
    ),
    read_solvency,
)
