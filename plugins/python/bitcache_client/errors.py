"""What can go wrong between a site's server and Bitcache."""


class ApiError(Exception):
    """The server said no (RFC 9457). ``code`` never changes its meaning; read that."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{code} ({status}): {detail}")
        self.status = status
        self.code = code
        self.detail = detail


class Unreachable(Exception):
    """No answer came, or only answers that say "later".

    A call that changes something may have happened: repeat it with ``key``, and it happens
    once.
    """

    def __init__(self, detail: str, key: str | None) -> None:
        super().__init__(detail)
        self.key = key
