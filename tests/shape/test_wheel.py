"""The wheel holds all that a server needs: code, templates, migrations, the widget."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.shape.tree import ROOT, project_files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build it from a copy, as from a clone, without the network."""
    source = tmp_path_factory.mktemp("source")
    for path in project_files():
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    dist = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, source],
        check=True,
        capture_output=True,
        text=True,
    )
    [built] = dist.glob("bitcache-*-py3-none-any.whl")
    return zipfile.ZipFile(built)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("bitcache_server", "bitcache_server"),
        ("migrations", "bitcache_migrations"),
        ("widget/src", "bitcache_widget"),
    ],
)
def test_it_holds_every_file_of(wheel: zipfile.ZipFile, folder: str, name: str) -> None:
    # Type declarations are for the checker; nothing reads them at run time.
    ours = [path for path in project_files() if path.is_relative_to(ROOT / folder)]
    needed = {
        (Path(name) / path.relative_to(ROOT / folder)).as_posix()
        for path in ours
        if not path.name.endswith(".d.ts")
    }
    assert needed
    assert needed - set(wheel.namelist()) == set()


def test_it_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    expected = {"bitcache_server", "bitcache_migrations", "bitcache_widget"}
    assert {top for top in tops if not top.endswith(".dist-info")} == expected


def test_it_installs_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    def text(suffix: str) -> str:
        [name] = [name for name in wheel.namelist() if name.endswith(suffix)]
        return wheel.read(name).decode()

    assert "bitcache = bitcache_server.cli:main" in text("entry_points.txt")
    assert "MIT License" in text("licenses/LICENSE")
    assert 'Requires-Dist: psycopg[binary]<4,>=3.2; extra == "postgresql"' in text("METADATA")
