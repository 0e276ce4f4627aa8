"""The first command that an operator runs."""

import os
import pty
import select
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from bitcache_server.cli.init import LIGHTNING
from bitcache_server.rails.lightning.registry import BACKENDS
from tests.support.cli import NO_NODE, Cli, account_key


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    for name in [name for name in os.environ if name.startswith("BITCACHE_")]:
        monkeypatch.delenv(name)
    return Cli(None)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def settings_of(folder: Path) -> dict[str, str]:
    return tomllib.loads((folder / "bitcache.toml").read_text("utf-8"))


def test_everything_is_made_and_private(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / 'Ω "quoted" \\ folder'
    made = cli.ask(
        "init", "--dir", str(folder), "--public-url", "https://pay.example", "--network",
        "regtest", "--node-url", NO_NODE, "--descriptor", account_key(),
    )  # fmt: skip
    assert mode(folder / "bitcache.toml") == 0o600
    assert mode(folder) == mode(folder / "data") == 0o700
    assert (folder / "data" / "files").is_dir()
    written = settings_of(folder)
    assert len(written["secret_key"]) >= 48
    assert written["node_url"] == NO_NODE
    assert written["onchain_descriptor"].startswith("wpkh(tpub")
    assert made["public_url"] == "https://pay.example"
    assert sorted(p.name for p in folder.iterdir()) == ["bitcache.toml", "data"]
    after = Cli(folder / "bitcache.toml")
    assert after.ask("db", "check")["pending"] == []
    assert after.ask("merchant", "list") == {"merchants": []}


def test_no_secret_is_printed(cli: Cli, tmp_path: Path) -> None:
    result = cli.run("init", "--yes", "--dir", str(tmp_path), "--node-url", NO_NODE)
    assert result.exit_code == 0
    assert settings_of(tmp_path)["secret_key"] not in result.output
    assert "hunter2" not in result.output
    assert f"export BITCACHE_CONFIG={tmp_path}/bitcache.toml" in result.stdout


def test_two_servers_have_two_secrets(cli: Cli, tmp_path: Path) -> None:
    for name in ("a", "b"):
        cli.ask("init", "--dir", str(tmp_path / name))
    a, b = (settings_of(tmp_path / name)["secret_key"] for name in ("a", "b"))
    assert a != b


def test_nothing_that_exists_is_overwritten(cli: Cli, tmp_path: Path) -> None:
    cli.ask("init", "--dir", str(tmp_path))
    before = (tmp_path / "bitcache.toml").read_bytes()
    code, detail = cli.refuse("init", "--dir", str(tmp_path))
    assert code == "configuration_error"
    assert "exists already" in detail
    assert (tmp_path / "bitcache.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--descriptor", account_key(private=True)], "private_key_refused"),
        (["--descriptor", "abandon " * 11 + "about"], "private_key_refused"),
        (["--descriptor", "wpkh(nonsense)"], "descriptor_invalid"),
        (["--public-url", "pay.example"], "configuration_error"),
        (["--node-url", "http://127.0.0.1:18443"], "configuration_error"),
        (["--node-url", "http://user:hunter2@127.0.0.1"], "configuration_error"),
    ],
)
def test_what_is_wrong_leaves_nothing_behind(
    cli: Cli, tmp_path: Path, words: list[str], code: str
) -> None:
    found, detail = cli.refuse("init", "--dir", str(tmp_path), "--network", "regtest", *words)
    assert found == code
    assert words[1][:14] not in detail
    assert "hunter2" not in detail
    assert list(tmp_path.iterdir()) == []


def test_a_node_url_from_elsewhere_is_not_written_down(cli: Cli, tmp_path: Path) -> None:
    secret = tmp_path / "node-url"
    secret.write_text(f"{NO_NODE}\n")
    result = cli.run(
        "init", "--json", "--dir", str(tmp_path / "b"), BITCACHE_NODE_URL_FILE=str(secret)
    )
    assert result.exit_code == 0, result.output
    assert '"node_url_known": true' in result.stdout
    assert "hunter2" not in (tmp_path / "b" / "bitcache.toml").read_text()


def test_a_server_without_any_node(cli: Cli, tmp_path: Path) -> None:
    """Merchants bring their Lightning address; nothing else is needed to begin."""
    made = cli.ask("init", "--dir", str(tmp_path), "--lightning", "none")
    assert (made["rails"], made["lightning_backend"]) == (["lightning"], "")
    shown = Cli(tmp_path / "bitcache.toml").ask("merchant", "list")
    assert shown == {"merchants": []}


def test_lightning_beside_the_chain(cli: Cli, tmp_path: Path) -> None:
    """The secret comes from a file and is not written down."""
    key = tmp_path / "key"
    key.write_text("hunter2\n")
    result = cli.run(
        "init", "--json", "--dir", str(tmp_path / "a"), "--network", "regtest", "--node-url",
        NO_NODE, "--lightning", "lnbits", "--lightning-url", "https://lnbits.example",
        BITCACHE_LIGHTNING_SECRET_FILE=str(key),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    written = settings_of(tmp_path / "a")
    assert (written["rails"], written["lightning_backend"]) == ("lightning,onchain", "lnbits")
    assert "lightning_secret" not in written


def test_lightning_that_cannot_work_leaves_nothing_behind(cli: Cli, tmp_path: Path) -> None:
    code, detail = cli.refuse(
        "init", "--dir", str(tmp_path), "--lightning", "lnbits", "--lightning-url", "lnbits"
    )
    assert code == "configuration_error"
    assert "lightning_secret is missing" in detail
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, detail = cli.refuse("init", "--dir", str(tmp_path / "file" / "below"))
    assert code == "system_error"
    assert "Not a directory" in detail


def test_on_a_terminal_it_asks_and_hides_the_password(tmp_path: Path) -> None:
    """A real terminal: only there are questions asked, and answers hidden."""
    ours, theirs = pty.openpty()
    env = {k: v for k, v in os.environ.items() if not k.startswith("BITCACHE_")}
    child = subprocess.Popen(
        [sys.executable, "-m", "bitcache_server", "init", "--dir", str(tmp_path / "x")],
        stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    screen = ""
    try:
        for question, answer in (
            ("Address for readers", "https://pay.example"),
            ("Bitcoin network", "regtest"),
            ("Bitcoin node", NO_NODE),
            ("Your wallet's", ""),
            ("Lightning node or wallet", "lnbits"),
            ("LNbits' address", "https://lnbits.example"),
            ("The invoice key", "hunter2-invoices"),
            ("The admin key", "hunter2-pays"),
        ):
            screen = read_until(ours, screen, question)
            os.write(ours, f"{answer}\n".encode())
        screen = read_until(ours, screen, "Next:")
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()
        os.close(ours)
    assert "hunter2" not in screen
    assert settings_of(tmp_path / "x")["node_url"] == NO_NODE
    assert settings_of(tmp_path / "x")["network"] == "regtest"
    written = settings_of(tmp_path / "x")
    assert (written["rails"], written["lightning_backend"]) == ("lightning,onchain", "lnbits")
    assert written["lightning_url"] == "https://lnbits.example"
    assert written["lightning_secret"] == "hunter2-invoices"
    assert written["lightning_payout_secret"] == "hunter2-pays"


def test_each_backend_is_asked_for_what_it_can_sell_with() -> None:
    """LND's own invoice.macaroon may not ask for balance and node, and the doctor refuses it."""
    assert set(LIGHTNING) | {"scripted"} == set(BACKENDS)
    assert "invoice.macaroon is too narrow" in LIGHTNING["lnd"].secret


def read_until(terminal: int, screen: str, words: str) -> str:
    deadline = time.monotonic() + 60
    while words not in screen:
        assert time.monotonic() < deadline, screen
        if select.select([terminal], [], [], 0.2)[0]:
            screen += os.read(terminal, 4096).decode("utf-8", "replace")
    return screen
