"""GET /v1/statement: what happened in a merchant's account, newest first."""

from dataclasses import asdict

from flask import Response
from pydantic import BaseModel, Field

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import require_site
from bitcache_server.http.body import PageQuery, read_query
from bitcache_server.http.context import deps, session
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import Route
from bitcache_server.services.statement import StatementLine, statement


class StatementLineView(BaseModel):
    """One event in the account; positive is more for the merchant."""

    created_at: int
    kind: str = Field(
        pattern="^(sale|share|refund|taken_back|own_wallet|own_wallet_reversed"
        "|payout|payout_returned|fee_returned|other)$"
    )
    words: str
    amount_msat: int
    item: str | None
    title: str | None
    holder: str | None
    """A reader, by a name that only this merchant sees, or an invoice."""
    payout: str | None


class StatementView(BaseModel):
    """Some lines and the cursor of the next ones; null at the end."""

    lines: list[StatementLineView]
    next_cursor: str | None


def read_statement() -> Response:
    """Return a page of lines."""
    merchant_id = require_site("balance:read").merchant_id
    query = read_query(PageQuery)
    page = statement(deps(), session(), merchant_id, query.cursor, query.limit)
    views = [line_view(line) for line in page.lines]
    return json_answer(StatementView(lines=views, next_cursor=page.next_cursor))


def line_view(line: StatementLine) -> StatementLineView:
    """Return a line as JSON shows it."""
    fields = asdict(line)
    fields |= {"item": fields.pop("item_id"), "payout": fields.pop("payout_id")}
    del fields["id"]
    return StatementLineView(**fields)


ROUTE = Route(
    Endpoint(
        method="GET",
        path="/v1/statement",
        operation_id="read_statement",
        summary="Read the merchant's statement",
        description=(
            "Newest first; follow next_cursor until it is null, also over a short page. "
            "POST /v1/refunds takes a line's holder and item."
        ),
        tag="merchants",
        response=StatementView,
        query=PageQuery,
        security="site",
        scope="balance:read",
        errors=(errors.InvalidRequest,),
    ),
    read_statement,
)
