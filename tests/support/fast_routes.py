"""Routes that are compiled once for all the apps of a test process.

Werkzeug writes two functions in Python for each rule. A server does that once; the tests
build thousands of apps with the same rules, which took more time than all else in them.
"""

from flask import Flask
from werkzeug.routing import Rule

_COMPILED = ("_parts", "_trace", "_converters")
_known: dict[tuple[object, ...], tuple[dict[str, object], object, object]] = {}


class KnownRule(Rule):
    """A rule that takes over what an equal one was compiled to."""

    def compile(self) -> None:
        """Compile it as Werkzeug does, the first time."""
        key = (self.rule, self.subdomain, self.merge_slashes, repr(self.defaults))
        if key not in _known:
            super().compile()
            made = {name: getattr(self, name) for name in _COMPILED}
            # Methods are kept without the rule that they belong to.
            _known[key] = (made, self._build.__func__, self._build_unknown.__func__)  # type: ignore[attr-defined]
            return
        made, build, build_unknown = _known[key]
        self.__dict__.update(made)
        self.arguments.update(self._converters)
        self._build = build.__get__(self, None)  # type: ignore[attr-defined]
        self._build_unknown = build_unknown.__get__(self, None)  # type: ignore[attr-defined]


# Flask's own place for it (https://flask.palletsprojects.com/en/stable/api/#flask.Flask.url_rule_class).
Flask.url_rule_class = KnownRule
