"""What a wallet is to pay for: one item, and who gets what of its price."""

from dataclasses import dataclass

from bitcache_server.ledger import chart
from bitcache_server.ledger.idempotency import check_key, request_hash
from bitcache_server.ledger.parts import Part, price_of


@dataclass(frozen=True)
class Spend:
    """What is bought, by whom, and who gets what."""

    wallet_id: str
    idempotency_key: str | None
    site_id: str
    item_id: str
    parts: tuple[Part, ...]
    """They add up to the price."""
    expires_at: int | None
    """When the grant ends; None for never."""
    now: int
    allowance_id: str | None = None
    """The allowance whose limits hold; None when the reader pays on our own pages."""
    max_msat: int | None = None
    """The price that the reader was shown; a higher one is refused. None: any price."""
    auto: bool = False
    """Nobody clicked: the allowance's limit for that holds as well."""

    def __post_init__(self) -> None:
        chart.wallet(self.wallet_id)
        price_of(self.parts)
        if self.idempotency_key is not None:
            check_key(self.idempotency_key)
        if self.auto and self.allowance_id is None:
            raise ValueError("Without an allowance nothing is paid without a click.")

    @property
    def price_msat(self) -> int:
        """Return what the item costs."""
        return sum(part.amount_msat for part in self.parts)

    def request_hash(self) -> str:
        """Return the hash of what the reader asked for.

        Price, parts, expiry, limits and time are not part of it: a repetition after
        they changed is still the same request.
        """
        return request_hash("spend", self.site_id, self.item_id)
