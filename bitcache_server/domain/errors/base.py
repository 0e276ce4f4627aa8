"""The base of every error: a stable code, a title, a sentence for a person."""

from typing import ClassVar


class BitcacheError(Exception):
    """An error with a stable ``code``, a ``title`` and a sentence for a person.

    ``detail`` says what was wrong with this very request and, where it helps,
    what to do. It is shown to callers: it never carries a secret.
    """

    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
