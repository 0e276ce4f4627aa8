"""``bitcache doctor``: what does not work yet, and how to mend it."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from bitcache_server import wiring
from bitcache_server.cli.output import emit, json_option, say, shown, wants_json
from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.domain.words import count
from bitcache_server.services.diagnose import diagnose
from bitcache_server.services.findings import Finding, problem
from bitcache_server.settings import load_settings
from bitcache_server.settings.sources import CONFIG_VARIABLE, DEFAULT_CONFIG_FILE, env_name

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
_INDENT = " " * 10


@click.command()
@json_option
def doctor() -> int:
    """Say what does not work yet, and how to mend it.

    Looks at settings, secrets, database, disk, addresses, proxies, files, wallets, sites, prices,
    jobs, payouts, backups, Bitcoin node, fees, the Lightning node or wallet, exchange rates and
    the clock.

    Each finding says how to mend it. Exit code 0 when there is no problem (warnings
    may be left), 1 otherwise. Changes nothing; asks the nodes and the rate sources.
    """
    found = []
    for finding in _findings():
        found.append(finding)
        if not wants_json():
            _show(finding)
    problems = sum(not finding.ok for finding in found)
    document = {
        "ok": problems == 0,
        "findings": [{**asdict(finding), "ok": finding.ok} for finding in found],
    }
    warnings = sum(finding.level == "warning" for finding in found)
    numbers = ((len(found), "check"), (problems, "problem"), (warnings, "warning"))
    emit(document, ["", f"{', '.join(count(*each) for each in numbers)}."])
    return 1 if problems else 0


def _findings() -> Iterator[Finding]:
    """Yield what is found; settings that are wrong are a finding as well."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        yield problem("settings", error.code, error.detail, _mend_settings())
        return
    try:
        deps = wiring.build(settings)
    except ConfigurationError as error:
        yield problem("settings", error.code, error.detail, "Add or correct it in bitcache.toml.")
        deps = wiring.build(settings, rails={}, rate_sources=())
    yield from diagnose(deps)


def _mend_settings() -> str:
    """Return how to mend settings. A fresh key would make every grant and link worthless."""
    key = env_name("secret_key")
    given = any(os.environ.get(variable) for variable in (key, f"{key}_FILE"))
    if given or not _is_missing(Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG_FILE)):
        return "Correct it and keep secret_key: it signs what readers have bought."
    return "Correct it, or run `bitcache init` if you have no shop yet."


def _is_missing(path: Path) -> bool:
    """Return whether a file is not there; one that cannot be looked at may be."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _show(finding: Finding) -> None:
    level = click.style(f"{finding.level:<8}", fg=_COLOURS[finding.level])
    code = "" if finding.code == "ok" else f" ({finding.code})"
    say(f"{level}  {finding.name}: {shown(finding.found)}{code}")
    if finding.mend:
        say(f"{_INDENT}-> {shown(finding.mend)}")
