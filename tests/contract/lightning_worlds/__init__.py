"""One world for each Lightning backend; one without fails test_every_backend_has_a_world."""

from collections.abc import Mapping
from types import MappingProxyType

from tests.contract.lightning_worlds.base import LightningWorld
from tests.contract.lightning_worlds.cln import ClnWorld
from tests.contract.lightning_worlds.electrum import ElectrumWorld
from tests.contract.lightning_worlds.lnbits import LnbitsWorld
from tests.contract.lightning_worlds.lnd import LndWorld
from tests.contract.lightning_worlds.nwc import NwcWorld
from tests.contract.lightning_worlds.phoenixd import PhoenixdWorld
from tests.contract.lightning_worlds.scripted import ScriptedWorld

#: By the backend's name. The module of a world imports no more than it needs to be listed.
WORLDS: Mapping[str, type[LightningWorld]] = MappingProxyType(
    {
        "cln": ClnWorld,
        "electrum": ElectrumWorld,
        "lnbits": LnbitsWorld,
        "lnd": LndWorld,
        "nwc": NwcWorld,
        "phoenixd": PhoenixdWorld,
        "scripted": ScriptedWorld,
    }
)
