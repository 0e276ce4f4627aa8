"""ElectrumX over the regtest node; runs with the Python of its own folder (``.ci/setup``).

Three things differ from the program that PyPI's ``e-x`` installs: it takes a node that is
not Bitcoin Core 31, and it leaves out the wait that pads
answers against traffic analysis, which would make each of them a second slow.
"""

from importlib import import_module


def main() -> None:
    """Start the server as the environment says; it runs until a signal ends it."""
    regtest = import_module("electrumx.lib.coins").BitcoinRegtest
    regtest.MIN_REQUIRED_DAEMON_VERSION = None
    regtest.REQUIRED_DAEMON_INDEXES = ()
    session = import_module("electrumx.server.session")
    session.PaddedRSTransport.WAIT_FOR_BUFFER_GROWTH_SECONDS = 0.005
    import_module("electrumx.cli.electrumx_server").main()


if __name__ == "__main__":
    main()
