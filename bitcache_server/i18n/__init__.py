"""Words in the languages of the dashboard and the checkout: gettext catalogues (``*.po``).

A catalogue is read as it stands here; there is no compiled form to build or to forget.
A new language is one file and a line in ``LANGUAGES``.
"""

import io
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

#: Code (BCP 47) to the language's own name; the first is what the sources are written in.
LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français", "ar": "العربية"}
SOURCE = "en"
_RIGHT_TO_LEFT = frozenset({"ar"})


@cache
def translations(language: str) -> NullTranslations:
    """Return the catalogue of a language; for one that is not known, that of the sources."""
    if language == SOURCE or language not in LANGUAGES:
        return NullTranslations()
    path = Path(__file__).parent / f"{language}.po"
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled)


def direction(language: str) -> str:
    """Return ``rtl`` or ``ltr``, as HTML's ``dir`` wants it."""
    return "rtl" if language in _RIGHT_TO_LEFT else "ltr"


def day_pattern(language: str) -> str:
    """Return how a day is written, as Babel's patterns say it (CLDR)."""
    return "d. MMM y" if language == "de" else "d MMM y"


def mark(message: str) -> str:
    """Return the message as it is: it is translated where it is shown (gettext's ``N_``)."""
    return message
