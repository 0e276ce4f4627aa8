"""What a reader typed on the way to a withdrawal, as signed text for the page with the fee.

Nobody else can make that page show an address, and no address stands in a log of
requests for whoever reads it to use.
"""

from dataclasses import dataclass

from bitcache_server.services.deps import Deps
from bitcache_server.tokens.codec import TokenUnreadable, codec_for, text_of

LIFETIME_S = 1_800
MAX_ADDRESS_CHARS = 2_000
MAX_AMOUNT_CHARS = 20
#: Instead of an address: by a link, scanned by the reader or given away.
SCAN, GIVE = "scan", "give"
BY_CODE = (SCAN, GIVE)
_PURPOSE = "bitcache.withdraw.v1"


@dataclass(frozen=True)
class WithdrawOrder:
    """What was typed; an empty amount means all, or what an invoice asks for."""

    address: str = ""
    amount: str = ""


def seal_order(deps: Deps, wallet_id: str, order: WithdrawOrder) -> str:
    """Return the signed text, for this wallet and half an hour."""
    claims: dict[str, object] = {
        "w": wallet_id,
        "to": order.address[:MAX_ADDRESS_CHARS],
        "sat": order.amount[:MAX_AMOUNT_CHARS],
    }
    return codec_for(_PURPOSE, _secrets(deps)).seal(claims, deps.clock())


def open_order(deps: Deps, wallet_id: str, sealed: str) -> WithdrawOrder | None:
    """Return what was typed; None for another wallet's, an old one, or none of ours."""
    try:
        claims, sealed_at = codec_for(_PURPOSE, _secrets(deps)).open(sealed)
        order = WithdrawOrder(text_of(claims, "to"), text_of(claims, "sat"))
        ours = text_of(claims, "w") == wallet_id
    except TokenUnreadable:
        return None
    return order if ours and 0 <= deps.clock() - sealed_at < LIFETIME_S else None


def _secrets(deps: Deps) -> tuple[str, ...]:
    return (deps.settings.secret_key.get_secret_value(),)
