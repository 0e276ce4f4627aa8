"""Request bodies and queries, checked before anything else looks at them."""

from typing import Annotated, TypeVar

from flask import request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bitcache_server.domain.errors import (
    BitcacheError,
    InvalidRequest,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from bitcache_server.services.texts import check_text

M = TypeVar("M", bound=BaseModel)

MAX_IDEMPOTENCY_KEY_CHARS = 200


def _storable(text: str) -> str:
    try:
        return check_text(text, "The text")
    except BitcacheError as error:
        raise ValueError(error.detail) from None


#: A string that both databases can keep: no null byte, no half character.
Text = Annotated[str, AfterValidator(_storable)]


class Body(BaseModel):
    """The base of all request bodies: no unknown members, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PageQuery(BaseModel):
    """Where a list goes on."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[str, Field(max_length=200)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50


def read_json(model: type[M]) -> M:
    """Return the checked body; raise UnsupportedMediaType or pydantic's ValidationError.

    A body that is too long raises PayloadTooLarge, or Werkzeug's error of the same status.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaType()
    data = request.get_data(cache=False)
    limit = request.max_content_length
    if request.content_length is None and limit is not None and len(data) >= limit:
        # A body in chunks says no length; Werkzeug cuts it off without a word.
        raise PayloadTooLarge()
    return model.model_validate_json(data)


def read_query(model: type[M]) -> M:
    """Return the checked query string; a repeated name is an error, not a choice."""
    for name, values in request.args.lists():
        if len(values) > 1:
            raise InvalidRequest(f"{name[:40]} is given more than once.")
    return model.model_validate(request.args.to_dict())


def idempotency_key() -> str | None:
    """Return the Idempotency-Key header, or None; raise InvalidRequest."""
    return check_idempotency_key(request.headers.get("Idempotency-Key"))


def check_idempotency_key(key: str | None) -> str | None:
    """Return the key when it can be one, or None where there is none; raise InvalidRequest."""
    if key is None:
        return None
    if not 0 < len(key) <= MAX_IDEMPOTENCY_KEY_CHARS or not key.isascii() or not key.isprintable():
        raise InvalidRequest(
            f"The Idempotency-Key must be 1 to {MAX_IDEMPOTENCY_KEY_CHARS} printable characters."
        )
    return key
