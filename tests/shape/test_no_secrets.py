"""Nothing that belongs to one machine or one person is in the project."""

import json
import re
from pathlib import Path

from tests.shape.tree import ROOT, project_files, relative

FORBIDDEN = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an access token": re.compile(r"\b(ghp_|github_pat_|glpat-|xox[bp]-|AKIA)[A-Za-z0-9_-]{16,}"),
    "a registry's address": re.compile(
        r"//[\w.-]*(pypi|pythonhosted|npmjs|yarnpkg|deb\.debian|proxy\.golang)[\w.-]*", re.I
    ),
    "a path of one machine": re.compile(r"/(work/(main|shared)|root/|opt/(pypi|wheels)|tmp/plan)"),
}
#: A mainnet key of a test vector is public; anywhere else it would be somebody's money.
EXTENDED_PRIVATE_KEY = re.compile(r"\b[xyz]prv[1-9A-HJ-NP-Za-km-z]{100,}")


def texts() -> list[tuple[Path, str]]:
    """Return the project's text files, without this one, which spells out what it looks for."""
    found = []
    for path in project_files():
        if path == Path(__file__):
            continue
        try:
            found.append((path, path.read_text("utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def test_no_file_holds_secrets_or_machine_details() -> None:
    files = texts()
    assert len(files) > 50
    found = [
        f"{relative(path)}: {what}: {match.group()[:40]}"
        for path, text in files
        for what, pattern in FORBIDDEN.items()
        if (match := pattern.search(text))
    ]
    assert found == []


def test_private_extended_keys_stand_only_in_tests() -> None:
    found = [
        relative(path)
        for path, text in texts()
        if EXTENDED_PRIVATE_KEY.search(text) and "tests" not in path.parts
    ]
    assert found == []


def test_python_locks_pin_with_hashes_and_name_no_index() -> None:
    for name in ("requirements-build.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text("utf-8")
        assert "://" not in text
        assert not re.search(r"^-", text, re.MULTILINE)
        logical = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
        requirements = [line for line in logical.splitlines() if line.strip()]
        assert requirements
        assert [r for r in requirements if not re.match(r"\S+==\S+ .*--hash=sha256:", r)] == []


def test_node_locks_pin_with_hashes_and_name_no_registry() -> None:
    for folder in ("widget", "demo/regtest"):
        packages = json.loads((ROOT / folder / "package-lock.json").read_text("utf-8"))["packages"]
        installed = {name: about for name, about in packages.items() if name}
        assert all("resolved" not in about for about in installed.values())
        assert all(about["integrity"].startswith("sha512-") for about in installed.values())
