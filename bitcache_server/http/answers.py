"""How successful answers leave: JSON that no cache keeps."""

from flask import Response
from pydantic import BaseModel


def json_answer(body: BaseModel | str, status: int = 200) -> Response:
    """Return a JSON answer; a string is taken as JSON that is ready."""
    text = body if isinstance(body, str) else body.model_dump_json()
    return Response(text, status, {"Cache-Control": "no-store"}, content_type="application/json")
