"""The base of every error: a stable code, a title, a sentence for a person."""

from typing import ClassVar


class BitcacheError(Exception):
    """An error with a stable ``code``, a ``title`` and a sentence for a person.

    ``detail`` says what was wrong with this very request and, where it helps,
    what to do. It is shown to callers: it never carries a secret. With ``values`` it is
    a message with places for them (``%(name)s``), so that pages can say it in other languages;
    the value of ``what`` is such a message itself.
    """

    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str = "", **values: object) -> None:
        self.message = detail or self.title
        self.values = values
        self.detail = self.message % values if values else self.message
        super().__init__(self.detail)
