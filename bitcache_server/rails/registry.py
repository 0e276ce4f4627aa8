"""All rails by name. To add one: a package or file here, a line below, a contract row."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.rails.base import Rail
from bitcache_server.rails.fake import FakeRail
from bitcache_server.rails.lightning.rail import LightningRail
from bitcache_server.rails.onchain.rail import OnchainRail

#: Each takes its settings as keyword arguments and makes no connection.
RAIL_FACTORIES: Mapping[str, Callable[..., Rail]] = MappingProxyType(
    {
        "fake": FakeRail,
        "lightning": LightningRail,
        "onchain": OnchainRail,
    }
)


def make_rail(name: str, **parameters: Any) -> Rail:
    """Return the rail of that name; raise ConfigurationError if there is none.

    ``make_rail("onchain", rpc_url="http://user:password@host:8332", network="mainnet")``
    """
    try:
        factory = RAIL_FACTORIES[name]
    except KeyError:
        raise ConfigurationError(
            f"There is no rail {name[:32]!r}; there are {', '.join(RAIL_FACTORIES)}."
        ) from None
    return factory(**parameters)
