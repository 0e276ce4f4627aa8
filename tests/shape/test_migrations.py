"""Migrations form one line, numbered without a gap, so that two branches cannot collide unseen."""

import ast
import re

from tests.shape.tree import ROOT, parse


def revisions() -> list[tuple[str, str, str | None]]:
    """Return file name, revision and down_revision of each migration, in order of the names."""
    found = []
    for path in sorted((ROOT / "migrations" / "versions").glob("[0-9]*.py")):
        values = {
            target.id: ast.literal_eval(node.value)
            for node in parse(path).body
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name) and target.id in ("revision", "down_revision")
        }
        found.append((path.name, values["revision"], values["down_revision"]))
    return found


def test_files_are_numbered_from_one_without_a_gap() -> None:
    numbers = [name[:5] for name, _, _ in revisions()]
    assert numbers
    assert numbers == [f"{number:04d}_" for number in range(1, len(numbers) + 1)]


def test_each_migration_follows_the_one_before() -> None:
    below: str | None = None
    for name, revision, down_revision in revisions():
        assert down_revision == below, name
        assert name.startswith(revision[:4]), name
        below = revision


def test_no_stray_file_lies_among_them() -> None:
    names = {path.name for path in (ROOT / "migrations" / "versions").glob("*.py")}
    assert [n for n in names if not re.fullmatch(r"(\d{4}_[a-z0-9_]+|__init__)\.py", n)] == []
