"""The Bitcoin networks: how their addresses and extended keys begin."""

from dataclasses import dataclass
from typing import Any

from embit.networks import NETWORKS as EMBIT_NETWORKS

from bitcache_server.domain.errors import ConfigurationError


@dataclass(frozen=True)
class Network:
    """One network. ``chains`` are the names that ``getblockchaininfo`` gives it."""

    name: str
    chains: tuple[str, ...]
    embit: dict[str, Any]

    @property
    def is_mainnet(self) -> bool:
        """Return whether extended keys of this network begin with x, y or z (SLIP-132)."""
        return self.name == "mainnet"


NETWORKS = {
    "mainnet": Network("mainnet", ("main",), EMBIT_NETWORKS["main"]),
    "testnet": Network("testnet", ("test", "testnet4"), EMBIT_NETWORKS["test"]),
    "signet": Network("signet", ("signet",), EMBIT_NETWORKS["signet"]),
    "regtest": Network("regtest", ("regtest",), EMBIT_NETWORKS["regtest"]),
}


def network_by_name(name: str) -> Network:
    """Return the network; raise ConfigurationError if there is none of that name."""
    try:
        return NETWORKS[name]
    except KeyError:
        raise ConfigurationError(
            f"The Bitcoin network must be one of {', '.join(NETWORKS)}."
        ) from None
