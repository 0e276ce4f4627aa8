"""What somebody says who opens an account: from a form, or from our script."""

from collections.abc import Mapping

from bitcache_server.http.language import language
from bitcache_server.services.accounts import SignUp

FIELDS = ("login", "name", "merchant_name", "invitation")
#: Longer values are no names; they are not shown again either.
MAX_CHARS = 300


def form_of(values: Mapping[str, str]) -> dict[str, str]:
    """Return the fields as they were typed, to be shown again."""
    return {name: str(values.get(name, ""))[:MAX_CHARS] for name in FIELDS}


def asked_in(values: Mapping[str, str]) -> SignUp:
    """Return what a form asks for; the account speaks the language of the page."""
    return SignUp(**form_of(values), locale=language())
