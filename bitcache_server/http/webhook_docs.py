"""The section ``webhooks`` of the OpenAPI document: what we send, from the models themselves."""

from typing import Any

from pydantic.json_schema import models_json_schema

from bitcache_server.http.openapi import JSON
from bitcache_server.services.webhook_types import payload_models

Schema = dict[str, Any]

_REF = "#/components/schemas/{model}"
#: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
_HEADERS = {
    "webhook-id": "The event's id, the same with each attempt: by it receivers know it again.",
    "webhook-timestamp": "When this attempt was made, in Unix seconds.",
    "webhook-signature": "`v1,` and a signature, once for each secret, apart by spaces.",
}


def with_webhooks(document: Schema) -> Schema:
    """Return the document with what we send to merchants' servers."""
    payloads = payload_models()
    refs, made = models_json_schema(
        [(model, "serialization") for model, _ in payloads.values()], ref_template=_REF
    )
    schemas = {**made.get("$defs", {}), **document["components"]["schemas"]}
    webhooks = {
        name: {"post": _operation(name, words, refs[model, "serialization"])}
        for name, (model, words) in payloads.items()
    }
    components = {**document["components"], "schemas": dict(sorted(schemas.items()))}
    return {**document, "webhooks": webhooks, "components": components}


def _operation(event_type: str, words: str, schema: Schema) -> Schema:
    return {
        "operationId": f"webhook_{event_type.replace('.', '_')}",
        "summary": words,
        "description": "Sent to the merchant's endpoints that want it, at least once.",
        "tags": ["webhooks"],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": meaning,
                "schema": {"type": "string"},
            }
            for name, meaning in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {JSON: {"schema": schema}}},
        "responses": {
            "2XX": {"description": "Taken. Anything else, or nothing in time, is tried again."},
            "410": {"description": "Nothing is wanted any more: the endpoint is switched off."},
        },
    }
