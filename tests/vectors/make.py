"""Write grants.json: python -m tests.vectors.make

The vectors are what every implementation of docs/grants.md must read alike. They
are made with fixed secrets and times, so that making them again changes nothing.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from bitcache_server.tokens.downloads import DOWNLOAD_PURPOSE, DownloadClaims
from bitcache_server.tokens.grants import GRANT_PURPOSE, GrantClaims, GrantSigner
from bitcache_server.tokens.receipts import RECEIPT_PURPOSE, ReceiptClaims, issue_receipt

FILE = Path(__file__).with_name("grants.json")

NEW = "bcgk_new-secret-for-test-vectors-only-0000000000000"
OLD = "bcgk_old-secret-for-test-vectors-only-0000000000000"
OTHER = "bcgk_another-site's-secret-for-test-vectors-0000000"
SITE, ITEM = "st_AAAAAAAAAAAAAAAAAAAAAA", "it_BBBBBBBBBBBBBBBBBBBBBB"
INVOICE = "in_CCCCCCCCCCCCCCCCCCCCCC"
ISSUED, ENDS = 1_800_000_000, 1_800_086_400

LASTING = GrantClaims(SITE, ITEM, INVOICE, 5_000_000, ISSUED, None, 0)
TIMED = GrantClaims(SITE, ITEM, INVOICE, 1, ISSUED, ENDS, 3)
BIG = GrantClaims(SITE, ITEM, INVOICE, 10**12, ISSUED, 2**33, 2**31)
#: Outside ASCII, outside the first plane, quotes and what JSON escapes in other ways.
UNICODE = GrantClaims(
    "st_\u00e9\u4e2d\u6587\U0001f511", 'it_"\\/\u2028<&>\u0000', "wa_\u05d0", 3, ISSUED, None, 0
)


def build() -> dict[str, Any]:
    """Return the document that stands in grants.json."""
    return {
        "comment": "Made by tests/vectors/make.py. The format is described in docs/grants.md.",
        "secrets": {"current": NEW, "previous": OLD, "other_site": OTHER},
        "cases": [*_good_grants(), *_wrong_places(), *_broken(), *_other_purposes()],
    }


def _case(name: str, token: str, expect: str, claims: object = None, **changes: Any) -> Any:
    case = {
        "name": name,
        "purpose": GRANT_PURPOSE,
        "secrets": [NEW, OLD],
        "site": SITE,
        "item": ITEM,
        "now": ISSUED + 1,
        "token": token,
        "expect": expect,
        "claims": None if claims is None else dict(vars(claims)),
    }
    return case | changes


def _grant(claims: GrantClaims = LASTING, secret: str = NEW) -> str:
    return GrantSigner((secret,)).issue(claims)


def _good_grants() -> list[Any]:
    timed = _grant(TIMED)
    return [
        _case("valid for ever", _grant(), "valid", LASTING),
        _case("valid for ever, long after", _grant(), "valid", LASTING, now=ISSUED + 10**9),
        _case("signed with the previous secret", _grant(secret=OLD), "valid", LASTING),
        _case("valid at the last second", timed, "valid", TIMED, now=ENDS - 1),
        _case("expired at the first second", timed, "expired", now=ENDS),
        _case("expired long ago", timed, "expired", now=ENDS + 10**9),
        _case(
            "unicode and escapes", _grant(UNICODE), "valid", UNICODE,
            site=UNICODE.site, item=UNICODE.item,
        ),
        _case("numbers beyond 32 bits", _grant(BIG), "valid", BIG),
    ]  # fmt: skip


def _wrong_places() -> list[Any]:
    good, timed = _grant(), _grant(TIMED)
    return [
        _case("another item", good, "invalid", item="it_DDDDDDDDDDDDDDDDDDDDDD"),
        _case("another site", good, "invalid", site="st_DDDDDDDDDDDDDDDDDDDDDD"),
        _case("another item, and expired: invalid comes first", timed, "invalid", item="it_x",
              now=ENDS),
        _case("a secret that was rotated out", _grant(secret=OLD), "invalid", secrets=[NEW]),
        _case("another site's secret", _grant(secret=OTHER), "invalid"),
        _case("the item differs in case only", good, "invalid", item=ITEM.lower()),
    ]  # fmt: skip


def _broken() -> list[Any]:
    payload, time, signature = _grant().split(".")
    dearer = _b64(_unb64(payload).replace(b"5000000", b"9000000"))
    same_bits = signature[:-1] + chr(ord(signature[-1]) + 1)
    broken = {
        "payload changed": f"{dearer}.{time}.{signature}",
        "time changed": f"{payload}.{_b64(b'kI~' + bytes(1))}.{signature}",
        "signature changed": f"{payload}.{time}.{'A' * 43}",
        "signature cut": f"{payload}.{time}.{signature[:-1]}",
        "signature missing": f"{payload}.{time}",
        "signature empty": f"{payload}.{time}.",
        "signature of another text": f"{payload}.{time}.{_grant(TIMED).split('.')[2]}",
        "another spelling of the same signature": f"{payload}.{time}.{same_bits}",
        "padding": f"{payload}.{time}.{signature}=",
        "a character that base64 decoders skip": _grant().replace(".", ".!"),
        "space before": f" {_grant()}",
        "line end after": f"{_grant()}\n",
        "a part too many": f"{payload}.{time}.{time}.{signature}",
        "compressed payload, rightly signed": _compressed(),
        "rightly signed, but a list": _signed(b"[]"),
        "rightly signed, but no JSON": _signed(b'{"s":'),
        "rightly signed, but empty": _signed(b""),
        "rightly signed, but the price is a text": _signed(_json(p="5")),
        "rightly signed, but the price is true": _signed(_json(p=True)),
        "rightly signed, but the price is a fraction": _signed(_json(p=0.5)),
        "rightly signed, but the price is negative": _signed(_json(p=-1)),
        "rightly signed, but the end is a text": _signed(_json(e="never")),
        "rightly signed, but the end is missing": _signed(_json(e=...)),
        "rightly signed, but the holder is missing": _signed(_json(h=...)),
        "rightly signed, but too long": _signed(_json(h="h" * 4096)),
        "empty": "",
        "dots": "..",
        "not ASCII": "\u00e9" + _grant()[1:],
    }
    return [_case(name, token, "invalid") for name, token in broken.items()]


def _other_purposes() -> list[Any]:
    signer = GrantSigner((NEW, OLD))
    receipt_claims = ReceiptClaims(SITE, ITEM, INVOICE, 5_000_000, ISSUED, "ab" * 32)
    plain_claims = ReceiptClaims(SITE, ITEM, INVOICE, 5_000_000, ISSUED)
    link_claims = DownloadClaims(SITE, ITEM, INVOICE, 0, ENDS)
    receipt, link = issue_receipt(signer, receipt_claims), signer.issue_download(link_claims)
    as_receipt, as_link = {"purpose": RECEIPT_PURPOSE}, {"purpose": DOWNLOAD_PURPOSE}
    any_item = as_receipt | {"item": None}
    return [
        _case("receipt", receipt, "valid", receipt_claims, **any_item),
        _case("receipt without a hash", issue_receipt(signer, plain_claims), "valid",
              plain_claims, **any_item),
        _case("receipt of another site", receipt, "invalid", site="st_x", **any_item),
        _case("receipt, changed", receipt[:-9] + "A" * 9, "invalid", **any_item),
        _case("a grant is no receipt", _grant(), "invalid", **any_item),
        _case("a link is no receipt", link, "invalid", **any_item),
        _case("link", link, "valid", link_claims, **as_link),
        _case("link, at its end", link, "expired", now=ENDS, **as_link),
        _case("link of another item", link, "invalid", item="it_x", **as_link),
        _case("link of another site", link, "invalid", site="st_x", **as_link),
        _case("a grant is no link", _grant(), "invalid", **as_link),
        _case("a receipt is no link", receipt, "invalid", **as_link),
        _case("a receipt is no grant", receipt, "invalid"),
        _case("a link is no grant", link, "invalid"),
    ]  # fmt: skip


def _json(**changes: Any) -> bytes:
    claims: dict[str, Any] = {"s": SITE, "i": ITEM, "h": INVOICE, "p": 5, "e": None, "r": 0}
    kept = {key: value for key, value in (claims | changes).items() if value is not ...}
    return json.dumps(kept, separators=(",", ":")).encode()


class _Fixed(TimestampSigner):
    def get_timestamp(self) -> int:
        return ISSUED


_OPTIONS: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


def _signed(payload: bytes) -> str:
    return _Fixed(NEW, GRANT_PURPOSE, **_OPTIONS).sign(_b64(payload)).decode()


def _compressed() -> str:
    """Return what an unchanged itsdangerous makes of long claims."""
    serializer = URLSafeTimedSerializer(NEW, GRANT_PURPOSE, signer=_Fixed, signer_kwargs=_OPTIONS)
    token = serializer.dumps(json.loads(_json(h="h" * 1000)))
    assert token.startswith(".")
    return token


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def text() -> str:
    """Return the file as it should be."""
    return json.dumps(build(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="ascii")
