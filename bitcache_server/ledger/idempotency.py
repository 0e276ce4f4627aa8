"""Same key and same request: the same answer. Same key, another request: an error.

The answer is stored in the transaction of the effect, so there is never one
without the other.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, text, update

from bitcache_server.domain.errors import IdempotencyConflict, InvalidRequest, StorageBusy
from bitcache_server.models.ledger import IdempotencyKey
from bitcache_server.models.session import AnySession, require_write_transaction

MAX_KEY_LENGTH = 255
_CONFLICT = "This idempotency key was used before with another request; take a new key."


@dataclass(frozen=True)
class Remembered:
    """The answer to a request, and whether it is an earlier one."""

    result: Any
    replayed: bool


def request_hash(*parts: Any) -> str:
    """Return the SHA-256, in hex, of JSON-like parts: method, path, body.

    The order of an object's keys makes no difference; anything else does.
    """
    canonical = json.dumps(
        parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def check_key(key: str) -> str:
    """Return the key when it can be one; raise InvalidRequest otherwise."""
    if not 0 < len(key) <= MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise InvalidRequest(
            f"An idempotency key has 1 to {MAX_KEY_LENGTH} printable ASCII characters."
        )
    return key


def remember(
    session: AnySession,
    owner_id: str,
    key: str,
    request: str,
    produce: Callable[[], Mapping[str, Any]],
    now: int,
) -> Remembered:
    """Return the stored answer to the key, or produce one and store it.

    ``request`` is the ``request_hash``. ``produce`` runs inside the caller's write
    transaction; when it raises, the transaction ends and the key is free again.
    Of two processes with the same key the second waits for the first. Raises
    IdempotencyConflict.
    """
    require_write_transaction(session)
    check_key(key)
    if not _reserve(session, owner_id, key, request, now):
        return _recall(session, owner_id, key, request)
    result = produce()
    stored = json.dumps(result, separators=(",", ":"), allow_nan=False)
    session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.owner_id == owner_id, IdempotencyKey.key == key)
        .values(result=stored)
        .execution_options(synchronize_session=False)
    )
    # What is returned now is exactly what a repeated call will get.
    return Remembered(json.loads(stored), replayed=False)


def _reserve(session: AnySession, owner_id: str, key: str, request: str, now: int) -> bool:
    """Insert the key without an answer; return False when it is there already.

    On PostgreSQL this waits for another transaction that inserted the key.
    """
    statement = text(
        "INSERT INTO idempotency_keys (owner_id, key, request_hash, result, created_at)"
        " VALUES (:owner_id, :key, :request_hash, '', :now) ON CONFLICT DO NOTHING RETURNING key"
    )
    values = {"owner_id": owner_id, "key": key, "request_hash": request, "now": now}
    return session.execute(statement, values).first() is not None


def _recall(session: AnySession, owner_id: str, key: str, request: str) -> Remembered:
    row = session.execute(
        select(IdempotencyKey.request_hash, IdempotencyKey.result).where(
            IdempotencyKey.owner_id == owner_id, IdempotencyKey.key == key
        )
    ).first()
    if row is None:
        # It was purged a moment ago.
        raise StorageBusy("The idempotency key has just expired; try again.")
    if row.request_hash != request:
        raise IdempotencyConflict(_CONFLICT)
    return Remembered(json.loads(row.result), replayed=True)


def purge(session: AnySession, older_than: int) -> int:
    """Forget the keys created before that Unix time; return how many.

    Transfers are never forgotten: a purged key only means that a very late repetition
    counts as a new request.
    """
    require_write_transaction(session)
    statement = (
        delete(IdempotencyKey)
        .where(IdempotencyKey.created_at < older_than)
        .returning(IdempotencyKey.key)
        .execution_options(synchronize_session=False)
    )
    return len(session.execute(statement).all())
