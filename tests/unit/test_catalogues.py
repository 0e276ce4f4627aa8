"""Every word of the pages is translated, with the same places in it, and nothing else is."""

import re

import pytest

from bitcache_server.i18n import LANGUAGES, SOURCE, direction, translations
from tests.support.words import TRANSLATED, catalogue, source_messages

_PLACE = re.compile(r"%(?:\((\w+)\))?[sd%]")


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_message_of_the_sources_is_translated_and_no_other(language: str) -> None:
    known = {message.id: message for message in catalogue(language) if message.id}
    wanted = {message.id for message in source_messages() if message.id}
    assert wanted - set(known) == set(), "make words adds them"
    assert set(known) - wanted == set(), "make words removes them"
    without = [
        message.id
        for message in known.values()
        if not all(message.string if isinstance(message.string, tuple) else [message.string])
    ]
    assert without == []
    assert [message.id for message in known.values() if message.fuzzy] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_have_the_places_of_the_message(language: str) -> None:
    found = catalogue(language)
    assert [(message.id, list(errors)) for message, errors in found.check() if message.id] == []
    for message in found:
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple | list) else (message.id,)
        texts = message.string if isinstance(message.string, tuple | list) else (message.string,)
        wanted = set().union(*(places(text) for text in ids))
        for text in texts:
            # A form for one or two things may say the number in words.
            assert wanted - {"num"} <= places(str(text)) <= wanted, message.id
            assert "<" not in str(text) or any("<" in one for one in ids), message.id


def places(text: str) -> set[str]:
    """Return the names of the places that are filled in."""
    return {match[1] or match[0] for match in _PLACE.finditer(text)} - {"%%"}


def test_what_is_translated_is_shown() -> None:
    assert translations("de").ugettext("Sales") != "Sales"
    assert translations("fr").ugettext("Payouts") != "Payouts"
    assert translations(SOURCE).ugettext("Sales") == "Sales"
    assert translations("xx").ugettext("Sales") == "Sales"
    assert {code: direction(code) for code in LANGUAGES} == {
        "en": "ltr", "de": "ltr", "fr": "ltr", "ar": "rtl",
    }  # fmt: skip
