"""People who approve and end payouts, with their secrets."""

from dataclasses import dataclass, field

from bitcache_server.models.session import write_transaction
from bitcache_server.services.payout_approvals import add_operator
from tests.support.world import World


@dataclass
class Operators:
    """The operators of a shop; each is added when first named."""

    shop: World
    secrets: dict[str, str] = field(default_factory=dict)

    def secret(self, name: str) -> str:
        """Return an operator's secret."""
        if name not in self.secrets:
            self.shop.session.rollback()
            with write_transaction(self.shop.session):
                added = add_operator(self.shop.deps, self.shop.session, name)
                self.secrets[name] = added.secret
        return self.secrets[name]
