"""``make plugin``: the WordPress plugin as one file to install, the same bytes each time.

    python -m tests.support.wordpress_zip [FOLDER]

Only what belongs to the plugin goes in, in order, with one date and without compression, which
differs from one zlib to the next.
"""

import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugins" / "wordpress"
#: Files in the plugin's own folder, and what may be in the folders below it.
FILES = ("LICENSE", "bitcache.php", "readme.txt", "uninstall.php")
FOLDERS = {
    "assets": (".css", ".js", ".svg", ".png"),
    "blocks": (".json", ".css", ".js", ".php"),
    "includes": (".php",),
    "languages": (".php", ".pot"),
}
#: The oldest that the format knows.
DATE = (1980, 1, 1, 0, 0, 0)
_READABLE_FILE = 0o100644 << 16


class PluginIncomplete(Exception):
    """A file is missing, or a version is not the same everywhere."""


def version() -> str:
    """Return the plugin's version; raise PluginIncomplete if its files differ about it."""
    main = (PLUGIN / "bitcache.php").read_text()
    readme = (PLUGIN / "readme.txt").read_text()
    found = {
        place: re.findall(pattern, text, re.MULTILINE)
        for place, pattern, text in (
            ("the header", r"^ \* Version:\s+(\S+)$", main),
            ("BITCACHE_VERSION", r"'BITCACHE_VERSION', '([^']+)'", main),
            ("readme.txt", r"^Stable tag:\s+(\S+)$", readme),
        )
    }
    if len({tuple(versions) for versions in found.values()}) != 1 or not found["the header"]:
        raise PluginIncomplete(f"The versions differ: {found}")
    return str(found["the header"][0])


def members() -> Iterator[Path]:
    """Give every file that belongs to the plugin, in order."""
    for name in FILES:
        if not (PLUGIN / name).is_file():
            raise PluginIncomplete(f"{name} is missing.")
        yield PLUGIN / name
    for folder, kinds in FOLDERS.items():
        found = sorted(path for path in (PLUGIN / folder).rglob("*") if path.is_file())
        for path in found:
            if path.suffix not in kinds:
                raise PluginIncomplete(f"{path.relative_to(PLUGIN)} does not belong there.")
            yield path


def write_zip(folder: Path) -> Path:
    """Write bitcache-wordpress-VERSION.zip into a folder; return its path."""
    target = folder / f"bitcache-wordpress-{version()}.zip"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in members():
            name = f"bitcache/{path.relative_to(PLUGIN).as_posix()}"
            entry = zipfile.ZipInfo(name, DATE)
            entry.create_system = 3
            entry.external_attr = _READABLE_FILE
            archive.writestr(entry, path.read_bytes())
    return target


def main() -> int:
    """Write the file and say where it is."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"
    try:
        print(write_zip(folder))
    except PluginIncomplete as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
