"""Do a thing once for an idempotency key, in one transaction with its effect."""

import json
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel
from sqlalchemy.orm import Session

from bitcache_server.ledger import idempotency
from bitcache_server.models.session import write_transaction
from bitcache_server.services.deps import Deps

R = TypeVar("R")


def once(
    deps: Deps,
    session: Session,
    scope: str,
    key: str | None,
    request: object,
    produce: Callable[[], BaseModel],
) -> str:
    """Return the JSON of what ``produce`` made, now or when this key was first used.

    Opens the transaction. Raises IdempotencyConflict for the same key with another
    request. Without a key it simply runs.
    """
    with write_transaction(session):
        if key is None:
            return produce().model_dump_json()
        remembered = idempotency.remember(
            session,
            owner_id=scope,
            key=key,
            request=call_hash(request),
            produce=lambda: produce().model_dump(mode="json"),
            now=deps.clock(),
        )
    return json.dumps(remembered.result)


def call_hash(request: object) -> str:
    """Return what is kept of a call's request: another request's is another one."""
    return idempotency.request_hash(request)


def in_transaction(session: Session, produce: Callable[[], R]) -> R:
    """Run ``produce`` in one write transaction and return what it made."""
    with write_transaction(session):
        return produce()
