"""POST /v1/allowances: show the approval's code and the verifier, get the token."""

from typing import Annotated

from flask import Response, request
from pydantic import BaseModel, Field

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.body import Body, Text, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.limits import UNLOCKS
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.services.allowances import collect_allowance as collect


class CollectAllowance(Body):
    """What the reader's approval gave to the page, and the secret that only it knows."""

    code: Annotated[Text, Field(max_length=200)]
    verifier: Text


class AllowanceAnswer(BaseModel):
    """A token that spends within the limits, from pages of one origin only."""

    allowance: str
    site: str
    per_item_msat: int
    per_day_msat: int
    auto_msat: int
    expires_at: int


def collect_allowance() -> Response:
    """Return the token of an approved allowance; safe to repeat until the code ends."""
    body = read_json(CollectAllowance)
    collected = collect(deps(), session(), body.code, body.verifier, request.headers.get("Origin"))
    allowance = collected.allowance
    return json_answer(
        AllowanceAnswer(
            allowance=collected.token,
            site=allowance.site_id,
            per_item_msat=allowance.per_item_msat,
            per_day_msat=allowance.per_day_msat,
            auto_msat=allowance.auto_msat,
            expires_at=allowance.expires_at,
        )
    )


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/allowances",
        operation_id="collect_allowance",
        summary="Collect an allowance that the reader has approved",
        description=(
            "The reader approves on `/wallet/connect`, which hands a code to the page. The same "
            "code and verifier get the token again for ten minutes. Only the page's own origin "
            "is answered."
        ),
        tag="balance",
        request=CollectAllowance,
        response=AllowanceAnswer,
        errors=(
            *BODY_ERRORS,
            errors.ApprovalPending,
            errors.OriginNotAllowed,
            errors.VerifierMismatch,
            errors.AllowanceRevoked,
            errors.AllowanceExpired,
        ),
    ),
    collect_allowance,
    limit=UNLOCKS,
)
