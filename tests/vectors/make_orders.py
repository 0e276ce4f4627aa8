"""Write orders.json: python -m tests.vectors.make_orders

Links that shops sign and tokens that customers bring back, as docs/orders.md describes them;
with fixed secrets and times, so that making them again changes nothing.
"""

import json
from pathlib import Path
from typing import Any

from bitcache_server.tokens.orders import OrderClaims, issue_order, link_message, sign_link
from tests.vectors.make import ISSUED, NEW, OLD, OTHER, SITE

FILE = Path(__file__).with_name("orders.json")

LINK = {
    "site": SITE,
    "reference": "A-1001",
    "amount": "12.50",
    "currency": "USD",
    "title": "Tea",
    "return_url": "https://shop.example/thanks?order=1001",
    "expires": "1800000600",
}
#: What URLs, HTML and JSON write in other ways; none of them counts here.
UNICODE = {**LINK, "title": "\u00dcn\u00efc\u00f6de & <b>\u4e2d\u6587</b> + 100 % \U0001f511 =="}
SHORT = {name: LINK[name] for name in ("site", "reference", "amount", "currency", "title")}
SHORT["expires"] = "1800000600"
PAID = OrderClaims(SITE, "or_DDDDDDDDDDDDDDDDDDDDDD", "A-1001", "paid", 1_250, "USD", ISSUED)
YEN = OrderClaims(SITE, "or_E", "\u6ce8\u6587 7", "cancelled", 10**12, "JPY", ISSUED + 60)


def build() -> dict[str, Any]:
    """Return the document that stands in orders.json."""
    secrets = (NEW, OLD)
    return {
        "comment": "Made by tests/vectors/make_orders.py. docs/orders.md describes the bytes.",
        "links": [
            _link("a whole link", LINK, NEW, secrets, True),
            _link("letters of all kinds", UNICODE, NEW, secrets, True),
            _link("without what may be left out", SHORT, NEW, secrets, True),
            _link("signed with the secret before", LINK, OLD, secrets, True),
            _link("signed with another site's secret", LINK, OTHER, secrets, False),
            _changed("another amount", {"amount": "1.25"}),
            _changed("another address", {"return_url": "https://shop.example/"}),
            _changed("a parameter more", {"cancel_url": "https://shop.example/"}),
        ],
        "tokens": [
            _token("paid", PAID, NEW, secrets, True),
            _token("other letters and large numbers", YEN, NEW, secrets, True),
            _token("sealed with the secret before", PAID, OLD, secrets, True),
            _token("sealed with another site's secret", PAID, OTHER, secrets, False),
        ],
    }


def _link(
    name: str, parameters: dict[str, str], secret: str, secrets: tuple[str, ...], good: bool
) -> dict[str, Any]:
    return {
        "name": name,
        "secrets": list(secrets),
        "parameters": parameters,
        "message": link_message(parameters).decode(),
        "signature": sign_link((secret,), parameters),
        "valid": good,
    }


def _changed(name: str, values: dict[str, str]) -> dict[str, Any]:
    case = _link(name, {**LINK, **values}, NEW, (NEW, OLD), False)
    return {**case, "signature": sign_link((NEW,), LINK)}


def _token(
    name: str, claims: OrderClaims, secret: str, secrets: tuple[str, ...], good: bool
) -> dict[str, Any]:
    return {
        "name": name,
        "secrets": list(secrets),
        "token": issue_order((secret,), claims),
        "claims": dict(vars(claims)) if good else None,
        "valid": good,
    }


def text() -> str:
    """Return what stands in the file."""
    return json.dumps(build(), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "ascii")
