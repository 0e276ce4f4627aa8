"""The plugin in German and French: every sentence is translated, and none is left over."""

import re

import pytest

from tests.support.plugin_words import LANGUAGES, block_words, catalogue, sentences

_FIELD = re.compile(r"%(?:\d+\$)?[sd]|</?code>")


def test_the_sources_are_read() -> None:
    """What looks for sentences finds them, plurals and titles of blocks too."""
    assert {"Connect", "%d sale\0%d sales"} <= sentences()
    assert "Paywall" in block_words()


@pytest.mark.parametrize("locale", LANGUAGES)
def test_every_sentence_is_translated_and_no_other(locale: str) -> None:
    assert set(catalogue(locale)) == sentences() | block_words()


@pytest.mark.parametrize("locale", LANGUAGES)
def test_what_is_filled_in_stays(locale: str) -> None:
    for text, translation in catalogue(locale).items():
        assert sorted(_FIELD.findall(text)) == sorted(_FIELD.findall(translation)), text
        assert text.count("\0") == translation.count("\0"), text
        assert translation.strip(), text
