"""The package list of setup.cfg names every folder with code, and nothing else."""

import configparser
from pathlib import Path

from tests.shape.tree import ROOT, relative

#: Folder in the repository, and its name when installed.
SOURCES = (
    ("bitcache_server", "bitcache_server"),
    ("migrations", "bitcache_migrations"),
    ("widget/src", "bitcache_widget"),
)


def installed_name(folder: Path, source: str, name: str) -> str:
    below = folder.relative_to(ROOT / source).parts
    return ".".join((name, *below))


def test_each_folder_with_code_is_listed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    on_disk = {
        installed_name(path.parent, source, name)
        for source, name in SOURCES
        for path in (ROOT / source).rglob("*.py")
    }
    assert set(config["options"]["packages"].split()) == on_disk


def test_each_folder_with_code_is_a_regular_package() -> None:
    folders = {path.parent for source, _ in SOURCES for path in (ROOT / source).rglob("*.py")}
    assert [relative(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
