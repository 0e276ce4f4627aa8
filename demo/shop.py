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

from embit import bip32
from embit.networks import NETWORKS

from demo.bell import write_bell
from demo.ports import HOST

PAID = Path(__file__).with_name("paid")
ARTICLE = PAID / "ferry.html"
FILE_NAME = "gannet-rock-bell.wav"
PRICE_USD = "0.05"
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
        """Return the addresses for four ports on loopback."""
        return cls(*(f"http://{HOST}:{port}" for port in ports))


def server_environment(folder: Path, ports: list[int], node_url: str) -> dict[str, str]:
    """Return the environment of the server: nothing of ours, and its settings."""
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
    }


def bitcache_command() -> str:
    """Return the path of the ``bitcache`` command beside this Python."""
    return str(Path(sys.executable).with_name("bitcache"))


def merchant_descriptor() -> str:
    """Return a watch-only descriptor of a fresh wallet (BIP 84), whose key is thrown away."""
    root = bip32.HDKey.from_seed(secrets.token_bytes(32), version=NETWORKS["regtest"]["xprv"])
    account = root.derive("m/84h/1h/0h").to_public()
    fingerprint = root.my_fingerprint.hex()
    return f"wpkh([{fingerprint}/84h/1h/0h]{account.to_base58()}/0/*)"


class Shop:
    """The merchant's side of the demo, in a folder of its own."""

    def __init__(self, folder: Path, env: dict[str, str], site_url: str) -> None:
        self._folder = folder
        self._env = env
        self._site_url = site_url
        self.file = folder / "data" / "files" / FILE_NAME
        self.items: dict[str, str] = {}

    def make_database(self) -> None:
        """Create the tables."""
        self._bitcache("db", "upgrade")

    def open(self) -> None:
        """Add the merchant, the site and the items."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_bell(self.file)
        merchant = self._bitcache(
            "merchant", "add", "--name", "Slack Water", "--descriptor", merchant_descriptor()
        )
        site = self._bitcache(
            "site", "add", "--merchant", merchant["id"], "--name", "Slack Water",
            "--origin", self._site_url,
        )  # fmt: skip
        self.items = {
            "ferry": self._item(site["id"], "The Five-Cent Ferry", "--article", str(ARTICLE)),
            "bell": self._item(site["id"], "The Bell on Gannet Rock", "--file", FILE_NAME),
        }

    def _item(self, site: str, title: str, kind: str, value: str) -> str:
        price = ("--price", PRICE_USD, "--currency", "USD")
        return self._bitcache("item", "add", "--site", site, "--title", title, *price, kind, value)[
            "id"
        ]

    def _bitcache(self, *arguments: str) -> dict[str, str]:
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
        answer: dict[str, str] = json.loads(done.stdout)
        return answer
