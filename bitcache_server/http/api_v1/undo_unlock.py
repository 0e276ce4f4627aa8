"""POST /v1/unlocks/undo: a reader did not mean that click."""

from flask import Response, request
from pydantic import BaseModel

from bitcache_server.domain import errors
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import bearer_token
from bitcache_server.http.body import Body, Text, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.limits import UNLOCKS
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.services.once import in_transaction
from bitcache_server.services.undo_unlock import undo_unlock as undo


class UndoUnlock(Body):
    """Which item was bought a moment ago."""

    item: Text


class UndoneAnswer(BaseModel):
    """What came back, and what the wallet holds now."""

    item: str
    refunded_msat: int
    balance_msat: int
    gift_msat: int


def undo_unlock() -> Response:
    """Take the purchase back."""
    token, origin = bearer_token(), request.headers.get("Origin")
    body = read_json(UndoUnlock)
    undone = in_transaction(session(), lambda: undo(deps(), session(), token, origin, body.item))
    return json_answer(
        UndoneAnswer(
            item=undone.item_id,
            refunded_msat=undone.refunded_msat,
            balance_msat=undone.balance_msat,
            gift_msat=undone.gift_msat,
        )
    )


ROUTE = Route(
    Endpoint(
        method="POST",
        path="/v1/unlocks/undo",
        operation_id="undo_unlock",
        summary="Undo a purchase by allowance",
        description=(
            "Within the time that the unlock's undo_until says, once for each item. The full "
            "price comes back, starter credit as starter credit, and the grant ends."
        ),
        tag="balance",
        request=UndoUnlock,
        response=UndoneAnswer,
        security="allowance",
        errors=(
            *BODY_ERRORS,
            errors.AllowanceInvalid,
            errors.OriginNotAllowed,
            errors.UnknownAllowance,
            errors.AllowanceRevoked,
            errors.AllowanceExpired,
            errors.UnknownItem,
            errors.UnknownPurchase,
            errors.AlreadyRefunded,
            errors.RefundNotOffered,
            errors.StorageFull,
        ),
    ),
    undo_unlock,
    limit=UNLOCKS,
)
