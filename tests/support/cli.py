"""Call the command line as a person or a script would, in this process."""

import json
import logging
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from embit.bip32 import HDKey
from embit.networks import NETWORKS

from bitcache_server.cli import main

#: Never connected to: nothing listens on port 1.
NO_NODE = "http://user:hunter2-node-password@127.0.0.1:1"
SECRET_KEY = "k" * 48


def write_config(folder: Path, **values: Any) -> Path:
    """Write a settings file that only its owner reads, and return its path."""
    settings = {
        "environment": "test",
        "secret_key": SECRET_KEY,
        "data_dir": str(folder / "data"),
        "network": "regtest",
        "node_url": NO_NODE,
        "fixed_rates": {"USD": "1000"},
        **values,
    }
    path = folder / "bitcache.toml"
    path.touch(mode=0o600)
    lines = [f"{name} = {_toml(value)}\n" for name, value in settings.items() if value is not None]
    path.write_text("".join(lines), "utf-8")
    return path


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def account_key(number: int = 1, *, private: bool = False) -> str:
    """Return an extended key of a regtest wallet; public unless asked otherwise."""
    root = HDKey.from_seed(bytes([number] * 32), version=NETWORKS["regtest"]["xprv"])
    account = root.derive("m/84h/1h/0h")
    return str(account.to_base58() if private else account.to_public().to_base58())


class Cli:
    """Runs commands with one settings file and looks at what they print."""

    def __init__(self, config: Path | None) -> None:
        self.env = {"BITCACHE_CONFIG": str(config) if config else None, "NO_COLOR": None}

    def run(self, *words: str, stdin: str | bytes | None = None, **env: str) -> Result:
        """Run a command; an exception that reaches a person would be a defect."""
        # What a command says to the log of its own process is not to be said by the next one.
        handlers = logging.root.handlers[:]
        try:
            result = CliRunner().invoke(main, list(words), input=stdin, env={**self.env, **env})
        finally:
            logging.root.handlers[:] = handlers
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def ask(self, *words: str, stdin: str | bytes | None = None, exit_code: int = 0) -> Any:
        """Run a command with ``--json`` and return the one document that it prints."""
        result = self.run(*words, "--json", stdin=stdin)
        assert result.exit_code == exit_code, result.output
        assert result.stderr == ""
        return json.loads(result.stdout)

    def refuse(self, *words: str, stdin: str | bytes | None = None) -> tuple[str, str]:
        """Run a command that must fail, and return the code and the detail of its error."""
        result = self.run(*words, "--json", stdin=stdin)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        error = json.loads(result.stderr)
        assert set(error) == {"code", "detail"}
        plain = self.run(*words, stdin=stdin)
        assert plain.exit_code == 1
        assert "Traceback" not in plain.output
        assert f"({error['code']})" in plain.stderr
        return error["code"], error["detail"]
