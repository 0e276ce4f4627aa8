"""Everything a service may need from outside, built once in ``wiring``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from flask import Flask

from bitcache_server.delivery.mail import Mail
from bitcache_server.domain.clock import Clock
from bitcache_server.domain.errors import UnknownRail
from bitcache_server.domain.fees import CommissionRule
from bitcache_server.rails.base import ChainRail, Rail, StreamRail
from bitcache_server.rates.base import RateSource
from bitcache_server.services.visit_counts import VisitCounts
from bitcache_server.settings import Settings
from bitcache_server.storage.local import LocalFiles
from bitcache_server.tokens.grants import GrantSigner

EXTENSION = "bitcache"


@dataclass(frozen=True)
class Deps:
    """The outside world: settings, time, rails, rates, files."""

    settings: Settings
    clock: Clock
    rails: Mapping[str, Rail]
    rate_sources: Sequence[RateSource]
    files: LocalFiles
    commission: CommissionRule
    mail: Mail | None = None
    """What sends mail; None where no mail server is configured."""
    signers: dict[str, tuple[int, tuple[str, ...], GrantSigner]] = field(default_factory=dict)
    """Cache of ``site_keys``: site id to (read at, secrets, signer)."""
    item_sites: dict[str, str] = field(default_factory=dict)
    """Cache of ``items``: item id to site id."""
    alive_grants: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """Cache of ``deliver``: holder, item and revision to when the grant was found alive."""
    accounts: dict[tuple[str, str], str] = field(default_factory=dict)
    """Cache of ``request_payment``: rail and account to the account in normal form."""
    contacts: dict[tuple[str, str], int] = field(default_factory=dict)
    """Kept by ``site_contacts``: kind and site, or key, to when it was last written down."""
    next_checks: dict[str, int] = field(default_factory=dict)
    """Kept by ``watch_stream``: a request's target to when it is asked about again."""
    visit_counts: VisitCounts = field(default_factory=VisitCounts)
    """Kept by ``visits``: what this process has counted and not written yet."""

    def rail(self, name: str) -> Rail:
        """Return a rail by name; raise UnknownRail when it is not switched on."""
        try:
            return self.rails[name]
        except KeyError:
            raise UnknownRail(f"{name[:32]!r} is not offered by this server.") from None

    @property
    def chain_rails(self) -> Sequence[ChainRail]:
        """Return the rails that are watched block by block."""
        return [rail for rail in self.rails.values() if isinstance(rail, ChainRail)]

    @property
    def stream_rails(self) -> Sequence[StreamRail]:
        """Return the rails that report settlements."""
        return [rail for rail in self.rails.values() if isinstance(rail, StreamRail)]


def deps_of(app: Flask) -> Deps:
    """Return the dependencies that an app was built with."""
    return cast(Deps, app.extensions[EXTENSION])
