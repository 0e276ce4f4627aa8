"""Numbers in sentences."""

import pytest

from bitcache_server.domain.words import count


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 merchants"), (1, "1 merchant"), (2, "2 merchants"), (1_200, "1,200 merchants")],
)
def test_a_number_agrees_with_its_noun(number: int, words: str) -> None:
    assert count(number, "merchant") == words


def test_a_plural_of_its_own() -> None:
    assert [count(n, "hash is", "hashes are") for n in (1, 3)] == ["1 hash is", "3 hashes are"]
