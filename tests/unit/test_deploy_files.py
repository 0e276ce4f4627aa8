"""The files of docs/deploy: every setting, command and path in them exists."""

import configparser
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml  # type: ignore[import-untyped]  # it publishes no types
from prometheus_client import REGISTRY

from bitcache_server.cli import main
from bitcache_server.http import counters
from bitcache_server.settings import Settings
from bitcache_server.settings.sources import CONFIG_VARIABLE, FILE_SETTINGS, env_name
from tests.shape.tree import ROOT

DEPLOY = ROOT / "docs" / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
VARIABLES = (
    {env_name(name) for name in Settings.model_fields}
    | {f"{env_name(name)}_FILE" for name in FILE_SETTINGS}
    | {CONFIG_VARIABLE}
)
PROGRAM = "/opt/bitcache/bin/bitcache"


def unit(path: Path) -> dict[str, list[str]]:
    """Return what stands in a unit; a name may come several times."""
    found: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8")))


def assert_command(words: list[str]) -> None:
    """Follow the words of a command line to a command of ours."""
    command: click.Command = main
    for word in words:
        if not isinstance(command, click.Group):
            return
        found = command.get_command(click.Context(command), word)
        if command.name == "backup" and found is None:
            return
        assert found is not None, words
        command = found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_variable_is_a_setting(path: Path) -> None:
    named = set(re.findall(r"BITCACHE_[A-Z0-9_]+", path.read_text("utf-8")))
    assert named <= VARIABLES


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units(path: Path) -> None:
    said = unit(path)
    for line in said["ExecStart"]:
        program, *words = shlex.split(line)
        assert program == PROGRAM
        assert_command(words)
    handed = {value.partition(":")[0] for value in said["LoadCredential"]}
    files = {value.partition("=")[2] for value in said["Environment"] if "_FILE=" in value}
    assert files == {f"%d/{name}" for name in handed}
    assert handed <= set(FILE_SETTINGS)
    assert said["NoNewPrivileges"] == ["yes"]
    assert said["ProtectSystem"] == ["strict"]
    assert said["User"] == ["bitcache"]


def test_the_timer_has_its_service() -> None:
    assert {path.stem for path in (DEPLOY / "systemd").glob("*.timer")} <= {u.stem for u in UNITS}


def test_compose() -> None:
    document = compose()
    services, secrets = document["services"], set(document["secrets"])
    ours = {name: one for name, one in services.items() if one.get("image") == "bitcache"}
    assert set(ours) == {"migrate", "serve", "jobs"}
    for one in ours.values():
        program, *words = one["command"]
        assert program == "bitcache"
        assert_command(words)
        files = {value for name, value in one["environment"].items() if name.endswith("_FILE")}
        assert files == {f"/run/secrets/{name}" for name in one["secrets"]}
        assert (one["build"]["dockerfile"], one["cap_drop"]) == (
            "docs/deploy/Containerfile",
            ["ALL"],
        )
    for one in services.values():
        assert set(one.get("secrets", [])) <= secrets
        assert set(one.get("depends_on", [])) <= set(services)
        named = {volume.partition(":")[0] for volume in one.get("volumes", [])}
        assert {name for name in named if not name.startswith("./")} <= set(document["volumes"])
    assert (ROOT / ours["serve"]["build"]["dockerfile"]).is_file()


def test_the_containers_files_exist() -> None:
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert copied
    for words in copied:
        for name in words.split():
            assert (ROOT / name).exists(), name
    assert re.search(r"^USER 10001$", text, re.MULTILINE)
    assert_command(re.findall(r'CMD \["bitcache", "(\w+)"\]', text))


def test_the_containers_packages_are_those_of_the_tests() -> None:
    """Same versions, same hashes, and nothing of ours is missing."""
    tested = pins(ROOT / "requirements-dev.txt")
    shipped = pins(DEPLOY / "requirements.txt")
    assert {name: pin for name, pin in shipped.items() if tested.get(name) != pin} == {}
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    wanted = {
        re.split(r"[\[<>=]", line)[0].lower()
        for line in config["options"]["install_requires"].split("\n")
        if line
    }
    assert wanted <= set(shipped)
    assert "psycopg" in shipped
    assert "pytest" not in shipped


def pins(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Return version and hashes of each package."""
    found = {}
    for block in re.split(r"\n(?=\S)", path.read_text("utf-8").replace("\\\n", " ")):
        match = re.match(r"([a-z0-9-]+)(?:\[[\w,]+\])?==(\S+)", block)
        if match:
            hashes = frozenset(re.findall(r"sha256:[0-9a-f]{64}", block))
            assert hashes, block
            found[match[1]] = match[2], hashes
    return found


def test_prometheus_files_name_what_there_is() -> None:
    alerts = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text("utf-8"))
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    named = set(re.findall(r"bitcache_\w+", " ".join(rule["expr"] for rule in rules)))
    source = (ROOT / "bitcache_server/services/figures.py").read_text("utf-8")
    ours = set(re.findall(r'"(bitcache_\w+)"', source))
    assert counters.REQUESTS in REGISTRY._collector_to_names
    for collector in (counters.REQUESTS, counters.WITHIN, counters.SECONDS, counters.ERRORS):
        ours |= set(REGISTRY._collector_to_names[collector])
    assert named - ours == set()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    scrape = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text("utf-8"))
    assert scrape["rule_files"] == ["alerts.yml"]
    documented = (ROOT / "docs/operations.md").read_text("utf-8")
    assert {name for name in ours if name.removesuffix("_total") not in documented} <= {
        name for name in ours if name.endswith(("_created", "_bucket", "_sum", "_count"))
    }


def test_proxies_set_what_they_must() -> None:
    nginx = (DEPLOY / "nginx.conf").read_text("utf-8")
    assert nginx.count("{") == nginx.count("}")
    assert "$proxy_add_x_forwarded_for" not in nginx
    assert nginx.count("proxy_set_header X-Forwarded-For $remote_addr;") == 2
    assert "underscores_in_headers on" not in nginx
    caddy = (DEPLOY / "Caddyfile").read_text("utf-8")
    assert "header_up X-Forwarded-For {remote_host}" in caddy
    assert caddy.count("{") == caddy.count("}")
