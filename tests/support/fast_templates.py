"""Templates that are compiled once for all the apps of a test process.

Jinja turns each template into Python, and a server does that once for each that it shows; the
tests build thousands of apps, and each of them would do it again for every page it shows.
"""

from flask import Flask
from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket

_known: dict[tuple[object, ...], object] = {}


class KnownTemplates(BytecodeCache):
    """Keeps the code of a template, for as long as source and environment are the same."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Put known code into the bucket."""
        bucket.code = _known.get(_key(bucket))  # type: ignore[assignment]

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of the bucket."""
        _known[_key(bucket)] = bucket.code


def _key(bucket: Bucket) -> tuple[object, ...]:
    return bucket.key, bucket.checksum, _options(bucket.environment)


def _options(environment: Environment) -> tuple[object, ...]:
    """Return what the code depends on besides the source."""
    return (
        *sorted(environment.extensions),
        getattr(environment, "newstyle_gettext", None),
        environment.trim_blocks,
        environment.lstrip_blocks,
        environment.undefined,
    )


# Flask's own place for it (https://flask.palletsprojects.com/en/stable/api/#flask.Flask.jinja_options).
Flask.jinja_options = {"bytecode_cache": KnownTemplates()}
