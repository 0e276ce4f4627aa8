"""The words of the pages and their translations: ``make words`` brings the catalogues up to date.

New messages are added without a translation, which a test refuses; those that no source
has any more are removed.
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from bitcache_server.i18n import LANGUAGES, SOURCE
from tests.shape.tree import SERVER

KEYWORDS = {"_": None, "gettext": None, "mark": None, "ngettext": (1, 2)}
TRANSLATED = tuple(code for code in LANGUAGES if code != SOURCE)


def source_messages() -> Catalog:
    """Return every message of the sources, in the order in which they stand there."""
    catalog = Catalog(charset="utf-8")
    for path in sorted(_sources()):
        method = "jinja2" if path.suffix == ".html" else "python"
        options = {"newstyle_gettext": "true", "silent": "false"} if method == "jinja2" else {}
        found = extract(method, BytesIO(path.read_bytes()), KEYWORDS, options=options)
        for _line, message, _comments, _context in found:
            if message and message != ("", ""):
                catalog.add(message)
    return catalog


def catalogue(language: str) -> Catalog:
    """Return the catalogue of a language as it stands in the sources."""
    with _path(language).open("rb") as file:
        return read_po(file, locale=language)


def update(language: str) -> list[Message]:
    """Bring a catalogue up to date with the sources; return what is not translated."""
    found = catalogue(language)
    found.update(source_messages(), no_fuzzy_matching=True, update_header_comment=False)
    found.obsolete.clear()
    target = BytesIO()
    write_po(target, found, width=0, omit_header=False, no_location=True, ignore_obsolete=True)
    lines = target.getvalue().decode().splitlines(keepends=True)
    # Dates and tool names would change with every run.
    kept = [line for line in lines if not line.startswith(_CHANGING)]
    _path(language).write_text("".join(kept).lstrip("#\n "), "utf-8")
    return [message for message in found if message.id and not _is_translated(message)]


_CHANGING = (
    '"POT-Creation-Date', '"PO-Revision-Date', '"Generated-By', '"Last-Translator',
    '"Language-Team', '"Project-Id-Version', '"Report-Msgid-Bugs-To', "#",
)  # fmt: skip


def _is_translated(message: Message) -> bool:
    texts = message.string if isinstance(message.string, tuple | list) else (message.string,)
    return all(texts)


def _sources() -> Iterator[Path]:
    yield from SERVER.rglob("*.py")
    yield from (SERVER / "templates").rglob("*.html")


def _path(language: str) -> Path:
    return SERVER / "i18n" / f"{language}.po"


if __name__ == "__main__":
    for code in TRANSLATED:
        missing = update(code)
        print(f"{code}: {len(missing)} messages without a translation")
