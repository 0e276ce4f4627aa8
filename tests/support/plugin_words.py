"""The sentences of the WordPress plugin: those in its sources, and those that are translated.

Catalogues are PHP arrays, ``plugins/wordpress/languages/bitcache-de_DE.l10n.php``, because
WordPress reads that form without a build.
"""

import json
import re
import subprocess
from pathlib import Path

PLUGIN = Path(__file__).parents[2] / "plugins" / "wordpress"
LANGUAGES = ("de_DE", "fr_FR")

_TEXT = r"'((?:[^'\\]|\\.)*)'"
_ONE = re.compile(
    rf"\b(?:__|_e|esc_html__|esc_html_e|esc_attr__|esc_attr_e)\(\s*{_TEXT}\s*,\s*'bitcache'"
)
_MANY = re.compile(rf"\b_n\(\s*{_TEXT}\s*,\s*{_TEXT}\s*,")
_BLOCK_FIELDS = ("title", "description")


def sentences() -> set[str]:
    """Return every sentence of the sources; the two forms of a plural with NUL between them."""
    found: set[str] = set()
    for path in sorted(PLUGIN.rglob("*")):
        if path.suffix in {".php", ".js"} and "languages" not in path.parts:
            text = path.read_text("utf-8")
            found |= {_plain(one) for one in _ONE.findall(text)}
            found |= {"\0".join(map(_plain, two)) for two in _MANY.findall(text)}
    return found


def block_words() -> set[str]:
    """Return what WordPress itself translates of ``block.json``."""
    blocks = [json.loads(path.read_text("utf-8")) for path in PLUGIN.glob("blocks/*/block.json")]
    words = {block[name] for block in blocks for name in _BLOCK_FIELDS}
    return words | {word for block in blocks for word in block["keywords"]}


def catalogue(locale: str) -> dict[str, str]:
    """Return a catalogue as PHP reads it."""
    path = PLUGIN / "languages" / f"bitcache-{locale}.l10n.php"
    code = "echo json_encode((require $argv[1])['messages'], JSON_THROW_ON_ERROR);"
    run = subprocess.run(["php", "-r", code, str(path)], check=True, capture_output=True)
    return dict(json.loads(run.stdout))


def _plain(literal: str) -> str:
    """Return what a literal in single quotes means."""
    return re.sub(r"\\(['\\])", r"\1", literal)
