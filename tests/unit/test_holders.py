"""Names of readers for merchants: stable, different for each merchant, telling nothing."""

import re

import pytest

from bitcache_server.tokens.holders import buyer_of_holder, holder_name, wallet_of_holder
from bitcache_server.tokens.secrets import new_id

SECRET = "s" * 48


def test_the_server_alone_finds_its_way_back() -> None:
    wallet_id = new_id("wa")
    name = holder_name(SECRET, "me_1", wallet_id)
    assert wallet_of_holder(SECRET, "me_1", name) == wallet_id
    assert wallet_of_holder("t" * 48, "me_1", name) is None
    assert wallet_of_holder(SECRET, "me_2", name) is None


def test_a_name_is_the_same_each_time_and_another_for_each_merchant() -> None:
    first = holder_name(SECRET, "me_1", "wa_1")
    assert first == holder_name(SECRET, "me_1", "wa_1")
    others = {holder_name(SECRET, "me_2", "wa_1"), holder_name(SECRET, "me_1", "wa_2")}
    assert first not in others
    assert len(others) == 2


def test_a_name_says_nothing_of_the_wallet_and_fits_a_column() -> None:
    wallet_id = new_id("wa")
    name = holder_name(SECRET, "me_1", wallet_id)
    assert wallet_id[3:] not in name
    assert re.fullmatch(r"ho_[A-Za-z0-9_-]+", name)
    assert len(name) <= 64


def test_a_merchants_word_for_a_buyer() -> None:
    name = holder_name(SECRET, "me_1", "wa_1")
    assert buyer_of_holder(SECRET, "me_1", name) == "wa_1"
    assert buyer_of_holder(SECRET, "me_1", "in_1") == "in_1"
    for nobody in (holder_name(SECRET, "me_2", "wa_1"), name.removeprefix("ho_"), "wa_1", "", "x"):
        assert buyer_of_holder(SECRET, "me_1", nobody) == ""


@pytest.mark.parametrize("text", ["", "ho_", "ho_AAAA", "ho_é", "ho_a", "ho_" + "A" * 200, "wa_1"])
def test_other_texts_are_nobody(text: str) -> None:
    assert wallet_of_holder(SECRET, "me_1", text) is None
