"""What an operator and a merchant do once: make a server, a site and two items.

All of it goes through the ``bitcache`` command, as the README tells people to.
"""

import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embit import bip32
from embit.networks import NETWORKS

from bitcache_server.rails.onchain.descriptors import derive
from demo.bell import write_bell
from demo.ports import HOST
from demo.regtest.electrum_daemon import ElectrumDaemon
from demo.till import FLOAT_SAT, PAYING_WALLET

PAID = Path(__file__).with_name("paid")
ARTICLE = PAID / "ferry.html"
FILE_NAME = "gannet-rock-bell.wav"
PRICE_USD = "0.05"
#: Enough for two pieces at five cents each, with a little left.
GIFT_SAT = 12_000
#: A round rate, so that five cents are 5,000 sat.
USD_PER_BTC = 1_000


class CommandFailed(Exception):
    """A ``bitcache`` command did not work; the message has what it printed."""


@dataclass(frozen=True)
class Addresses:
    """Where everything listens."""

    server: str
    events: str
    site: str
    wallet: str

    @classmethod
    def of_ports(cls, ports: list[int]) -> "Addresses":
        """Return the addresses for four ports on loopback.

        To a browser ``localhost`` and ``127.0.0.1`` are different sites, as a payment
        server and a magazine are; and passkeys want a name, not a number.
        """
        server, events, site, wallet = ports
        return cls(
            server=f"http://localhost:{server}",
            events=f"http://localhost:{events}",
            site=f"http://{HOST}:{site}",
            wallet=f"http://{HOST}:{wallet}",
        )


def server_environment(
    folder: Path, ports: list[int], node_url: str, lightning: ElectrumDaemon | None = None
) -> dict[str, str]:
    """Return the environment of the server: nothing of ours, and its settings.

    Without a Lightning wallet of the operator it sells on-chain alone.
    """
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("BITCACHE_")}
    addresses = Addresses.of_ports(ports)
    return inherited | {
        "BITCACHE_ENVIRONMENT": "development",
        "BITCACHE_SECRET_KEY": secrets.token_urlsafe(48),
        "BITCACHE_DATA_DIR": str(folder / "data"),
        "BITCACHE_BIND_HOST": HOST,
        "BITCACHE_PORT": str(ports[0]),
        "BITCACHE_EVENTS_PORT": str(ports[1]),
        "BITCACHE_PUBLIC_URL": addresses.server,
        "BITCACHE_EVENTS_URL": addresses.events,
        "BITCACHE_NETWORK": "regtest",
        "BITCACHE_NODE_URL": node_url,
        "BITCACHE_FIXED_RATES": json.dumps({"USD": str(USD_PER_BTC)}),
        "BITCACHE_ONCHAIN_DESCRIPTOR": watch_only_descriptor(),
        "BITCACHE_PAYOUT_WALLET": PAYING_WALLET,
        "BITCACHE_PAYOUT_CONFIRMATIONS": "1",
        "BITCACHE_GIFT_SAT": str(GIFT_SAT),
        "BITCACHE_GIFT_BUDGET_SAT_PER_DAY": str(100 * GIFT_SAT),
        "BITCACHE_GIFTS_PER_ADDRESS": "100",
        **(_lightning_settings(lightning) if lightning else {}),
    }


def _lightning_settings(wallet: ElectrumDaemon) -> dict[str, str]:
    return {
        "BITCACHE_RAILS": "lightning,onchain",
        "BITCACHE_LIGHTNING_BACKEND": "electrum",
        "BITCACHE_LIGHTNING_URL": wallet.url,
        # Electrum has one password for everything.
        "BITCACHE_LIGHTNING_SECRET": wallet.user_password,
    }


def bitcache_command() -> str:
    """Return the path of the ``bitcache`` command beside this Python."""
    return str(Path(sys.executable).with_name("bitcache"))


def watch_only_descriptor() -> str:
    """Return a watch-only descriptor of a fresh wallet (BIP 84), whose key is thrown away."""
    root = bip32.HDKey.from_seed(secrets.token_bytes(32), version=NETWORKS["regtest"]["xprv"])
    account = root.derive("m/84h/1h/0h").to_public()
    fingerprint = root.my_fingerprint.hex()
    return f"wpkh([{fingerprint}/84h/1h/0h]{account.to_base58()}/0/*)"


class Shop:
    """The operator's and the merchant's side of the demo, in a folder of its own."""

    def __init__(self, folder: Path, env: dict[str, str], site_url: str) -> None:
        self._folder = folder
        self._env = env
        self._site_url = site_url
        self.file = folder / "data" / "files" / FILE_NAME
        self.items: dict[str, str] = {}
        self.merchant_id = ""

    def make_database(self) -> None:
        """Create the tables."""
        self.run("db", "upgrade")

    def open(self, lightning_float_sat: int) -> None:
        """Book what the operator put in; add the merchant, the site and the items.

        ``lightning_float_sat`` is the operator's side of the channel, 0 without Lightning.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_bell(self.file)
        self.run("ledger", "deposit", "onchain", str(FLOAT_SAT))
        if lightning_float_sat:
            self.run("ledger", "deposit", "lightning", str(lightning_float_sat))
        self.merchant_id = self.run("merchant", "add", "--name", "Slack Water")["id"]
        address, _ = derive(watch_only_descriptor(), 0, "regtest")
        self.run("merchant", "terms", self.merchant_id, "--payout-address", address)
        site = self.run(
            "site", "add", "--merchant", self.merchant_id, "--name", "Slack Water",
            "--origin", self._site_url,
        )  # fmt: skip
        self.items = {
            "ferry": self._item(site["id"], "The Five-Cent Ferry", "--article", str(ARTICLE)),
            "bell": self._item(site["id"], "The Bell on Gannet Rock", "--file", FILE_NAME),
        }

    def _item(self, site: str, title: str, kind: str, value: str) -> str:
        page = f"{self._site_url}/{'bell' if kind == '--file' else 'ferry'}.html"
        price = ("--price", PRICE_USD, "--currency", "USD", "--url", page)
        return str(
            self.run("item", "add", "--site", site, "--title", title, *price, kind, value)["id"]
        )

    def run(self, *arguments: str) -> dict[str, Any]:
        """Run a ``bitcache`` command; return what it says, or raise CommandFailed."""
        done = subprocess.run(  # noqa: S603 - our own command with our own arguments
            [bitcache_command(), *arguments, "--json"],
            cwd=self._folder,
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            words = " ".join(arguments[:2])
            raise CommandFailed(f"`bitcache {words}` failed:\n{done.stdout}{done.stderr}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
