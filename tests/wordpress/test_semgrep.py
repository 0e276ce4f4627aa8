"""Semgrep finds nothing in the plugin, and each of its rules finds what it is for."""

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugins" / "wordpress"
#: One program, put there by ``.ci/setup wordpress``; the rest of the package is not needed.
SEMGREP = ROOT / ".cache" / "semgrep-1.185.0" / "semgrep" / "bin" / "semgrep-core"
RULES = Path(__file__).parent / "semgrep" / "rules.yml"
SAMPLES = Path(__file__).parent / "semgrep" / "samples.php"
FILES = tuple(path for path in sorted(PLUGIN.rglob("*.php")) if path.parent.name != "languages")
IDS = tuple(re.findall(r"^  - id: ([a-z-]+)$", RULES.read_text(), re.MULTILINE))
#: With names that PHP keeps for itself semgrep loses its way in a class, and says nothing.
_KEYWORD = re.compile(
    r"\b(?:const|function) (?:abstract|and|array|as|case|class|clone|const|default|do|echo|else|"
    r"empty|extends|final|fn|for|foreach|function|global|goto|if|include|interface|isset|list|"
    r"match|namespace|new|or|print|private|protected|public|require|return|static|switch|throw|"
    r"trait|try|unset|use|var|while|xor|yield)\b",
    re.IGNORECASE,
)

Finding = tuple[str, str, int]


def scan(folder: Path, *files: Path) -> list[Finding]:
    """Return what the rules find: rule, file and line. Nothing is fetched, nothing is told."""
    command = ["osemgrep", "scan", "--experimental", "--metrics=off", "--disable-version-check"]
    command += ["--no-git-ignore", "--quiet", "--json", "--config", str(RULES)]
    done = subprocess.run(
        [*command, *map(str, files)],
        executable=SEMGREP,
        env={**os.environ, "SEMGREP_SETTINGS_FILE": str(folder / "settings.yml")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert said["errors"] == []
    assert len(said["paths"]["scanned"]) == len(files)
    found = {
        (one["check_id"].rpartition(".")[2], Path(one["path"]).name, one["start"]["line"])
        for one in said["results"]
    }
    return sorted(found)


def test_the_plugin_has_none_of_it(tmp_path: Path) -> None:
    assert len(FILES) > 100
    assert scan(tmp_path, *FILES) == []


def test_semgrep_understands_the_names_of_the_plugin() -> None:
    named = [path.name for path in FILES if _KEYWORD.search(_code(path.read_text()))]
    assert named == []
    assert _KEYWORD.search("const VAR = 'x';")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """Return what is found in the samples."""
    folder = tmp_path_factory.mktemp("samples")
    # Semgrep leaves folders of tests alone.
    copy = folder / "samples.php"
    copy.write_text(SAMPLES.read_text())
    return scan(folder, copy)


@pytest.mark.parametrize("rule", IDS)
def test_a_rule_finds_what_it_is_for(rule: str, found: list[Finding]) -> None:
    """All that is bad, and nothing of what is good."""
    wanted, good = set(), set()
    for number, line in enumerate(SAMPLES.read_text().splitlines(), 1):
        if line.strip() == f"// ruleid: {rule}":
            wanted.add(number + 1)
        if line.strip() == f"// ok: {rule}":
            good.add(number + 1)
    lines = {line for name, _, line in found if name == rule}
    assert wanted
    assert good
    assert wanted <= lines
    assert not good & lines


def test_every_rule_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(IDS).items() if count > 1] == []
    assert len(IDS) == RULES.read_text().count("\n    languages: [php]\n")


def _code(text: str) -> str:
    """Return PHP without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
