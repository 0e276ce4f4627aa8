"""``bitcache doctor``: what does not work yet, and how to mend it."""

from collections.abc import Iterator
from dataclasses import asdict

import click

from bitcache_server import wiring
from bitcache_server.cli.output import emit, json_option, say, shown, wants_json
from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.services.diagnose import diagnose
from bitcache_server.services.findings import Finding, problem
from bitcache_server.settings import load_settings

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
_INDENT = " " * 10


@click.command()
@json_option
def doctor() -> int:
    """Say what does not work yet, and how to mend it.

    Looks at settings, secrets, database, disk, addresses, files, wallets, sites, jobs,
    Bitcoin node, fees, exchange rates and the clock.

    Each finding says how to mend it. Exit code 0 when there is no problem (warnings
    may be left), 1 otherwise. Changes nothing; asks the node and the rate sources.
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
    emit(document, ["", f"{len(found)} checks, {problems} problems, {warnings} warnings."])
    return 1 if problems else 0


def _findings() -> Iterator[Finding]:
    """Yield what is found; settings that are wrong are a finding as well."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        mend = "Correct it, or run `bitcache init` for a new file."
        yield problem("settings", error.code, error.detail, mend)
        return
    try:
        deps = wiring.build(settings)
    except ConfigurationError as error:
        yield problem("settings", error.code, error.detail, "Add or correct it in bitcache.toml.")
        deps = wiring.build(settings, rails={}, rate_sources=())
    yield from diagnose(deps)


def _show(finding: Finding) -> None:
    level = click.style(f"{finding.level:<8}", fg=_COLOURS[finding.level])
    code = "" if finding.code == "ok" else f" ({finding.code})"
    say(f"{level}  {finding.name}: {shown(finding.found)}{code}")
    if finding.mend:
        say(f"{_INDENT}-> {shown(finding.mend)}")
