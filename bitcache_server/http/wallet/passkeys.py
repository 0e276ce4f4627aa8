"""/wallet/passkeys: passkeys that open a wallet."""

from bitcache_server.http.doors import PasskeyCalls
from bitcache_server.http.wallet.door import DOOR

add_routes = PasskeyCalls(DOOR).add_routes
