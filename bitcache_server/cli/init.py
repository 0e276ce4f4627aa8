"""``bitcache init``: the settings file, the folders, the database."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from bitcache_server import wiring
from bitcache_server.cli.output import emit, is_terminal, json_option, say, wants_json
from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.rails.onchain.descriptors import normalise
from bitcache_server.services.database import upgrade_database
from bitcache_server.settings import Settings, load_settings
from bitcache_server.settings.sources import CONFIG_VARIABLE, DEFAULT_CONFIG_FILE

NETWORKS = ("mainnet", "testnet", "signet", "regtest")


@dataclass(frozen=True)
class _Needs:
    """What a Lightning backend needs, as questions; empty where it needs nothing."""

    url: str
    secret: str
    payout_secret: str


LIGHTNING = {
    "lnd": _Needs(
        "LND's REST address, https://host:8080",
        "A macaroon for invoices, in hex (invoice.macaroon is too narrow; docs/lightning.md has "
        "the command)",
        "A macaroon for payments, in hex, or Enter",
    ),
    "cln": _Needs(
        "Core Lightning's REST address, https://host:3010",
        "A rune for invoices",
        "A rune for payments, or Enter",
    ),
    "phoenixd": _Needs(
        "phoenixd's address, http://127.0.0.1:9740",
        "http-password-limited-access of phoenix.conf",
        "http-password, which may also pay, or Enter",
    ),
    "lnbits": _Needs("LNbits' address, https://host", "The invoice key", "The admin key, or Enter"),
    "nwc": _Needs(
        "The wallet's connection text, nostr+walletconnect://…",
        "",
        "A second one that may also pay, or Enter",
    ),
    "electrum": _Needs("Electrum's RPC address, http://127.0.0.1:7777", "Its user:password", ""),
}
_SECRET_BYTES = 48
_OWNER_ONLY_FOLDER = 0o700
_OWNER_ONLY_FILE = 0o600


@click.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path(), metavar="DIR",
              help="Where bitcache.toml and the data go. Default: this folder.")  # fmt: skip
@click.option("--public-url", help="What readers' browsers call it, such as https://pay.example.")
@click.option("--network", type=click.Choice(NETWORKS), help="Default: mainnet.")
@click.option("--node-url", help="The Bitcoin node's RPC: http://user:password@host:port. Others "
              "on this machine can see a command line; the question is safer.")  # fmt: skip
@click.option("--descriptor", help="Your wallet's public descriptor or xpub; never a private key.")
@click.option(
    "--lightning",
    type=click.Choice([*LIGHTNING, "none"]),
    help="The Lightning node "
    "or wallet that receives; none: only merchants with a Lightning address.",
)
@click.option("--lightning-url", help="Where it answers, such as https://127.0.0.1:8080. The "
              "text of a wallet connection (nwc) is a secret: the question is safer.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Ask no questions.")
@json_option
def init(
    folder: Path,
    public_url: str | None,
    network: str | None,
    node_url: str | None,
    descriptor: str | None,
    lightning: str | None,
    lightning_url: str | None,
    yes: bool,
) -> None:
    """Write bitcache.toml and make the folders and the database.

    The file gets a fresh secret key and is readable by you alone.
    On a terminal it asks for what was not given. Nothing that exists is changed.

    \b
    Examples:
      bitcache init
      bitcache init --yes --dir /srv/bitcache --public-url https://pay.example \\
        --descriptor zpub6…
    The node's address may also come from BITCACHE_NODE_URL, or from a file that
    BITCACHE_NODE_URL_FILE names; it is then not written down. So may what Lightning needs:
    BITCACHE_LIGHTNING_URL, BITCACHE_LIGHTNING_SECRET, BITCACHE_LIGHTNING_PAYOUT_SECRET.
    """
    target = folder.absolute() / DEFAULT_CONFIG_FILE
    _refuse_to_overwrite(target)
    answers = {
        "public_url": public_url,
        "network": network,
        "node_url": node_url,
        "onchain_descriptor": descriptor,
        "lightning": lightning,
        "lightning_url": lightning_url,
    }
    if not yes and not wants_json() and is_terminal():
        _ask(answers)
    settings = _create(target, answers)
    _report(target, settings)


def _refuse_to_overwrite(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise ConfigurationError(
            f"{target} exists already and was not touched. Edit it, or choose another --dir."
        )


def _ask(answers: dict[str, str | None]) -> None:
    """Ask for what was not given; an empty answer takes the default."""
    say("Press Enter where you do not know the answer yet; bitcache.toml can be edited later.")
    if answers["public_url"] is None:
        answers["public_url"] = click.prompt(
            "Address for readers, such as https://pay.example", default="", show_default=False
        )
    if answers["network"] is None:
        answers["network"] = click.prompt(
            "Bitcoin network", type=click.Choice(NETWORKS), default="mainnet"
        )
    if answers["node_url"] is None and not _is_elsewhere("NODE_URL"):
        answers["node_url"] = click.prompt(
            "Bitcoin node, http://user:password@host:port (not shown)",
            default="", show_default=False, hide_input=True,
        )  # fmt: skip
    if answers["onchain_descriptor"] is None:
        answers["onchain_descriptor"] = click.prompt(
            "Your wallet's public descriptor or xpub", default="", show_default=False
        )
    _ask_lightning(answers)


def _ask_lightning(answers: dict[str, str | None]) -> None:
    """Ask for the Lightning node and its secrets, which are not shown."""
    if answers["lightning"] is None:
        answers["lightning"] = click.prompt(
            "Lightning node or wallet; none: only merchants with a Lightning address; "
            "Enter: no Lightning", type=click.Choice([*LIGHTNING, "none", ""]),
            default="", show_default=False,
        )  # fmt: skip
    if answers["lightning"] not in LIGHTNING:
        return
    what = LIGHTNING[answers["lightning"]]
    for name, words in (
        ("lightning_url", what.url),
        ("lightning_secret", what.secret),
        ("lightning_payout_secret", what.payout_secret),
    ):
        if words and answers.get(name) is None and not _is_elsewhere(name.upper()):
            answers[name] = click.prompt(
                f"{words} (not shown)", default="", show_default=False, hide_input=True
            )


def _is_elsewhere(variable: str) -> bool:
    return any(os.environ.get(f"BITCACHE_{variable}{ending}") for ending in ("", "_FILE"))


def _create(target: Path, answers: dict[str, str | None]) -> Settings:
    """Check a draft of the file, make the rest, and write the file last.

    So a file that is there is complete, and a second ``init`` at the same moment
    does not overwrite the first.
    """
    target.parent.mkdir(mode=_OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    values = {name: value.strip() for name, value in answers.items() if value and value.strip()}
    lightning = values.pop("lightning", "")
    values = {
        "secret_key": secrets.token_urlsafe(_SECRET_BYTES),
        "data_dir": str(target.parent / "data"),
        **values,
    }
    if lightning:
        chain = {"node_url", "onchain_descriptor"} & set(values) or _is_elsewhere("NODE_URL")
        values["rails"] = "lightning,onchain" if chain else "lightning"
        values["lightning_backend"] = lightning.removesuffix("none")
    try:
        _write(draft, values)
        with _config_variable(draft):
            settings = load_settings()
            if settings.onchain_descriptor:
                values["onchain_descriptor"] = normalise(
                    settings.onchain_descriptor, settings.network
                )
                draft.unlink()
                _write(draft, values)
            if settings.node_url is not None or "onchain" not in settings.rails:
                wiring.build(settings)
            else:
                wiring.lightning_backend(settings)
        _make_folders(settings)
        upgrade_database(settings.database_url)
        try:
            _write(target, values)
        except FileExistsError:
            _refuse_to_overwrite(target)
        return settings
    finally:
        draft.unlink(missing_ok=True)


def _write(path: Path, values: dict[str, str]) -> None:
    """Write the settings so that only their owner can read them."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("# Settings of Bitcache; docs/cli.md says where else they may come from.\n")
        file.write("# secret_key signs grants and links: keep it secret, and in your backup.\n")
        for name, value in values.items():
            file.write(f"{name} = {_toml_string(value)}\n")


def _toml_string(value: str) -> str:
    """Return a basic string (TOML 1.0). It has JSON's escapes; DEL must be escaped, too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@contextmanager
def _config_variable(path: Path) -> Iterator[None]:
    """Make the settings come from this file, whatever was named before."""
    before = os.environ.get(CONFIG_VARIABLE)
    os.environ[CONFIG_VARIABLE] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ[CONFIG_VARIABLE]
        else:
            os.environ[CONFIG_VARIABLE] = before


def _make_folders(settings: Settings) -> None:
    settings.data_dir.mkdir(mode=_OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
    settings.files_dir.mkdir(mode=_OWNER_ONLY_FOLDER, parents=True, exist_ok=True)


def _report(target: Path, settings: Settings) -> None:
    document = {
        "config": str(target),
        "data_dir": str(settings.data_dir),
        "files_dir": str(settings.files_dir),
        "public_url": settings.public_url,
        "network": settings.network,
        "onchain_descriptor": settings.onchain_descriptor,
        "node_url_known": settings.node_url is not None,
        "rails": settings.rails,
        "lightning_backend": settings.lightning_backend,
    }
    lines = [
        f"Wrote {target}, readable by you alone. Put it into your backup.",
        f"Files for sale go into {settings.files_dir}",
        "",
        "Next:",
    ]
    if target.parent != Path.cwd():
        lines.append(f"  export {CONFIG_VARIABLE}={target}")
    if settings.node_url is None and "onchain" in settings.rails:
        lines.append(f'  add node_url = "http://user:password@host:port" to {target.name}')
    lines += [
        '  bitcache merchant add --name "…"',
        "  bitcache doctor",
    ]
    emit(document, lines)
