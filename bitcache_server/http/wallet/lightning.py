"""/wallet/lightning: Lightning wallets that open a wallet here (LUD-04)."""

from bitcache_server.http.doors import LightningCalls
from bitcache_server.http.wallet.door import DOOR

add_routes = LightningCalls(DOOR).add_routes
