"""The real Lightning network for tests: bcoin, ElectrumX and two Electrum wallets."""

from collections.abc import Iterator

import pytest

from bitcache_server.rails.lightning.backend import BackendSettings
from bitcache_server.rails.lightning.electrum import ElectrumBackend
from demo.regtest.lightning import ElectrumDaemon, LightningNetwork
from tests.support.rpc_proxy import RpcProxy

TIMEOUT_S = 30.0


@pytest.fixture(scope="session")
def lightning_network() -> Iterator[LightningNetwork]:
    """Return a network with an open channel, shared by the tests of one process.

    Tests leave payments behind, but no daemon that is stopped.
    """
    with LightningNetwork() as network:
        yield network


def electrum_settings(
    daemon: ElectrumDaemon, *, url: str = "", secret: str = ""
) -> BackendSettings:
    """Return what a backend needs to talk to the daemon, or to something in its place."""
    return BackendSettings(
        url=url or daemon.url,
        secret=secret or daemon.user_password,
        payout_secret="",
        certificate="",
        timeout_s=TIMEOUT_S,
        allow_fake=False,
    )


def electrum_backend(daemon: ElectrumDaemon) -> ElectrumBackend:
    """Return a backend for the daemon's wallet."""
    return ElectrumBackend(electrum_settings(daemon))


def proxy_to(daemon: ElectrumDaemon) -> RpcProxy:
    """Return something that can misbehave in the daemon's place."""
    return RpcProxy(f"http://{daemon.user_password}@127.0.0.1:{daemon.port}")
