"""POST /v1/unlocks: a reader opens an item from their balance, on a site's page."""

from typing import Annotated, Literal

from flask import Response, request
from pydantic import BaseModel, Field

from bitcache_server.domain import errors
from bitcache_server.domain.money import MAX_PRICE_MSAT
from bitcache_server.http.answers import json_answer
from bitcache_server.http.auth import bearer_token
from bitcache_server.http.body import Body, Text, idempotency_key, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.limits import UNLOCKS
from bitcache_server.http.openapi import Endpoint
from bitcache_server.http.routing import BODY_ERRORS, Route
from bitcache_server.services.fill_wallet import unlock_or_fill
from bitcache_server.services.unlock_item import Unlocked, order_by_allowance

PATH = "/v1/unlocks"


class UnlockItem(Body):
    """Which item, and how dear it may be."""

    item: Text
    max_amount_msat: Annotated[int, Field(ge=0, le=MAX_PRICE_MSAT)] | None = None
    """The price that the reader was shown; a higher one is refused."""
    auto: bool = False
    """Nobody clicked: only up to what the reader allowed for that."""


class UnlockAnswer(BaseModel):
    """The grant opens the item; the receipt proves the purchase. Amounts are msat."""

    grant: str
    receipt: str
    item: str
    expires_at: int | None
    outcome: Literal["booked", "replayed", "owned"]
    """Paid now; paid by an earlier call with the same key; paid by another purchase."""
    charged_msat: int
    """What this request cost, however often it is repeated."""
    balance_msat: int | None
    """What is left; null when nothing was bought just now."""
    gift_msat: int | None
    """Starter credit that is left, beside ``balance_msat``; null as that is."""
    undo_until: int | None
    """Until this Unix time ``POST /v1/unlocks/undo`` gives the money back."""


def unlock_json(unlocked: Unlocked) -> str:
    """Return the answer as text."""
    values = {**vars(unlocked), "item": unlocked.item_id}
    return UnlockAnswer.model_validate(values).model_dump_json()


def unlock_item() -> Response:
    """Pay from the balance, or return what the reader holds already."""
    body = read_json(UnlockItem)
    order = order_by_allowance(
        deps(),
        bearer_token(),
        request.headers.get("Origin"),
        item_id=body.item,
        idempotency_key=idempotency_key(),
        max_amount_msat=body.max_amount_msat,
        auto=body.auto,
    )
    return json_answer(unlock_json(unlock_or_fill(deps(), session(), order)))


ROUTE = Route(
    Endpoint(
        method="POST",
        path=PATH,
        operation_id="unlock_item",
        summary="Open an item from a reader's balance",
        description=(
            "Works only on pages of the origin that the allowance was given to. A reader who "
            "holds a living grant gets it again and pays nothing, so repeating is safe even "
            "without a key. With a key, a purchase that is over is not made anew. What is left "
            "of the balance is told for a purchase and for a minute after it, to calls with the "
            "same key; `owned` tells no balance. A click that the balance is too small for waits "
            "up to eleven seconds while a Lightning wallet that the reader has connected fills it."
        ),
        tag="balance",
        request=UnlockItem,
        response=UnlockAnswer,
        security="allowance",
        idempotent=True,
        errors=(
            *BODY_ERRORS,
            errors.UnknownItem,
            errors.ItemArchived,
            errors.OriginNotAllowed,
            errors.AllowanceInvalid,
            errors.UnknownAllowance,
            errors.AllowanceRevoked,
            errors.AllowanceExpired,
            errors.AllowanceExceeded,
            errors.UnknownWallet,
            errors.InsufficientBalance,
            errors.PriceChanged,
            errors.PurchaseEnded,
            errors.IdempotencyConflict,
            errors.InvalidPrice,
            errors.RateUnavailable,
            errors.FileMissing,
            errors.FilePathRefused,
            errors.StorageFull,
        ),
    ),
    unlock_item,
    limit=UNLOCKS,
)
