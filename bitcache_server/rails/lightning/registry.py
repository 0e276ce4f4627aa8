"""All Lightning backends by name. To add one: a file here, a line below, a contract row."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.rails.lightning.backend import BackendSettings, LightningBackend
from bitcache_server.rails.lightning.cln import ClnBackend
from bitcache_server.rails.lightning.electrum import ElectrumBackend
from bitcache_server.rails.lightning.lnbits import LnbitsBackend
from bitcache_server.rails.lightning.lnd import LndBackend
from bitcache_server.rails.lightning.nwc import NwcBackend
from bitcache_server.rails.lightning.phoenixd import PhoenixdBackend
from bitcache_server.rails.lightning.scripted import ScriptedBackend

__all__ = ["BACKENDS", "FAKES", "BackendSettings", "make_backend"]


#: Each makes no connection, and raises ConfigurationError for settings that cannot be right.
BACKENDS: Mapping[str, Callable[[BackendSettings], LightningBackend]] = MappingProxyType(
    {
        "cln": ClnBackend,
        "electrum": ElectrumBackend,
        "lnbits": LnbitsBackend,
        "lnd": LndBackend,
        "nwc": NwcBackend,
        "phoenixd": PhoenixdBackend,
        "scripted": ScriptedBackend,
    }
)


#: Play a node, for tests and demos.
FAKES = frozenset({"scripted"})


def make_backend(name: str, settings: BackendSettings) -> LightningBackend:
    """Return the backend of that name; raise ConfigurationError if there is none."""
    try:
        factory = BACKENDS[name]
    except KeyError:
        known = [one for one in BACKENDS if settings.allow_fake or one not in FAKES]
        raise ConfigurationError(
            f"There is no Lightning backend {name[:32]!r}; there are {', '.join(known)}."
        ) from None
    return factory(settings)
